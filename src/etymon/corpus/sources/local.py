"""Files of a folder, of a pattern, or one alone, on this machine."""

import difflib
import glob
import os
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from fsspec.utils import glob_translate

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

    A pattern begins with the first part that is no folder as it is written, so folders may have signs of patterns in their
    names. Hidden files and folders (a leading dot) are passed over, unless a pattern writes the dot. Links to folders are not
    followed, nor links to files outside of the folder, unless the path names the file itself. Raises EtymonError where there
    is nothing.
    """
    if path.is_file():
        return Found(path.parent, [(path.name, path)])
    root, pattern = _divided(path)
    if pattern and not glob.has_magic("/".join(pattern)):
        raise EtymonError(f"There is no file or folder {path}.", _close_name(path))
    found = _matching(root, pattern or ("**",))
    if not found.files and not found.skipped:
        if not pattern:
            raise EtymonError(f"The folder {path} holds no files.", "Put documents in it, or name another folder.")
        raise EtymonError(
            f"No file matches {path}.", "Check the pattern: `*` stays within a folder, `**` goes through folders."
        )
    found.files.sort()
    return found


def _divided(path: Path) -> tuple[Path, tuple[str, ...]]:
    """The folder that a path begins with, and the parts after it."""
    folder = Path(path.anchor)
    parts = path.parts[1:] if path.anchor else path.parts
    for place, part in enumerate(parts):
        if not (folder / part).is_dir():
            return folder, parts[place:]
        folder /= part
    return folder, ()


def _matching(root: Path, pattern: tuple[str, ...]) -> Found:
    """The files below a folder that a pattern matches. Folders are walked through once, so links cannot lead in circles."""
    found = Found(root)
    inside = root.resolve()
    parts = [part if part == "**" else re.sub(r"\*{2,}", "*", part) for part in pattern]
    matches = re.compile(glob_translate("/".join(parts))).match
    for parent, folders, files in os.walk(root, onerror=_unreadable):
        here = Path(parent).relative_to(root)
        depth = len(here.parts)
        through = "**" in parts[: depth + 1]
        wanted = parts[depth] if depth + 1 < len(parts) else None
        followed = []
        for name in sorted(folders):
            if not (through or (wanted and fnmatchcase(name, wanted))):
                continue
            if name.startswith(".") and not (wanted and wanted.startswith(".")):
                found.hidden += 1
            elif Path(parent, name).is_symlink():
                found.skipped.append(Unread((here / name).as_posix(), "linked-folder", "links to folders are not followed"))
            else:
                followed.append(name)
        folders[:] = followed
        for name in sorted(files):
            if not matches((here / name).as_posix()):
                continue
            if name.startswith(".") and not parts[-1].startswith("."):
                found.hidden += 1
            else:
                _add(found, Path(parent, name), inside)
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


def _unreadable(error: OSError) -> None:
    raise EtymonError(
        f"The folder {error.filename} cannot be read: {error.strerror}.", "Give yourself access, or move it away."
    )


def _close_name(path: Path) -> str:
    beside = sorted(each.name for each in path.parent.iterdir()) if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, beside, n=1)
    return f"Did you mean {path.parent / close[0]}?" if close else "Paths are relative to the recipe's folder."
