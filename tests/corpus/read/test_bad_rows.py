"""Bad content of every kind: what is good is read, what is not is told with its place, and both add up."""

import csv
import io
import json
import tracemalloc
from pathlib import Path

import hypothesis.strategies as st
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given

from etymon.corpus.read import packed
from etymon.corpus.read.formats import Document, Unread, read_file
from etymon.corpus.read.packed import LONGEST_DOCUMENT, LONGEST_ROW
from etymon.corpus.read.row_files import read_rows
from etymon.errors import EtymonError
from etymon.text.normalise import repair


def read(path: Path, column: str = "text") -> tuple[list[Document], list[Unread]]:
    found = list(read_file(path, path.name, column))
    assert list(read_file(path, path.name, column)) == found, "a second reading gives the same"
    return [each for each in found if isinstance(each, Document)], [each for each in found if isinstance(each, Unread)]


def reasons(unread: list[Unread]) -> list[tuple[str, str]]:
    return [(each.unit.rpartition("#")[2], each.reason) for each in unread]


def test_one_bad_line_among_many(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"row {number}"}).encode() for number in range(20_000)]
    lines[7_000] = b'{"text": "\xff"}'
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    documents, unread = read(tmp_path / "a.jsonl")
    assert len(documents) == 19_999
    assert reasons(unread) == [("7001", "bad-json")]


def test_mixed_types_in_a_column(tmp_path: Path) -> None:
    values = ["one", 2, None, ["four", 4], {"text": "five"}, True, "seven", [], ["eight", ["nine"]]]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": value}) + "\n" for value in values))
    documents, unread = read(tmp_path / "a.jsonl")
    assert [each.text for each in documents] == ["one", "seven"]
    assert reasons(unread) == [
        ("2", "text-not-a-string"), ("3", "empty"), ("4", "text-not-a-string"), ("5", "text-not-a-string"),
        ("6", "text-not-a-string"), ("8", "empty"), ("9", "text-not-a-string"),
    ]  # fmt: skip


def test_a_list_of_strings_is_a_text_by_lines(tmp_path: Path) -> None:
    poem = ["白日依山盡，黃河入海流。", "欲窮千里目，更上一層樓。"]
    (tmp_path / "a.json").write_text(json.dumps([{"lines": poem, "title": "登鸛雀樓"}]))
    pyarrow.parquet.write_table(pyarrow.table({"lines": [poem]}), tmp_path / "a.parquet")
    for name in ("a.json", "a.parquet"):
        documents, unread = read(tmp_path / name, "lines")
        assert ([each.text for each in documents], unread) == (["\n".join(poem)], [])


def test_missing_columns(tmp_path: Path) -> None:
    (tmp_path / "some.jsonl").write_text('{"text": "one"}\n{"body": "two"}\n')
    documents, unread = read(tmp_path / "some.jsonl")
    assert (len(documents), reasons(unread)) == (1, [("2", "no-text-column")])
    for name, content in (("a.jsonl", '{"body": "two"}\n'), ("a.csv", "n,body\n1,two\n")):
        (tmp_path / name).write_text(content)
        with pytest.raises(EtymonError, match=r"no column 'text'(.|\n)*column: "):
            read(tmp_path / name)
    (tmp_path / "settings.json").write_text('{"name": "value"}')
    assert reasons(read(tmp_path / "settings.json")[1]) == [("1", "no-text-column")]
    (tmp_path / "pretty.json").write_text('{\n  "text": "one"\n}')
    assert reasons(read(tmp_path / "pretty.json")[1]) == [("1", "bad-json")]


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.json", "a.csv", "a.parquet", "a.html", "a.pdf", "a.warc"])
def test_empty_files_are_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert [each.reason for each in read(tmp_path / name)[1]] == ["empty"]


def test_files_without_rows_are_told(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"text": pyarrow.array([], pyarrow.string())}), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text("\n \n")
    (tmp_path / "a.csv").write_text("text,n\n")
    (tmp_path / "a.json").write_text("[]")
    for path in sorted(tmp_path.iterdir()):
        assert reasons(read(path)[1]) == [(path.name, "empty")]


def test_nul_characters(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a NUL\0 in a text of some length")
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "a NUL\\u0000 here"}')
    (tmp_path / "a.csv").write_bytes(b"text\na NUL\0 there\n")
    assert [read(path)[0][0].text.count("\0") for path in sorted(tmp_path.iterdir())] == [1, 1, 1]
    assert repair("a NUL\0 here") == "a NUL here"
    (tmp_path / "b.txt").write_bytes("UTF-16 that does not say so".encode("utf-16-le"))
    assert reasons(read(tmp_path / "b.txt")[1]) == [("b.txt", "not-text")]


def test_an_unclosed_quote_costs_its_line_not_the_file(tmp_path: Path) -> None:
    rows = [f'{number},"text {number}"' for number in range(1000)]
    rows[500] = '500,"a quote that is not closed'
    rows[501:] = [f"{number},text {number}" for number in range(501, 1000)]
    (tmp_path / "a.csv").write_text("\n".join(["n,text", *rows]) + "\n")
    documents, unread = read(tmp_path / "a.csv")
    assert [each.text for each in documents] == [f"text {number}" for number in range(1000) if number != 500]
    assert reasons(unread) == [("501", "unclosed-quote")]
    assert 'line 502: 500,"a quote' in unread[0].detail


@pytest.mark.parametrize(
    ("lines", "expected", "told"),
    [
        (['1,"open', '2,"second"', "3,third"], ["second", "third"], [("1", "unclosed-quote")]),
        (['"1","open', '"2","second"', '"3","third"'], ["second", "third"], [("1", "unclosed-quote")]),
        (['1,"open', '2,""', '3,"third"'], ["third"], [("1", "unclosed-quote"), ("2", "empty")]),
        (['1,"open', '2,", then a comma"', "3,third"], [", then a comma", "third"], [("1", "unclosed-quote")]),
        (['1,"said "so" once"', "2,second"], ["second"], [("1", "bad-row")]),
        (['1,"two', 'lines"', '2,"a ""quote"""'], ["two\nlines", 'a "quote"'], []),
        (
            ['1,"two', 'lines "with quotes" in', 'them"', "2,second"],
            ["second"],
            [("1", "unclosed-quote"), ("2", "bad-row"), ("3", "bad-row")],
        ),
    ],
)
def test_an_unclosed_quote_takes_no_other_row_with_it(
    tmp_path: Path, lines: list[str], expected: list[str], told: list[tuple[str, str]]
) -> None:
    (tmp_path / "a.csv").write_text("\n".join(["n,text", *lines]) + "\n")
    documents, unread = read(tmp_path / "a.csv")
    assert ([each.text for each in documents], reasons(unread)) == (expected, told)
    assert all(each.reason == "empty" or each.detail.startswith("line ") for each in unread)


@given(st.lists(st.text('ab \n,"', max_size=8), max_size=8))
def test_the_rows_after_a_missing_quote_are_as_they_were(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    quoted = ['"after{}","x"'.format(text.replace('"', '""')) for text in texts]
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes("".join(f"{row}\n" for row in ['"text","n"', '"before","x"', '"open,x', *quoted]).encode())
    documents, unread = read(path)
    assert [each.text for each in documents] == ["before", *(f"after{text}" for text in texts)]
    assert reasons(unread) == [("2", "unclosed-quote")]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_two_columns_of_one_name_are_refused(tmp_path: Path, name: str) -> None:
    if name == "a.csv":
        (tmp_path / name).write_text("text,n,text,n,,\nfirst,1,second,2,,\n")
    else:
        columns = [pyarrow.array(["first"]), pyarrow.array([1]), pyarrow.array(["second"]), pyarrow.array([2])]
        pyarrow.parquet.write_table(pyarrow.Table.from_arrays(columns, ["text", "n", "text", "n"]), tmp_path / name)
    with pytest.raises(EtymonError, match=rf"{name} has 2 columns named 'text'"):
        read(tmp_path / name)
    with pytest.raises(EtymonError, match="2 columns named 'n'"):
        read(tmp_path / name, "n")


def test_columns_that_nobody_needs_may_share_a_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,n,n,,\nfirst,1,2,,\n")
    assert [each.text for each in read(tmp_path / "a.csv")[0]] == ["first"]


def test_a_line_beyond_reason_within_an_open_quote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etymon.corpus.read.csv_records.LONGEST_ROW", 5000)
    (tmp_path / "a.csv").write_text("\n".join(["text", '"open', "good", "x" * 20_000, "last"]))
    documents, unread = read(tmp_path / "a.csv")
    assert [each.text for each in documents] == ["good", "last"]
    assert reasons(unread) == [("1", "unclosed-quote"), ("3", "too-long")]


def test_a_comma_too_many_is_no_silent_cut(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("n,text\n1,Hello, world\n2,good,,\n3,fine\n")
    documents, unread = read(tmp_path / "a.csv")
    assert [each.text for each in documents] == ["good", "fine"]
    assert reasons(unread) == [("1", "bad-row")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_csv_in_the_encodings_that_say_what_they_are(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_bytes("text,n\nGröße 學,1\n".encode(encoding))
    assert [each.text for each in read(tmp_path / "a.csv")[0]] == ["Größe 學"]


def test_a_record_in_another_encoding_is_told_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"text,n\none,1\nGr\xf6\xdfe,2\nthree,3\n")
    documents, unread = read(tmp_path / "a.csv")
    assert [each.text for each in documents] == ["one", "three"]
    assert reasons(unread) == [("2", "not-utf-8")]
    assert unread[0].detail.startswith("line 3: Gr")


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.lists(st.tuples(CELLS, CELLS), max_size=12), st.sampled_from(["\n", "\r\n", "\r"]))
def test_csv_gives_what_was_written(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], end: str) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([("text", "other"), *rows])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(text.getvalue().encode())
    documents, unread = read(path)
    assert [each.text for each in documents] == [cell for cell, _ in rows if cell]
    assert [each.reason for each in unread] == ["empty"] * (sum(not cell for cell, _ in rows) or not rows)


def test_whence_a_row_came(tmp_path: Path) -> None:
    rows = [
        {"text": "a", "url": "https://a.example", "date": "2024-05-06"},
        {"text": "b", "url": 5, "date": "last May", "timestamp": "2024-05-06T07:08:09Z"},
        {"text": "c", "url": None, "timestamp": 1714979289},
        {"text": "d", "date": "2024-05"},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    expected = [("https://a.example", "2024-05-06"), (None, "2024-05-06T07:08:09Z"), (None, None), (None, "2024-05")]
    assert [(each.url, each.date) for each in read(tmp_path / "a.jsonl")[0]] == expected
    moments = pyarrow.array([1714979289000, None], pyarrow.timestamp("ms", "UTC"))
    table = pyarrow.table({"text": ["a", "b"], "url": ["https://a.example", None], "timestamp": moments})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    expected = [("https://a.example", "2024-05-06T07:08:09+00:00"), (None, None)]
    assert [(each.url, each.date) for each in read(tmp_path / "a.parquet")[0]] == expected
    (tmp_path / "a.csv").write_text("text,url\na,https://a.example\n")
    assert [each.url for each in read(tmp_path / "a.csv")[0]] == ["https://a.example"]
    assert [each.url for each in read(tmp_path / "a.csv", "url")[0]] == [None], "it is the text itself"


def test_parquet_with_nested_columns_and_broken_text(tmp_path: Path) -> None:
    nested = pyarrow.table({"text": [{"body": "a"}, None], "other.text": ["dotted", "name"]})
    pyarrow.parquet.write_table(nested, tmp_path / "a.parquet")
    assert reasons(read(tmp_path / "a.parquet")[1]) == [("1", "text-not-a-string"), ("2", "empty")]
    assert [each.text for each in read(tmp_path / "a.parquet", "other.text")[0]] == ["dotted", "name"]
    broken = pyarrow.Array.from_buffers(
        pyarrow.string(), 3, [None, pyarrow.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0"), pyarrow.py_buffer(b"a\xffc")]
    )
    pyarrow.parquet.write_table(pyarrow.table({"text": broken}), tmp_path / "b.parquet")
    documents, unread = read(tmp_path / "b.parquet")
    assert ([each.text for each in documents], reasons(unread)) == (["a", "c"], [("2", "not-utf-8")])


def test_damage_within_parquet_keeps_the_rows_before_it(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pyarrow.table({"text": [f"row {number} of a table" for number in range(4000)]})
    pyarrow.parquet.write_table(table, path, row_group_size=1000, use_dictionary=False, compression="zstd")
    content = bytearray(path.read_bytes())
    start = pyarrow.parquet.ParquetFile(path).metadata.row_group(2).column(0).data_page_offset
    content[start : start + 400] = bytes(400)
    path.write_bytes(content)
    documents, unread = read(path)
    assert len(documents) == 2000
    assert reasons(unread) == [("2001", "unreadable-parquet")]
    assert "2,000 of its 4,000 rows are not read" in unread[0].detail


def test_a_long_text_comes_in_parts_that_add_up(tmp_path: Path) -> None:
    lines = "".join(f"Line {number} of a long text; größer.\n\n" for number in range(900_000))
    (tmp_path / "a.txt").write_text(lines, "utf-8")
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": lines, "url": "https://a.example"}), "utf-8")
    (tmp_path / "solid.txt").write_text("學" * (LONGEST_DOCUMENT // 2), "utf-8")
    for name, whole in (("a.txt", lines), ("a.jsonl", lines), ("solid.txt", "學" * (LONGEST_DOCUMENT // 2))):
        parts, unread = read(tmp_path / name)
        assert not unread
        assert "".join(part.text for part in parts) == whole
        assert all(len(part.text) <= LONGEST_DOCUMENT for part in parts)
        assert [part.unit.rpartition("#")[2] for part in parts] == [str(number) for number in range(1, len(parts) + 1)]
    assert {part.url for part in read(tmp_path / "a.jsonl")[0]} == {"https://a.example"}


def test_a_bad_byte_in_a_long_text_costs_its_part(tmp_path: Path) -> None:
    content = bytearray(b"A line of text.\n" * (3 * LONGEST_DOCUMENT // 16))
    content[LONGEST_DOCUMENT + 999] = 0xFF
    (tmp_path / "a.txt").write_bytes(content)
    documents, unread = read(tmp_path / "a.txt")
    assert reasons(unread) == [("2", "not-utf-8")]
    assert len(documents) == 2


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_a_line_beyond_reason_is_told_and_the_next_read(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "LONGEST_ROW", 5000)
    monkeypatch.setattr("etymon.corpus.read.csv_records.LONGEST_ROW", 5000)
    assert LONGEST_ROW > 5000
    texts = ["first", "x" * 20_000, "last"]
    lines = [json.dumps({"text": text}) for text in texts] if name == "a.jsonl" else ["text", *texts]
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    documents, unread = read(tmp_path / name)
    assert [each.text for each in documents] == ["first", "last"]
    assert reasons(unread) == [("2", "too-long")]


def test_a_quote_left_open_is_looked_for_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etymon.corpus.read.csv_records.LONGEST_ROW", 5000)
    (tmp_path / "a.csv").write_text('text\n"open\n' + "a row\n" * 5000)
    documents, unread = read(tmp_path / "a.csv")
    assert len(documents) == 5000
    assert reasons(unread) == [("1", "unclosed-quote")]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "a.jsonl.gz"])
def test_rows_are_read_in_a_stream(tmp_path: Path, name: str) -> None:
    """Memory stays far below the file's 24 MB."""
    text, rows, path = "words of a row " * 20, 80_000, tmp_path / name
    texts = (f"{number} {text}" for number in range(rows))
    if name == "a.parquet":
        table = pyarrow.table({"text": list(texts)})
        pyarrow.parquet.write_table(table, path, row_group_size=8_000, use_dictionary=False, compression="none")
    elif name == "a.jsonl.gz":
        with packed.gzip.open(path, "wt", compresslevel=1) as stream:
            stream.writelines(json.dumps({"text": each}) + "\n" for each in texts)
    else:
        with path.open("w") as stream:
            stream.write("" if name == "a.jsonl" else "text\n")
            stream.writelines((json.dumps({"text": each}) if name == "a.jsonl" else each) + "\n" for each in texts)
    before = pyarrow.total_allocated_bytes()
    tracemalloc.start()
    count = most = 0
    for count, each in enumerate(read_file(path, name, "text"), 1):
        assert isinstance(each, Document)
        if count % 1000 == 0:
            most = max(most, pyarrow.total_allocated_bytes() - before)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == rows
    assert peak + most < 8_000_000


def test_conversations_in_csv_tell_their_bad_records_too(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'prompt,completion\nWhy?,So.\nWhy \xff?,So.\nWhy?\n"open,So.\nHow?,Thus.\n')
    found = list(read_rows(tmp_path / "a.csv", "a.csv", "chat", {}))
    assert [each.unit for each in found if isinstance(each, Document)] == ["a.csv#1", "a.csv#5"]
    told = reasons([each for each in found if isinstance(each, Unread)])
    assert told == [("2", "not-utf-8"), ("3", "bad-row"), ("4", "unclosed-quote")]
