"""A GGUF file written out as a plain Transformers folder.

Weights are float32, because a dequantised value, ``scale * step + minimum``, has more digits than bfloat16 holds; a file
whose values all fit bfloat16 or float16 exactly stays in that. Tensors are dequantised in parallel and written one by one,
so memory stays at a few tensors whatever the model's size.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from etymon.foundation.gguf.configuration import configuration
from etymon.foundation.gguf.header import GgufHeader
from etymon.foundation.gguf.tokenizer import recover_tokenizer, tokenizer_files
from etymon.foundation.safetensors_file import SafetensorsWriter, shards
from etymon.foundation.stored_tensor import refuse
from etymon.foundation.weights import INDEX, Weights, gguf_weights

LARGEST_FILE = 4_000_000_000
_WORKERS = 2
"""Beyond two, writing is the limit (measured: 2.3 s with one, 1.5 s with two, for 135M parameters)."""

_TORCH_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def convert_gguf(header: GgufHeader, folder: Path, progress: Callable[[float], None]) -> dict[str, Any]:
    """Write config, tokenizer and weights into ``folder``; ``progress`` is told the bytes of the GGUF that are done.

    Returns the facts of the conversion. Raises EtymonError where the file holds something that is not known here.
    """
    recovered = recover_tokenizer(header)  # first: it is quick, and may refuse
    weights = gguf_weights(header)
    dtype = exact_dtype(weights)
    config = configuration(header, _TORCH_NAMES[dtype], _rope_factors(header))
    _check_names(header, weights, config)
    for name, text in tokenizer_files(recovered).items():
        (folder / name).write_text(text, "utf-8")
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", _generation(header))
    _write_weights(weights, dtype, folder, progress)
    stored = Counter(weights.dtype(name) for name in weights.names)
    return {"architecture": header.architecture, "stored_types": dict(stored.most_common()), "dtype": _TORCH_NAMES[dtype]}


def exact_dtype(weights: Weights) -> str:
    """The smallest of BF16, F16 and F32 that holds every value exactly."""
    stored = {weights.dtype(name) for name in weights.names}
    for half in ("BF16", "F16"):
        rest = [name for name in weights.names if weights.dtype(name) != half]
        if half in stored and stored <= {half, "F32"} and all(_fits(weights.read(name), half) for name in rest):
            return half
    return "F32"


def _fits(values: np.ndarray[Any, Any], half: str) -> bool:
    if half == "BF16":
        return not np.any(values.view(np.uint32) & 0xFFFF)
    with np.errstate(over="ignore"):
        return bool(np.array_equal(values.astype(np.float16).astype(np.float32), values))


def _rope_factors(header: GgufHeader) -> np.ndarray[Any, Any] | None:
    for tensor in header.tensors:
        if tensor.name == "rope_freqs.weight" and tensor.dtype == "F32":
            stored: np.ndarray[Any, Any] = np.memmap(header.path, "<f4", "r", tensor.offset, tensor.shape)
            return stored
    return None


def _check_names(header: GgufHeader, weights: Weights, config: dict[str, Any]) -> None:
    """Every layer has the same tensors, and there are as many layers as the config says."""
    layers: Counter[str] = Counter()
    for name in weights.names:
        if name.startswith("model.layers."):
            layers[name.split(".", 3)[3]] += 1
    count = config["num_hidden_layers"]
    if not layers or set(layers.values()) != {count}:
        short = next((name for name, seen in layers.items() if seen != count), "every weight")
        refuse(header.path, f"its metadata says {count} layers, but {short} is there {layers[short]} times")
    if "model.norm.weight" not in weights.names:
        refuse(header.path, "it lacks the last norm, output_norm.weight")


def _generation(header: GgufHeader) -> dict[str, Any]:
    """Which tokens begin, end and pad a text. GGUF knows three ends: of the text, of a turn, and of a message."""
    metadata = header.metadata
    keys = (f"tokenizer.ggml.{end}_token_id" for end in ("eos", "eot", "eom"))
    ends = [metadata[key] for key in keys if key in metadata]
    ends = list(dict.fromkeys(ends))
    found = {
        "bos_token_id": metadata.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": ends[0] if len(ends) == 1 else ends or None,
        "pad_token_id": metadata.get("tokenizer.ggml.padding_token_id"),
    }
    return {key: value for key, value in found.items() if value is not None}


def _write_weights(weights: Weights, dtype: str, folder: Path, progress: Callable[[float], None]) -> None:
    files = shards([(name, dtype, weights.shape(name)) for name in weights.names], LARGEST_FILE)
    single = len(files) == 1
    names = ["model.safetensors" if single else f"model-{i + 1:05}-of-{len(files):05}.safetensors" for i in range(len(files))]
    done = 0
    values = _in_order(weights, dtype)
    for name, tensors in zip(names, files, strict=True):
        with (folder / name).open("wb") as file:
            writer = SafetensorsWriter(file, tensors)
            for tensor, _, _ in tensors:
                writer.add(tensor, next(values))
                done += len(weights.raw(tensor))
                progress(done)
    if not single:
        weight_map = {tensor: name for name, tensors in zip(names, files, strict=True) for tensor, _, _ in tensors}
        total = sum(path.stat().st_size for path in (folder / name for name in names))
        _write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})


def _in_order(weights: Weights, dtype: str) -> Iterator[np.ndarray[Any, Any]]:
    """All tensors by name, each in the bytes of ``dtype``; a few are dequantised ahead of the one that is asked for."""

    def stored(name: str) -> np.ndarray[Any, Any]:
        values = weights.read(name)
        if dtype == "BF16":
            return (values.view(np.uint32) >> 16).astype(np.uint16)
        return values.astype(np.float16) if dtype == "F16" else values

    with ThreadPoolExecutor(_WORKERS) as pool:
        names = iter(weights.names)
        ahead: list[Future[np.ndarray[Any, Any]]] = [pool.submit(stored, name) for name in islice(names, 2 * _WORKERS)]
        while ahead:
            yield ahead.pop(0).result()
            ahead.extend(pool.submit(stored, name) for name in islice(names, 1))


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
