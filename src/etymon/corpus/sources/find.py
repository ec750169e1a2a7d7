"""Which files a source names, and the digest of all that they hold."""

import difflib
import glob
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from etymon.corpus.read.formats import READERS, Read, Unread, read_file
from etymon.corpus.read.python_docs import library_files, read_module
from etymon.corpus.read.row_files import ROW_READERS, read_rows
from etymon.corpus.read.rows import known_columns
from etymon.errors import EtymonError
from etymon.recipe import Corpus, Source
from etymon.store import DigestCache, value_digest


@dataclass(frozen=True)
class SourceFiles:
    """The files of one source: an ``Input`` of the corpus stage."""

    name: str
    kind: Literal["files", "python-docs", "chat", "preference"]
    folder: Path
    files: tuple[tuple[str, Path], ...]
    """(unit, path) in the order of units: the path below ``folder`` or the module's dotted name."""
    skipped: tuple[Unread, ...]
    """What no reader takes, broken links, links to folders; counted, not read."""
    hidden: int
    """Hidden files and folders that were passed over."""
    digest: str
    """Over units and the content of their files, and over what was skipped. Hidden files come and go (editors and file
    managers write them), so they are counted only."""

    def read(self, column: str, columns: Mapping[str, str]) -> Iterator[Read]:
        """The documents or rows of each file in turn, then what was skipped. See ``recipe.Source`` for the columns."""
        for unit, path in self.files:
            if self.kind == "python-docs":
                yield read_module(path, unit)
            elif self.kind == "files":
                yield read_file(path, unit, column)
            else:
                yield read_rows(path, unit, self.kind, columns)
        yield iter(self.skipped)


def corpus_inputs(corpus: Corpus, base: Path, digests: DigestCache) -> dict[str, SourceFiles]:
    """The files of each source, by the source's name. Paths are relative to ``base``, the recipe's folder.

    A changed, added or removed file changes the source's digest, so the corpus gets another address. Raises EtymonError
    where a path, a glob or a folder gives no file that can be read.
    """
    return {source.name: _source_files(source, base, digests) for source in corpus.sources}


def find_files(path: Path) -> tuple[Path, list[str]]:
    """The folder that names are relative to, and the names of all files below a path or matched by a glob, in order.

    Hidden files and folders (a leading dot) are passed over, and links to folders are not followed. Raises EtymonError
    where there is nothing.
    """
    found = _find(path)
    return found.root, found.names


@dataclass
class _Found:
    """What lies below a folder or matches a glob, by names relative to ``root``."""

    root: Path
    names: list[str]
    skipped: list[Unread]
    hidden: int = 0


def _find(path: Path) -> _Found:
    if path.is_file():
        return _Found(path.parent, [path.name], [])
    if path.is_dir():
        found = _below(path)
        if not found.names:
            raise EtymonError(f"The folder {path} holds no files.", "Put documents in it, or name another folder.")
        return found
    if not glob.has_magic(str(path)):
        raise EtymonError(f"There is no file or folder {path}.", _close_name(path))
    found = _Found(Path(*_before_magic(path.parts)), [], [])
    for each in sorted(Path(name) for name in glob.glob(str(path), recursive=True)):
        if not each.is_dir():
            _add(found, each)
    if not found.names:
        raise EtymonError(
            f"No file matches {path}.", "Check the pattern: `*` stays within a folder, `**` goes through folders."
        )
    found.names.sort()
    return found


def _source_files(source: Source, base: Path, digests: DigestCache) -> SourceFiles:
    _check_columns(source)
    types = ROW_READERS if source.kind in ("chat", "preference") else READERS
    if source.kind == "python-docs":
        found, files = _Found(Path(os.__file__).parent, [], []), library_files()
    else:
        assert source.path is not None  # the recipe's schema sees to it
        found = _find(base / Path(source.path).expanduser())
        files = [(name, found.root / name) for name in found.names if _suffix(name) in types]
    unsupported = [name for name in found.names if _suffix(name) not in types]
    if not files:
        others = sorted({_suffix(name) or name for name in unsupported})
        raise EtymonError(
            f"Source {source.name!r}: none of the {len(found.names)} files of {found.root} can be read "
            f"(found {', '.join(others)}).",
            f"Readable types: {' '.join(types)}.",
        )
    skipped = [Unread(name, f"unsupported-type{_suffix(name)}", "no reader takes this type") for name in unsupported]
    skipped += found.skipped
    try:
        content = {unit: digests.file(path) for unit, path in files} | {each.unit: each.reason for each in skipped}
    except OSError as error:
        raise EtymonError(f"Source {source.name!r}: {error.filename} cannot be read: {error.strerror}.") from None
    return SourceFiles(
        source.name, source.kind, found.root, tuple(files), tuple(skipped), found.hidden, value_digest(content)
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


def _below(folder: Path) -> _Found:
    found = _Found(folder, [], [])
    for parent, folders, files in os.walk(folder, onerror=_unreadable):
        found.hidden += sum(name.startswith(".") for name in [*folders, *files])
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in [Path(parent, name) for name in folders]:
            if path.is_symlink():
                name = path.relative_to(folder).as_posix()
                found.skipped.append(Unread(name, "linked-folder", "links to folders are not followed"))
        for name in sorted(files):
            if not name.startswith("."):
                _add(found, Path(parent, name))
    found.names.sort()
    return found


def _add(found: _Found, path: Path) -> None:
    name = path.relative_to(found.root).as_posix()
    if path.is_file():
        found.names.append(name)
    elif path.is_symlink():
        found.skipped.append(Unread(name, "broken-link", "what it links to is not there"))
    else:
        found.skipped.append(Unread(name, "not-a-file", "a socket, a pipe or a device"))


def _unreadable(error: OSError) -> None:
    raise EtymonError(
        f"The folder {error.filename} cannot be read: {error.strerror}.", "Give yourself access, or move it away."
    )


def _before_magic(parts: tuple[str, ...]) -> tuple[str, ...]:
    first = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    return parts[:first]


def _close_name(path: Path) -> str:
    beside = sorted(each.name for each in path.parent.iterdir()) if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, beside, n=1)
    return f"Did you mean {path.parent / close[0]}?" if close else "Paths are relative to the recipe's folder."


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()
