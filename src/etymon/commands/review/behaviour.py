"""What the model does where that is asked for; its base is asked the same. Only here is a network run."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from etymon.commands.refusals import put_questions
from etymon.errors import EtymonError
from etymon.evaluate.verbatim import SIDES, VerbatimExecution, VerbatimMeaning, verbatim_stage
from etymon.evidence.filings.answers import ANSWERS, read_answers
from etymon.evidence.filings.bank import read_bank
from etymon.evidence.review.behaviour import Compared, Recited, Refusals, not_measured, recital_findings, refusal_findings
from etymon.evidence.review.records import Finding
from etymon.evidence.run_record import RUN, read_run
from etymon.foundation.model import Model
from etymon.progress import Listener
from etymon.store import Artifact, Store
from etymon.workspace import find_artifact


def find_corpus(name: str, store: Store) -> Artifact:
    """A corpus, by its own name or by that of its run. Raises EtymonError where it is neither."""
    found = find_artifact(name, store)
    if found.manifest.stage == RUN:
        found = read_run(found, store.artifacts()).part("corpus")
    if any(f"{side}.parquet" not in found.manifest.files for side in SIDES):
        raise EtymonError(f"{found.name} is no corpus.", "Name a run, or the corpus that `etymon corpus build` made.")
    return found


def recite(
    model: Model, base: Model | None, corpus: Artifact, passages: int, store: Store, listener: Listener
) -> list[Finding]:
    """Text of a corpus that the model says by heart, beside its base."""
    try:
        recited = list(_recited(model, False, corpus, passages, store, listener))
        recited += _recited(base, True, corpus, passages, store, listener) if base else []
    except EtymonError as error:
        return [not_measured("--corpus", error.problem)]
    return list(recital_findings(recited, corpus.name))


def _recited(
    model: Model, is_base: bool, corpus: Artifact, passages: int, store: Store, listener: Listener
) -> Iterator[Recited]:
    meaning = VerbatimMeaning(passages=passages)
    made, _ = store.obtain(verbatim_stage, {"model": model, "corpus": corpus}, meaning, VerbatimExecution(), listener)
    for side in SIDES:
        found = made.facts[side]
        if found["passages"]:
            sizes = meaning.prefix, meaning.continuation
            yield Recited(
                model.name,
                is_base,
                side,
                found["passages"],
                found["reproduced"],
                *sizes,
                found["longest"],
                made.facts["left_out"][side],
            )


def refuse(model: Model, base: Model | None, path: Path, store: Store, listener: Listener) -> list[Finding]:
    """Refusals and answers that the model kept and lost against its base. Raises EtymonError for a broken bank."""
    bank = read_bank(path)
    if base is None:
        return [not_measured("--bank", "No base is known to set beside it: name one with --parent.")]
    draws = {test: len(bank.of(test)) for test in get_args(Compared) if bank.of(test)}
    if not draws:
        return [not_measured("--bank", f"{bank.name} has no question that must be refused or answered.")]
    try:
        answers = [
            read_answers(put_questions(each, store, draws, bank=path, tests=list(draws), listener=listener).file(ANSWERS))
            for each in (model, base)
        ]
    except EtymonError as error:
        return [not_measured("--bank", error.problem)]
    return list(refusal_findings(Refusals(answers[0], answers[1], base.name, bank.name, bank.too_small)))
