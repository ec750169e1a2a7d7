"""Which files a source names, and the digest of all that they hold."""

import difflib
import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from etymon.corpus.formats import READERS, Read, Unread, read_file
from etymon.corpus.python_docs import library_files, read_module
from etymon.errors import EtymonError
from etymon.recipe import Corpus, Source
from etymon.store import DigestCache, value_digest


@dataclass(frozen=True)
class SourceFiles:
    """The files of one source: an ``Input`` of the corpus stage."""

    name: str
    kind: str
    folder: Path
    files: tuple[tuple[str, Path], ...]
    """(unit, path) in the order of units: the path below ``folder`` or the module's dotted name."""
    unsupported: tuple[str, ...]
    """Files whose type no reader takes; counted, not read."""
    digest: str
    """Over units and the content of their files, and over the names of the unsupported ones."""

    def read(self, column: str) -> Iterator[Read]:
        """The documents of each file in turn, then what was not read for its type."""
        for unit, path in self.files:
            yield read_module(path, unit) if self.kind == "python-docs" else read_file(path, unit, column)
        yield (Unread(name, f"unsupported-type{_suffix(name)}", "no reader takes this type") for name in self.unsupported)


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
    if path.is_file():
        return path.parent, [path.name]
    if path.is_dir():
        names = _names_below(path)
        if not names:
            raise EtymonError(f"The folder {path} holds no files.", "Put documents in it, or name another folder.")
        return path, names
    if not glob.has_magic(str(path)):
        raise EtymonError(f"There is no file or folder {path}.", _close_name(path))
    root = Path(*_before_magic(path.parts))
    matched = [Path(name) for name in glob.glob(str(path), recursive=True)]
    names = sorted(each.relative_to(root).as_posix() for each in matched if each.is_file())
    if not names:
        raise EtymonError(
            f"No file matches {path}.", "Check the pattern: `*` stays within a folder, `**` goes through folders."
        )
    return root, names


def _source_files(source: Source, base: Path, digests: DigestCache) -> SourceFiles:
    if source.kind == "python-docs":
        files, unsupported, folder = library_files(), [], Path(os.__file__).parent
    else:
        assert source.path is not None  # the recipe's schema sees to it
        folder, names = find_files(base / Path(source.path).expanduser())
        files = [(name, folder / name) for name in names if _suffix(name) in READERS]
        unsupported = [name for name in names if _suffix(name) not in READERS]
        if not files:
            found = sorted({_suffix(name) or name for name in unsupported})
            raise EtymonError(
                f"Source {source.name!r}: none of the {len(names)} files of {folder} can be read (found {', '.join(found)}).",
                f"Readable types: {' '.join(READERS)}.",
            )
    try:
        content = {unit: digests.file(path) for unit, path in files} | dict.fromkeys(unsupported, "unsupported")
    except OSError as error:
        raise EtymonError(f"Source {source.name!r}: {error.filename} cannot be read: {error.strerror}.") from None
    return SourceFiles(source.name, source.kind, folder, tuple(files), tuple(unsupported), value_digest(content))


def _names_below(folder: Path) -> list[str]:
    names = []
    for parent, folders, files in os.walk(folder, onerror=_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        names += [(Path(parent) / name).relative_to(folder).as_posix() for name in files if not name.startswith(".")]
    return sorted(name for name in names if (folder / name).is_file())


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
