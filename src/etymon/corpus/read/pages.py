"""Pages: HTML and PDF, the text without menus and layout."""

import logging
import re
from pathlib import Path
from typing import Any

from etymon.corpus.read.found import Document, Read, Unread, described, raise_if_not_of_the_file
from etymon.corpus.read.packed import Stopped, content_of, opened
from etymon.corpus.read.text import decoded_text
from etymon.errors import EtymonError

LARGEST_PAGE = 16 << 20
"""Bytes of one HTML page. Looking for the text of a megabyte took 0.04 s where it is paragraphs, and 1 to 5 s where it is
links, tables or tags that are not closed; pages of more than a few megabytes are rare."""
_MENUS = ["//nav", "//menu", "//footer"]
_CHARSET = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_HEAD_BYTES = 4096
"""Of a page, in which it says how it is encoded; browsers look at the first thousand."""


def read_html(path: Path, unit: str, column: str) -> Read:
    """The text of a page, as trafilatura finds it."""
    documents_extra("trafilatura", path)
    try:
        with opened(path) as stream:
            content = content_of(stream, LARGEST_PAGE)
    except Stopped as stopped:
        yield Unread(unit, stopped.reason, stopped.detail)
        return
    text = page_text(content, unit)
    yield text if isinstance(text, Unread) else Document(unit, text)


def page_text(content: bytes, unit: str, charset: str | None = None) -> str | Unread:
    """The text of a page, whose server may have named its ``charset``; or why there is none."""
    import trafilatura  # only here: it takes half a second to import

    decoded = decoded_text(content, unit, charset, _declared(content))
    if isinstance(decoded, Unread):
        return decoded
    try:
        if "<html" not in decoded.lower():  # a fragment of a page is refused otherwise
            decoded = f"<html><body>{decoded}</body></html>"
        page = decoded.encode()
        text = trafilatura.extract(page, include_comments=False, favor_recall=True, prune_xpath=_MENUS)
        text = text or _all_but_menus(page)
    except Exception as error:  # a parser may fail on a broken page in any way: it is counted, not fatal
        raise_if_not_of_the_file(error)
        return Unread(unit, "unreadable-html", described(error))
    return str(text) if text and text.strip() else Unread(unit, "no-text-in-html", "no text was found")


def _declared(content: bytes) -> str | None:
    """The encoding that a page says it is in."""
    found = _CHARSET.search(content[:_HEAD_BYTES])
    return found[1].decode() if found else None


def _all_but_menus(page: bytes) -> str:
    """All that a page says, where no article is found in it."""
    import trafilatura

    tree = trafilatura.load_html(page)
    if tree is None:
        return ""
    for part in tree.xpath(" | ".join(_MENUS)):
        part.drop_tree()
    return str(trafilatura.html2txt(tree))


def read_pdf(path: Path, unit: str, column: str) -> Read:
    """The text of all pages, as pypdf finds it; it bounds what a page may unpack to."""
    pypdf = documents_extra("pypdf", path)
    try:
        text = "\n\n".join(page.extract_text() for page in pypdf.PdfReader(path).pages)
    except Exception as error:  # a parser may fail on a broken or hostile file in any way: it is counted, not fatal
        raise_if_not_of_the_file(error)
        yield Unread(unit, "unreadable-pdf", described(error))
        return
    if text.strip():
        yield Document(unit, text)
    else:
        yield Unread(unit, "no-text-in-pdf", "its pages hold no text (scanned pages need character recognition first)")


def documents_extra(module: str, path: Path) -> Any:
    """A module of the extra ``documents``. Raises EtymonError where it is not installed."""
    logging.getLogger(module).setLevel(logging.CRITICAL)  # what it could not read is told here, once a file
    try:
        return __import__(module)
    except ImportError as error:
        raise EtymonError(
            f"{path} needs {module} to be read, which cannot be imported: {error.msg.splitlines()[0]}",
            'Install it: pip install "etymon[documents]"',
        ) from None
