"""How much of a task a model's training data, or the model itself, has seen already.

Two stages and a summary. ``overlap`` is made once for a task and a corpus: which items share 13 words in a row with a
training document. ``familiarity`` is made once for that and a model: how likely the model finds the items' texts.
``summarise_seen`` puts them beside the score: what it is without the overlapping items, and whether these gained more
likelihood over the base than clean ones did, which is what learning them by heart looks like.

What overlap finds is word for word: a paraphrase or a translation of an item is not found. Held-out documents are not
looked for: the corpus holds them out together with their near duplicates.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from etymon.evaluate.chat_retention import ChatQuestions
from etymon.evaluate.heldout import HeldoutChoice
from etymon.evaluate.question_task import QuestionTask
from etymon.evaluate.recompute import read_records
from etymon.evaluate.stage import EvaluateExecution, EvaluateMeaning, same_task
from etymon.foundation.model import Model
from etymon.statistics.groups import compare_groups
from etymon.statistics.intervals import score_estimate
from etymon.store import Artifact, Draft, Stage
from etymon.text.normalise import repair
from etymon.text.overlap import GRAM, find_overlaps, lettered

if TYPE_CHECKING:
    from etymon.evaluate.harness.tasks import HarnessTask

OVERLAP, FAMILIARITY = "overlap.parquet", "familiarity.parquet"
_OVERLAP_SCHEMA = pa.schema(
    [
        ("item", pa.string()), ("words", pa.int32()), ("grams", pa.int32()), ("shared", pa.int32()),
        ("document", pa.string()), ("excerpt", pa.string()),
    ]
)  # fmt: skip
_FAMILIARITY_SCHEMA = pa.schema(
    [
        ("item", pa.string()), ("overlapping", pa.bool_()), ("tokens", pa.int32()), ("nats", pa.float64()),
        ("min_k", pa.float64()), ("min_k_plus_plus", pa.float64()), ("cut", pa.bool_()),
    ]
)  # fmt: skip
_MOST_OVERLAPPING, _MOST_CLEAN = 500, 100
"""Items of each kind that a model reads; of more, a fixed draw."""


@dataclass(frozen=True)
class Contamination:
    """What a reader of a score must know of the task's items; figures that cannot be known are None."""

    identity: str
    """Of the task."""
    items: int
    overlapping: int | None
    """Items that share 13 words in a row (characters in scripts without spaces) with the corpus; None without a corpus."""
    clean_score: float | None
    """The main metric over the other items, with its 95% interval."""
    clean_low: float | None
    clean_high: float | None
    clean_difference: float | None
    """Clean score minus the whole one's, with its 95% interval; which items overlap is taken as given."""
    difference_low: float | None
    difference_high: float | None
    min_k: float | None
    """Mean Min-K%++ of the items."""
    likelihood_gain: float | None
    """Mean gain in log-likelihood over the base of the overlapping items, minus that of clean ones, in nats a token."""
    notes: tuple[str, ...]


def _measure_overlap(draft: Draft[EvaluateMeaning, EvaluateExecution]) -> None:
    corpus: Artifact = draft.inputs["corpus"]
    items = item_layouts(same_task(draft.meaning, draft.execution, None))
    file = pq.ParquetFile(corpus.file("train.parquet"))
    tick = draft.clock(f"{draft.meaning.task}: looking for its items", total=file.metadata.num_rows, unit="documents")
    overlaps = iter(find_overlaps([repair(text) for layouts in items.values() for text in layouts], _documents(file, tick)))
    found = [max((next(overlaps) for _ in layouts), key=lambda each: (each.shared, each.grams)) for layouts in items.values()]
    rows = [{"item": item, **vars(overlap)} for item, overlap in zip(items, found, strict=True)]
    pq.write_table(pa.Table.from_pylist(sorted(rows, key=lambda row: row["item"]), _OVERLAP_SCHEMA), draft.folder / OVERLAP)
    draft.facts |= {
        "task": draft.meaning.task,
        "identity": draft.meaning.identity,
        "items": len(rows),
        "overlapping": sum(overlap.shared > 0 for overlap in found),
        "too_short": sum(overlap.grams == 0 for overlap in found),
    }


overlap_stage = Stage("overlap", 2, _measure_overlap, EvaluateMeaning, EvaluateExecution)
"""Inputs: ``corpus``, whose ``train.parquet`` is read a batch at a time. One row an item."""


def _documents(file: Any, tick: Callable[[float], None]) -> Any:
    done = 0
    for batch in file.iter_batches(batch_size=64, columns=["id", "text"]):
        yield from zip(batch["id"].to_pylist(), batch["text"].to_pylist(), strict=True)
        done += batch.num_rows
        tick(done)


def _measure_familiarity(draft: Draft[EvaluateMeaning, EvaluateExecution]) -> None:
    from etymon.evaluate.examinee import open_examinee
    from etymon.evaluate.min_k import measure_familiarity

    model: Model = draft.inputs["model"]
    meaning, execution = draft.meaning, draft.execution
    read = _drawn(pq.read_table(draft.inputs["overlap"].file(OVERLAP)).to_pylist())
    texts = item_texts(same_task(meaning, execution, None))
    examinee = open_examinee(model, execution.device, execution.memory_mb, meaning.dtype)
    clocks: dict[str, Any] = {}

    def progress(doing: str, done: int, total: int) -> None:
        if doing not in clocks:
            clocks[doing] = draft.clock(f"{meaning.task}: {doing} with {model.name}", total=total, unit="tokens")
        clocks[doing](done)

    found = measure_familiarity(examinee, [texts[item] for item in read], progress)
    rows = [{"item": item, "overlapping": read[item], **vars(each)} for item, each in zip(read, found, strict=True) if each]
    pq.write_table(pa.Table.from_pylist(rows, _FAMILIARITY_SCHEMA), draft.folder / FAMILIARITY)
    draft.facts |= {
        "task": meaning.task,
        "identity": meaning.identity,
        "model": model.name,
        "model_source": model.facts.source,
        "model_digest": model.digest,
        "items": len(rows),
    }


familiarity_stage = Stage("familiarity", 1, _measure_familiarity, EvaluateMeaning, EvaluateExecution)
"""Inputs: ``model``, and ``overlap``, which says which items are read. One row an item."""


def _drawn(rows: list[dict[str, Any]]) -> dict[str, bool]:
    """The items a model reads, by name, and whether they overlap."""
    drawn = sorted(rows, key=lambda row: sha256(row["item"].encode()).digest())
    overlapping = [row["item"] for row in drawn if row["shared"]][:_MOST_OVERLAPPING]
    clean = [row["item"] for row in drawn if not row["shared"]][:_MOST_CLEAN]
    return dict(sorted([*((item, True) for item in overlapping), *((item, False) for item in clean)]))


def item_texts(task: "HeldoutChoice | ChatQuestions | QuestionTask | HarnessTask") -> dict[str, str]:
    """What each item of a task says, by the name it has in the records: question and choices, or question and answer."""
    return {item: layouts[0] for item, layouts in item_layouts(task).items()}


def item_layouts(task: "HeldoutChoice | ChatQuestions | QuestionTask | HarnessTask") -> dict[str, tuple[str, ...]]:
    """Every way in which each item may be written: choices one after another and, where they are more than letters, with
    letters before them."""
    assert not isinstance(task, HeldoutChoice), "held out with their near duplicates"
    if isinstance(task, ChatQuestions):
        return {question.name: (f"{question.prompt}\n{question.worked}",) for question in task.questions}
    from etymon.evaluate.harness.judge import item_name
    from etymon.evaluate.harness.tasks import explaining, load_questions

    loaded = load_questions(task) if isinstance(task, QuestionTask) else task
    with explaining(f"The task {loaded.name!r}"):
        return {
            item_name(loaded, name, number): _document_layouts(each, doc)
            for name, each in loaded.tasks.items()
            for number, doc in enumerate(each.eval_docs)
        }


def _document_layouts(task: Any, doc: Any) -> tuple[str, ...]:
    """Without few-shot examples. Choices that are mere letters say nothing and are left out."""
    choices = [str(choice) for choice in task.doc_to_choice(doc)] if task.OUTPUT_TYPE == "multiple_choice" else []
    if choices and task.multiple_input:
        return ("\n".join(f"{choice} {task.doc_to_target(doc)}" for choice in choices),)
    question = task.doc_to_text(doc)
    if choices:
        if all(len(choice.strip()) <= 1 for choice in choices):
            return (str(question),)
        return tuple("\n".join([str(question), *each]) for each in (choices, lettered(choices)))
    target = task.doc_to_target(doc)
    answers = target if isinstance(target, list) else [target]
    return ("\n".join(str(part) for part in (question, *answers[:1]) if str(part).strip()),)


def summarise_seen(
    overlap: Artifact, evaluation: Artifact | None, of_model: Artifact, of_base: Artifact | None, *, trained: bool = True
) -> Contamination:
    """From the artifacts to what is shown beside a score.

    ``evaluation``: the model's on the same task; ``of_model`` and ``of_base``: their familiarity with the same items.
    ``trained``: whether the model was trained on the corpus; of its foundation only Min-K%++ is told.
    """
    rows = pq.read_table(overlap.file(OVERLAP)).to_pylist()
    seen = {row["item"] for row in rows if row["shared"]}
    familiar = {row["item"]: row for row in pq.read_table(of_model.file(FAMILIARITY)).to_pylist()}
    notes = [f"Min-K%++ is that of {len(familiar)} of {len(rows)} items."] if len(familiar) < len(rows) else []
    if (short := overlap.facts["too_short"]) and trained:
        notes.append(f"{short} items have fewer than {GRAM} words and could not be looked for in the corpus.")
    clean: dict[str, float | None] = {}
    if trained and evaluation is not None and 0 < len(seen) < len(rows):
        clean = _clean_score(evaluation.folder, seen)
    gain = None
    if of_base is not None and trained:
        base = {row["item"]: row for row in pq.read_table(of_base.file(FAMILIARITY)).to_pylist()}
        gain, said = _likelihood_gain(familiar, base)
        notes += said
    return Contamination(
        identity=overlap.facts["identity"],
        items=len(rows),
        overlapping=len(seen) if trained else None,
        clean_score=clean.get("score"),
        clean_low=clean.get("low"),
        clean_high=clean.get("high"),
        clean_difference=clean.get("difference"),
        difference_low=clean.get("difference_low"),
        difference_high=clean.get("difference_high"),
        min_k=_mean_familiarity(familiar, len(seen) / len(rows)),
        likelihood_gain=gain,
        notes=tuple(notes),
    )


def _clean_score(evaluation: Path, seen: set[str]) -> dict[str, float | None]:
    """The score without the items that were seen, and minus the whole one: W_seen/W · (clean − seen), the shares given."""
    summary, _, items = read_records(evaluation)
    rows = [row for row in items if row.metric == summary["main_metric"]]
    clean_I = np.array([row.item not in seen for row in rows])
    if clean_I.all() or not clean_I.any():
        return {}
    value_I, weight_I = np.array([row.value for row in rows]), np.array([row.weight for row in rows])
    cluster_I = np.array([row.cluster for row in rows])
    clean = score_estimate(value_I[clean_I], weight_I[clean_I], cluster_I[clean_I])
    against = compare_groups(value_I, clean_I, weight_I, cluster_I)
    share = float(weight_I[~clean_I].sum() / weight_I.sum())
    figures = {
        "score": clean.value,
        "low": clean.low,
        "high": clean.high,
        "difference": share * against.value,
        "difference_low": share * against.low,
        "difference_high": share * against.high,
    }
    return {name: _finite(figure) for name, figure in figures.items()}


def _likelihood_gain(familiar: dict[str, dict[str, Any]], base: dict[str, dict[str, Any]]) -> tuple[float | None, list[str]]:
    """Overlapping minus clean: how much likelier the model finds an item than its base does, in nats a token of the base."""
    both = [item for item in familiar if item in base and not (familiar[item]["cut"] or base[item]["cut"])]
    cut = len(familiar.keys() & base.keys()) - len(both)
    notes = [f"{cut} items exceed the context of the model or its base; their likelihood is not compared."] if cut else []
    gain_I = np.array([(familiar[item]["nats"] - base[item]["nats"]) / base[item]["tokens"] for item in both])
    seen_I = np.array([familiar[item]["overlapping"] for item in both], dtype=bool)
    if not seen_I.any() or seen_I.all() or not np.isfinite(gain_I).all():
        return None, notes
    found = compare_groups(gain_I, seen_I)
    if math.isfinite(found.low):
        notes.append(
            f"Overlapping items gained {found.value:+.3f} nats a token more than clean ones ({found.low:+.3f} to "
            f"{found.high:+.3f}, p = {found.p_value:.2g}; {seen_I.sum()} and {(~seen_I).sum()} items)."
        )
    return found.value, notes


def _mean_familiarity(familiar: dict[str, dict[str, Any]], seen: float) -> float | None:
    """Over all items: those that were read stand for their kind. ``seen``: the share of items that overlap."""
    kinds = [[row["min_k_plus_plus"] for row in familiar.values() if row["overlapping"] == kind] for kind in (True, False)]
    shares = [share for share, kind in zip((seen, 1 - seen), kinds, strict=True) if kind]
    means = [sum(kind) / len(kind) for kind in kinds if kind]
    if not means:
        return None
    return _finite(sum(share * mean for share, mean in zip(shares, means, strict=True)) / sum(shares))


def _finite(figure: float) -> float | None:
    return figure if math.isfinite(figure) else None
