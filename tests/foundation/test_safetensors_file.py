"""Safetensors headers are checked before anything is mapped; what we write, the safetensors library reads."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from etymon.errors import EtymonError
from etymon.foundation.safetensors_file import SafetensorsWriter, read_safetensors_header, shards
from etymon.foundation.weights import open_weights


def file_with(tmp_path: Path, header: Any, data: bytes, *, length: int | None = None) -> Path:
    body = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes((len(body) if length is None else length).to_bytes(8, "little") + body + data)
    return path


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


GOOD = entry("F32", [2], 0, 8)


@pytest.mark.parametrize(
    ("header", "data", "says"),
    [
        (b"not json", bytes(8), "not plain JSON"),
        (b'{"x":' * 5000, bytes(8), "not plain JSON"),
        (b'{"a":' + json.dumps(GOOD).encode() + b',"a":' + json.dumps(GOOD).encode() + b"}", bytes(8), "occurs twice"),
        (b'{"x":NaN}', b"", "NaN is not a number"),
        (b"[]", b"", "not a JSON object"),
        ({"a": [1]}, b"", "does not give dtype"),
        ({"a": {**GOOD, "more": 1}}, bytes(8), "does not give dtype"),
        ({"a": entry("F33", [2], 0, 8)}, bytes(8), "unknown type 'F33'"),
        ({"a": entry("F32", [-2], 0, 8)}, bytes(8), "the shape"),
        ({"a": entry("F32", [2.0], 0, 8)}, bytes(8), "the shape"),  # type: ignore[list-item]
        ({"a": entry("F32", [1 << 61, 1 << 61], 0, 8)}, bytes(8), "the shape"),
        ({"a": entry("F32", [0, 1 << 60], 0, 0)}, b"", "the shape"),
        ({"a": entry("F32", [3], 0, 8)}, bytes(8), "has 8 bytes"),
        ({"a": entry("F32", [2], 8, 0)}, bytes(8), "the offsets"),
        ({"a": entry("F32", [2], 8, 16)}, bytes(16), "where .* is expected"),
        ({"a": GOOD, "b": GOOD}, bytes(8), "where .* is expected"),
        ({"a": GOOD, "b": entry("F32", [2], 4, 12)}, bytes(12), "where .* is expected"),
        ({"a": GOOD, "b": entry("F32", [2], 12, 20)}, bytes(20), "where .* is expected"),
        ({"a": GOOD}, bytes(4), "truncated"),
        ({"a": GOOD}, bytes(12), "goes on to"),
    ],
)
def test_impossible_headers_are_refused(tmp_path: Path, header: Any, data: bytes, says: str) -> None:
    path = file_with(tmp_path, header, data)
    with pytest.raises(EtymonError, match=says) as refused:
        read_safetensors_header(path)
    assert str(path) in refused.value.problem


@pytest.mark.parametrize("length", [0, 7, 1 << 40, (1 << 64) - 1])
def test_a_wrong_header_length_is_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(EtymonError):
        read_safetensors_header(file_with(tmp_path, {"a": GOOD}, bytes(8), length=length))


@pytest.mark.parametrize("size", [0, 3, 8, 20])
def test_a_stump_is_refused(tmp_path: Path, size: int) -> None:
    path = file_with(tmp_path, {"a": GOOD}, bytes(8))
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(EtymonError, match="truncated"):
        read_safetensors_header(path)


@given(data=st.data())
@settings(max_examples=150)
def test_a_mutated_file_is_refused_or_holds_what_the_library_finds(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.safetensors"
    save_file({"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(4, np.float16)}, path)
    whole = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    patch = data.draw(st.binary(min_size=1, max_size=6))
    whole[at : at + len(patch)] = patch
    path.write_bytes(whole)
    try:
        weights = open_weights(path)
        found = {name: weights.read(name) for name in weights.names}
    except EtymonError:
        return
    with safe_open(path, "np") as library:
        assert set(found) == set(library.keys())
        for name, values in found.items():
            np.testing.assert_array_equal(values, library.get_tensor(name).astype(np.float32))


@given(shapes=st.lists(st.lists(st.integers(0, 5), max_size=3).map(tuple), max_size=6))
@settings(max_examples=50)
def test_what_is_written_is_what_the_library_reads(
    tmp_path_factory: pytest.TempPathFactory, shapes: list[tuple[int, ...]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.safetensors"
    random = np.random.default_rng(0)
    tensors = {f"t{row}": random.standard_normal(shape).astype(np.float32) for row, shape in enumerate(shapes)}
    with path.open("wb") as file:
        writer = SafetensorsWriter(file, [(name, "F32", values.shape) for name, values in tensors.items()])
        for name, values in tensors.items():
            writer.add(name, values)
    loaded = load_file(path)
    assert set(loaded) == set(tensors)
    for name, values in tensors.items():
        np.testing.assert_array_equal(loaded[name], values)
    read_safetensors_header(path)


def test_writing_another_tensor_than_announced_is_a_bug() -> None:
    writer = SafetensorsWriter(io.BytesIO(), [("a", "F32", (2,))])
    with pytest.raises(AssertionError):
        writer.add("b", np.zeros(2, np.float32))


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=12), largest=st.integers(1, 200))
def test_shards_keep_every_tensor_once_and_in_order(sizes: list[int], largest: int) -> None:
    tensors = [(f"t{row}", "F32", (size,)) for row, size in enumerate(sizes)]
    files = shards(tensors, largest)
    assert [tensor for file in files for tensor in file] == tensors
    assert all(len(file) == 1 or sum(4 * shape[0] for _, _, shape in file) <= largest for file in files)
