"""Scoring speed beside lm-eval's `hf` backend: the same requests, the same model, float32, one process, one machine.

Time is that of the scoring phase (tokenizing included), measured part by part, ours and theirs in turn; `hf` runs at batch
size 8. Every log-probability is compared, and every answer (the likeliest choice).

Without further data two workloads are measured:
  mmlu_dev  281 real MMLU questions, 0-shot; `hf` itself shares the work of the four choices here, as they are one token long
  primer    six worked questions before every item, and the texts of the options as continuations (TruthfulQA's form)
With data (csv files as `dev/SUBJECT_dev.csv` and `test/SUBJECT_test.csv`; jsonl with question, choices, answer):
  --mmlu FOLDER  MMLU 5-shot on anatomy, astronomy and high_school_geography
  --arc FILE     ARC 0-shot

Keys: ratio_mmlu_dev, ratio_primer, ratio_mmlu, ratio_arc (their seconds / our seconds; null where not measured),
max_abs_delta, changed_answers, requests.
"""

import csv
import json
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tqdm import tqdm

from common import finish, options
from etymon.evaluate.examinee import open_examinee
from etymon.evaluate.harness.model import SharedPrefixLM
from etymon.evaluate.questions import mmlu_dev_questions
from etymon.foundation.network import load_network
from etymon.foundation.sources import open_model

HEADER = "The following are multiple choice questions (with answers) about {}.\n\n"
SUBJECTS = ("anatomy", "astronomy", "high_school_geography")

Item = tuple[str, list[str]]
"""Context and continuations."""


@dataclass
class Workload:
    """Parts that are timed one by one; items of different parts share little."""

    key: str
    parts: list[list[Item]]
    ours: float = 0.0
    theirs: float = 0.0
    requests: int = 0
    deltas: list[float] = field(default_factory=list)
    changed: int = 0


def mmlu_dev(quick: bool) -> Workload:
    questions = mmlu_dev_questions().questions[: 60 if quick else None]
    items = [(HEADER.format(q.subject_text) + q.prompt + "\nAnswer:", [" A", " B", " C", " D"]) for q in questions]
    size = 30 if quick else 71
    return Workload("ratio_mmlu_dev", [items[n : n + size] for n in range(0, len(items), size)])


def primer(quick: bool) -> Workload:
    """Questions short enough to be asked without their options, after a fixed primer of six answered ones."""
    short = [q for q in mmlu_dev_questions().questions if len(q.question) < 120 and all(len(o) < 80 for o in q.options)]
    shown, asked = short[::20][:6], short[1::20] if quick else [q for n, q in enumerate(short) if n % 20][::3]
    fixed = "\n\n".join(f"Q: {q.question}\nA: {q.options[q.answer]}. {q.worked}" for q in shown)
    items = [(f"{fixed}\n\nQ: {q.question}\nA:", [f" {option}" for option in q.options]) for q in asked]
    return Workload("ratio_primer", [items])


def mmlu_5_shot(folder: Path, quick: bool) -> Workload:
    def rows(split: str, subject: str) -> list[list[str]]:
        with (folder / split / f"{subject}_{split}.csv").open(encoding="utf-8", newline="") as lines:
            return [row for row in csv.reader(lines) if row[-1].strip() in "0123"]

    def asked(row: list[str]) -> str:
        return "\n".join([row[0].strip(), *(f"{x}. {o}" for x, o in zip("ABCD", row[1:5], strict=True)), "Answer:"])

    parts = []
    for subject in SUBJECTS:
        shots = "".join(f"{asked(row)} {'ABCD'[int(row[5])]}\n\n" for row in rows("dev", subject)[:5])
        header = HEADER.format(subject.replace("_", " ")) + shots
        tests = rows("test", subject)[: 8 if quick else None]
        parts.append([(header + asked(row), [" A", " B", " C", " D"]) for row in tests])
    return Workload("ratio_mmlu", parts)


def arc(file: Path, quick: bool) -> Workload:
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()][: 40 if quick else 300]
    items = [(f"Question: {row['question']}\nAnswer:", [f" {choice}" for choice in row["choices"]]) for row in rows]
    return Workload("ratio_arc", [items[n : n + 60] for n in range(0, len(items), 60)])


def measure(workload: Workload, ours: SharedPrefixLM, theirs: HFLM) -> None:
    for number, items in enumerate(workload.parts):
        requests = [
            Instance("loglikelihood", {}, (context, continuation), choice, ("", item, 1))
            for item, (context, continuations) in enumerate(items)
            for choice, continuation in enumerate(continuations)
        ]
        answers = {}
        for side in (ours, theirs) if number % 2 == 0 else (theirs, ours):
            begun = time.monotonic()
            answers[side is ours] = side.loglikelihood(requests, disable_tqdm=True)
            seconds = time.monotonic() - begun
            workload.ours += seconds * (side is ours)
            workload.theirs += seconds * (side is theirs)
        workload.requests += len(requests)
        workload.deltas += [abs(a[0] - b[0]) for a, b in zip(answers[True], answers[False], strict=True)]
        place = 0
        for _, continuations in items:
            choices = slice(place, place + len(continuations))
            mine, other = ([logprob for logprob, _ in answers[who][choices]] for who in (True, False))
            workload.changed += mine.index(max(mine)) != other.index(max(other))
            place = choices.stop
        tqdm.write(f"{workload.key}: part {number + 1} of {len(workload.parts)}, {workload.theirs / workload.ours:.2f}×")


def row(workload: Workload) -> tuple[str, ...]:
    ours, theirs = workload.ours, workload.theirs
    return (
        workload.key, f"{workload.requests:,}", f"{ours:.1f} s", f"{theirs:.1f} s", f"{theirs / ours:.2f}×",
        f"{max(workload.deltas):.1e}",
    )  # fmt: skip


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--mmlu", type=Path, metavar="FOLDER", help="MMLU's csv files, to measure it 5-shot")
    parser.add_argument("--arc", type=Path, metavar="FILE", help="ARC questions as jsonl, to measure it 0-shot")
    arguments = parser.parse_args()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    model = open_model("smollm2-135m-instruct-q4_1")
    examinee = open_examinee(model, "cpu")
    theirs = HFLM(load_network(model, dtype=torch.float32), tokenizer=examinee.tokenizer, batch_size=8)
    ours = SharedPrefixLM(examinee, lambda *_: None)
    workloads = [mmlu_dev(arguments.quick), primer(arguments.quick)]
    if arguments.mmlu:
        workloads.append(mmlu_5_shot(arguments.mmlu, arguments.quick))
    if arguments.arc:
        workloads.append(arc(arguments.arc, arguments.quick))
    for workload in workloads:
        measure(workload, ours, theirs)
    rows = [row(workload) for workload in workloads]
    keys = dict.fromkeys(("ratio_mmlu_dev", "ratio_primer", "ratio_mmlu", "ratio_arc"))
    figures = keys | {w.key: round(w.theirs / w.ours, 3) for w in workloads}
    figures |= {
        "max_abs_delta": max(delta for w in workloads for delta in w.deltas),
        "changed_answers": sum(w.changed for w in workloads),
        "requests": sum(w.requests for w in workloads),
    }
    finish(figures, [("workload", "requests", "etymon", "lm-eval hf", "ratio", "largest difference"), *rows], arguments.json)


if __name__ == "__main__":
    main()
