"""Items of a user's file: every row and all its text, or an error that names the row."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from etymon.corpus.duplicates.items import read_items
from etymon.errors import EtymonError

ROWS = [
    {
        "id": "q-7",
        "question": "Which gas do plants take in?",
        "choices": {"text": ["oxygen", "carbon dioxide"], "label": ["A", "B"]},
    },
    {"question": "And at night?", "options": ["A", "oxygen"], "answer": 1, "note": None},
    {"messages": [{"role": "user", "content": "Write a poem."}]},
]


def test_all_text_of_a_row_counts(tmp_path: Path) -> None:
    file = tmp_path / "items.jsonl"
    file.write_text("\n".join(map(json.dumps, ROWS)) + "\n\n", "utf-8")
    expected = {
        "items.jsonl#q-7": (
            "Which gas do plants take in?\noxygen\ncarbon dioxide",
            "Which gas do plants take in?\nA. oxygen\nB. carbon dioxide",
        ),
        "items.jsonl#2": ("And at night?\noxygen",),
        "items.jsonl#3": ("user\nWrite a poem.",),
    }
    assert read_items(file) == expected
    packed = tmp_path / "items.jsonl.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert list(read_items(packed).values()) == list(expected.values())


def test_tables_are_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('question,choice0,answer\n"one, two",three,0\nfour,five,1\n', "utf-8")
    assert read_items(tmp_path / "a.csv") == {"a.csv#1": ("one, two\nthree",), "a.csv#2": ("four\nfive",)}
    parquet.write_table(
        pa.table({"id": [4, 4], "ctx": ["a b", "c d"], "endings": [["e f"], ["g h"]]}), tmp_path / "a.parquet"
    )
    assert read_items(tmp_path / "a.parquet") == {"a.parquet#4": ("a b\ne f",), "a.parquet#4 (2)": ("c d\ng h",)}


def test_text_has_items_between_empty_lines_or_on_lines(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("\none\ntwo\n\n", "utf-8")
    assert read_items(tmp_path / "lines.txt") == {"lines.txt#2": ("one",), "lines.txt#3": ("two",)}
    (tmp_path / "blocks.txt").write_text("one\ntwo\n\n \nthree\n", "utf-8")
    assert read_items(tmp_path / "blocks.txt") == {"blocks.txt#1": ("one\ntwo",), "blocks.txt#5": ("three",)}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("bad.jsonl", b'{"question": "a"}\n{"question": \n', r"bad.jsonl: bad.jsonl#2 cannot be read \(bad-json"),
        ("cut.jsonl.gz", gzip.compress(b'{"question": "abc"}\n' * 99, mtime=0)[:30], "cannot be read"),
        ("items.pdf", b"%PDF", "not read from files of this type"),
        ("numbers.csv", b"a,b\n1,2\n", "no evaluation item"),
        ("empty.txt", b"\n\n", "no evaluation item"),
        ("latin.txt", "Köln".encode("latin-1"), "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_an_error(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EtymonError, match=said):
        read_items(tmp_path / name)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EtymonError, match=r"gone\.jsonl"):
        read_items(tmp_path / "gone.jsonl")
