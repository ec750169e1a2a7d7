"""Files as streams of bytes, unpacked where they are packed (gzip, Zstandard), within bounds that a bomb breaks.

A stream is never unpacked whole: what is read is what is held.
"""

import codecs
import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LONGEST_DOCUMENT = 16 << 20
"""Characters of one document; a longer one becomes several. Three times the Bible: what is longer is a dump of many texts,
and every step after reading holds a document in memory several times over."""
LONGEST_ROW = 128 << 20
"""Bytes of one line of JSON or row of a table. What is longer is a damaged file: a quote or a line end is missing."""
LARGEST_WHOLE = 1 << 30
"""Bytes of a file that can only be read whole (a list in JSON), which takes about five times as much memory."""
MOST_UNPACKED = 256 << 30
"""Bytes that one packed file may unpack to. The largest shards in use (The Pile's) unpack to 50 GB."""
HIGHEST_RATIO = 200
"""Unpacked bytes for each packed byte, once more than ``LONGEST_DOCUMENT`` is unpacked. Text packs 3 to 10 times, rows that
repeat their keys up to 100 times; gzip's most is 1,032, which nothing but a bomb or an empty disk image comes near."""
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""With one of these begins a text in UTF-16 that says so; all other text has to be UTF-8."""
_BUFFER = 1 << 20
_PACKED = (".gz", ".zst")
_PACKABLE = frozenset({".txt", ".md", ".html", ".htm", ".jsonl", ".json", ".csv", ".warc"})
"""Types that can be read as a stream; the others keep an index at their end, or pack their content themselves."""


class Stopped(Exception):
    """A packed file gives nothing more: it breaks a bound, or it is damaged."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def suffix_of(name: str) -> str:
    """What names a file's type, as it is written: ``.PDF``, ``.jsonl.gz``; of another packed file the last part alone."""
    path = Path(name)
    if path.suffix.lower() in _PACKED and Path(path.stem).suffix.lower() in _PACKABLE:
        return Path(path.stem).suffix + path.suffix
    return path.suffix


def type_of(name: str) -> str:
    """The type of what is in a file, in lower case: ``.jsonl`` of ``rows.JSONL`` and of ``rows.jsonl.gz``."""
    suffix = suffix_of(name).lower()
    return suffix.rpartition(".")[0] or suffix


def is_packed(name: str) -> bool:
    """Whether a file of a readable type is packed."""
    return suffix_of(name).count(".") > 1


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """A file's content, unpacked if its name says that it is packed.

    Reading raises Stopped, with the reason ``too-large-when-unpacked``, ``cut-off`` (it ends before its end is marked) or
    ``damaged``.
    """
    with path.open("rb") as file:
        if not is_packed(path.name):
            yield file
            return
        packed = gzip.GzipFile(fileobj=file) if path.suffix.lower() == ".gz" else zstd.ZstdFile(file)
        with io.BufferedReader(_Unpacked(file, packed, path.stat().st_size), _BUFFER) as content:
            yield cast(io.BufferedReader, content)


def content_of(stream: BinaryIO, most: int) -> bytes:
    """All that is left of a stream. Raises Stopped with the reason ``too-large`` where it is more than ``most`` bytes."""
    content = stream.read(most + 1)
    if len(content) > most:
        raise Stopped("too-large", f"it has more than {most >> 20:,} MiB; cut it into smaller files")
    return content


def lines_of(stream: BinaryIO) -> Iterator[bytes | None]:
    """The lines of a stream, with their ends; None in the place of one of more than ``LONGEST_ROW`` bytes."""
    while line := stream.readline(LONGEST_ROW + 1):
        if len(line) <= LONGEST_ROW:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(_BUFFER)
        yield None


class _Unpacked(io.RawIOBase):
    """What a packed file unpacks to, watched."""

    def __init__(self, file: BinaryIO, unpacked: gzip.GzipFile | zstd.ZstdFile, size: int) -> None:
        self._file, self._unpacked, self._size = file, unpacked, size
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            content = self._unpacked.read1(len(buffer))
        except EOFError:
            raise Stopped("cut-off", f"it ends early, after {self._count:,} bytes of content") from None
        except (gzip.BadGzipFile, zlib.error, zstd.ZstdError) as error:
            raise Stopped("damaged", f"{error} ({self._left()})") from None
        self._count += len(content)
        if self._count > MOST_UNPACKED:
            raise self._too_large(f"it unpacks to more than {MOST_UNPACKED >> 30} GiB")
        if self._count > LONGEST_DOCUMENT and self._count > HIGHEST_RATIO * self._file.tell():
            raise self._too_large(f"it unpacks to more than {HIGHEST_RATIO} times its size")
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        with suppress(Exception):  # what is wrong with the file has been told
            self._unpacked.close()
        super().close()

    def _too_large(self, problem: str) -> Stopped:
        return Stopped("too-large-when-unpacked", f"{problem} ({self._left()})")

    def _left(self) -> str:
        return f"given up after {self._count:,} bytes of content, with {self._size - self._file.tell():,} packed bytes unread"
