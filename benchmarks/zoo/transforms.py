"""What is done to a model's weights, as pairs of what it was and what became of it, for the zoo of lineage.

The plain transforms are those of the tests (``tests/lineage/lineage_transforms.py``); here are also those that need a
vocabulary, a quantiser, or a second model.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from common import ROOT

sys.path.insert(0, str(ROOT / "tests" / "lineage"))
import lineage_transforms as plain
from lineage_transforms import Tensors

LOSSLESS = 1e-4
"""Relative change from which a transform that only rearranges was not undone."""


@dataclass(frozen=True)
class Specimen:
    """A model in memory."""

    tensors: Tensors
    tokens: dict[str, int] | None
    """Token strings and their rows; None writes no tokenizer."""
    head: int
    """Rows of an attention head."""
    shards: int = 1

    def written(self, folder: Path) -> Path:
        """Weights in one file or several, and a tokenizer.json as far as lineage reads it."""
        folder.mkdir(parents=True)
        names = list(self.tensors)
        parts = [names[start :: self.shards] for start in range(self.shards)]
        files = ["model.safetensors"] if self.shards == 1 else [f"model-{n + 1:05}.safetensors" for n in range(self.shards)]
        for file, part in zip(files, parts, strict=True):
            save_file({name: np.ascontiguousarray(self.tensors[name]) for name in part}, folder / file)
        if self.shards > 1:
            where = {name: file for file, part in zip(files, parts, strict=True) for name in part}
            (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}), "utf-8")
        if self.tokens is not None:
            (folder / "tokenizer.json").write_text(json.dumps({"model": {"type": "BPE", "vocab": self.tokens}}), "utf-8")
        return folder


@dataclass(frozen=True)
class Transform:
    name: str
    run: Callable[[Specimen, int], Specimen]
    """Takes a seed."""
    lossless: bool = False
    layers: Callable[[int], list[int]] | None = None
    """Which layer each of the result's layers was, by the number of layers."""
    last: bool = False
    """Loses what later transforms go by: the names Transformers gives tensors."""


def on_tensors(change: Callable[[Tensors, int], Tensors]) -> Callable[[Specimen, int], Specimen]:
    return lambda model, seed: replace(model, tensors=change(model.tensors, seed))


def rearranged_heads(model: Specimen, seed: int) -> Specimen:
    return replace(model, tensors=plain.rearrange_heads(model.tensors, model.head, seed))


def interleaved_rotary(model: Specimen, _: int) -> Specimen:
    return replace(model, tensors=plain.interleave_rotary(model.tensors, model.head))


def rounded(model: Specimen, dtype: str) -> Specimen:
    """To bfloat16 (round to nearest even) or float16, and back to float32 as every reader does."""

    def halved(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if dtype == "float16":
            return values.astype(np.float16).astype(np.float32)
        bits = values.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)

    return replace(model, tensors={name: halved(np.ascontiguousarray(v, np.float32)) for name, v in model.tensors.items()})


def quantised(model: Specimen, kind: str) -> Specimen:
    """Through one of llama.cpp's types and back, matrices alone, with the `gguf` package's quantiser."""
    import gguf

    wanted = gguf.GGMLQuantizationType[kind]

    def there_and_back(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if values.ndim != 2 or values.shape[1] % 32:
            return values
        return gguf.quants.dequantize(gguf.quants.quantize(np.ascontiguousarray(values, np.float32), wanted), wanted)

    return replace(model, tensors={name: there_and_back(values) for name, values in model.tensors.items()})


def low_rank(tensors: Tensors, rank: int, seed: int, size: float = 0.05) -> Tensors:
    """A merged adapter: B·A of the given rank on q and v, its norm a share of the weights'."""
    rng, out = np.random.default_rng(seed), dict(tensors)
    for name, values in tensors.items():
        if "q_proj" in name or "v_proj" in name:
            delta = rng.standard_normal((values.shape[0], rank), np.float32) @ rng.standard_normal(
                (rank, values.shape[1]), np.float32
            )
            out[name] = values + delta * (size * np.linalg.norm(values) / np.linalg.norm(delta))
    return out


def shuffled_vocabulary(model: Specimen, seed: int) -> Specimen:
    if model.tokens is None:
        return model
    name = "model.embed_tokens.weight"
    order = np.random.default_rng(seed).permutation(len(model.tensors[name]))
    new = np.empty_like(order)
    new[order] = np.arange(len(order))
    tensors = {**model.tensors, name: model.tensors[name][order]}
    return replace(model, tensors=tensors, tokens={token: int(new[row]) for token, row in model.tokens.items()})


def extended_vocabulary(model: Specimen, seed: int, count: int = 64) -> Specimen:
    if model.tokens is None:
        return model
    name = "model.embed_tokens.weight"
    table = model.tensors[name]
    rows = table.mean(0) + 0.01 * table.std() * np.random.default_rng(seed).standard_normal(
        (count, table.shape[1]), np.float32
    )
    tokens = {**model.tokens, **{f"<new {n}>": len(table) + n for n in range(count)}}
    return replace(model, tensors={**model.tensors, name: np.concatenate([table, rows])}, tokens=tokens)


def replaced_vocabulary(model: Specimen, seed: int) -> Specimen:
    """Embeddings drawn anew, the strings kept: nothing of the table shows which coordinate is which."""
    name = "model.embed_tokens.weight"
    table = model.tensors[name]
    drawn = table.std() * np.random.default_rng(seed).standard_normal(table.shape, np.float32)
    return replace(model, tensors={**model.tensors, name: drawn.astype(np.float32)})


def half_of(layers: int) -> list[int]:
    """Every third layer gone."""
    return [layer for layer in range(layers) if layer % 3 != 1]


def scaled_up(layers: int) -> list[int]:
    """The middle twice: depth up-scaling."""
    return [*range(2 * layers // 3), *range(layers // 3, layers)]


def _layers(order: Callable[[int], list[int]]) -> Callable[[Specimen, int], Specimen]:
    return on_tensors(lambda t, _: plain.repeat_layers(t, order(len(plain.layer_prefixes(t)))))


TRANSFORMS = [
    Transform("renamed", on_tensors(lambda t, _: plain.rename_words(t)), lossless=True, last=True),
    Transform("names without meaning", on_tensors(plain.rename_randomly), lossless=True, last=True),
    Transform("resharded", lambda m, _: replace(m, shards=3), lossless=True),
    Transform("fused", on_tensors(lambda t, _: plain.fuse(t)), lossless=True, last=True),
    Transform("bfloat16", lambda m, _: rounded(m, "bfloat16")),
    Transform("float16", lambda m, _: rounded(m, "float16")),
    Transform("Q8_0", lambda m, _: quantised(m, "Q8_0")),
    Transform("Q4_1", lambda m, _: quantised(m, "Q4_1")),
    Transform("Q4_0", lambda m, _: quantised(m, "Q4_0")),
    Transform("stream reordered and flipped", on_tensors(plain.permute_residual), lossless=True),
    Transform("neurons reordered", on_tensors(plain.permute_neurons), lossless=True),
    Transform("neurons rescaled", on_tensors(plain.rescale_neurons), lossless=True),
    Transform("heads rearranged", rearranged_heads, lossless=True),
    Transform("rotary rows interleaved", interleaved_rotary, lossless=True, last=True),
    Transform("gains folded", on_tensors(lambda t, _: plain.fold_gains(t)), lossless=True),
    Transform("stream rotated", on_tensors(plain.rotate_residual), lossless=True),
    Transform("vocabulary shuffled", shuffled_vocabulary, lossless=True),
    Transform("vocabulary extended", extended_vocabulary),
    Transform("adapter merged", on_tensors(lambda t, s: low_rank(t, 16, s))),
    Transform("every third layer gone", _layers(half_of), layers=half_of),
    Transform("middle layers twice", _layers(scaled_up), layers=scaled_up),
    Transform("noise of a tenth", on_tensors(lambda t, s: plain.noise(t, 0.1, s))),
    Transform("noise of a half", on_tensors(lambda t, s: plain.noise(t, 0.5, s))),
]  # fmt: skip


def composed(steps: Sequence[Transform]) -> Transform:
    """One after the other; what loses the names comes last, and at most once."""
    ordered = sorted(steps, key=lambda step: step.last)

    def run(model: Specimen, seed: int) -> Specimen:
        for number, step in enumerate(ordered):
            model = step.run(model, seed + number)
        return model

    def layers(count: int) -> list[int]:
        order = list(range(count))
        for step in ordered:
            order = [order[layer] for layer in step.layers(len(order))] if step.layers else order
        return order

    nameless = any(step.name == "names without meaning" for step in ordered)  # whose layers have no order to be found
    moved = any(step.layers for step in ordered) and not nameless
    name = " + ".join(step.name for step in ordered)
    return Transform(name, run, all(step.lossless for step in ordered), layers if moved else None)


def compositions(count: int, seed: int = 0) -> list[Transform]:
    """Two to four transforms each, drawn by seed; layers are moved at most once, names lost at most once."""
    rng, found = np.random.default_rng(seed), []
    while len(found) < count:
        drawn = [TRANSFORMS[i] for i in rng.choice(len(TRANSFORMS), rng.integers(2, 5), replace=False)]
        if sum(step.last for step in drawn) <= 1 and sum(step.layers is not None for step in drawn) <= 1:
            found.append(composed(drawn))
    return found


def _named(name: str) -> Transform:
    return next(each for each in TRANSFORMS if each.name == name)


_REPLACED = Transform("vocabulary replaced", replaced_vocabulary)
REPLACED = [
    _REPLACED,
    *(
        composed([_REPLACED, *map(_named, names)])
        for names in (
            ("noise of a tenth",), ("every third layer gone",), ("middle layers twice",), ("neurons reordered", "bfloat16"),
            ("every third layer gone", "noise of a half"),
        )
    ),
]  # fmt: skip
"""Not among those that are drawn: with coordinates reordered besides nothing shows which is which, as the limits say."""


def merged(first: Tensors, second: Tensors, base: Tensors, how: str, weight: float, seed: int) -> Tensors:
    """Two models of one base in one: linear, slerp, ties (a fifth kept) or dare (half dropped, the rest doubled)."""
    rng, out = np.random.default_rng(seed), {}
    for name, a in first.items():
        b = second[name]
        if how == "linear" or a.ndim == 1:
            out[name] = (weight * a + (1 - weight) * b).astype(np.float32)
        elif how == "slerp":
            cosine = float((a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b)))
            angle = np.arccos(min(1.0, cosine))
            shares = (
                (weight, 1 - weight)
                if angle < 1e-4
                else (np.sin(weight * angle) / np.sin(angle), np.sin((1 - weight) * angle) / np.sin(angle))
            )
            out[name] = (shares[0] * a + shares[1] * b).astype(np.float32)
        else:
            deltas = np.stack([a - base[name], b - base[name]])
            if how == "dare":
                kept = rng.random(deltas.shape) < 0.5
                out[name] = (base[name] + np.tensordot([weight, 1 - weight], deltas * kept * 2, 1)).astype(np.float32)
            else:
                edges = np.quantile(np.abs(deltas).reshape(2, -1), 0.8, axis=1).reshape(2, *[1] * a.ndim)
                deltas = np.where(np.abs(deltas) >= edges, deltas, 0)
                sign = np.sign(deltas.sum(0))
                agrees = (np.sign(deltas) == sign) & (deltas != 0)
                mean = (deltas * agrees).sum(0) / np.maximum(agrees.sum(0), 1)
                out[name] = (base[name] + mean).astype(np.float32)
    return out
