"""Web archives (WARC, ISO 28500): a document for each page of HTML, and for each text extracted from one (WET).

Requests, metadata and notes of revisits hold no page and are passed over; every other record gives a document or its reason.
"""

import io
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from etymon.corpus.read.found import Document, Read, Unread, described, raise_if_not_of_the_file
from etymon.corpus.read.packed import Stopped, opened
from etymon.corpus.read.pages import LARGEST_PAGE, documents_extra, page_text
from etymon.corpus.read.text import decoded_text
from etymon.corpus.read.whence import iso_date

_WITH_CONTENT = ("response", "resource", "conversion")
_HTML = ("text/html", "application/xhtml+xml")
_GZIP = b"\x1f\x8b"
_CUT_OFF = ("cut-off", "the archive ends within this record, or its length is not told")


def read_warc(path: Path, unit: str, column: str) -> Read:
    """The pages of an archive, ``file#3`` by their record's place, each with its URL and the date of its capture.

    Raises EtymonError where a reader is not installed.
    """
    documents_extra("warcio", path)
    documents_extra("trafilatura", path)
    number = 0
    try:
        with opened(path) as stream:
            for number, record in enumerate(_records(stream), 1):
                place = f"{unit}#{number}"
                if record.rec_type in _WITH_CONTENT:
                    yield _document(record, place)
                elif _ends_early(record):
                    yield Unread(place, *_CUT_OFF)
    except Stopped as stopped:
        yield Unread(f"{unit}#{number + 1}", stopped.reason, stopped.detail)
        return
    if not number:
        yield Unread(unit, "unreadable-warc", "it holds no record")


def _records(stream: io.BufferedReader) -> Iterator[Any]:
    """Raises Stopped where what follows is no record."""
    from warcio.archiveiterator import WARCIterator

    if stream.peek(2).startswith(_GZIP):
        raise Stopped("unreadable-warc", "it is packed with gzip: let its name end in .warc.gz")
    archive = WARCIterator(stream, no_record_parse=True)
    faults = 0
    while True:
        try:
            with redirect_stderr(io.StringIO()):  # it prints what is told here
                record = next(archive, None)
        except Stopped:
            raise
        except Exception as error:  # a parser may fail on a broken or hostile archive in any way: it is counted, not fatal
            raise_if_not_of_the_file(error)
            raise Stopped("unreadable-warc", described(error)) from None
        if archive.err_count > faults:
            raise Stopped("unreadable-warc", "the record before this is longer than it says")
        if record is None:
            return
        if record.rec_type is None or not (record.rec_headers.get_header("Content-Length") or "").strip().isdecimal():
            raise Stopped(*_CUT_OFF)
        yield record


def _document(record: Any, place: str) -> Document | Unread:
    url = record.rec_headers.get_header("WARC-Target-URI")
    try:
        content, kind, charset = _content(record)
    except Stopped as stopped:
        return Unread(place, stopped.reason, f"{stopped.detail}: {url}")
    except Exception as error:  # as above
        raise_if_not_of_the_file(error)
        return Unread(place, "unreadable-warc", f"{described(error)}: {url}")
    text = page_text(content, place, charset) if kind in _HTML else decoded_text(content, place, charset)
    if isinstance(text, Unread):
        return Unread(place, text.reason, f"{text.detail}: {url}")
    return Document(place, text, url=url, date=iso_date(record.rec_headers.get_header("WARC-Date")))


def _content(record: Any) -> tuple[bytes, str, str | None]:
    """A page, its type, and the encoding that its server named. Raises Stopped where there is none."""
    from warcio.statusandheaders import StatusAndHeadersParser

    content_type = record.rec_headers.get_header("Content-Type") or ""
    if content_type.startswith("application/http"):
        record.http_headers = StatusAndHeadersParser(["HTTP/1.0", "HTTP/1.1", "HTTP/2"], verify=False).parse(
            record.raw_stream
        )
        status = record.http_headers.get_statuscode()
        if not status.startswith("2"):
            raise Stopped("not-a-page", f"status {status}")
        content_type = record.http_headers.get_header("Content-Type") or ""
    kind, _, rest = content_type.partition(";")
    kind, (_, _, charset) = kind.strip().lower(), rest.partition("charset=")
    if kind not in (*_HTML, "text/plain"):
        raise Stopped("not-a-page", kind or "no content type")
    content = _read(record.content_stream())
    if len(content) > LARGEST_PAGE:
        raise Stopped("too-large", f"it has more than {LARGEST_PAGE >> 20} MiB")
    if _ends_early(record):
        raise Stopped(*_CUT_OFF)
    if not content.strip():
        raise Stopped("empty", "there is no content")
    return content, kind, charset.strip("\"' ;") or None


def _ends_early(record: Any) -> bool:
    """Whether there is less than the record says; what is left of it is passed over."""
    while record.raw_stream.read(1 << 16):
        pass
    return bool(record.raw_stream.limit > 0)


def _read(stream: Any) -> bytes:
    """What is left of a stream that gives less at once than it is asked for; up to a little more than ``LARGEST_PAGE``."""
    pieces, size = [], 0
    while size <= LARGEST_PAGE and (piece := stream.read(1 << 16)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)
