"""The register's decisions in a store: one artifact each, in one chain that is only ever added to."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from filelock import FileLock

from etymon.errors import EtymonError
from etymon.evidence.envelope import SUFFIX, open_envelope, seal
from etymon.evidence.keys import Key
from etymon.evidence.predicates import PAYLOAD_TYPE
from etymon.evidence.register.decision import Added, Decision, decision_in, payload_of
from etymon.evidence.register.signers import Signer, Signers
from etymon.evidence.signed_run import read_file
from etymon.store import Artifact, Config, Draft, Input, Stage, Store
from etymon.text.plain import plain

STAGE = "decision"
ENVELOPE = f"decision{SUFFIX}"
_HEAD = ".register"
"""The pointer to the newest decision; no recipe's name begins with a dot."""
_BRING = "Bring its folder back: decisions are never removed."


@dataclass(frozen=True)
class Signed:
    """A decision whose signature is good."""

    decision: Decision
    signer: Signer
    digest: str
    """SHA-256 of its envelope."""
    artifact: str
    """Its name."""


class DecisionMeaning(Config):
    """An envelope is what it is: its digest decides all."""

    envelope: str


class DecisionExecution(Config):
    """A decision is only kept."""


@contextmanager
def alone(store: Store) -> Iterator[None]:
    """Nobody else adds a decision meanwhile."""
    locks = store.root / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / "register.lock"):
        yield


def read_chain(store: Store, artifacts: Iterable[Artifact], signers: Signers) -> list[Signed]:
    """Every decision among the artifacts of a store, the first one first.

    Raises EtymonError where a signature is bad or of somebody unknown, one is missing, or two follow the same one.
    """
    found = {each.digest: each for each in _opened([each for each in artifacts if each.manifest.stage == STAGE], signers)}
    following: dict[str | None, Signed] = {}
    for each in found.values():
        before = each.decision.previous
        if before is not None and before not in found:
            raise EtymonError(f"The decision before {each.artifact} is gone from {store.root}.", _BRING)
        if other := following.get(before):
            raise EtymonError(
                f"{other.artifact} and {each.artifact} both follow the same decision: it was continued in two places.",
                "Move one of them and all that follow it elsewhere, and decide these things again.",
            )
        following[before] = each
    newest = store.pointers().get(_HEAD)
    if newest and newest.finished not in {None, *(each.artifact for each in found.values())}:
        raise EtymonError(f"The newest decision of the register, {newest.finished}, is gone from {store.root}.", _BRING)
    chain: list[Signed] = []
    while following:
        chain.append(following.pop(chain[-1].digest if chain else None))
    return chain


def _opened(artifacts: Sequence[Artifact], signers: Signers) -> list[Signed]:
    """Raises EtymonError that says of the first bad one which it is among all, as far as its manifest tells that."""
    found, bad = [], list[tuple[Artifact, EtymonError]]()
    for each in artifacts:
        try:
            found.append(_open(each, signers))
        except EtymonError as error:
            bad.append((each, error))
    if not bad:
        return found
    first, why = bad[0]
    number = 1 + sum(str(each.facts.get("when")) < str(first.facts.get("when")) for each in artifacts)
    raise EtymonError(
        f"{why.problem}\nBy its manifest it is number {number} of {len(artifacts)}: {_as_recorded(first)}. "
        f"As they were signed: {len(found)}; not: {len(bad)}.",
        f"{why.remedy} Or bring its folder back from a copy; until then nothing that the register says can be relied upon.",
    )


def _as_recorded(artifact: Artifact) -> str:
    """A decision in the words of ``register log``, by its manifest, which nobody signed."""
    facts, record = artifact.facts, artifact.manifest.files.get(ENVELOPE)
    about = facts.get("about")
    what = " ".join(str(about.get(key, "")) for key in ("name", "version")).strip() if isinstance(about, dict) else ""
    said = f"{facts.get('signer')}  {facts.get('kind')} {what}".strip()
    return plain(f"{str(facts.get('when'))[:16].replace('T', ' ')}  {record.sha256[:12] if record else ''}  {said}")


def append(store: Store, decision: Decision, key: Key, signer: Signer, inputs: Mapping[str, Input]) -> Signed:
    """Sign a decision that follows the chain, and keep it; ``inputs`` are the model and the evidence that it names.

    The caller holds ``alone`` since it read the chain.
    """
    content = seal(payload_of(decision), PAYLOAD_TYPE, key)
    digest = hashlib.sha256(content).hexdigest()

    def keep(draft: Draft[DecisionMeaning, DecisionExecution]) -> None:
        (draft.folder / ENVELOPE).write_bytes(content)
        draft.facts |= _facts(decision, signer)

    stage = Stage(STAGE, 1, keep, DecisionMeaning, DecisionExecution)
    made, _ = store.obtain(stage, inputs, DecisionMeaning(envelope=digest), DecisionExecution())
    store.point(_HEAD, {}, finished=made.name)
    return Signed(decision, signer, digest, made.name)


def _open(artifact: Artifact, signers: Signers) -> Signed:
    """Raises EtymonError also where the manifest, which the catalog indexes, says other than what was signed."""
    name = f"{artifact.name}/{ENVELOPE}"
    content = read_file(artifact.folder / ENVELOPE)
    opened = open_envelope(content, [signer.key for signer in signers.values()], name)
    if opened.payload_type != PAYLOAD_TYPE:
        raise EtymonError(f"{name} holds something else than a statement: {opened.payload_type!r}.", "Ask its signer.")
    signer, decision = signers[opened.key_id], decision_in(opened.payload, name)
    stated = {each.digest for each in decision.evidence} | (
        {decision.about.digest} if decision.about.what == "model" else set()
    )
    given = {record.digest for record in artifact.manifest.inputs.values()}
    facts = {key: value for key, value in artifact.facts.items() if key != "signer"}  # a name may be corrected later
    if facts != {key: value for key, value in _facts(decision, signer).items() if key != "signer"} or given != stated - {""}:
        raise EtymonError(f"The manifest of {artifact.name} says other than what was signed.", "Bring its folder back.")
    return Signed(decision, signer, hashlib.sha256(content).hexdigest(), artifact.name)


def _facts(decision: Decision, signer: Signer) -> dict[str, Any]:
    """What the catalog indexes; what holds is in the envelope."""
    facts: dict[str, Any] = {
        "kind": decision.kind,
        "about": decision.about.model_dump(),
        "when": decision.when.isoformat(),
        "signer": signer.name,
    }
    if isinstance(decision.details, Added):
        facts["parents"] = [parent.model_dump() for parent in decision.details.parents]
    return facts
