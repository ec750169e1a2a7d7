"""A look at a folder of someone's own documents or conversations: what is in it, what can be read, how much text that is."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from etymon.commands.propose.kinds import ROWS_LOOKED_AT, Kind, first_rows, kind_of, most_of
from etymon.corpus.read.formats import READERS, ROW_TYPES, Document, Unread, read_file, suffix_of, text_in, type_of
from etymon.corpus.read.row_files import read_rows
from etymon.corpus.read.tables import rows_in
from etymon.corpus.signals.language import detect_language
from etymon.corpus.sources.find import printable
from etymon.corpus.sources.local import find_local
from etymon.errors import EtymonError
from etymon.progress import Clock, Listener, silent
from etymon.text.normalise import repair

_SECONDS = 20.0
_LANGUAGE_CHARACTERS = 4000
_SAMPLE_CHARACTERS = 400


@dataclass(frozen=True)
class TypeSurvey:
    """The files of one type, by suffix as written (``.pdf``, ``.PDF``, ``.jsonl.gz``)."""

    suffix: str
    files: int
    files_read: int
    """Files extracted for the estimate; the rest were passed over for time."""
    bytes: int
    documents: int
    """Documents or conversations, estimated from the share of bytes that was read; one a file, or one a row."""
    characters: int
    """Characters after extraction, estimated the same way."""


@dataclass(frozen=True)
class Survey:
    """What a folder (or one file) holds."""

    folder: Path
    kind: Literal["documents", "chat"]
    """What most of its bytes are, and all that follows is about."""
    other_kinds: dict[str, Kind]
    """Files that hold something else, which another source and objective would read."""
    files_of_rows: tuple[str, ...]
    """Of conversations: the files they are in, or nothing where they are all files of rows in the folder."""
    types: tuple[TypeSurvey, ...]
    columns: dict[str, str]
    """The text column of each file of rows, by the file's name below the folder."""
    without_text: dict[str, str]
    """Files of rows in which no text column was found, and what they hold instead."""
    unread: tuple[Unread, ...]
    """Files and rows that gave no document, and why; of those that were looked at."""
    unsupported: dict[str, int]
    """Files of types that no reader takes, by suffix."""
    languages: dict[str, float]
    """Share of the characters looked at, by language, largest first."""
    tokens: int
    """A rough count for a tokenizer of European languages."""
    sample: str
    """How the first document begins."""

    @property
    def files(self) -> int:
        return sum(each.files for each in self.types)

    @property
    def characters(self) -> int:
        return sum(each.characters for each in self.types)

    @property
    def documents(self) -> int:
        return sum(each.documents for each in self.types)

    @property
    def estimated(self) -> bool:
        """True where some files were not read, so that documents, characters and tokens are extrapolated."""
        return any(each.files_read < each.files for each in self.types)


def survey(folder: Path, listener: Listener = silent, seconds: float = _SECONDS) -> Survey:
    """Look at the documents of a folder, or at one file.

    Files are read in a shuffled order, each type at least once, until ``seconds`` have passed; the rest is estimated.
    Raises EtymonError where the folder is missing, empty, or holds nothing that can be read.
    """
    found = find_local(folder)
    root, names = found.root, [name for name, _ in found.files]
    skipped = [Unread(printable(each.unit), each.reason, each.detail) for each in found.skipped]
    kinds = {name: kind for name in names if (kind := kind_of(root / name))}
    unsupported = Counter(suffix_of(name).lower() or "(no suffix)" for name in names if name not in kinds)
    columns, without_text = _text_columns(root, [name for name, kind in kinds.items() if kind == "documents"])
    chosen = most_of(root, {name: kind for name, kind in kinds.items() if name not in without_text})
    readable = [name for name, kind in kinds.items() if kind == chosen and name not in without_text]
    look = _look(root, readable, columns if chosen == "documents" else None, listener, seconds)
    if not look.characters.total():
        raise EtymonError(
            f"No text was found in {folder} ({_explained([*skipped, *look.unread], without_text, unsupported)}).",
            f"Readable types: {' '.join(READERS)}.",
        )
    return Survey(
        folder=folder,
        kind=chosen,
        other_kinds={name: kind for name, kind in kinds.items() if kind != chosen and name not in without_text},
        files_of_rows=() if all(kinds.get(name) == "chat" for name in _files_of_rows(names)) else tuple(readable),
        types=tuple(_type_survey(suffix, root, readable, look) for suffix in sorted({suffix_of(name) for name in readable})),
        columns=columns if chosen == "documents" else {},
        without_text=without_text,
        unread=(*skipped, *look.unread),
        unsupported=dict(unsupported.most_common()),
        languages=_shares(look.languages),
        tokens=round(look.tokens * _scale_of_all(root, readable, look)),
        sample=look.sample,
    )


def estimated_tokens(text: str) -> float:
    """Tokens of a text for a tokenizer of European languages, roughly.

    Measured with SmolLM2's: 3.8 characters a token in docstrings, 5.1 in plain English; of UTF-8 bytes outside ASCII 2.4 in
    Russian, 1.8 in Japanese, 1.4 in Classical Chinese.
    """
    size = len(text.encode("utf-8", "replace"))
    beyond_ascii = (
        0 if size == len(text) else sum(len(character.encode("utf-8", "replace")) for character in text if character > "\x7f")
    )
    return (size - beyond_ascii) / 4 + beyond_ascii / 2


@dataclass
class _Look:
    """What reading has found so far."""

    names: set[str]
    bytes: Counter[str]
    documents: Counter[str]
    characters: Counter[str]
    languages: Counter[str]
    unread: list[Unread]
    tokens: float = 0.0
    sample: str = ""


def _files_of_rows(names: list[str]) -> list[str]:
    return [name for name in names if type_of(name) in ROW_TYPES]


def _look(root: Path, names: list[str], columns: dict[str, str] | None, listener: Listener, seconds: float) -> _Look:
    """``columns``: of documents, the text column of each file of rows; None for conversations."""
    look = _Look(set(), Counter(), Counter(), Counter(), Counter(), [])
    tick = Clock(listener, "survey", "reading", total=len(names), unit="files")
    begun = time.monotonic()
    for done, name in enumerate(sorted(names, key=lambda name: sha256(os.fsencode(name)).hexdigest()), 1):
        suffix = suffix_of(name)
        if time.monotonic() - begun > seconds and look.bytes[suffix]:
            continue
        look.names.add(name)
        look.bytes[suffix] += (root / name).stat().st_size
        for found in _read(root / name, name, None if columns is None else columns.get(name, "text")):
            if isinstance(found, Unread):
                look.unread.append(found)
                continue
            text = repair(found.text)
            look.documents[suffix] += 1
            look.characters[suffix] += len(text)
            look.tokens += estimated_tokens(text)
            look.sample = look.sample or text[:_SAMPLE_CHARACTERS]
            if look.documents[suffix] <= ROWS_LOOKED_AT or type_of(name) not in ROW_TYPES:
                look.languages[detect_language(text)[0]] += min(len(text), _LANGUAGE_CHARACTERS)
        tick(done)
    return look


def _read(path: Path, name: str, column: str | None) -> Iterator[Document | Unread]:
    """As a build would read the file, but a file that would end a build is told among the others."""
    try:
        yield from read_rows(path, name, "chat", {}) if column is None else read_file(path, name, column)
    except OSError as error:
        yield Unread(name, "unreadable-file", str(error.strerror))


def _type_survey(suffix: str, root: Path, names: list[str], look: _Look) -> TypeSurvey:
    of_type = [name for name in names if suffix_of(name) == suffix]
    size = sum((root / name).stat().st_size for name in of_type)
    scale = size / look.bytes[suffix] if look.bytes[suffix] else 1.0
    return TypeSurvey(
        suffix=suffix,
        files=len(of_type),
        files_read=sum(name in look.names for name in of_type),
        bytes=size,
        documents=round(look.documents[suffix] * scale),
        characters=round(look.characters[suffix] * scale),
    )


def _scale_of_all(root: Path, names: list[str], look: _Look) -> float:
    """All characters as estimated, for each that was read."""
    types = [_type_survey(suffix, root, names, look) for suffix in {suffix_of(name) for name in names}]
    return sum(each.characters for each in types) / max(1, look.characters.total())


def _text_columns(root: Path, names: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The text column of each file of rows: ``text`` if it is there, else the column of texts with the most characters."""
    columns, without = {}, {}
    for name in names:
        if type_of(name) in ROW_TYPES:
            rows = first_rows(root / name)
            if type_of(name) == ".json" and len(rows) == 1 and not text_in(rows[0].get("text")):
                without[name] = "a single row, as settings have"
                continue
            lengths: Counter[str] = Counter()
            for row in rows:
                lengths.update({key: len(text_in(value) or "") for key, value in row.items()})
            if lengths.total():
                columns[name] = "text" if lengths["text"] else lengths.most_common(1)[0][0]
            else:
                without[name] = (
                    f"columns {', '.join(sorted({key for row in rows for key in row}))}" if rows else _fault(root / name)
                )
    return columns, without


def _fault(path: Path) -> str:
    """Why no row of a file can be read."""
    try:
        first = next(rows_in(path, path.name, None), None)
    except EtymonError as error:
        return error.problem.replace(f"{path} has", "it has", 1)
    except OSError as error:
        return str(error.strerror)
    return f"no readable rows ({first.reason})" if isinstance(first, Unread) else "no readable rows"


def _shares(counts: Counter[str]) -> dict[str, float]:
    return {name: round(count / counts.total(), 3) for name, count in counts.most_common() if count}


def _explained(unread: list[Unread], without_text: dict[str, str], unsupported: Counter[str]) -> str:
    reasons = Counter(each.reason for each in unread)
    reasons.update({"no-text-column": len(without_text)} if without_text else {})
    reasons.update({f"unsupported-type{suffix}": count for suffix, count in unsupported.items()})
    return ", ".join(f"{reason} {count}" for reason, count in reasons.most_common()) or "every file is empty"
