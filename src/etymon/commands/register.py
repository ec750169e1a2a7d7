"""The register and the impact of things over a workspace: names that users give become models, sources and documents."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from etymon.errors import EtymonError
from etymon.evidence.impact.downstream import Approval, Impact, downstream
from etymon.evidence.impact.found import What, find_start
from etymon.evidence.impact.graph import read_graph
from etymon.evidence.keys import load_key
from etymon.evidence.predicates import TrainingStatement, read_statement
from etymon.evidence.register.act import Desk, about, add, approve, withdraw, withdraw_other
from etymon.evidence.register.books import Books, Line, line_of, open_books
from etymon.evidence.register.chain import STAGE, Signed
from etymon.evidence.register.decision import Added, Approved, DeclaredParent
from etymon.evidence.register.gate import Objection, unanswered
from etymon.evidence.register.pins import Holdings
from etymon.evidence.register.signers import read_signers
from etymon.evidence.statements import TRAINING
from etymon.foundation.model import Model
from etymon.progress import Listener, silent
from etymon.store import Store
from etymon.workspace import find_model


@dataclass(frozen=True)
class Shown:
    """One model of the register, with all that stands against it."""

    line: Line
    history: tuple[Signed, ...]
    objections: tuple[Objection, ...]
    """Those that nobody has waived."""


def desk_of(store: Store, signers: Path, key: Path, password: str | None) -> Desk:
    """Raises EtymonError for a file of signers or a key that cannot be read."""
    return Desk(store, read_signers(signers), load_key(key, password))


def books_of(store: Store, signers: Path) -> Books:
    """Raises EtymonError where a decision is missing, damaged, or signed by somebody unknown."""
    return open_books(store, read_signers(signers))


def add_model(model: str, version: str, name: str | None, desk: Desk, text: str = "", listener: Listener = silent) -> Signed:
    """A model comes into the register: a run, or anything else that can be opened."""
    opened = find_model(model, desk.store, listener)
    details = Added(source=opened.facts.source, license=opened.facts.license, parents=_parents(opened, desk.store))
    return add(desk, about("model", name or opened.name, version, opened.digest), details, text)


def _parents(model: Model, store: Store) -> tuple[DeclaredParent, ...]:
    """The model that it is an export of, whom its card names, and whom the card of its foundation names."""
    found = [DeclaredParent(of=model.digest, name=each.uri, relation=each.relation) for each in model.facts.parents]
    holdings = Holdings(store.artifacts())
    if (exported := model.facts.exported_from) and exported != model.digest:
        held = holdings.find(exported)
        name = held.name if held else f"{model.name}, before it was exported"
        found.append(DeclaredParent(of=model.digest, name=name, relation="exported", digest=exported))
    evidence = holdings.evidence_of(model.digest)
    if evidence and TRAINING in evidence.manifest.files:
        statement = read_statement((evidence.folder / TRAINING).read_bytes(), TRAINING)
        assert isinstance(statement, TrainingStatement)
        foundation = statement.predicate.build_definition.resolved_dependencies[0]
        for each in (foundation.annotations or {}).get("declaredParents", []):
            found.append(DeclaredParent(of=foundation.digest.sha256, name=each["uri"], relation=each["relation"]))
    return tuple(found)


@dataclass(frozen=True)
class JustApproved:
    """An approval that was just given, beside the one before."""

    signed: Signed
    conditions: tuple[str, ...]
    dropped: tuple[str, ...]
    """Conditions of the approval before that are none any more."""
    published: bool
    """Whether the model was handed out already, and is so again."""


def approve_model(
    desk: Desk, name: str, version: str | None, conditions: Sequence[str] | None, until: date, text: str = ""
) -> JustApproved:
    """Approve a model of the register, as ``act.approve`` does."""
    signed = approve(desk, name, version, conditions, until, text)
    entry = open_books(desk.store, desk.signers).register.find(name, version)
    terms = [each.decision.details for each in entry.history if isinstance(each.decision.details, Approved)]
    before = terms[-2].conditions if len(terms) > 1 else ()
    dropped = tuple(each for each in before if each not in terms[-1].conditions)
    return JustApproved(signed, terms[-1].conditions, dropped, entry.status == "published")


@dataclass(frozen=True)
class Withdrawal:
    """Something that is not to be used any more."""

    signed: Signed
    documents: tuple[str, ...] = ()
    """Ids of the documents that it takes in, where they are several under one name."""


def withdraw_anything(text: str, version: str | None, reason: str, desk: Desk, what: What | None = None) -> Withdrawal:
    """Withdraw a model of the register, or a base, source or document that is not in it.

    Documents that share a unit or URL go together by that name, those too that come under it later.
    """
    books = open_books(desk.store, desk.signers)
    if what in (None, "model") and any(entry.about.name == text for entry in books.register.entries.values()):
        return Withdrawal(withdraw(desk, text, version, reason))
    start = find_start(text, read_graph(books.holdings.artifacts), what)
    if start.what == "artifact":
        raise EtymonError(f"{text} is an artifact.", "Withdraw a model, a source or a document that it was made of.")
    if start.what == "document" and len(start.contents) > 1:
        names = sorted({each.name for each in start.presences})
        if len(names) > 1 and "://" not in text:
            raise EtymonError(f"{text} is a document of several sources: {', '.join(names[:5])}.", "Name one of them.")
        return Withdrawal(withdraw_other(desk, about("document", text, "", ""), reason), start.contents)
    if len(start.contents) > 1:
        listed = ", ".join(digest[:16] for digest in start.contents)
        raise EtymonError(f"{text} held other things at other times: {listed}.", "Name one by these digits.")
    return Withdrawal(withdraw_other(desk, about(start.what, start.name, "", start.digest), reason))


def show_model(books: Books, name: str, version: str | None) -> Shown:
    """Reads every byte that a model's evidence speaks of."""
    entry = books.register.find(name, version)
    found = unanswered(books.objections(entry), entry)
    return Shown(line_of(entry, books), entry.history, tuple(found))


def warnings_of(model: str, store: Store, signers: Path) -> list[str]:
    """What the register of a store, if there is one, has against handing on the model with this digest; a sentence each."""
    if not any(artifact.manifest.stage == STAGE for artifact in store.artifacts()):
        return []
    if not signers.is_file():
        return [f"What the register says of it was not looked at: there is no file of signers {signers}."]
    try:
        books = books_of(store, signers)
    except EtymonError as error:
        return [f"What the register says of it cannot be relied upon. {error.problem}"]
    lapses = [
        books.lapses(entry)
        for entry in books.register.entries.values()
        if entry.about.digest == model and entry.terms and entry.status != "withdrawn"
    ]
    if [] in lapses:
        return []
    gone = [str(each) for each in books.gone(model)]
    return [*gone, *(f"Its approval has lapsed: {why}" for each in lapses for why in each if why not in gone)]


def decisions_since(books: Books, digest: str) -> list[Signed]:
    """Decisions after the one whose digest begins so, all for an empty text. Raises EtymonError where it is not there."""
    chain = list(books.register.chain)
    if not digest:
        return chain
    found = [number for number, each in enumerate(chain) if each.digest.startswith(digest)]
    if len(found) != 1:
        raise EtymonError(
            f"The register has {len(found) or 'no'} decisions {digest}.",
            "If you noted it from this register, decisions were taken out of it since: bring them back.",
        )
    return chain[found[0] + 1 :]


def impact_of(text: str, store: Store, signers: Path | None, what: What | None = None) -> Impact:
    """What is downstream of a model, source, document or artifact; with the file of signers, which approvals hold."""
    books = books_of(store, signers) if signers else None
    artifacts = books.holdings.artifacts if books else list(store.artifacts())
    graph = read_graph(artifacts)
    found = downstream(find_start(text, graph, what), graph)
    if books is None:
        return found
    return found.model_copy(update={"approvals": tuple(_checked(each, books) for each in found.approvals)})


def _checked(approval: Approval, books: Books) -> Approval:
    """An approval whose signature was checked, with its state."""
    refused = {signed.artifact: problem for signed, problem in books.register.without_effect}
    entry = books.register.entries.get((approval.model, approval.version))
    if approval.artifact in refused or entry is None or entry.approval is None:
        state = f"has no effect: {refused.get(approval.artifact, '')}"
    elif entry.approval.artifact != approval.artifact:
        state = "was followed by another"
    elif entry.status == "withdrawn":
        state = "the model is withdrawn"
    else:
        lapsed = books.lapses(entry)
        state = f"lapsed: {' '.join(lapsed)}" if lapsed else "holds"
    return approval.model_copy(update={"state": state})
