"""Web archives give their pages with URL and date, and every record that gives none is told."""

import gzip
import io
from pathlib import Path

import pytest
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from corpus_building import prose
from etymon.corpus.read.formats import Document, Unread, read_file
from etymon.corpus.read.pages import LARGEST_PAGE

DATE = "2023-05-06T07:08:09Z"


def page(seed: int, encoding: str = "utf-8", letters: str = "") -> bytes:
    text = f"<html><body><nav>Menu</nav><article><h1>Pumps</h1><p>{letters}{prose(seed)}</p></article></body></html>"
    return text.encode(encoding)


class Archive:
    """An archive in the making."""

    def __init__(self) -> None:
        self._stream = io.BytesIO()
        self._writer = WARCWriter(self._stream, gzip=False)

    def add(self, kind: str, url: str, content: bytes, content_type: str, status: str = "200 OK", **headers: str) -> None:
        http = None
        if kind in ("response", "request"):
            given = [("Content-Type", content_type), *((name.replace("_", "-"), value) for name, value in headers.items())]
            http = StatusAndHeaders("GET / HTTP/1.1" if kind == "request" else status, given, protocol="HTTP/1.1")
        record = self._writer.create_warc_record(
            url, kind, io.BytesIO(content), http_headers=http, warc_content_type="" if http else content_type,
            warc_headers_dict={"WARC-Date": DATE},
        )  # fmt: skip
        self._writer.write_record(record)

    @property
    def content(self) -> bytes:
        return self._stream.getvalue()


def read(path: Path) -> tuple[list[Document], list[Unread]]:
    found = list(read_file(path, path.name, "text"))
    assert list(read_file(path, path.name, "text")) == found, "a second reading gives the same"
    return [each for each in found if isinstance(each, Document)], [each for each in found if isinstance(each, Unread)]


@pytest.fixture
def archive() -> Archive:
    made = Archive()
    made.add("warcinfo", "", b"software: none", "application/warc-fields")
    made.add("request", "https://a.example/1", b"", "text/html")
    made.add("response", "https://a.example/1", page(1), "text/html; charset=UTF-8")
    made.add("response", "https://a.example/2", gzip.compress(page(2)), "text/html", Content_Encoding="gzip")
    chunk = page(3)
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(chunk), chunk)
    made.add("response", "https://a.example/3", chunked, "application/xhtml+xml", Transfer_Encoding="chunked")
    made.add("response", "https://a.example/4", page(4, "cp1251", "Насос открыт. "), "text/html; charset=windows-1251")
    made.add("response", "https://a.example/gone", page(5), "text/html", status="404 Not Found")
    made.add("response", "https://a.example/a.png", b"\x89PNG", "image/png")
    made.add("response", "https://a.example/empty", b"", "text/html")
    made.add("conversion", "https://a.example/6", "größer".encode(), "text/plain")
    made.add("response", "https://a.example/7", "größer".encode("latin-1"), "text/plain; charset=ISO-8859-1")
    made.add("metadata", "https://a.example/6", b"languages: de", "application/warc-fields")
    return made


@pytest.mark.parametrize("packing", ["", ".gz"])
def test_pages_have_their_url_and_date_and_others_their_reason(tmp_path: Path, archive: Archive, packing: str) -> None:
    path = tmp_path / f"a.warc{packing}"
    path.write_bytes(gzip.compress(archive.content) if packing else archive.content)
    documents, unread = read(path)
    assert [(each.unit, each.url) for each in documents] == [
        (f"{path.name}#{place}", f"https://a.example/{number}")
        for place, number in ((3, 1), (4, 2), (5, 3), (6, 4), (10, 6), (11, 7))
    ]
    assert {each.date for each in documents} == {DATE}
    for seed, document in enumerate(documents[:4], 1):
        assert prose(seed).split("\n")[0][:40] in document.text
        assert "Menu" not in document.text
    assert "Насос открыт." in documents[3].text
    assert documents[4].text == documents[5].text == "größer"
    assert [(each.unit, each.reason) for each in unread] == [
        (f"{path.name}#7", "not-a-page"), (f"{path.name}#8", "not-a-page"), (f"{path.name}#9", "empty")
    ]  # fmt: skip
    assert "404: https://a.example/gone" in unread[0].detail


def test_each_record_packed_by_itself(tmp_path: Path) -> None:
    content = b""
    for seed in range(3):
        made = Archive()
        made.add("response", f"https://a.example/{seed}", page(seed), "text/html")
        content += gzip.compress(made.content)
    (tmp_path / "a.warc.gz").write_bytes(content)
    assert len(read(tmp_path / "a.warc.gz")[0]) == 3
    (tmp_path / "b.warc").write_bytes(content)
    assert [each.reason for each in read(tmp_path / "b.warc")[1]] == ["unreadable-warc"]


def test_an_archive_that_ends_early_says_so_wherever_that_is(tmp_path: Path) -> None:
    made = Archive()
    for seed in range(3):
        made.add("response", f"https://a.example/{seed}", page(seed), "text/html")
        made.add("request", f"https://a.example/{seed}", b"", "text/html")
    whole, path = made.content, tmp_path / "a.warc"
    between = {
        place - gap for place in range(len(whole) + 1) if whole[place : place + 5] in (b"WARC/", b"") for gap in range(5)
    }
    for cut in range(1, len(whole), 61):
        path.write_bytes(whole[:cut])
        documents, unread = read(path)
        assert len(documents) == whole[:cut].count(b"</html>")
        assert [each.reason in ("cut-off", "unreadable-warc", "not-a-page") for each in unread] == [True] * (
            cut not in between
        )


@pytest.mark.parametrize(
    "content",
    [
        b"no archive at all\n" * 9,
        b"WARC/1.0\r\n",
        b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: -5\r\n\r\nxx\r\n\r\nyy",
        b"WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http\r\nContent-Length: 5\r\n\r\n12345\r\n\r\n",
        b"WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 abc\r\n\r\n",
        bytes(1000),
    ],
)
def test_damage_is_told(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.warc").write_bytes(content)
    documents, unread = read(tmp_path / "a.warc")
    assert not documents
    assert unread
    assert capsys.readouterr().err == ""


def test_a_page_that_unpacks_beyond_reason_is_told(tmp_path: Path) -> None:
    made = Archive()
    made.add("response", "https://a.example/1", gzip.compress(bytes(3 * LARGEST_PAGE)), "text/html", Content_Encoding="gzip")
    made.add("response", "https://a.example/2", page(2), "text/html")
    (tmp_path / "a.warc").write_bytes(made.content)
    documents, unread = read(tmp_path / "a.warc")
    assert [each.reason for each in unread] == ["too-large"]
    assert [each.url for each in documents] == ["https://a.example/2"]
