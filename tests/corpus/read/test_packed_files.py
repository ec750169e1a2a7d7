"""Packed files give what is in them, and neither a bomb nor damage is taken in or lost in silence."""

import gzip
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from etymon.corpus.read.formats import Document, Unread, read_file, suffix_of, type_of
from etymon.corpus.read.packed import HIGHEST_RATIO, LONGEST_DOCUMENT, zstd
from etymon.corpus.read.row_files import read_rows

PACK: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstd.compress}


def read(path: Path, column: str = "text") -> list[Document | Unread]:
    found = list(read_file(path, path.name, column))
    assert list(read_file(path, path.name, column)) == found, "a second reading gives the same"
    return found


def test_the_type_is_that_of_what_is_packed() -> None:
    names = ["a.TXT", "a.JSONL.GZ", "a.csv.zst", "a.warc.gz", "a.pdf.gz", "a.gz", "a", ".gz", "b.tar.gz"]
    assert [type_of(name) for name in names] == [".txt", ".jsonl", ".csv", ".warc", ".gz", ".gz", "", "", ".gz"]
    assert [suffix_of(name) for name in names[:3]] == [".TXT", ".JSONL.GZ", ".csv.zst"]


@pytest.mark.parametrize("packing", PACK)
def test_packed_files_read_as_the_same_unpacked(tmp_path: Path, packing: str) -> None:
    contents = {
        "a.txt": b"Two words.\nAnd more.",
        "a.html": b"<html><body><p>Two words.</p></body></html>",
        "a.jsonl": b'{"text": "one"}\n{broken\n{"text": 2}\n\n{"text": "four"}',
        "a.json": b'[{"text": "one"}, {"text": "two"}]',
        "a.csv": b'n,text\n1,"one\nline"\n2\n3,three',
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / f"{name}{packing}").write_bytes(PACK[packing](content[:9]) + PACK[packing](content[9:]))
        units = [(each, each.unit.replace(f"{name}{packing}", name)) for each in read(tmp_path / f"{name}{packing}")]
        assert [type(each)(**vars(each) | {"unit": unit}) for each, unit in units] == read(tmp_path / name)


@pytest.mark.parametrize("packing", PACK)
def test_conversations_are_read_packed(tmp_path: Path, packing: str) -> None:
    rows = [{"prompt": "Why?", "completion": "So.", "url": "https://a.example/1", "timestamp": "2024-05-01T10:00:00Z"}]
    path = tmp_path / f"a.jsonl{packing}"
    path.write_bytes(PACK[packing](json.dumps(rows[0]).encode()))
    (document,) = read_rows(path, "a", "chat", {})
    assert isinstance(document, Document)
    assert (document.unit, document.url, document.date) == ("a#1", "https://a.example/1", "2024-05-01T10:00:00Z")


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("inside", ["txt", "html", "json", "warc"])
def test_a_bomb_is_told_and_gives_nothing(tmp_path: Path, packing: str, inside: str) -> None:
    path = tmp_path / f"bomb.{inside}{packing}"
    path.write_bytes(PACK[packing](b"[" + bytes(4 * LONGEST_DOCUMENT)))
    assert path.stat().st_size * HIGHEST_RATIO < LONGEST_DOCUMENT
    (unread,) = read(path)
    assert isinstance(unread, Unread)
    assert unread.reason == "too-large-when-unpacked"


def test_rows_before_a_bomb_are_kept_and_the_rest_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "good"}\n') + gzip.compress(bytes(8 * LONGEST_DOCUMENT)))
    document, unread = read(path)
    assert document == Document("a.jsonl.gz#1", "good")
    assert isinstance(unread, Unread)
    assert (unread.unit, unread.reason) == ("a.jsonl.gz#2", "too-large-when-unpacked")
    assert "packed bytes unread" in unread.detail


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_whole_rows_before_a_cut_are_kept(tmp_path: Path, packing: str, name: str) -> None:
    texts = [sha256(bytes([number % 256, number // 256])).hexdigest() for number in range(20_000)]
    lines = [json.dumps({"text": text}) for text in texts] if name == "a.jsonl" else ["text", *texts]
    whole = PACK[packing]("\n".join(lines).encode())
    path = tmp_path / f"{name}{packing}"
    path.write_bytes(whole[: len(whole) * 3 // 4])
    *documents, unread = read(path)
    assert len(documents) > 5_000
    assert [each.text for each in documents if isinstance(each, Document)] == texts[: len(documents)]
    assert isinstance(unread, Unread)
    assert (unread.unit, unread.reason) == (f"{path.name}#{len(documents) + 1}", "cut-off")


@pytest.mark.parametrize("packing", PACK)
def test_what_is_not_packed_as_its_name_says_is_told(tmp_path: Path, packing: str) -> None:
    path = tmp_path / f"a.txt{packing}"
    for content, reason in (
        (b"plain text", "damaged"),
        (PACK[packing](b"x" * 99)[:12], "cut-off"),
        (PACK[packing](b""), "empty"),
    ):
        path.write_bytes(content)
        assert [each.reason for each in read(path) if isinstance(each, Unread)] == [reason]
