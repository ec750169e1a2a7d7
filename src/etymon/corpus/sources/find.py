"""Which files a source names, and the digest of all that they hold."""

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from etymon.corpus.read.formats import READERS, ROW_TYPES, Read, Unread, read_file, suffix_of, type_of
from etymon.corpus.read.python_docs import library_files, read_module
from etymon.corpus.read.row_files import read_rows
from etymon.corpus.read.rows import known_columns
from etymon.corpus.sources.local import Found, find_local
from etymon.errors import EtymonError
from etymon.progress import Listener, silent
from etymon.recipe import Corpus, Source
from etymon.store import DigestCache, value_digest

Stamp = tuple[int, int]
"""Size and time of the last change, by which a file is known to be as it was."""


@dataclass(frozen=True)
class SourceFiles:
    """The files of one source: an ``Input`` of the corpus stage."""

    name: str
    kind: Literal["files", "python-docs", "chat", "preference"]
    folder: Path
    files: tuple[tuple[str, Path], ...]
    """(unit, path) in the order of units: the path below ``folder``, printable, or the module's dotted name."""
    stamps: tuple[Stamp, ...]
    """Of each file, from before its digest was taken."""
    skipped: tuple[Unread, ...]
    """What no reader takes, broken links, links that are not followed; counted, not read."""
    hidden: int
    """Hidden files and folders that were passed over."""
    digest: str
    """Over units and the content of their files, over what was skipped, and over the revision. Hidden files come and go
    (editors and file managers write them), so they are counted only."""
    revision: str | None = None
    """The commit of a data set on the hub."""

    def read(self, column: str, columns: Mapping[str, str]) -> Iterator[Read]:
        """The documents or rows of each file in turn, then what was skipped. See ``recipe.Source`` for the columns.

        Raises EtymonError where a file cannot be read for a fault of the machine, and where it is no longer the file that
        ``digest`` is of.
        """
        for (unit, path), stamp in zip(self.files, self.stamps, strict=True):
            if self.kind == "python-docs":
                found = read_module(path, unit)
            elif self.kind == "files":
                found = read_file(path, unit, column)
            else:
                found = read_rows(path, unit, self.kind, columns)
            yield _unchanged(found, path, stamp)
        yield iter(self.skipped)


def corpus_inputs(corpus: Corpus, base: Path, digests: DigestCache, listener: Listener = silent) -> dict[str, SourceFiles]:
    """The files of each source, by the source's name. Paths are relative to ``base``, the recipe's folder.

    What lies elsewhere (``hf:``, URLs) is fetched first; ``listener`` is told. A changed, added or removed file changes the
    source's digest, so the corpus gets another address. Raises EtymonError where a path, a pattern, a folder, a data set or
    a URL gives no file that can be read.
    """
    return {source.name: _source_files(source, base, digests, listener) for source in corpus.sources}


def printable(name: str) -> str:
    """A file's name in characters that can be stored and shown: others are escaped as in Python, and so is the backslash."""
    return "".join(each if each.isprintable() and each != "\\" else _escaped(each) for each in name)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _source_files(source: Source, base: Path, digests: DigestCache, listener: Listener) -> SourceFiles:
    _check_columns(source)
    types = ROW_TYPES if source.kind in ("chat", "preference") else READERS.keys()
    if source.kind == "python-docs":
        found = Found(Path(os.__file__).parent)
        files, unsupported = library_files(), []
    else:
        assert source.path is not None  # the recipe's schema sees to it
        found = _find(source.path, base, listener)
        files = [(printable(name), path) for name, path in found.files if type_of(name) in types]
        unsupported = [name for name, _ in found.files if type_of(name) not in types]
    skipped = [_unsupported(name) for name in unsupported]
    skipped += [Unread(printable(each.unit), each.reason, each.detail) for each in found.skipped]
    if not files:
        raise _nothing_to_read(source, found, skipped, sorted(types))
    try:
        stamps = tuple(_stamp(path) for _, path in files)
        content = {unit: digests.file(path) for unit, path in files} | {each.unit: each.reason for each in skipped}
    except OSError as error:
        raise EtymonError(f"Source {source.name!r}: {error.filename} cannot be read: {error.strerror}.") from None
    if found.revision:
        content |= {"@revision": found.revision}
    return SourceFiles(
        source.name,
        source.kind,
        found.root,
        tuple(files),
        stamps,
        tuple(skipped),
        found.hidden,
        value_digest(content),
        found.revision,
    )


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _unchanged(found: Read, path: Path, stamp: Stamp) -> Read:
    """What is read of a file, up to its end. Raises EtymonError where it could not be read, or changed since it was found."""
    try:
        yield from found
        changed = _stamp(path) != stamp
    except OSError as error:
        raise EtymonError(
            f"{path} cannot be read: {error.strerror or error}.", "See whether its disk or network works, and try again."
        ) from error
    except MemoryError as error:
        raise EtymonError(
            f"The memory does not suffice to read {path}.", "Close other programs, cut the file, or use a larger machine."
        ) from error
    if changed:
        raise EtymonError(
            f"{path} changed while it was read.", "Start again when nothing writes to it any more, or read a copy of it."
        )


def _find(path: str, base: Path, listener: Listener) -> Found:
    if path.startswith("hf:"):
        from etymon.corpus.sources.hub import find_on_hub  # only here: it takes a second to import

        return find_on_hub(path, listener)
    if "://" in path:
        from etymon.corpus.sources.remote import find_remote  # likewise

        return find_remote(path, listener)
    return find_local(base / Path(path).expanduser())


def _unsupported(name: str) -> Unread:
    return Unread(printable(name), f"unsupported-type{printable(suffix_of(name).lower())}", "no reader takes this type")


def _nothing_to_read(source: Source, found: Found, skipped: list[Unread], types: list[str]) -> EtymonError:
    why = sorted({each.reason for each in skipped})
    outside = "linked-outside" in why
    where = found.root if found.where is None else found.where
    return EtymonError(
        f"Source {source.name!r}: none of the {len(skipped)} files of {where} can be read ({', '.join(why)}).",
        "Links that lead out of a folder are not followed: copy the files, or name a file itself."
        if outside
        else f"Readable types: {' '.join(types)}; text, rows and archives also packed as .gz or .zst.",
    )


def _check_columns(source: Source) -> None:
    if source.kind not in ("chat", "preference"):
        return
    known = known_columns(source.kind)
    if strange := next((name for name in source.columns if name not in known), None):
        close = difflib.get_close_matches(strange, known, n=1)
        raise EtymonError(
            f"Source {source.name!r}: `columns` names {strange!r}, which rows of the kind {source.kind} do not have.",
            f"Did you mean {close[0]}?" if close else f"They may have {', '.join(known)}.",
        )
