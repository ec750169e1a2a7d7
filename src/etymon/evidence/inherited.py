"""What a derivative inherited from its base and what it earned: the board's row of it, as a table for the model card."""

from collections.abc import Mapping
from typing import Any

_HEAD = "| task | metric | base | derivative | change (95%) | kept | gained | lost | earned beyond the control |"


def inherited_table(standings: Mapping[str, Any] | None, digest: str) -> str:
    """The main metrics of the model with this digest in a board's ``standings.json``, in Markdown."""
    row = _row(standings, digest) if standings else None
    if standings is None or row is None:
        return "Not measured: the derivative was not ranked beside its base."
    columns = [each for each in standings["columns"] if each["main"] and each["key"] in row["cells"]]
    lines = [_line(column, row["cells"][column["key"]]) for column in columns if row["cells"][column["key"]]["change"]]
    if not lines:
        return "Not measured: no task was put to both the derivative and its base."
    words = (
        "*Inherited* is what the base scores on the same items; kept, gained and lost count items against it. *Earned* is "
        "the derivative minus a control of equal compute on unrelated data."
    )
    return "\n".join([_HEAD, "|" + "---|" * 9, *lines]) + f"\n\n{words}"


def _row(standings: Mapping[str, Any], digest: str) -> dict[str, Any] | None:
    return next((row for row in standings["rows"] if row["digest"] == digest), None)


def _line(column: dict[str, Any], cell: dict[str, Any]) -> str:
    change, earned = cell["change"], cell["earned"]
    counts = [("" if change[each] is None else f"{change[each]:,}") for each in ("kept", "gained", "lost")]
    lacks = cell["earned_lacks"]
    beyond = _interval(earned["difference"]) if earned else f"not measured{f': it takes {lacks}' if lacks else ''}"
    figures = [f"{change['inherited']:.4f}", f"{cell['score']['value']:.4f}", _interval(change["difference"])]
    return "| " + " | ".join([column["task"], column["metric"], *figures, *counts, beyond]) + " |"


def _interval(score: dict[str, Any]) -> str:
    known = score["low"] is not None and score["high"] is not None
    return f"{score['value']:+.4f}" + (f" ({score['low']:+.4f} to {score['high']:+.4f})" if known else "")
