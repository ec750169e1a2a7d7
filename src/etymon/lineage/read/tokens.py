"""Which rows of two models' embeddings stand for the same token. Used to align weights, never to decide a verdict."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from etymon.foundation.bounded_json import bounded_json
from etymon.foundation.gguf.header import read_gguf_header

_LARGEST_TOKENIZER = 1 << 28


@dataclass(frozen=True)
class SharedTokens:
    """Rows of the model and of the parent that stand for the same token, in the parent's order."""

    model_rows: np.ndarray
    parent_rows: np.ndarray
    basis: Literal["strings", "row numbers"]
    """``row numbers`` where a vocabulary is missing: row i is then assumed to mean the same in both."""
    same_vocabulary: bool | None
    """Whether every token has the same row in both; None where a vocabulary is missing."""

    def sample(self, count: int) -> "SharedTokens":
        """At most ``count`` of them, spread evenly."""
        if len(self.model_rows) <= count:
            return self
        chosen = np.linspace(0, len(self.model_rows) - 1, count).astype(int)
        return SharedTokens(self.model_rows[chosen], self.parent_rows[chosen], self.basis, self.same_vocabulary)


def read_vocabulary(path: Path) -> dict[str, int] | None:
    """Token strings and their rows, from a folder's ``tokenizer.json`` or a GGUF's header; None where there is none."""
    if path.suffix == ".gguf" and path.is_file():
        tokens = read_gguf_header(path).get("tokenizer.ggml.tokens", list, [])
        return {str(token): row for row, token in enumerate(tokens)} or None
    file = path / "tokenizer.json"
    if not file.is_file() or file.stat().st_size > _LARGEST_TOKENIZER:
        return None
    try:
        return _tokens_of(bounded_json(file.read_bytes())) or None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError):
        return None  # a tokenizer that is not understood is as good as none: rows are then compared by number


def _tokens_of(content: Any) -> dict[str, int]:
    vocabulary = content["model"]["vocab"]
    if isinstance(vocabulary, list):  # Unigram: [token, score] in the order of the rows
        rows = {str(entry[0]): row for row, entry in enumerate(vocabulary)}
    else:
        rows = {str(token): int(row) for token, row in vocabulary.items()}
    for entry in content.get("added_tokens", []):
        rows[str(entry["content"])] = int(entry["id"])
    return rows


def shared_tokens(
    model: dict[str, int] | None, parent: dict[str, int] | None, model_rows: int, parent_rows: int
) -> SharedTokens:
    """Match rows by token string where both vocabularies are known, by number otherwise."""
    if model is None or parent is None:
        rows = np.arange(min(model_rows, parent_rows))
        return SharedTokens(rows, rows, "row numbers", None)
    pairs = [
        (model[token], row)
        for token, row in sorted(parent.items(), key=lambda item: item[1])
        if token in model and 0 <= row < parent_rows and 0 <= model[token] < model_rows
    ]
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return SharedTokens(table[:, 0], table[:, 1], "strings", model == parent)
