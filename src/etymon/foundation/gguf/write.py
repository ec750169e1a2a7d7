"""A Transformers folder written as one GGUF file for llama.cpp: the inverse of ``convert_gguf``.

The header is made first and read again, as a network and as a tokenizer; a model that it cannot describe is refused before
anything is written. Tensors then go through one by one: memory stays at one tensor, whatever the model's size.
"""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from etymon.errors import EtymonError
from etymon.foundation.facts import read_object
from etymon.foundation.gguf.architecture import IGNORED, Values, redo_for, stored_name
from etymon.foundation.gguf.header import GgufHeader
from etymon.foundation.gguf.quantisation import Quantisation
from etymon.foundation.gguf.write_configuration import (
    architecture_for,
    network_metadata,
    refuse_if_it_computes_otherwise,
    rope_factors,
)
from etymon.foundation.gguf.write_tokenizer import tokenizer_metadata
from etymon.foundation.model import Model
from etymon.foundation.network import load_config, load_tokenizer
from etymon.foundation.stored_tensor import StoredTensor
from etymon.foundation.weights import Weights, open_weights

_PLAIN = (Quantisation.f32, Quantisation.f16, Quantisation.bf16)
_LARGEST_HALF = 65504.0
(_ROPE_FACTORS,) = IGNORED


@dataclass(frozen=True)
class WrittenGguf:
    """What was written."""

    stored_types: dict[str, int]
    """Tensors by the type they are stored in."""
    notes: tuple[str, ...]
    """What llama.cpp will do otherwise than Transformers."""


def write_gguf(
    model: Model,
    path: Path,
    quantisation: Quantisation,
    general: Mapping[str, Any],
    progress: Callable[[float], None] = lambda done: None,
) -> WrittenGguf:
    """Write ``model`` to ``path``; ``progress`` is told the scalars that are done.

    ``general`` are further keys, such as ``general.license``. Norms, biases and whatever is no matrix stay float32; a matrix
    whose rows are no whole number of blocks is stored in half precision. Raises EtymonError for an architecture, a config
    or a tokenizer that the file could not describe, and for values that its type does not hold.
    """
    weights = open_weights(model.folder)
    header, factors, names, notes = _header(model, path, weights, quantisation, general)
    writer = _begun(header)
    try:
        done = 0
        for tensor in header.tensors:
            if tensor.name == _ROPE_FACTORS:
                writer.write_tensor_data(factors)
                continue
            values, redo = weights.read(names[tensor.name]), redo_for(header, tensor.name)
            writer.write_tensor_data(_stored(values if redo is None else redo(values), tensor, names[tensor.name]))
            done += tensor.scalars
            progress(done)
        writer.flush()
        for file in writer.fout or ():
            os.fsync(file.fileno())
    finally:
        writer.close()
    kinds = [tensor.dtype for tensor in header.tensors]
    return WrittenGguf({kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}, tuple(notes))


def _header(
    model: Model, path: Path, weights: Weights, quantisation: Quantisation, general: Mapping[str, Any]
) -> tuple[GgufHeader, np.ndarray[Any, Any] | None, dict[str, str], list[str]]:
    """The header, checked; the rotary factors where it has some; the names in Transformers of its tensors; notes."""
    config = load_config(model)
    architecture = architecture_for(config, model.name)
    factors = rope_factors(config)
    basis = {
        "general.architecture": architecture,
        "general.type": "model",
        "general.name": model.name,
        "general.file_type": _file_type(quantisation),
        "general.quantization_version": gguf.GGML_QUANT_VERSION,
    }
    header = GgufHeader(path, {**basis, **general, **network_metadata(config, architecture)}, ())
    tensors, names = [], {}
    head = "token_embd.weight" if config.tie_word_embeddings else "output.weight"
    for name in sorted(weights.names, key=_order):
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue  # the embedding, a second time
        stored = stored_name(header, name)
        if stored is None:
            raise EtymonError(
                f"{model.name} has the weight {name}, which the GGUF architecture {architecture!r} does not have.",
                "Check that its config.json names the right architecture.",
            )
        names[stored] = name
        shape = weights.shape(name)
        tensors.append(StoredTensor(stored, _type(shape, quantisation, head=stored == head), shape, 0, 0))
    if factors is not None:
        tensors.append(StoredTensor(_ROPE_FACTORS, "F32", factors.shape, 0, 0))
    header = replace(header, tensors=tuple(tensors))
    refuse_if_it_computes_otherwise(config, header, factors, model.name)
    rows = weights.shape(names["token_embd.weight"])[0]
    spoken, notes = tokenizer_metadata(load_tokenizer(model), rows, _ends(model), model.name)
    return replace(header, metadata=header.metadata | spoken), factors, names, notes


def _file_type(quantisation: Quantisation) -> int:
    types = gguf.LlamaFileType
    return int(types.ALL_F32 if quantisation is Quantisation.f32 else types[f"MOSTLY_{quantisation.name.upper()}"])


def _order(name: str) -> tuple[int, str]:
    """The embedding first, then layer after layer, then the rest."""
    part = name.split(".")
    if part[:2] == ["model", "layers"] and part[2].isdecimal():
        return int(part[2]), name
    return (-1 if "embed" in name else 1 << 30), name


def _ends(model: Model) -> list[int]:
    """Ids that end an answer, as the generation config has them."""
    ends = read_object(model.folder / "generation_config.json").get("eos_token_id")
    return [ends] if isinstance(ends, int) else [end for end in ends or () if isinstance(end, int)]


def _type(shape: tuple[int, ...], quantisation: Quantisation, *, head: bool) -> str:
    """As llama.cpp's own quantiser, the head gets more bits: with q4_0 in all, 135M parameters lost a quarter more."""
    if len(shape) < 2:
        return "F32"
    kind = "Q8_0" if head and quantisation not in _PLAIN else quantisation.name.upper()
    block, _ = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    return "F16" if shape[-1] % block else kind


def _begun(header: GgufHeader) -> gguf.GGUFWriter:
    """A writer that has written all but the tensors' values."""
    logging.getLogger("gguf").setLevel(logging.WARNING)
    writer = gguf.GGUFWriter(header.path, header.architecture)
    for key, value in header.metadata.items():
        if key != "general.architecture":  # the writer's own
            _add(writer, key, value)
    for tensor in header.tensors:
        kind = gguf.GGMLQuantizationType[tensor.dtype]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        writer.add_tensor_info(
            tensor.name, tensor.shape, np.dtype(np.float32), tensor.scalars // block * size, raw_dtype=kind
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    return writer


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    """Write a key in the type that llama.cpp expects: unsigned integers, single precision."""
    match value:
        case bool():
            writer.add_bool(key, value)
        case int():
            writer.add_uint32(key, value)
        case float():
            writer.add_float32(key, value)
        case str():
            writer.add_string(key, value)
        case np.ndarray():
            writer.add_array(key, value.tolist())
        case _:
            writer.add_array(key, value)


def _stored(values: Values, tensor: StoredTensor, name: str) -> np.ndarray[Any, Any]:
    """Values as the file keeps them. Raises EtymonError where the type does not hold them."""
    largest = float(np.abs(values).max(initial=0.0))
    if not np.isfinite(largest):
        raise EtymonError(f"The weight {name} has values that are no numbers, or infinite.", "Train the model again.")
    if tensor.dtype not in ("F32", "BF16") and largest > _LARGEST_HALF:
        raise EtymonError(f"The weight {name} has values up to {largest:.3g}, more than {tensor.dtype} holds.", "Take bf16.")
    stored: np.ndarray[Any, Any] = gguf.quants.quantize(values, gguf.GGMLQuantizationType[tensor.dtype])
    return np.ascontiguousarray(stored)
