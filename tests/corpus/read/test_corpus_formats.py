"""Each type of file gives its documents, and what cannot be read is told."""

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from fpdf import FPDF

from corpus_building import prose
from etymon.corpus.read.formats import Document, Unread, read_file
from etymon.corpus.sources.local import find_local
from etymon.errors import EtymonError


def read(path: Path, column: str = "text") -> tuple[list[Document], list[Unread]]:
    found = list(read_file(path, path.name, column))
    return [each for each in found if isinstance(each, Document)], [each for each in found if isinstance(each, Unread)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_in_the_encodings_that_say_what_they_are(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes("Größe 學".encode(encoding))
    assert read(tmp_path / "a.txt") == ([Document("a.txt", "Größe 學")], [])


def test_html_gives_the_article_not_the_menu(tmp_path: Path) -> None:
    page = f"<html><body><nav>Home About Login</nav><article><h1>Pumps</h1><p>{prose(1)}</p></article></body></html>"
    (tmp_path / "a.html").write_text(page, "utf-8")
    ((document,), unread) = read(tmp_path / "a.html")
    assert prose(1).split("\n")[0] in document.text
    assert "Login" not in document.text
    assert not unread


def test_a_short_page_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "a.htm").write_text("<p>Two words.</p>", "utf-8")
    assert read(tmp_path / "a.htm")[0][0].text.strip() == "Two words."


PAGE = "<html><head><meta charset={charset}></head><body><article><p>{text}</p></article></body></html>"


@pytest.mark.parametrize("charset", ["windows-1252", "utf-8", "no-such-charset"])
def test_a_page_is_in_the_encoding_that_it_declares_or_in_utf_8(tmp_path: Path, charset: str) -> None:
    declared = charset if charset == "windows-1252" else "utf-8"
    text = f"Grüße aus dem schönen München. {prose(1)}"
    (tmp_path / "a.html").write_bytes(PAGE.format(charset=charset, text=text).encode(declared))
    assert "Grüße aus dem schönen München." in read(tmp_path / "a.html")[0][0].text


def test_an_encoding_of_seven_bits_is_not_taken_for_utf_8(tmp_path: Path) -> None:
    text = "これは古い橋です。町の人は毎朝この橋を渡って市場へ行きます。" * 4
    (tmp_path / "a.html").write_bytes(PAGE.format(charset="iso-2022-jp", text=text).encode("iso-2022-jp"))
    assert "これは古い橋です" in read(tmp_path / "a.html")[0][0].text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (PAGE.format(charset="utf-8", text=f"Grüße {prose(1)}").encode() + "ö".encode("latin-1"), "not-utf-8"),
        (PAGE.format(charset="punycode", text="Grüße").encode("latin-1"), "not-utf-8"),
        (b"GIF89a\x10\0\x10\0" + b"\0 " * 200, "not-text"),
        (b"PK\x03\x04" + bytes(range(256)), "not-utf-8"),
        (
            b"<html><body><nav><a href=a>Home</a><a href=b>Pricing</a></nav><footer>Imprint</footer></body></html>",
            "no-text-in-html",
        ),
    ],
)
def test_a_page_of_broken_bytes_a_picture_and_a_menu_have_their_reasons(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.html").write_bytes(content)
    documents, (unread,) = read(tmp_path / "a.html")
    assert (documents, unread.reason) == ([], reason)


def test_a_pdf_gives_its_pages_and_a_blank_or_broken_one_its_reason(tmp_path: Path) -> None:
    pdf = FPDF()
    pdf.set_font("Helvetica", size=11)
    for seed in (1, 2):
        pdf.add_page()
        pdf.multi_cell(0, 6, prose(seed))
    pdf.output(str(tmp_path / "a.pdf"))
    ((document,), _) = read(tmp_path / "a.pdf")
    for seed in (1, 2):
        assert "".join(prose(seed).split()) in "".join(document.text.split())
    blank = FPDF()
    blank.add_page()
    blank.output(str(tmp_path / "blank.pdf"))
    assert read(tmp_path / "blank.pdf")[1][0].reason == "no-text-in-pdf"
    whole = (tmp_path / "a.pdf").read_bytes()
    for cut in (0, 20, len(whole) // 2):
        (tmp_path / "cut.pdf").write_bytes(whole[:cut])
        documents, unread = read(tmp_path / "cut.pdf")
        assert len(documents) + len(unread) == 1


def test_jsonl_counts_its_bad_rows_by_line(tmp_path: Path) -> None:
    lines = [json.dumps({"text": "good"}), "{broken", '{"other": 1}', '{"text": 5}', '{"text": null}', "[1]", "", "\xff\xfe"]
    (tmp_path / "a.jsonl").write_bytes("\n".join(lines).encode("latin-1"))
    documents, unread = read(tmp_path / "a.jsonl")
    assert documents == [Document("a.jsonl#1", "good")]
    assert [(each.unit, each.reason) for each in unread] == [
        ("a.jsonl#2", "bad-json"),
        ("a.jsonl#3", "no-text-column"),
        ("a.jsonl#4", "text-not-a-string"),
        ("a.jsonl#5", "empty"),
        ("a.jsonl#6", "no-text-column"),
        ("a.jsonl#8", "bad-json"),
    ]
    assert "{broken" in unread[0].detail


def test_jsonl_nested_beyond_reason_is_a_bad_row(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "good"}\n' + "[" * 100_000 + "\n", "utf-8")
    assert [each.reason for each in read(tmp_path / "a.jsonl")[1]] == ["bad-json"]


def test_csv_with_quotes_newlines_and_short_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,body\n1,"two\nlines, one cell"\n2\n3,plain\n', "utf-8")
    documents, unread = read(tmp_path / "a.csv", "body")
    assert documents == [Document("a.csv#1", "two\nlines, one cell"), Document("a.csv#3", "plain")]
    assert [(each.unit, each.reason) for each in unread] == [("a.csv#2", "bad-row")]


def test_only_line_ends_end_a_csv_row(tmp_path: Path) -> None:
    cells = ["form\x0cfeed", "next\x85line", "separator\u2028of lines", "file\x1cseparator"]
    (tmp_path / "a.csv").write_bytes("\r\n".join(["text,n", *(f"{cell},1" for cell in cells)]).encode())
    documents, unread = read(tmp_path / "a.csv")
    assert [document.text for document in documents] == cells
    assert not unread


def test_parquet_rows_nulls_and_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"body": ["one", None, "three"], "n": [1, 2, 3]}), path)
    documents, unread = read(path, "body")
    assert documents == [Document("a.parquet#1", "one"), Document("a.parquet#3", "three")]
    assert [each.unit for each in unread] == ["a.parquet#2"]
    with pytest.raises(EtymonError, match=r"a\.parquet has no column 'boby'(.|\n)*column: body"):
        read(path, "boby")
    path.write_bytes(path.read_bytes()[:-30])
    assert read(path, "body")[1][0].reason == "unreadable-parquet"


def test_half_a_surrogate_pair_is_stored(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "half \\ud83d"}', "utf-8")
    assert read(tmp_path / "a.jsonl")[0][0].text == "half \ud83d"


def test_files_of_a_folder_a_glob_and_a_name_with_brackets(tmp_path: Path) -> None:
    for name in ("b.txt", "sub/a.TXT", "sub/.hidden/c.txt", ".d.txt", "e[1].txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert [name for name, _ in find_local(tmp_path).files] == ["b.txt", "e[1].txt", "sub/a.TXT"]
    assert [name for name, _ in find_local(tmp_path / "**" / "*.TXT").files] == ["sub/a.TXT"]
    assert [name for name, _ in find_local(tmp_path / "e[1].txt").files] == ["e[1].txt"]
    (tmp_path / "void").mkdir()
    with pytest.raises(EtymonError, match="holds no files"):
        find_local(tmp_path / "void")
