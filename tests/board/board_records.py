"""Synthetic evaluations, written as the real artifacts' files."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from etymon.board.entries import BoardMeaning, Entry, LineageLine, Scored
from etymon.board.evaluations import read_evaluation


def write_evaluation(folder: Path, task, metrics, *, identity=None, clusters=None, notes=(), items=None) -> Path:
    """``metrics``: name → (higher is better, values, weights or None); the first is the main one."""
    folder.mkdir(parents=True)
    described = {}
    of_item = {}
    for name, (higher, values, weights) in metrics.items():
        values = np.asarray(values, dtype=float)
        weights = np.ones_like(values) if weights is None else np.asarray(weights, dtype=float)
        ids = items or [f"{task}-{number:04d}" for number in range(len(values))]
        shared = list(clusters) if clusters is not None else ids
        for item, cluster, value, weight in zip(ids, shared, values.tolist(), weights.tolist(), strict=True):
            row = of_item.setdefault(item, {"item": item, "cluster": cluster, "request": 0, "metrics": []})
            row["metrics"].append({"metric": name, "value": value, "weight": weight})
        score = float((values * weights).sum() / weights.sum())
        described[name] = {"higher_is_better": higher, "score": score, "n": len(values)}
    identity = identity or f"{sum(map(ord, task)):064x}"
    write_rows(folder, list(of_item.values()), {"task": task, "identity": identity})
    task_json = {"task": task, "identity": identity, "main_metric": next(iter(metrics)), "metrics": described}
    (folder / "task.json").write_text(json.dumps(task_json | {"notes": list(notes)}), "utf-8")
    return folder


def write_rows(folder: Path, rows, about) -> None:
    pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(about), folder / "records.parquet")


DERIVATIVE, BASE, SCRATCH = "pydocs-135m", "smollm2-135m-instruct-q4_1", "pydocs-135m.scratch"
NOTE = "One of 283 questions has five options and is left out."


def quickstart_meaning(*further: Entry) -> BoardMeaning:
    """A derivative, its base and a random start, with roles as the job names them."""

    def roles(name: str) -> tuple[str, ...]:
        return f"evaluation/{name}/heldout", f"evaluation/{name}/mmlu_dev"

    entries = (
        Entry(name=BASE, digest="b1" * 32, parameters=134_515_008, license="Apache-2.0", evaluations=roles(BASE)),
        Entry(
            name=DERIVATIVE,
            digest="d2" * 32,
            derived_from=BASE,
            relation="finetune",
            parameters=134_515_008,
            tokens_trained=40_000,
            license="Apache-2.0 AND PSF-2.0",
            lineage=LineageLine(
                verdict="related",
                parent=BASE,
                p_value=1e-6,
                effect=0.998,
                summary="Every tensor is a small change of the base's tensor of the same role.",
                reasons=("272 of 272 tensors have the same shape and role.", "Median relative change of a tensor: 0.8%."),
            ),
            evaluations=roles(DERIVATIVE),
        ),
        Entry(
            name=SCRATCH,
            digest="5c" * 32,
            is_baseline=True,
            parameters=134_515_008,
            tokens_trained=40_000,
            license="PSF-2.0",
            evaluations=roles(SCRATCH),
        ),
    )
    return BoardMeaning(title=DERIVATIVE, entries=entries + further)


def write_quickstart(folder: Path) -> dict[str, Path]:
    """Evaluation folders of ``quickstart_meaning`` by role: 48 held-out documents and 282 questions."""
    random = np.random.default_rng(11)
    size = random.integers(120, 2400, 48)
    bits = random.normal(1.31, 0.28, 48).clip(0.5)
    right = random.uniform(size=282) < 0.255
    heldout = {
        BASE: bits,
        DERIVATIVE: bits * random.normal(0.845, 0.06, 48),
        SCRATCH: bits * 0.3 + random.normal(3.6, 0.2, 48),
    }
    answers = {
        BASE: right,
        DERIVATIVE: np.where(random.uniform(size=282) < 0.06, ~right, right),
        SCRATCH: random.uniform(size=282) < 0.24,
    }
    folders = {}
    for name in (BASE, DERIVATIVE, SCRATCH):
        place = folder / name
        folders[f"evaluation/{name}/heldout"] = write_evaluation(
            place / "heldout", "heldout", {"bits_per_byte": (False, heldout[name], size)}
        )
        likely = np.where(answers[name], -1.1, -1.7) + random.normal(0, 0.2, 282)
        folders[f"evaluation/{name}/mmlu_dev"] = write_evaluation(
            place / "mmlu_dev",
            "mmlu_dev",
            {"acc": (True, answers[name], None), "logprob_right": (True, likely, None)},
            notes=[NOTE],
        )
    return folders


CONTROL = "pydocs-135m-control"


def write_seeded(folder: Path, seeds: int, control_seeds: int | None) -> tuple[BoardMeaning, dict[str, Path]]:
    """A derivative of so many seeds, better than its control, which is better than the base; ``None``: no control."""
    random = np.random.default_rng(12)
    size = random.integers(120, 2400, 48)
    bits = random.normal(1.31, 0.28, 48).clip(0.5)
    right = random.uniform(size=282)
    folders = {}

    def trained(name: str, number: int, better: float, questions: float) -> Scored:
        seeded = name if number == 0 else f"{name}-seed{number}"
        luck = random.normal(0, 0.01)
        values = bits * (1 - better) + luck + random.normal(0, 0.01, 48)
        answers = right + random.normal(0, 0.02, 282) < questions
        roles = (f"evaluation/{seeded}/heldout", f"evaluation/{seeded}/mmlu_dev")
        folders[roles[0]] = write_evaluation(folder / seeded / "heldout", "heldout", {"bits_per_byte": (False, values, size)})
        folders[roles[1]] = write_evaluation(folder / seeded / "mmlu_dev", "mmlu_dev", {"acc": (True, answers, None)})
        return Scored(name=seeded, digest=f"{number:02d}" * 32, seed=number, evaluations=roles)

    def entry(name: str, count: int, better: float, questions: float, **more) -> Entry:
        first, *others = [trained(name, number, better, questions) for number in range(count)]
        return Entry(**first.model_dump(), repeats=tuple(others), parameters=134_515_008, **more)

    has_control = control_seeds is not None
    control = CONTROL if has_control else None
    entries = [
        entry(DERIVATIVE, seeds, 0.2, 0.3, derived_from=BASE, control=control),
        entry(BASE, 1, 0, 0.28),
    ]
    if has_control:
        entries.append(entry(CONTROL, control_seeds, 0.08, 0.28, derived_from=BASE, is_baseline=True))
    return BoardMeaning(title="seeds", entries=tuple(entries)), folders


def read_all(meaning: BoardMeaning, folders: dict[str, Path]):
    roles = [role for entry in meaning.entries for model in entry.models for role in model.evaluations]
    return {role: read_evaluation(folders[role]) for role in roles}
