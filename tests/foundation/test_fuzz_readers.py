"""Damaged model files end in values or in one clear error; `fuzz_readers.py` runs as many cases as it is told."""

import json
import struct
from pathlib import Path

import pytest
from fuzz_readers import Room
from hypothesis import given, settings
from hypothesis import strategies as st

from etymon.errors import EtymonError
from etymon.foundation.adapter import read_adapter
from etymon.foundation.gguf.header import LARGEST_HEADER, read_gguf_header
from etymon.foundation.safetensors_file import LONGEST_HEADER, read_safetensors_header


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    return Room(tmp_path_factory.mktemp("fuzz"))


@given(number=st.integers(0, 2**64))
@settings(max_examples=1500)
def test_a_damaged_file_is_read_or_refused(room: Room, number: int) -> None:
    assert room.case(number).split()[-1] in ("read", "refused")


def test_what_is_not_damaged_is_read(room: Room) -> None:
    for name in ("model.safetensors", "model.gguf", "adapter_model.safetensors"):
        path = room.folder / name
        assert read_gguf_header(path) if path.suffix == ".gguf" else read_safetensors_header(path)
    assert read_adapter(room.folder).low_rank


@pytest.mark.parametrize("filling", [b"{},", b"[],", b"1,", b'"":1,', b"[[],{}],"])
def test_a_header_of_a_hundred_megabytes_is_refused_unparsed(tmp_path: Path, filling: bytes) -> None:
    path = tmp_path / "model.safetensors"
    body = b'{"a":[' + filling * ((LONGEST_HEADER - 20) // len(filling)) + b"0]}"
    path.write_bytes(struct.pack("<Q", len(body)) + body)
    with pytest.raises(EtymonError, match="more than 4,194,304 values"):
        read_safetensors_header(path)


def test_a_long_header_of_few_values_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    body = json.dumps({"__metadata__": {"note": "x" * 50_000_000}, "a": entry}).encode()
    path.write_bytes(struct.pack("<Q", len(body)) + body + bytes(8))
    assert [tensor.name for tensor in read_safetensors_header(path)] == ["a"]


def test_many_arrays_of_strings_are_refused(tmp_path: Path) -> None:
    """Each is within the limit of one vocabulary; an empty string costs eight bytes of the file."""
    path = tmp_path / "model.gguf"
    with path.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, 0, 64))
        for number in range(64):
            file.write(struct.pack("<Q", 2) + b"%02d" % number + struct.pack("<IIQ", 9, 8, 1 << 17) + bytes(8 << 17))
    with pytest.raises(EtymonError, match="array of 131072 strings"):
        read_gguf_header(path)


def test_a_gguf_header_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    with path.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"a" + struct.pack("<IIQ", 9, 0, 1 << 40))
        file.truncate((1 << 40) + 100)  # a hole, which takes no room on disk
    with pytest.raises(EtymonError, match=f"longer than {LARGEST_HEADER}"):
        read_gguf_header(path)
