"""Files of a folder, of a pattern, or one alone, on this machine."""

import difflib
import glob
import os
from dataclasses import dataclass, field
from pathlib import Path

from etymon.corpus.read.found import Unread
from etymon.errors import EtymonError


@dataclass
class Found:
    """What a source's path leads to."""

    root: Path
    """The folder that names are relative to."""
    files: list[tuple[str, Path]] = field(default_factory=list)
    """(name, path) in the order of names."""
    skipped: list[Unread] = field(default_factory=list)
    hidden: int = 0
    where: str | None = None
    """What they were fetched from, fit to be shown."""
    revision: str | None = None
    """The commit of a data set on the hub."""


def find_local(path: Path) -> Found:
    """All files below a path or matched by a pattern.

    Hidden files and folders (a leading dot) are passed over. Links to folders are not followed, nor links to files outside
    of the folder, unless the path names the file itself. Raises EtymonError where there is nothing.
    """
    if path.is_file():
        return Found(path.parent, [(path.name, path)])
    if path.is_dir():
        found = _below(path)
        if not found.files and not found.skipped:
            raise EtymonError(f"The folder {path} holds no files.", "Put documents in it, or name another folder.")
    elif glob.has_magic(str(path)):
        found = _matching(path)
        if not found.files and not found.skipped:
            raise EtymonError(
                f"No file matches {path}.", "Check the pattern: `*` stays within a folder, `**` goes through folders."
            )
    else:
        raise EtymonError(f"There is no file or folder {path}.", _close_name(path))
    found.files.sort()
    return found


def _below(folder: Path) -> Found:
    found = Found(folder)
    inside = folder.resolve()
    for parent, folders, files in os.walk(folder, onerror=_unreadable):
        found.hidden += sum(name.startswith(".") for name in [*folders, *files])
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in [Path(parent, name) for name in folders]:
            if path.is_symlink():
                found.skipped.append(_linked_folder(path.relative_to(folder).as_posix()))
        for name in sorted(files):
            if not name.startswith("."):
                _add(found, Path(parent, name), inside)
    return found


def _matching(pattern: Path) -> Found:
    found = Found(Path(*_before_magic(pattern.parts)))
    inside = found.root.resolve()
    linked: dict[Path, bool] = {found.root: False}

    def below_a_link(folder: Path) -> bool:
        if folder not in linked:
            linked[folder] = folder.is_symlink() or below_a_link(folder.parent)
        return linked[folder]

    for path in sorted(Path(name) for name in glob.glob(str(pattern), recursive=True)):
        if below_a_link(path.parent):
            found.skipped.append(_linked_folder(path.relative_to(found.root).as_posix()))
        elif not path.is_dir():
            _add(found, path, inside)
    return found


def _add(found: Found, path: Path, inside: Path) -> None:
    name = path.relative_to(found.root).as_posix()
    if path.is_file():
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            found.skipped.append(Unread(name, "linked-outside", "it links to a file outside of the folder: name that file"))
        else:
            found.files.append((name, path))
    elif path.is_symlink():
        found.skipped.append(Unread(name, "broken-link", "what it links to is not there"))
    else:
        found.skipped.append(Unread(name, "not-a-file", "a socket, a pipe or a device"))


def _linked_folder(name: str) -> Unread:
    return Unread(name, "linked-folder", "links to folders are not followed")


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
