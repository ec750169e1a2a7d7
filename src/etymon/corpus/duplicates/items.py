"""Evaluation items out of a file that the user names."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etymon.corpus.read.found import EXCERPT, Unread
from etymon.corpus.read.packed import type_of
from etymon.corpus.read.tables import ROW_TYPES, rows_in
from etymon.corpus.read.text import read_text
from etymon.errors import EtymonError
from etymon.text.overlap import lettered

_TEXT_TYPES = (".txt", ".md")


def read_items(path: Path) -> dict[str, tuple[str, ...]]:
    """What each item of a file says, by name: ``file#id``, or ``file#3`` where rows have no ``id``.

    A row of a table (jsonl, json, csv, parquet) is an item; all the text in it counts, whatever its columns are called:
    question, choices, answer, messages. A list of strings may be one of choices, so such an item has a second layout, with
    letters before them. In a text file empty lines stand between items; one without them has an item on each line. An item
    that cannot be read would be missed in the corpus, so it is an error: raises EtymonError naming the row.
    """
    if not path.is_file():
        raise EtymonError(f"{path}, a file of evaluation items, is not there.", "Correct the path in corpus.decontaminate.")
    kind = type_of(path.name)
    if kind in ROW_TYPES:
        items = _of_rows(path)
    elif kind in _TEXT_TYPES:
        items = {name: (text,) for name, text in _of_text(path).items()}
    else:
        readable = ", ".join(each.removeprefix(".") for each in sorted({*ROW_TYPES, *_TEXT_TYPES}))
        raise EtymonError(f"{path}: evaluation items are not read from files of this type.", f"Readable: {readable}.")
    if not items:
        raise EtymonError(f"{path} holds no evaluation item with text.", "Give a file with an item on each line or row.")
    return items


def _of_rows(path: Path) -> dict[str, tuple[str, ...]]:
    items: dict[str, tuple[str, ...]] = {}
    for row in rows_in(path, path.name, None):
        if isinstance(row, Unread):
            raise _unreadable(path, row)
        layouts = dict.fromkeys("\n".join(_strings(row.content, letters)) for letters in (False, True))
        if any(text.strip() for text in layouts):
            given = row.content.get("id") if isinstance(row.content, dict) else None
            name = row.unit if given in (None, "") else f"{path.name}#{given}"
            items[name if name not in items else f"{name} ({row.unit.rpartition('#')[2]})"] = tuple(layouts)
    return items


def _strings(content: Any, letters: bool) -> Iterator[str]:
    """All text in a row but its ``id``, in order; mere letters of choices say nothing.

    ``letters`` puts them before the strings of a list.
    """
    if isinstance(content, str):
        if len(content.strip()) > 1:
            yield content
    elif isinstance(content, dict):
        for name, each in content.items():
            if name != "id":
                yield from _strings(each, letters)
    elif isinstance(content, list | tuple):
        spoken = [each for each in content if not isinstance(each, str) or len(each.strip()) > 1]
        if letters and len(spoken) > 1 and all(isinstance(each, str) for each in spoken):
            spoken = lettered(spoken)
        for each in spoken:
            yield from _strings(each, letters)


def _of_text(path: Path) -> dict[str, str]:
    texts: list[str] = []
    for part in read_text(path, path.name, "text"):
        if isinstance(part, Unread):
            raise _unreadable(path, part)
        texts.append(part.text)
    lines = [line.strip() for line in "".join(texts).split("\n")]
    blocks: dict[str, str] = {}
    begin = 0
    alone = not any(not line for line in "\n".join(lines).strip().split("\n"))
    for number, line in enumerate([*lines, ""]):
        if (alone or not line) and number >= begin:
            said = "\n".join(lines[begin : number + alone])
            if said.strip():
                blocks[f"{path.name}#{begin + 1}"] = said
            begin = number + 1
    return blocks


def _unreadable(path: Path, row: Unread) -> EtymonError:
    detail = json.dumps(row.detail[:EXCERPT], ensure_ascii=False)
    return EtymonError(
        f"{path}: {row.unit.rpartition('/')[2]} cannot be read ({row.reason}: {detail}).", "Mend or remove it."
    )
