"""What reading a file gives: documents, and what gave none with its reason."""

import errno
from collections.abc import Iterator
from dataclasses import dataclass

from etymon.text.rows import Row

EXCERPT = 200
"""Characters of what was found that a reader is shown."""


@dataclass(frozen=True)
class Document:
    """A text as it was read, and the unit (file, row, module) it belongs to."""

    unit: str
    text: str
    row: Row | None = None
    """The conversation or preference whose text it is."""
    cut: str = ""
    """What was left out of the row: turns after its last answer."""
    url: str | None = None
    """Where it was found, if its file says so."""
    date: str | None = None
    """When it was found or written, ISO 8601, if its file says so."""


@dataclass(frozen=True)
class Unread:
    """A file or row that gave no document."""

    unit: str
    reason: str
    detail: str
    """What was found, for the reader: an error's text, the start of the row."""


Read = Iterator[Document | Unread]


def raise_if_not_of_the_file(error: BaseException) -> None:
    """Raise what the machine is to blame for, memory or a disk that fails, which another attempt may not meet: told as a
    reason of the file it would be kept for good. A parser led astray seeks where nothing can be (EINVAL)."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)):
        raise error


def described(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:EXCERPT]


@dataclass(frozen=True)
class Bad:
    """Why a row cannot be decoded."""

    reason: str
    detail: str
