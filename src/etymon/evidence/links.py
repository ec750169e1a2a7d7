"""The chain of statements: from a derivative to its foundation, its corpus, its scores and its lineage test.

A statement that speaks of something else than the chain is wrong; a link that no statement makes is a gap, and named.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from etymon.evidence.predicates import (
    Compared,
    CorpusStatement,
    DerivationStatement,
    Evaluated,
    InventoryStatement,
    Resource,
    Statement,
    TestStatement,
    TrainingStatement,
)
from etymon.evidence.statements import files_of
from etymon.store import root_digest
from etymon.text.counted import counted


@dataclass(frozen=True)
class Link:
    """One link of the chain."""

    what: str
    says: str
    complete: bool

    def __str__(self) -> str:
        return f"{self.what}: {self.says}"


@dataclass(frozen=True)
class Chain:
    """What statements say together."""

    links: tuple[Link, ...]
    problems: tuple[tuple[str, str], ...]
    """Names of statements that do not belong, each with the reason."""
    training: TrainingStatement | None
    """That of the derivative itself."""


def follow(statements: Mapping[str, Statement], *, alone: bool = False) -> Chain:
    """Put statements, by their names, together. Their signatures are checked elsewhere.

    ``alone``: without the records from which scores and verdicts follow, so that these are stated and no more.
    """
    trainings = {name: each for name, each in statements.items() if isinstance(each, TrainingStatement)}
    if not trainings:
        return Chain((Link("training", "no statement says how the model was made", False),), (), None)
    used = {each.digest.sha256 for training in trainings.values() for each in dependencies(training)}
    ends = {name: each for name, each in trainings.items() if subject(each) not in used}
    if len(ends) != 1 or len({subject(each) for each in trainings.values()}) < len(trainings):
        several = tuple((name, "is not the only one about how the model was made.") for name in sorted(ends or trainings))
        return Chain((), several, None)
    main = next(iter(ends.values()))
    problems = [(name, problem) for name, each in sorted(statements.items()) for problem in _foreign(each, trainings)]
    return Chain(tuple(_links(main, statements, trainings, alone)), tuple(problems), main)


def subject(statement: Statement) -> str:
    """The digest of what a statement is about."""
    return statement.subject[0].digest.sha256


def dependencies(training: TrainingStatement) -> tuple[Resource, ...]:
    return training.predicate.build_definition.resolved_dependencies


def _dependency(training: TrainingStatement, role: str) -> Resource | None:
    return next((each for each in dependencies(training) if (each.annotations or {}).get("role") == role), None)


def _foreign(statement: Statement, trainings: Mapping[str, TrainingStatement]) -> Iterable[str]:
    """Why a statement does not belong to the chain."""
    by_model = {subject(each): each for each in trainings.values()}
    if isinstance(statement, CorpusStatement):
        corpora = {each.digest.sha256 for training in trainings.values() if (each := _dependency(training, "corpus"))}
        if subject(statement) not in corpora:
            yield f"speaks of another corpus, {statement.subject[0].name}, than the one that was trained on."
        return
    if isinstance(statement, InventoryStatement):
        yield "is no statement about how a model was made."
        return
    if isinstance(statement, TrainingStatement):
        if root_digest(dict(files_of(statement))) != subject(statement):
            yield "states a digest of the model that does not follow from those of its files."
        return
    training = by_model.get(subject(statement))
    if training is None:
        yield f"speaks of another model, {statement.subject[0].name}."
        return
    foundation = _dependency(training, "foundation")
    parents: list[str] = []
    if isinstance(statement, DerivationStatement):
        parents = [each.digest.sha256 for each in statement.predicate.parents]
    elif isinstance(statement.predicate.etymon_claims, Compared):
        parents = [statement.predicate.etymon_claims.parent.digest.sha256]
    if parents and (foundation is None or parents != [foundation.digest.sha256]):
        yield "names another foundation than the one that training began with."


def _links(
    main: TrainingStatement,
    statements: Mapping[str, Statement],
    trainings: Mapping[str, TrainingStatement],
    alone: bool,
) -> Iterable[Link]:
    model = subject(main)
    about = [each for each in statements.values() if subject(each) == model]
    yield Link(
        "training", f"{main.subject[0].name} ({model[:16]}…) was made by {main.predicate.run_details.builder.id}", True
    )
    if not any(isinstance(each, DerivationStatement) for each in about):
        yield Link("derivation", "no statement says what the model derives from", False)
    if foundation := _dependency(main, "foundation"):
        shown = any(subject(each) == foundation.digest.sha256 for each in trainings.values())
        whence = f"{foundation.name} ({foundation.digest.sha256[:16]}…, {foundation.uri or 'from no public place'})"
        yield Link("foundation", whence if shown else f"{whence}: how it was made is not shown here", shown)
    else:
        yield Link("foundation", "the training names none", False)
    if corpus := _dependency(main, "corpus"):
        found = next((each for each in statements.values() if subject(each) == corpus.digest.sha256), None)
        whence = f"{corpus.name} ({corpus.digest.sha256[:16]}…)"
        if isinstance(found, CorpusStatement):
            yield Link("corpus", f"{whence}, from {counted(len(found.predicate.sources), 'source')}", True)
        else:
            yield Link("corpus", f"{whence}: no statement says what it is made of", False)
    else:
        yield Link("corpus", "the training names none", False)
    tests = [each.predicate.etymon_claims for each in about if isinstance(each, TestStatement)]
    tasks = sorted(each.task for each in tests if isinstance(each, Evaluated))
    stated = " (stated: the records behind it are not here)" if alone else ""
    yield Link("scores", f"{', '.join(tasks)}{stated}" if tasks else "no statement says what the model scores", bool(tasks))
    compared = [each for each in tests if isinstance(each, Compared)]
    verdict = ", ".join(f"{each.verdict} to {each.parent.name}" for each in compared)
    lacking = "no statement compares the weights with the foundation's"
    yield Link("lineage", f"{verdict}{stated}" if compared else lacking, bool(compared))
