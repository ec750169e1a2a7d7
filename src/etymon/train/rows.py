"""Training rows as text, so that a person can see what the model sees and what it is asked to predict."""

from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from etymon.foundation.model import Model
from etymon.progress import Clock, silent
from etymon.store import Artifact
from etymon.train.prepare import Prepared, prepare
from etymon.train.stage import TrainMeaning


def rendered_rows(model: Model, corpus: Artifact, trained: Artifact, count: int) -> list[str]:
    """The first ``count`` examples that the training saw. Tokens that are not supervised stand between ⟦ and ⟧."""
    meaning = TrainMeaning.model_validate(trained.manifest.meaning)
    with TemporaryDirectory() as work:
        prepared = prepare(model, corpus, meaning, Path(work), _quiet)
    seen = [(number, example) for number, step in enumerate(prepared.plan.steps, start=1) for example in step]
    return [f"--- step {number}, {render_example(prepared, example)}" for number, example in seen[:count]]


def render_example(prepared: Prepared, example: int) -> str:
    """Where an example comes from, its size, and its text; an answer that continues a shared prompt begins with ↳."""
    examples, tokenizer = prepared.encoded.examples, prepared.tokenizer
    parts = []
    for segment in examples.segments_of(example):
        ids, supervised = examples.segment(segment)
        text = ""
        for learned, group in groupby(zip(supervised.tolist(), ids.tolist(), strict=True), key=lambda pair: pair[0]):
            words = tokenizer.decode([token for _, token in group])
            text += words if learned else f"⟦{words}⟧"
        parts.append(text if examples.parents[segment] < 0 else f"↳ {text}")
    name = prepared.encoded.names[examples.documents[example]]
    sizes = f"{examples.lengths[example]} tokens, {examples.supervised_tokens[example]} supervised"
    return "\n".join([f"{name}: {sizes}", *parts])


def _quiet(doing: str, *, total: float = 0, unit: str = "") -> Clock:
    return Clock(silent, "show", doing, total=total, unit=unit)
