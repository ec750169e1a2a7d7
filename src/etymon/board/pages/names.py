"""Which file a model's page is. Names come from model cards and never become paths."""

import re
from collections import Counter
from collections.abc import Mapping

from etymon.board.standings import Row, Standings
from etymon.store import value_digest

FOLDER = "models"
_LETTERS = 12


def model_pages(standings: Standings) -> Mapping[str, str]:
    """File by model name: ``models/`` and the digest's beginning or, where that is no digest or two models', a longer one."""
    plain = {row.name: row.digest[:_LETTERS] if re.fullmatch(r"[0-9a-f]{12,}", row.digest) else "" for row in standings.rows}
    often = Counter(plain.values())
    return {
        row.name: f"{FOLDER}/{plain[row.name] if plain[row.name] and often[plain[row.name]] == 1 else _own(row)}.html"
        for row in standings.rows
    }


def _own(row: Row) -> str:
    """Longer than a digest's beginning, so it is never another model's."""
    return value_digest({"name": row.name, "digest": row.digest})[: 2 * _LETTERS]
