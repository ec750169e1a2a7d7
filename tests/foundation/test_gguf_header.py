"""A hostile or damaged GGUF ends in one clear error: no crash, no huge allocation, no silence."""

import struct
from pathlib import Path

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_gguf import write_tiny_gguf

from etymon.errors import EtymonError
from etymon.foundation.gguf.header import read_gguf_header
from etymon.foundation.weights import open_weights


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def head(tensors: int = 0, keys: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys)


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def tensor(name: bytes, sizes: list[int], kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, offset)


def test_header_agrees_with_the_gguf_package(tiny: Path) -> None:
    ours, theirs = read_gguf_header(tiny), gguf.GGUFReader(tiny)
    assert [(t.name, t.shape, t.offset, t.nbytes) for t in ours.tensors] == [
        (t.name, tuple(reversed(t.shape.tolist())), t.data_offset, t.n_bytes) for t in theirs.tensors
    ]
    for key, field in theirs.fields.items():
        if not key.startswith("GGUF."):
            found = ours.metadata[key]
            assert (list(found) if hasattr(found, "__array__") else found) == field.contents()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "fewer than a GGUF header"),
        (b"GGML" + bytes(40), "does not begin with the letters GGUF"),
        (head(version=1) + bytes(8), "version 1"),
        (head(version=3 << 24) + bytes(8), "little-endian"),
        (head(keys=1 << 60) + bytes(8), "claims 1152921504606846976 keys"),
        (head(tensors=1 << 60) + bytes(8), "tensors"),
        (head(keys=1) + struct.pack("<Q", 1 << 62) + bytes(8), "a string of 4611686018427387904 bytes"),
        (head(keys=1) + text(b"a") + struct.pack("<I", 99), "unknown type 99"),
        (head(keys=1) + text(b"a") + struct.pack("<IIQ", 9, 8, 1 << 40), "array of 1099511627776 strings"),
        (head(keys=1) + text(b"a") + struct.pack("<IIQ", 9, 4, 1 << 60), "ends within its header"),
        (head(keys=1) + text(b"a") + struct.pack("<IIQ", 9, 9, 1), "array of the unsupported type 9"),
        (head(keys=1) + text(b"\xff\xfe") + bytes(8), "not UTF-8"),
        (head(keys=2) + 2 * (text(b"a") + struct.pack("<IB", 0, 1)), "occurs twice"),
        (head(1) + tensor(b"x", [1] * 5, 0, 0), "5 dimensions"),
        (head(1) + tensor(b"x", [1 << 50], 0, 0), "claims the shape"),
        (head(1) + tensor(b"x", [1 << 20, 1 << 20], 0, 0), "truncated: the tensor 'x'"),
        (head(1) + tensor(b"x", [8], 999, 0), "unknown type 999"),
        (head(1) + tensor(b"x", [33], 8, 0) + bytes(200), "no whole number of Q8_0 blocks"),
        (head(1) + tensor(b"x", [8], 0, 4) + bytes(200), "unaligned offset"),
        (head(1) + tensor(b"x", [8], 0, 1 << 62) + bytes(200), "truncated"),
        (head(2) + tensor(b"x", [8], 0, 0) + tensor(b"x", [8], 0, 32) + bytes(200), "same name"),
        (head(2) + tensor(b"x", [16], 0, 0) + tensor(b"y", [8], 0, 32) + bytes(200), "overlap"),
        (head(0, 1) + text(b"general.alignment") + struct.pack("<II", 4, 7), "not a power of two"),
        (head(0, 1) + text(b"split.count") + struct.pack("<IH", 2, 3), "one of 3 parts"),
    ],
)
def test_impossible_headers_are_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(EtymonError, match=says) as refused:
        read_gguf_header(path)
    assert str(path) in refused.value.problem or "parts" in says
    assert refused.value.remedy


@given(share=st.floats(0, 1, exclude_max=True))
@settings(max_examples=60)
def test_every_truncation_is_refused(tiny: Path, share: float) -> None:
    whole = tiny.read_bytes()
    path = tiny.with_name("truncated.gguf")
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(EtymonError):
        read_gguf_header(path)


@given(data=st.data())
@settings(max_examples=150)
def test_a_mutated_file_is_read_or_refused(tiny: Path, data: st.DataObject) -> None:
    whole = bytearray(tiny.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, 9_000))
        patch = data.draw(st.binary(min_size=1, max_size=9))
        whole[at : at + len(patch)] = patch
    path = tiny.with_name("mutated.gguf")
    path.write_bytes(whole)
    try:
        weights = open_weights(path)
        for name in weights.names:
            assert weights.read(name).shape == weights.shape(name)
    except EtymonError:
        pass
