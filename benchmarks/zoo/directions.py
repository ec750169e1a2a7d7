"""Children and parents whose order is known: which of the two the weights are said to have made of the other.

Every transform, and what has turned a direction round: tokenizer files that were edited, layers and neurons that were added,
values trained on a little from rounded ones, untrained rows cut off a table. Each pair is compared both ways.
"""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from etymon.lineage.compare import compare
from zoo.transforms import TRANSFORMS, Specimen, extended_vocabulary, on_tensors, plain, quantised, rounded, scaled_up

EMBEDDING = "model.embed_tokens.weight"
Family = Callable[[Specimen], tuple[Specimen, Specimen]]
"""Makes a parent of a model, and the parent's child."""


@dataclass(frozen=True)
class Said:
    """Of one case, one way round."""

    case: str
    answer: str
    """``right``, ``wrong`` or ``unknown``."""
    reason: str


def noised(model: Specimen, share: float, seed: int = 5) -> Specimen:
    return replace(model, tensors=plain.noise(model.tensors, share, seed))


def scaled_apart(model: Specimen, share: float) -> Specimen:
    """Every value changed by a share of itself, as little training does."""
    rng = np.random.default_rng(3)
    return replace(
        model,
        tensors={
            name: np.asarray(values * (1 + share * rng.standard_normal(values.shape)), np.float32)
            for name, values in model.tensors.items()
        },
    )


def with_layers(model: Specimen, *, trained: bool) -> Specimen:
    """Every third layer followed by a new one: writing nothing yet, or with random weights as if trained since."""
    depth = len(plain.layer_prefixes(model.tensors))
    order = [layer for layer in range(depth) for _ in range(2 if layer % 3 == 2 else 1)]
    tensors, rng = plain.repeat_layers(model.tensors, order), np.random.default_rng(6)
    new = [place for place in range(1, len(order)) if order[place] == order[place - 1]]
    for name, values in tensors.items():
        if values.ndim == 2 and any(name.startswith(f"model.layers.{place}.") for place in new):
            if trained:
                tensors[name] = (values.std() * rng.standard_normal(values.shape)).astype(np.float32)
            elif "o_proj" in name or "down_proj" in name:
                tensors[name] = np.zeros_like(values)
    return replace(model, tensors=tensors)


def _copies_pruned(model: Specimen, trained: float) -> tuple[Specimen, Specimen]:
    """A parent that was made by repeating layers and trained since, and a child of it without the copies."""
    depth = len(plain.layer_prefixes(model.tensors))
    order = scaled_up(depth)
    parent = noised(replace(model, tensors=plain.repeat_layers(model.tensors, order)), 0.05)
    kept = [order.index(layer) for layer in range(depth)]
    child = replace(parent, tensors=plain.repeat_layers(parent.tensors, kept))
    return parent, noised(child, trained, 12) if trained else child


def with_neurons(model: Specimen, count: int = 64) -> Specimen:
    tensors, rng = dict(model.tensors), np.random.default_rng(7)
    for name, values in model.tensors.items():
        if "gate_proj" in name or "up_proj" in name:
            more = values.std() * rng.standard_normal((count, values.shape[1]))
            tensors[name] = np.concatenate([values, more]).astype(np.float32)
        elif "down_proj" in name:
            more = values.std() * rng.standard_normal((len(values), count))
            tensors[name] = np.concatenate([values, more], axis=1).astype(np.float32)
    return replace(model, tensors=tensors)


def without_rows(model: Specimen, count: int) -> Specimen:
    rows = len(model.tensors[EMBEDDING]) - count
    tokens = {token: row for token, row in (model.tokens or {}).items() if row < rows}
    return replace(model, tensors={**model.tensors, EMBEDDING: model.tensors[EMBEDDING][:rows]}, tokens=tokens)


def extended_then_trained(model: Specimen) -> Specimen:
    """New rows at the mean of the old, which have moved since."""
    longer, rows = extended_vocabulary(model, 8), len(model.tensors[EMBEDDING])
    moved = plain.noise({EMBEDDING: model.tensors[EMBEDDING]}, 0.1, 9)[EMBEDDING]
    table = np.concatenate([moved, longer.tensors[EMBEDDING][rows:]])
    return replace(longer, tensors={**noised(longer, 0.02).tensors, EMBEDDING: table})


def tokens_deleted(model: Specimen) -> Specimen:
    return replace(model, tokens=dict(list((model.tokens or {}).items())[:-3]))


def tokens_beyond(model: Specimen) -> Specimen:
    rows = len(model.tensors[EMBEDDING])
    return replace(model, tokens={**(model.tokens or {}), **{f"<beyond {n}>": rows + n for n in range(3)}})


def families() -> dict[str, Family]:
    """By the name of the case."""
    found: dict[str, Family] = {each.name: lambda m, run=each.run: (m, run(m, 1)) for each in TRANSFORMS}  # type: ignore[misc]
    found |= {f"{each.name}, trained": lambda m, run=each.run: (m, noised(run(m, 1), 0.02)) for each in TRANSFORMS}  # type: ignore[misc]
    return found | {
        "child's tokens deleted": lambda m: (m, tokens_deleted(noised(m, 0.05))),
        "base's tokens beyond its table": lambda m: (tokens_beyond(m), noised(m, 0.05)),
        "silent layers inserted": lambda m: (m, with_layers(m, trained=False)),
        "layers inserted and trained": lambda m: (m, with_layers(m, trained=True)),
        "copies of layers pruned": lambda m: _copies_pruned(m, 0.0),
        "copies of layers pruned, then trained": lambda m: _copies_pruned(m, 0.02),
        "copies of layers pruned, then trained for long": lambda m: _copies_pruned(m, 0.2),
        "neurons added": lambda m: (m, with_neurons(m)),
        "vocabulary extended, then trained": lambda m: (m, extended_then_trained(m)),
        "untrained rows cut off": lambda m: ((longer := extended_vocabulary(m, 8)), without_rows(longer, 64)),
        "untrained rows cut off, then trained": lambda m: (
            (longer := extended_vocabulary(m, 8)), noised(without_rows(longer, 64), 0.05)
        ),
        "rows cut off, then trained": lambda m: (m, noised(without_rows(m, 16), 0.02)),
        "trained on a little from bfloat16": lambda m: ((half := rounded(m, "bfloat16")), scaled_apart(half, 1e-4)),
        "trained on from bfloat16": lambda m: ((half := rounded(m, "bfloat16")), scaled_apart(half, 1e-2)),
        "shrunk a little from bfloat16": lambda m: (
            (half := rounded(m, "bfloat16")),
            on_tensors(lambda t, _: {n: np.asarray(v * np.float32(1 - 1e-5), np.float32) for n, v in t.items()})(half, 0),
        ),
        "trained on from Q4_1": lambda m: ((quant := quantised(m, "Q4_1")), noised(quant, 0.01)),
        "Q8_0 of Q4_1": lambda m: ((quant := quantised(m, "Q4_1")), quantised(quant, "Q8_0")),
    }  # fmt: skip


def directions_said(specimen: Specimen) -> list[Said]:
    """All cases of one model, both ways round; one without a tokenizer is given one of its rows."""
    rows = len(specimen.tensors[EMBEDDING])
    known = specimen if specimen.tokens else replace(specimen, tokens={f"t{row}": row for row in range(rows)})
    said = []
    for case, family in families().items():
        with tempfile.TemporaryDirectory() as room:
            parent, child = (each.written(Path(room) / str(n)) for n, each in enumerate(family(known)))
            for model, other, right in ((child, parent, "model from parent"), (parent, child, "parent from model")):
                found = compare(model, other)
                answer = {right: "right", "unknown": "unknown"}.get(found.direction, "wrong")
                said.append(Said(case, answer, found.direction_reason))
            shutil.rmtree(child)
    return said
