"""What is ready before the network is: tokenizer, examples, the plan of every step. Cheap enough to look at a recipe with."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from etymon.errors import EtymonError
from etymon.foundation.model import Model
from etymon.foundation.network import load_tokenizer
from etymon.foundation.vocabulary import NewToken, extend_tokenizer
from etymon.progress import Clocks
from etymon.recipe import Train
from etymon.store import Artifact
from etymon.text.rows import Row
from etymon.train.encode import Encoded, encode_corpus
from etymon.train.packing import Plan, plan_steps
from etymon.train.stage import TrainMeaning
from etymon.train.vocabulary import learn_tokens

_LEARNED_FROM = 10_000_000
"""Characters; learning tokens takes about 130 bytes of memory for each."""


@dataclass(frozen=True)
class Prepared:
    """A training that could begin."""

    foundation: Model
    corpus: Artifact
    meaning: TrainMeaning
    tokenizer: PreTrainedTokenizerBase
    new_tokens: list[NewToken]
    encoded: Encoded
    trains: NDArray[np.bool_]
    """[E] whether an example is trained on; the others watch the loss."""
    plan: Plan

    @property
    def settings(self) -> Train:
        return self.meaning.settings


def prepare(foundation: Model, corpus: Artifact, meaning: TrainMeaning, folder: Path, clock: Clocks) -> Prepared:
    """Tokenizer, examples and plan. ``folder`` is where a tokenizer that grows is written."""
    settings = meaning.settings
    tokenizer, new = tokenizer_for(foundation, corpus, meaning, folder, clock)
    encoded = encode_corpus(corpus, tokenizer, settings, clock)
    trains = _trains(encoded, settings)
    lengths = np.where(trains, encoded.examples.lengths, 0)
    used = np.repeat(np.arange(len(lengths)), np.where(lengths > 0, _copies(corpus)[encoded.examples.documents], 0))
    plan = plan_steps(
        lengths[used].tolist(),
        settings.tokens_per_step,
        settings.seed,
        tokens=settings.budget.tokens,
        epochs=settings.budget.epochs,
    )
    steps = tuple(tuple(int(used[i]) for i in step) for step in plan.steps)
    return Prepared(foundation, corpus, meaning, tokenizer, new, encoded, trains, Plan(steps, plan.tokens, plan.epochs))


def tokenizer_for(
    foundation: Model, corpus: Artifact, meaning: TrainMeaning, folder: Path, clock: Clocks
) -> tuple[PreTrainedTokenizerBase, list[NewToken]]:
    """The foundation's tokenizer with the recipe's template and new tokens."""
    tokenizer = load_tokenizer(foundation)
    if meaning.chat_template is not None:
        tokenizer.chat_template = meaning.chat_template
    if meaning.settings.objective != "pretrain" and not tokenizer.chat_template and not _plain(corpus):
        raise EtymonError(
            f"{foundation.name} has no chat template; objective {meaning.settings.objective} writes conversations with it.",
            "Set train.chat_template to a Jinja file, or give rows of plain `prompt` and `completion`.",
        )
    if not meaning.settings.vocabulary:
        return tokenizer, []
    tick = clock("learning new tokens", total=meaning.settings.vocabulary.tokens, unit="tokens")
    new = learn_tokens(tokenizer, _sample(corpus, meaning.settings.seed), meaning.settings.vocabulary.tokens)
    tick(len(new))
    if not new:
        raise EtymonError(
            f"The tokenizer of {foundation.name} can learn nothing from this corpus: no two tokens repeat side by side.",
            "Leave train.vocabulary out, or add documents.",
        )
    return extend_tokenizer(tokenizer, new, folder), new


def _sample(corpus: Artifact, seed: int) -> list[str]:
    """Training texts to learn tokens from, at most ``_LEARNED_FROM`` characters of them, drawn by the seed."""
    texts = parquet.read_table(corpus.file("train.parquet"), columns=["id", "text"]).sort_by("id")["text"].to_pylist()
    drawn = [texts[i] for i in np.random.default_rng([seed, 2]).permutation(len(texts))]
    before = np.cumsum([0, *map(len, drawn[:-1])])
    return [text for text, seen in zip(drawn, before.tolist(), strict=True) if seen < _LEARNED_FROM]


def _copies(corpus: Artifact) -> NDArray[np.int64]:
    """How often each document is learned in one pass, in the order of their ids."""
    table = parquet.read_table(corpus.file("train.parquet"), columns=["id", "copies"])
    return np.asarray(table.sort_by("id")["copies"].to_numpy(), np.int64)


def _plain(corpus: Artifact) -> bool:
    """Whether every row of the corpus is plain text, for which no template is needed."""
    rows = parquet.read_table(corpus.file("train.parquet"), columns=["row"])["row"].to_pylist()
    return all(row is not None and isinstance(Row.from_json(row).prompt, str) for row in rows)


def _trains(encoded: Encoded, settings: Train) -> NDArray[np.bool_]:
    """Validation examples are drawn by the document's unit, so that a module or file is on one side."""
    if not settings.validation:
        return np.ones(len(encoded.examples), np.bool_)
    limit = int(settings.validation.share * 2**32)
    aside = [
        int.from_bytes(sha256(f"{settings.seed}\0{name}".encode()).digest()[:4], "big") < limit for name in encoded.names
    ]
    trains = ~np.array(aside)[encoded.examples.documents]
    if trains.all() or not trains.any():
        raise EtymonError(
            f"train.validation.share {settings.validation.share:g} of {len(encoded.names)} documents leaves one side empty.",
            "Raise the share, add documents, or leave train.validation out.",
        )
    return trains
