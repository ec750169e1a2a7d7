"""The question that is asked of every row: a text with ``{column}`` where the row's own value goes."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etymon.commands.mapping.values import plain
from etymon.errors import EtymonError

_PIECES = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")


class MissingColumn(Exception):
    """A row does not have a column that the prompt names."""


@dataclass(frozen=True)
class Prompt:
    """Texts and names of columns by turns: a text, a name, a text, … a text."""

    source: str
    texts: tuple[str, ...]
    columns: tuple[str, ...]

    def check(self, columns: Collection[str]) -> None:
        """Raises EtymonError for a column that no row has."""
        for name in self.columns:
            if name not in columns:
                raise EtymonError(
                    f"The prompt names a column {name!r}; the input has {', '.join(columns)}.",
                    "Correct the name; a brace that is meant as such is written twice: {{ }}.",
                )

    def of(self, row: Mapping[str, Any]) -> str:
        """The question about one row. Text is put in as it is, nothing where there is no value, all else as JSON.

        Raises MissingColumn.
        """
        asked = self.texts[0]
        for name, text in zip(self.columns, self.texts[1:], strict=True):
            if name not in row:
                raise MissingColumn(name)
            asked += _shown(row[name]) + text
        return asked


def read_prompt(given: str) -> Prompt:
    """A prompt, or with ``@`` before it the file that holds one. Raises EtymonError."""
    if given.startswith("@"):
        path = Path(given[1:]).expanduser()
        try:
            given = path.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise EtymonError(f"The prompt {path} cannot be read: {error}.", "Give a text file in UTF-8.") from None
    texts, columns, begin = [""], [], 0
    for piece in _PIECES.finditer(given):
        texts[-1] += given[begin : piece.start()]
        begin = piece.end()
        if piece.group(1) is not None:
            columns.append(piece.group(1))
            texts.append("")
        elif len(piece.group()) == 2:
            texts[-1] += piece.group()[0]
        else:
            raise EtymonError(
                f"A brace of the prompt has no other: {given[piece.start() : piece.start() + 40]!r}.",
                "Write {column} for a value of the row, and a brace that is meant as such twice: {{ }}.",
            )
    texts[-1] += given[begin:]
    if not columns:
        raise EtymonError(
            "The prompt names no column: every row would be asked the same.", "Write {column} where a value goes."
        )
    return Prompt(given, tuple(texts), tuple(columns))


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(plain(value), ensure_ascii=False)
