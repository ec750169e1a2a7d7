"""Scoring speed beside lm-eval's `hf` backend: the same requests, the same model, one machine, each side in its own process.

Time is that of the scoring phase (tokenizing included), after one request to warm up, one side after the other; `hf` runs at
batch size 8, and for generated text at 1, where its answers do not depend on their neighbours. Every log-probability and
every answer (the likeliest choice, the text) is compared.

Without further data two workloads are measured:
  mmlu_dev  281 real MMLU questions, 0-shot; `hf` itself shares the work of the four choices here, as they are one token long
  primer    six worked questions before every item, and the texts of the options as continuations (TruthfulQA's form)
With data (csv files as `dev/SUBJECT_dev.csv` and `test/SUBJECT_test.csv`; jsonl):
  --mmlu FOLDER  MMLU 5-shot on anatomy, astronomy and high_school_geography
  --arc FILE     ARC 0-shot (question, choices, answer)
  --gsm8k FILE   GSM8K 5-shot, 50 answers generated greedily (question, answer); not with --quick

Keys (null where not measured): ratio_mmlu_dev, ratio_primer, ratio_mmlu, ratio_arc, ratio_gsm8k (their seconds / our seconds,
float32); max_abs_delta, changed_answers, requests, changed_gsm8k (texts); ratio_bf16 (our seconds in float32 / in bfloat16);
flips_bf16 (share of answers that ours in bfloat16 changes against `hf` in bfloat16 at batch size 1), flips_bf16_hf (the share
that `hf` itself changes between batch sizes 1 and 8), flips_bf16_float32, flips_bf16_hf_float32 (each against its float32);
memory_ratio (our peak / theirs, choices in float32), memory_mb, memory_mb_hf; startup_seconds (from the start of the process
to the first score), startup_seconds_hf.
"""

import csv
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common import THIS, finish, options, run_json
from etymon.evaluate.questions import mmlu_dev_questions

PEERS = Path(__file__).parent / "peers"
HEADER = "The following are multiple choice questions (with answers) about {}.\n\n"
SUBJECTS = ("anatomy", "astronomy", "high_school_geography")

Item = tuple[str, list[str]]
"""Context and continuations; for generated text, what ends it."""

Run = dict[str, Any]


@dataclass
class Workload:
    """Parts that are timed one by one; items of different parts share little."""

    key: str
    parts: list[list[Item]]
    generated: bool = False


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


def gsm8k(file: Path) -> Workload:
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()][:55]
    shots = "".join(f"Question: {row['question']}\nAnswer: {row['answer']}\n\n" for row in rows[:5])
    return Workload(
        "ratio_gsm8k", [[(f"{shots}Question: {row['question']}\nAnswer:", ["Question:"]) for row in rows[5:]]], True
    )


def run(side: str, work: list[Workload], dtype: str = "float32", batch: int = 8) -> Run:
    """Seconds and answers of one side by workload and part, its peak memory, its start-up."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "work.json"
        file.write_text(json.dumps([asdict(each) for each in work]), "utf-8")
        done = run_json(THIS, PEERS / f"{side}_evaluate.py", str(file), dtype, str(batch))
    for each in work:
        print(f"{side} {dtype} {batch}: {each.key} {sum(done['seconds'][each.key]):.1f} s", flush=True)
    return done


def answers(work: list[Workload], done: Run) -> list[int]:
    """The likeliest choice of each item; of equal ones the first."""
    chosen = []
    for each in work:
        for items, given in zip(each.parts, done["answers"][each.key], strict=True):
            place = 0
            for _, continuations in items:
                choices = given[place : place + len(continuations)]
                chosen.append(choices.index(max(choices)))
                place += len(continuations)
    return chosen


def logprobs(done: Run, key: str) -> list[float]:
    return [logprob for part in done["answers"][key] for logprob in part]


def changed(one: list[Any], other: list[Any]) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def seconds(done: Run, *keys: str) -> float:
    return sum(sum(done["seconds"][key]) for key in keys)


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--mmlu", type=Path, metavar="FOLDER", help="MMLU's csv files, to measure it 5-shot")
    parser.add_argument("--arc", type=Path, metavar="FILE", help="ARC questions as jsonl, to measure it 0-shot")
    parser.add_argument("--gsm8k", type=Path, metavar="FILE", help="GSM8K questions as jsonl, to measure generation")
    arguments = parser.parse_args()
    quick = arguments.quick
    work = [mmlu_dev(quick), primer(quick)]
    work += [mmlu_5_shot(arguments.mmlu, quick)] if arguments.mmlu else []
    work += [arc(arguments.arc, quick)] if arguments.arc else []
    keys = [each.key for each in work]
    ours, theirs = run("etymon", work), run("hf", work)
    halves = [each for each in work if each.key != "ratio_primer"]  # a primer of 600 tokens is nothing for batch size 1
    half_keys = [each.key for each in halves]
    ours_half = run("etymon", halves, "bfloat16")
    theirs_half = {batch: run("hf", halves, "bfloat16", batch) for batch in (1, 8)}
    deltas = {key: max(abs(a - b) for a, b in zip(logprobs(ours, key), logprobs(theirs, key), strict=True)) for key in keys}
    figures: dict[str, Any] = dict.fromkeys(
        ("ratio_mmlu_dev", "ratio_primer", "ratio_mmlu", "ratio_arc", "ratio_gsm8k", "changed_gsm8k")
    )
    figures |= {key: round(seconds(theirs, key) / seconds(ours, key), 3) for key in keys}
    items = len(answers(halves, ours))

    def flips(one: Run, other: Run) -> float:
        return round(changed(answers(halves, one), answers(halves, other)) / items, 5)

    figures |= {
        "max_abs_delta": max(deltas.values()),
        "changed_answers": changed(answers(work, ours), answers(work, theirs)),
        "requests": sum(len(logprobs(ours, key)) for key in keys),
        "ratio_bf16": round(seconds(ours, *half_keys) / seconds(ours_half, *half_keys), 3),
        "flips_bf16": flips(ours_half, theirs_half[1]),
        "flips_bf16_hf": flips(theirs_half[8], theirs_half[1]),
        "flips_bf16_float32": flips(ours_half, ours),
        "flips_bf16_hf_float32": flips(theirs_half[8], theirs),
        "memory_ratio": round(ours["peak"] / theirs["peak"], 3),
        "memory_mb": round(ours["peak"] / 1e6),
        "memory_mb_hf": round(theirs["peak"] / 1e6),
        "startup_seconds": round(ours["startup"], 2),
        "startup_seconds_hf": round(theirs["startup"], 2),
    }
    if arguments.gsm8k and not quick:
        texts = [gsm8k(arguments.gsm8k)]
        made = {side: run(side, texts, batch=1) for side in ("etymon", "hf")}
        (key,) = (each.key for each in texts)
        figures[key] = round(seconds(made["hf"], key) / seconds(made["etymon"], key), 3)
        figures["changed_gsm8k"] = sum(map(changed, *(made[side]["answers"][key] for side in made)))
    table = [
        (
            each.key.removeprefix("ratio_"), f"{len(logprobs(ours, each.key)):,}", f"{seconds(ours, each.key):.1f} s",
            f"{seconds(theirs, each.key):.1f} s", f"{figures[each.key]:.2f}×", f"{deltas[each.key]:.1e}",
        )
        for each in work
    ]  # fmt: skip
    finish(figures, [("workload", "requests", "etymon", "lm-eval hf", "ratio", "largest difference"), *table], arguments.json)


if __name__ == "__main__":
    main()
