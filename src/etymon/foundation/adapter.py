"""Adapters that PEFT saved: a low-rank change, and perhaps some whole tensors, to be laid over a base model.

LoRA (Hu et al., arXiv 2106.09685) adds B·A·α/r to a matrix, rank-stabilised LoRA (arXiv 2312.03732) B·A·α/√r. A folder holds
``adapter_config.json`` and ``adapter_model.safetensors``; what changes a base in another way is refused, never guessed.

Shapes: r the rank, O outputs, I inputs.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from etymon.errors import EtymonError
from etymon.foundation.card import read_card
from etymon.foundation.facts import read_object
from etymon.foundation.model import DeclaredParent, Model, ModelFacts
from etymon.foundation.stored_tensor import refuse
from etymon.foundation.weights import Values, Weights, open_weights
from etymon.store import DigestCache, root_digest

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

_PREFIX = "base_model.model."
_PARTS = re.compile(r"(.+)\.lora_(embedding_)?([AB])(?:\.weight)?")
_KEEPS_BASE = (None, True, False, "gaussian", "eva", "orthogonal")
"""Ways to initialise after which the base is what it was; PiSSA, OLoRA, CorDA and LoftQ subtract from it first."""
_REFUSED = {
    "use_dora": "DoRA", "use_qalora": "QALoRA", "layer_replication": "repeated layers", "lora_bias": "LoRA on biases",
    "trainable_token_indices": "rows trained for single tokens", "megatron_config": "a Megatron network",
    "target_parameters": "LoRA on stacks of experts",
}  # fmt: skip


@dataclass(frozen=True)
class LowRank:
    """One low-rank change."""

    target: str
    """The matrix it is added to, as the base calls it (perhaps with a prefix)."""
    a: str
    b: str
    rank: int
    scale: float
    turned: bool
    """The matrix is stored with inputs on its rows (an embedding, or GPT-2's ``fan_in_fan_out``)."""

    def change(self, tensors: Weights) -> Values:
        """B·A·scale, in the shape of the matrix it is added to."""
        with np.errstate(all="ignore"):  # damaged factors may be infinite; that is for the reader to notice
            change = (tensors.read(self.b) * np.float32(self.scale)) @ tensors.read(self.a)
        return np.asarray(change.T if self.turned else change, np.float32)

    def norm(self, tensors: Weights) -> float:
        """‖B·A·scale‖ (Frobenius) without making the product: the root of Σ (BᵀB)∘(AAᵀ)."""
        a, b = (tensors.read(name).astype(np.float64) for name in (self.a, self.b))
        return abs(self.scale) * math.sqrt(max(0.0, float(np.sum((b.T @ b) * (a @ a.T)))))


@dataclass(frozen=True)
class Adapter:
    """An adapter whose files have been checked."""

    folder: Path
    tensors: Weights
    low_rank: tuple[LowRank, ...]
    whole: dict[str, str]
    """Tensors it replaces (``modules_to_save``, biases), by the base's name, and how they are stored."""
    declared_base: str
    """What it says its base is; empty where it does not. Never opened without the user's word."""


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no model."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").exists()


def read_adapter(folder: Path) -> Adapter:
    """Read and check an adapter. Raises EtymonError for one that is damaged, or of a kind that is not known here."""
    config = read_object(folder / CONFIG)
    if config.get("peft_type") != "LORA":
        _refuse_kind(folder, f"of the kind {config.get('peft_type')!r}")
    for key, what in _REFUSED.items():
        if config.get(key):
            _refuse_kind(folder, f"with {what} (its key {key!r})")
    if config.get("init_lora_weights") not in _KEEPS_BASE:
        _refuse_kind(folder, f"initialised by {config['init_lora_weights']!r}, which changes the base itself")
    if not (folder / WEIGHTS).is_file():
        raise EtymonError(f"{folder} lacks {WEIGHTS}.", "Fetch the adapter again; pickled adapters are not read.")
    tensors = open_weights(folder / WEIGHTS)
    factors: dict[tuple[str, bool], dict[str, str]] = {}
    whole: dict[str, str] = {}
    for stored in tensors.names:
        name = stored.removeprefix(_PREFIX).replace(".base_layer.", ".")
        if match := _PARTS.fullmatch(name):
            factors.setdefault((match[1], bool(match[2])), {})[match[3]] = stored
        elif "lora_" in name or "token_adapter" in name:
            _refuse_kind(folder, f"with the tensor {stored!r}")
        elif name in whole:
            refuse(folder / WEIGHTS, f"it holds {name!r} twice")
        else:
            whole[name] = stored
    low_rank = tuple(_low_rank(folder, tensors, config, *key, found) for key, found in sorted(factors.items()))
    if not low_rank and not whole:
        refuse(folder / WEIGHTS, "it changes nothing")
    base = config.get("base_model_name_or_path")
    return Adapter(folder, tensors, low_rank, whole, base if isinstance(base, str) else "")


def _low_rank(
    folder: Path, tensors: Weights, config: dict[str, Any], module: str, embedding: bool, found: dict[str, str]
) -> LowRank:
    path = folder / WEIGHTS
    if set(found) != {"A", "B"}:
        refuse(path, f"{module!r} has not both of its factors")
    a, b = tensors.shape(found["A"]), tensors.shape(found["B"])
    if len(a) != 2 or len(b) != 2 or a[0] != b[1] or not a[0]:
        refuse(path, f"the factors of {module!r} have the shapes {b} and {a}, which make no product")
    alpha = _pattern(folder, config, "alpha_pattern", module, config.get("lora_alpha"))
    if type(alpha) not in (int, float) or not abs(alpha) < 1e9:
        refuse(folder / CONFIG, f"lora_alpha is {alpha!r}")
    scale = alpha / (math.sqrt(a[0]) if config.get("use_rslora") is True else a[0])
    turned = embedding or config.get("fan_in_fan_out") is True
    return LowRank(f"{module}.weight", found["A"], found["B"], a[0], float(scale), turned)


def _pattern(folder: Path, config: dict[str, Any], key: str, module: str, default: Any) -> Any:
    """A setting of some modules. PEFT takes regular expressions; only plain names are, for the file is not trusted."""
    patterns = config.get(key) or {}
    if not isinstance(patterns, dict):
        refuse(folder / CONFIG, f"{key} is no object")
    for name, value in patterns.items():
        plain = name.removeprefix("^")
        if not re.fullmatch(r"[\w.]+", plain):
            _refuse_kind(folder, f"with the pattern {name!r} in {key}, which is no plain name")
        if module == plain or (plain == name and module.endswith(f".{plain}")):
            return value
    return default


def _refuse_kind(folder: Path, what: str) -> NoReturn:
    raise EtymonError(
        f"{folder} is an adapter {what}; only plain LoRA can be laid over a base here.",
        "Merge it with the library that made it (merge_and_unload() of PEFT) and give the merged model.",
    )


def describe_adapter(folder: Path, *, digests: DigestCache) -> Model:
    """An adapter as an ``Input`` of stages. Its facts are of the adapter alone; sizes of a model are 0."""
    adapter = read_adapter(folder)
    parameters = sum(math.prod(adapter.tensors.shape(name)) for name in adapter.tensors.names)
    card = read_card(folder)
    files = {name: digests.file(folder / name) for name in (CONFIG, WEIGHTS)}
    declared = (DeclaredParent(uri=adapter.declared_base, relation="adapter"),) if adapter.declared_base else card.parents
    facts = ModelFacts(
        architecture="LoRA adapter", model_type="adapter", parameters=parameters, embedding_parameters=0, layers=0, width=0,
        context_length=0, vocabulary=0, dtype="", license=card.license, parents=declared, source=str(folder), files=files,
        has_chat_template=False,
    )  # fmt: skip
    return Model(folder.name, folder, root_digest(files), facts)


class AdaptedWeights:
    """A base with an adapter laid over it, tensor by tensor as they are read: base + B·A·scale, or the whole tensor."""

    def __init__(self, base: Weights, adapter: Adapter) -> None:
        """Raises EtymonError where the adapter has no place on this base."""
        self._base, self._adapter = base, adapter
        self._low_rank: dict[str, LowRank] = {}
        self._whole: dict[str, str] = {}
        for low_rank in adapter.low_rank:
            self._low_rank[self._fitting(low_rank.target, shape_of(low_rank, adapter.tensors))] = low_rank
        for name, stored in adapter.whole.items():
            place = place_of(name, base)
            self._whole[place or name] = stored  # an untied head has no place in a tied base
        self.names = tuple(sorted({*base.names, *self._whole}))

    def _fitting(self, target: str, shape: tuple[int, ...]) -> str:
        place = place_of(target, self._base)
        if place is None or self._base.shape(place) != shape:
            found = f"is {self._base.shape(place)} there" if place else "is not there"
            raise EtymonError(
                f"{self._adapter.folder} does not fit its base: it changes {target}, {shape}, which {found}.",
                "Give the base that the adapter was trained on.",
            )
        return place

    def shape(self, name: str) -> tuple[int, ...]:
        tensors, stored = self._source(name)
        return tensors.shape(stored)

    def dtype(self, name: str) -> str:
        tensors, stored = self._source(name)
        return "F32" if name in self._low_rank else tensors.dtype(stored)

    def read(self, name: str) -> Values:
        tensors, stored = self._source(name)
        values = tensors.read(stored)
        return values + self._low_rank[name].change(self._adapter.tensors) if name in self._low_rank else values

    def rows(self, name: str, start: int, stop: int) -> Values:
        if name in self._low_rank:
            return self.read(name)[start:stop]
        tensors, stored = self._source(name)
        return tensors.rows(stored, start, stop)

    def raw(self, name: str) -> memoryview:
        if name in self._low_rank:
            return np.ascontiguousarray(self.read(name)).view(np.uint8).ravel().data
        tensors, stored = self._source(name)
        return tensors.raw(stored)

    def stored(self, name: str) -> Iterator[memoryview]:
        if name in self._low_rank:
            return iter([self.raw(name)])
        tensors, stored = self._source(name)
        return tensors.stored(stored)

    def _source(self, name: str) -> tuple[Weights, str]:
        """Where a tensor is without its low-rank change."""
        return (self._adapter.tensors, self._whole[name]) if name in self._whole else (self._base, name)


def shape_of(low_rank: LowRank, tensors: Weights) -> tuple[int, int]:
    """Of the matrix that it is added to."""
    shape = tensors.shape(low_rank.b)[0], tensors.shape(low_rank.a)[1]
    return shape[::-1] if low_rank.turned else shape


def place_of(target: str, base: Weights) -> str | None:
    """The base's name of a tensor: the same, or the one that differs by a prefix alone."""
    if target in base.names:
        return target
    near = [name for name in base.names if target.endswith(f".{name}") or name.endswith(f".{target}")]
    return near[0] if len(near) == 1 else None
