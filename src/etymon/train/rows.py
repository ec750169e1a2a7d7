"""Training rows as text, so that a person can see what the model sees and what it is asked to predict."""

from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers import PreTrainedTokenizerBase

from etymon.foundation.model import Model
from etymon.progress import clocks, silent
from etymon.store import Artifact
from etymon.train.prepare import Prepared, prepare
from etymon.train.stage import TrainMeaning


def rendered_rows(model: Model, corpus: Artifact, trained: Artifact, count: int) -> list[str]:
    """The first ``count`` examples that the training saw. Tokens that are not supervised stand between ⟦ and ⟧."""
    meaning = TrainMeaning.model_validate(trained.manifest.meaning)
    known = meaning.settings.model_copy(update={"vocabulary": None})  # the trained model's tokenizer has the new tokens
    meaning = meaning.model_copy(update={"settings": known})
    with TemporaryDirectory() as work:
        prepared = prepare(model, corpus, meaning, Path(work), clocks(silent, "show"))
    seen = [(number, example) for number, step in enumerate(prepared.plan.steps, start=1) for example in step]
    return [f"--- step {number}, {render_example(prepared, example)}" for number, example in seen[:count]]


def render_example(prepared: Prepared, example: int) -> str:
    """Where an example comes from, its size, and its text; an answer that continues a shared prompt begins with ↳."""
    examples, tokenizer = prepared.encoded.examples, prepared.tokenizer
    prompt: list[int] = []
    parts = []
    for segment in examples.segments_of(example):
        ids, supervised = (array.tolist() for array in examples.segment(segment))
        continues = examples.parents[segment] >= 0
        parts.append(("↳ " if continues else "") + _marked(tokenizer, prompt if continues else [], ids, supervised))
        prompt = prompt or ids
    name = prepared.encoded.names[examples.documents[example]]
    sizes = f"{examples.lengths[example]} tokens, {examples.supervised_tokens[example]} supervised"
    return "\n".join([f"{name}: {sizes}", *parts])


def _marked(tokenizer: PreTrainedTokenizerBase, before: list[int], ids: list[int], supervised: list[bool]) -> str:
    """The text of ``ids`` as it continues ``before``; decoded alone, a token may lack the space that it begins with."""
    shown, done = "", list(before)
    text = tokenizer.decode(done, clean_up_tokenization_spaces=False)
    for learned, group in groupby(zip(supervised, ids, strict=True), key=lambda pair: pair[0]):
        done += [token for _, token in group]
        longer = tokenizer.decode(done, clean_up_tokenization_spaces=False)
        shown += longer[len(text) :] if learned else f"⟦{longer[len(text) :]}⟧"
        text = longer
    return shown
