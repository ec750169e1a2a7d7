"""Whether a server will feed what is trained, and stop where answers learn to end (LLaMA-Factory #10769)."""

import copy
from collections.abc import Iterator
from typing import cast

import numpy as np
import pyarrow.parquet as parquet
from transformers import PreTrainedTokenizerBase

from etymon.errors import EtymonError
from etymon.foundation.prompt import Message as ServedMessage
from etymon.foundation.prompt import end_ids, prompt_ids
from etymon.foundation.template import render
from etymon.text.rows import Message, Row
from etymon.train.finding import Finding
from etymon.train.prepare import Prepared
from etymon.train.step import Trainee

_SAMPLE = 100
"""Rows of which the prompt is made as in serving, spread over the corpus."""
_ONE_DAY = "{% macro one_day(format) %}one day{% endmacro %}\n"


def examine_serving(prepared: Prepared, trainee: Trainee) -> list[Finding]:
    """Compare prompts of a sample of rows, and the marks that their answers learn to end with."""
    tokenizer = prepared.tokenizer
    undated = _undated(tokenizer)
    compared = plain = 0
    learned: set[int] = set()
    for name, row, prompt, end in _sample(prepared):
        if isinstance(row.prompt, str) and tokenizer.chat_template:
            plain += 1
            continue
        compared += 1
        learned.add(end)
        if isinstance(row.prompt, str):
            same = prompt == prompt_ids(tokenizer, [{"role": "user", "content": row.prompt}])
        else:
            prompts = _prompts(row)
            same = any(_rendered(tokenizer, turns) == prompt for turns in prompts)
            same = same and all(_rendered(undated, turns) == _served(undated, turns) for turns in prompts)
        if not same:
            found = f"the prompt of {name} has other tokens in serving than in training"
            return [
                Finding("serving", found, "fault", "The chat template writes a prompt in two ways; set train.chat_template.")
            ]
    findings = []
    if compared:
        day = "" if undated is tokenizer else ", but for the date: in training it is always 26 July 2024"
        findings = [
            Finding("serving", f"{compared:,} prompts have the same tokens as in training{day}"),
            _stops(trainee, prepared, learned),
        ]
    if plain:
        found = "a server uses the chat template, without which rows of plain prompt and completion are learned"
        findings.append(Finding("serving", found, "note"))
    return findings


def _sample(prepared: Prepared) -> Iterator[tuple[str, Row, list[int], int]]:
    """Of some examples: name, row, the ids before the first thing that is learned, and the last id that is."""
    examples = prepared.encoded.examples
    rows = parquet.read_table(prepared.corpus.file("train.parquet"), columns=["id", "row"]).sort_by("id")["row"]
    for example in np.unique(np.linspace(0, len(examples) - 1, _SAMPLE).round().astype(int)).tolist():
        document = int(examples.documents[example])
        ids, supervised = examples.first_sequence(example)
        prompt = ids[: int(np.argmax(supervised))]
        yield prepared.encoded.names[document], Row.from_json(rows[document].as_py()), prompt, ids[-1]


def _prompts(row: Row) -> list[tuple[Message, ...]]:
    """The turns before each answer of a conversation."""
    assert not isinstance(row.prompt, str)
    turns = [turn for turn, message in enumerate(row.prompt) if message.role == "assistant"]
    return [row.prompt[:turn] for turn in turns] + [row.prompt]


def _rendered(tokenizer: PreTrainedTokenizerBase, turns: tuple[Message, ...]) -> list[int] | None:
    """As in training; None where the template refuses."""
    try:
        text = render(tokenizer, turns, add_generation_prompt=True)
    except EtymonError:
        return None
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def _served(tokenizer: PreTrainedTokenizerBase, turns: tuple[Message, ...]) -> list[int] | None:
    try:
        return prompt_ids(tokenizer, [cast(ServedMessage, {"role": turn.role, "content": turn.content}) for turn in turns])
    except EtymonError:
        return None


def _undated(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """A tokenizer whose template writes the same on any day, since a server tells the day it is; itself where it does so."""
    template = tokenizer.get_chat_template() if tokenizer.chat_template else ""
    if "strftime_now" not in template:
        return tokenizer
    changed = copy.copy(tokenizer)
    changed.chat_template = _ONE_DAY + template.replace("strftime_now", "one_day")
    return changed


def _stops(trainee: Trainee, prepared: Prepared, learned: set[int]) -> Finding:
    unheeded = sorted(learned - end_ids(trainee.network, prepared.tokenizer))
    marks = ", ".join(map(str, prepared.tokenizer.convert_ids_to_tokens(unheeded or sorted(learned))))
    if unheeded:
        remedy = "Set train.chat_template to a template that ends answers with a special token of the tokenizer."
        return Finding("stopping", f"answers learn to end with {marks}, at which a server does not stop", "fault", remedy)
    return Finding("stopping", f"a server stops at {marks}, with which answers learn to end")
