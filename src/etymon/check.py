"""What would go wrong with a recipe: everything up to the first step of its training, and what a server would make of it."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np
import pyarrow.parquet as parquet
from transformers import PreTrainedTokenizerBase

from etymon.errors import EtymonError
from etymon.foundation.probe import Probe, probe_contamination
from etymon.foundation.template import render
from etymon.progress import clocks
from etymon.run import Job, build_corpus, open_foundation, train_config
from etymon.serve.prompt import Message as ServedMessage
from etymon.serve.prompt import end_ids, prompt_ids
from etymon.text.rows import Message, Row
from etymon.train.doctor import examine
from etymon.train.finding import Finding
from etymon.train.parallel import Ranks
from etymon.train.prepare import Prepared, prepare
from etymon.train.rows import render_example
from etymon.train.step import Trainee
from etymon.train.trainee import make_trainee

_SHOWN = 2
"""Examples that are shown."""
_SAMPLE = 100
"""Rows of which the prompt is made as in serving, spread over the corpus."""
_PROBED, _PROBED_TOKENS = 3, 256
"""Examples that are probed for leaks, and of each so many tokens at its beginning."""
_LAST_BITS = 1e-4
"""Share of its own change up to which what others notice is rounding."""
_ONE_DAY = "{% macro one_day(format) %}one day{% endmacro %}\n"


@dataclass(frozen=True)
class Checked:
    """What was found."""

    findings: tuple[Finding, ...]
    rows: tuple[str, ...]
    """The first examples as the model sees them. Tokens that are not supervised stand between ⟦ and ⟧."""
    probe: Probe | None = None

    @property
    def sound(self) -> bool:
        """Whether a training would begin."""
        return all(finding.state != "fault" for finding in self.findings)


def check(job: Job, *, probe: bool = False) -> Checked:
    """Look at a recipe's rows, model and first step; foundation and corpus are made if they are not there yet.

    ``probe``: also whether the parts of a packed row notice each other. Raises EtymonError where nothing can be trained on.
    """
    foundation, corpus = open_foundation(job), build_corpus(job)
    meaning, execution = train_config(job)
    clock = clocks(job.listener, "check")
    with TemporaryDirectory() as work:
        prepared = prepare(foundation, corpus, meaning, Path(work), clock)
        clock("loading the model")
        trainee = make_trainee(prepared, execution, Ranks())
    clock("looking at the rows, and trying the largest")
    findings = examine(prepared, trainee, dry_step=True)
    if prepared.settings.objective != "pretrain":
        findings += _serving(prepared, trainee)
    rows = tuple(render_example(prepared, example) for example in prepared.plan.steps[0][:_SHOWN])
    if not probe:
        return Checked(tuple(findings), rows)
    clock("probing for leaks between packed rows")
    probed = _probe(prepared, trainee)
    return Checked((*findings, _leaks(probed)), rows, probed)


def _serving(prepared: Prepared, trainee: Trainee) -> list[Finding]:
    """Compare what is trained with what a server feeds, and with where it stops (LLaMA-Factory #10769)."""
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
        ids, supervised = _sequence(prepared, example)
        prompt = ids[: int(np.argmax(supervised))]
        yield prepared.encoded.names[document], Row.from_json(rows[document].as_py()), prompt, ids[-1]


def _sequence(prepared: Prepared, example: int) -> tuple[list[int], list[bool]]:
    """An example's ids to the end of its first answer, and which are learned."""
    examples = prepared.encoded.examples
    parts = [examples.segment(segment) for segment in examples.segments_of(example)[:2]]
    return [id_ for ids, _ in parts for id_ in ids.tolist()], [
        each for _, supervised in parts for each in supervised.tolist()
    ]


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
        remedy = "Add it to eos_token_id in the foundation's generation_config.json, or set train.chat_template."
        return Finding("stopping", f"answers learn to end with {marks}, at which a server does not stop", "fault", remedy)
    return Finding("stopping", f"a server stops at {marks}, with which answers learn to end")


def _probe(prepared: Prepared, trainee: Trainee) -> Probe:
    """The probe on the first examples of the training, in the precision of the weights."""
    examples = [example for step in prepared.plan.steps for example in step][:_PROBED]
    if len(examples) < 2:
        raise EtymonError("The probe needs two training examples; there is one.", "Add documents, or leave --probe out.")
    return probe_contamination(trainee.network, [_sequence(prepared, example)[0][:_PROBED_TOKENS] for example in examples])


def _leaks(probe: Probe) -> Finding:
    own = min(row.own_change for row in probe.rows)
    here, there = probe.largest_logit_change, probe.largest_change_by_default
    found = f"another text in one part of a row moves the logits of the others by {here:.3g} (its own by {own:.3g} or more); "
    found += f"in Transformers' default path by {there:.3g}"
    if probe.clean:
        return Finding("leaks", found)
    if here < _LAST_BITS * own:
        return Finding("leaks", f"{found}; experts do that, whose sums depend on how many tokens they are given", "note")
    return Finding("leaks", found, "fault", "Packing must not leak: please report it with the name of the model.")
