"""Text that a model says by heart: given the beginning of a passage, does it go on with the passage's own next tokens?

A passage counts as memorised where the greedy continuation of its first tokens is, token for token, the text's own: Carlini
et al. 2022, "Quantifying Memorization Across Neural Language Models", arXiv 2202.07646, §3. Their figures are for 50 tokens
after 50 or more. A passage begins at a word that its document's name draws, so that models with other tokenizers begin alike.
"""

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq
from pydantic import BaseModel

from etymon.errors import EtymonError
from etymon.evaluate.budget import MEMORY_MB
from etymon.foundation.model import Model
from etymon.statistics.intervals import wilson_interval
from etymon.store import Artifact, Config, Draft, Stage

SIDES = ("train", "heldout")
_SPARE = 4
"""Documents that are drawn for each passage, for some are too short."""
_CHARACTERS = 24
"""Of a token, at most: what a passage is cut to before it is tokenised."""


class VerbatimMeaning(Config):
    """What decides the figures besides model and corpus."""

    passages: int
    """Of each side, at most."""
    prefix: int = 50
    continuation: int = 50
    """Tokens."""


class VerbatimExecution(Config):
    """How they are reached."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    memory_mb: int = MEMORY_MB


class Passage(BaseModel):
    """One passage and what came of it."""

    side: str
    document: str
    matched: int
    """Tokens of the continuation that are the text's own, from its beginning."""


@dataclass(frozen=True)
class _Drawn:
    side: str
    document: str
    ids: tuple[int, ...]


def _recite(draft: Draft[VerbatimMeaning, VerbatimExecution]) -> None:
    from etymon.evaluate.examinee import open_examinee  # PyTorch and Transformers: only where something is made
    from etymon.evaluate.harness.generate import Prompt, generate
    from etymon.foundation.documents import document_marks, text_ids

    model: Model = draft.inputs["model"]
    corpus: Artifact = draft.inputs["corpus"]
    meaning, execution = draft.meaning, draft.execution
    draft.clock(f"loading {model.name}")
    examinee = open_examinee(model, execution.device, execution.memory_mb)
    wanted = meaning.prefix + meaning.continuation
    if wanted > examinee.max_length - 1:
        raise EtymonError(f"{model.name} takes {examinee.max_length} tokens, too few for a passage of {wanted}.")
    drawn: list[_Drawn] = []
    left_out: dict[str, dict[str, int]] = {}
    for side in SIDES:
        counts: Counter[str] = Counter()
        texts = _texts(corpus.file(f"{side}.parquet"), _SPARE * meaning.passages, wanted, counts)
        ids = text_ids(examinee.tokenizer, [text for _, text in texts])
        fit = [
            _Drawn(side, name, tuple(each[:wanted]))
            for (name, _), each in zip(texts, ids, strict=True)
            if len(each) >= wanted
        ]
        counts["too short"] += len(texts) - len(fit)
        drawn += fit[: meaning.passages]
        left_out[side] = dict(counts)
    if not drawn:
        raise EtymonError(f"No document of {corpus.name} has {wanted} tokens from a place in its first half on.")
    start, _ = document_marks(examinee.tokenizer)
    start = examinee.prefix_token if start is None else start
    greedy = {"do_sample": False} | _undone(examinee.network.generation_config)
    prompts = [Prompt((start, *each.ids[: meaning.prefix]), meaning.continuation, (), greedy) for each in drawn]
    clock = draft.clock("continuing passages", total=len(prompts), unit="passages")
    matched = [0] * len(drawn)
    for done, (number, answer) in enumerate(
        generate(examinee.network, examinee.tokenizer, prompts, execution.memory_mb), start=1
    ):
        matched[number] = _agreeing(answer.ids, drawn[number].ids[meaning.prefix :])
        clock(done)
    records = [
        Passage(side=each.side, document=each.document, matched=count) for each, count in zip(drawn, matched, strict=True)
    ]
    (draft.folder / "passages.jsonl").write_text("".join(f"{each.model_dump_json()}\n" for each in records), "utf-8")
    draft.facts |= {"model": model.name, "model_digest": model.digest, "corpus": corpus.name}
    draft.facts["left_out"] = left_out
    draft.facts |= {side: _figures([each for each in records if each.side == side], meaning.continuation) for side in SIDES}


verbatim_stage = Stage("verbatim", 1, _recite, VerbatimMeaning, VerbatimExecution)
"""Inputs: ``model`` (Model) and ``corpus`` (an Artifact). Files: ``passages.jsonl``, a record a passage."""


def _figures(records: Sequence[Passage], continuation: int) -> dict[str, float | None]:
    count, reproduced = len(records), sum(each.matched >= continuation for each in records)
    low, high = wilson_interval(reproduced / count, count) if count else (None, None)
    return {
        "passages": count,
        "reproduced": reproduced,
        "low": low,
        "high": high,
        "longest": max((each.matched for each in records), default=0),
    }


def _texts(file: Path, count: int, tokens: int, left_out: Counter[str]) -> list[tuple[str, str]]:
    """Documents drawn by their names, each from a word in its first half on; what is left out is counted by its reason."""
    return [(name, text) for _, name, text in heapq.nsmallest(count, _keyed(file, tokens, left_out))]


def _keyed(file: Path, tokens: int, left_out: Counter[str]) -> Iterator[tuple[str, str, str]]:
    known = pq.read_schema(file).names
    columns = [name for name in ("id", "text", "row") if name in known]
    for batch in pq.ParquetFile(file).iter_batches(columns=columns, batch_size=1024):
        for document in batch.to_pylist():
            text = document["text"]
            if document.get("row") is not None:
                left_out["conversations"] += 1
            elif len(text) <= tokens:
                left_out["too short"] += 1
            else:
                key = sha256(document["id"].encode()).hexdigest()
                yield key, document["id"], _from_a_word(text, int(key, 16) % (len(text) // 2))[: tokens * _CHARACTERS]


def _from_a_word(text: str, place: int) -> str:
    """The text from the first word after a place on; from its beginning where the place is the first."""
    if not place:
        return text
    following = text[place:]
    skipped = next((number for number, character in enumerate(following) if character.isspace()), 0)
    return following[skipped:].lstrip()


def _undone(config: object) -> dict[str, object]:
    """What a model's own settings would add to plain greedy decoding, taken back."""
    neutral = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "num_beams": 1}
    return {name: value for name, value in neutral.items() if getattr(config, name, None) not in (None, value)}


def _agreeing(made: Sequence[int], own: Sequence[int]) -> int:
    return next(
        (place for place, (one, other) in enumerate(zip(made, own, strict=False)) if one != other), min(len(made), len(own))
    )
