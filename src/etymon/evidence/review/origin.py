"""Where the model comes from, as its card says and as the weights say."""

from collections.abc import Iterator, Sequence

from etymon.evidence.review.claims import Claims
from etymon.evidence.review.records import Finding, Kin, Status, Suspect
from etymon.foundation.card import CARD
from etymon.foundation.hub_name import hub_name
from etymon.foundation.model import DeclaredParent
from etymon.text.counted import counted

TOPIC = "Base model"


def likely_origins(kin: Sequence[Kin]) -> list[Kin]:
    """Of related models those that it may have been made from, the least changed first.

    Where the weights leave the direction open, further derivatives of one base are related too, and only the nearest counts.
    """
    found = sorted((each for each in kin if each.may_be_origin), key=lambda each: (not each.unchanged, each.change or 0.0))
    return [each for place, each in enumerate(found) if not place or each.unchanged or each.direction == "model from parent"]


def is_declared(declared: DeclaredParent, kin: Kin) -> bool:
    """Whether a declared parent is the model that the weights were compared with: by its source, else by its name.

    A model that was quantised and declares so stands for the one that it was quantised from.
    """
    if _is_quantised(declared, kin):
        return True
    named, source = hub_name(declared.uri).lower(), hub_name(kin.source).lower()
    return named == source or named.rpartition("/")[2] in (kin.name.lower(), source.rpartition("/")[2])


def _is_quantised(declared: DeclaredParent, kin: Kin) -> bool:
    return hub_name(declared.uri).lower() in {hub_name(each).lower() for each in kin.quantised_from}


def origin_findings(claims: Claims, kin: Sequence[Kin], suspects: Sequence[Suspect], searched: str) -> Iterator[Finding]:
    """The base, how the model was made from it, and its vocabulary. ``searched`` says where kin was looked for."""
    origins = likely_origins(kin)
    others = [each for each in origins if not any(is_declared(parent, each) for parent in claims.parents)]
    if claims.parents:
        for parent in claims.parents:
            yield _declared(parent, [each for each in kin if is_declared(parent, each)], others)
    else:
        yield _undeclared(claims, origins, kin, searched).model_copy(update={"where": claims.card})
    if claims.relation:
        yield _relation(claims, [each for each in origins if each not in others])
    yield from _others(claims, others)
    yield from (_suspected(each) for each in suspects)
    if origins and origins[0].same_vocabulary is not None:
        yield _vocabulary(origins[0])


def _undeclared(claims: Claims, origins: Sequence[Kin], kin: Sequence[Kin], searched: str) -> Finding:
    claim = f"No base is named, and the card says: “{claims.scratch}”." if claims.scratch else "No base is named."
    siblings = [each for each in kin if each.verdict == "related" and each.direction == "common origin"]
    if origins:
        names = " and ".join(each.name for each in origins)
        ask = f"The weights are related to {names}. Was the model made from it, and why does the card not say so?"
        return _finding(claim, "contradicted", " ".join(map(_evidence, origins)), ask)
    if siblings:
        ask = f"From which earlier model were this one and {siblings[0].name} made, and why does the card not name it?"
        return _finding(claim, "contradicted", " ".join(each.says for each in siblings), ask)
    measured = " ".join(each.says for each in kin if each.verdict == "related")
    if not measured:
        among = (
            f"The weights are related to none of {counted(len(kin), 'model')} that they were compared with. " if kin else ""
        )
        measured = f"{among}{searched} That does not show that it was trained from scratch.".strip()
    ask = "Was the model trained from scratch? If so, with how much compute, on which data? If not, from which base?"
    return _finding(claim, "unknown", measured, ask)


def _declared(parent: DeclaredParent, compared: Sequence[Kin], others: Sequence[Kin]) -> Finding:
    name = parent.uri.removeprefix("hf:")
    claim = f"Made from {name}."
    nearest = sorted(
        compared, key=lambda each: (_is_quantised(parent, each), each.verdict != "related")
    )  # itself, if at hand
    found = next(iter(nearest), None)
    if found is None:
        if copied := next((each for each in others if each.unchanged), None):
            ask = f"How can the model be made from {name} and hold the weights of {copied.name}? Please supply {name}."
            return _finding(claim, "contradicted", f"{_evidence(copied)} {name} itself was not at hand.", ask)
        ask = f"Please supply {name} at the revision that was used, so that the weights can be compared."
        return _finding(claim, "unknown", f"{name} was not at hand: give it with --parent.", ask)
    taken = "" if hub_name(parent.uri) == hub_name(found.source) else f" (Taken for {name} by its name: {found.source}.)"
    if _is_quantised(parent, found):
        taken = f" {found.name} declares itself quantised from {name}, which was not compared."
    if found.verdict == "inconclusive":
        ask = f"How was the model made from {name}? Please supply the recipe and a checkpoint from between."
        return _finding(claim, "unknown", found.says + taken, ask)
    if found.may_be_origin:
        return _finding(claim, "established", _evidence(found) + taken)
    return _finding(
        claim, "contradicted", found.says + taken, f"The weights do not come from {name}. From which model do they?"
    )


def _finding(claim: str, status: Status, measured: str, ask: str = "") -> Finding:
    return Finding(topic=TOPIC, claim=claim, where=CARD, status=status, measured=measured, ask=ask)


def _evidence(kin: Kin) -> str:
    """The verdict, and what the weights leave open."""
    if kin.unchanged:
        return f"{kin.says} Its values are those of {kin.name}, at most in another order, scale or type: nothing was trained."
    return f"{kin.says} Which came first the weights do not show." if kin.direction == "unknown" else kin.says


def _relation(claims: Claims, origins: Sequence[Kin]) -> Finding:
    status, measured = _done_to(origins[0], claims) if origins else ("unknown", "The declared base was not found to be one.")
    return Finding(
        topic="How it was made",
        claim=f"By {claims.relation} of its base.",
        where=CARD,
        status=status,
        measured=measured,
        ask="" if status == "established" else "What exactly was done to the base?",
    )


def _done_to(base: Kin, claims: Claims) -> tuple[Status, str]:
    if claims.relation == "quantized":
        lattice = " and ".join(base.lattice)
        told = f"The values lie on the lattice of {lattice}." if lattice else "No lattice of a known format was found."
        return ("established" if lattice else "unknown"), told
    if base.unchanged:
        return "contradicted", f"The values are those of {base.name}: nothing was trained or merged."
    if claims.relation == "merge":
        return "unknown", "`etymon lineage MODEL PARENT PARENT` measures the weights of a merge."
    if base.change is None:
        return "unknown", "How much changed was not measured."
    return "established", f"Against {base.name} the weights changed by {base.change:.2%} of their size."


def _others(claims: Claims, others: Sequence[Kin]) -> Iterator[Finding]:
    """Origins beside the declared ones: a base of the declared base, or one that is kept quiet about."""
    for each in others if claims.parents else ():
        yield Finding(
            topic="Another origin",
            claim="",
            status="established",
            measured=f"{_evidence(each)} The card does not name it.",
            ask=f"Is {each.name} the base of the declared base? If not, why is it not named?",
        )


def _suspected(suspect: Suspect) -> Finding:
    return Finding(
        topic="A likely relative",
        claim="",
        status="unknown",
        measured=f"{suspect.says} A fingerprint is no verdict: name {suspect.source or suspect.name} by --parent.",
        ask=f"Is the model related to {suspect.name}?",
    )


def _vocabulary(kin: Kin) -> Finding:
    own = f"the same as that of {kin.name}" if kin.same_vocabulary else f"not that of {kin.name}"
    measured = f"Its vocabulary is {own}. Anyone may take one, so that it decides nothing."
    return Finding(topic="Vocabulary", claim="", status="established", measured=measured)
