"""Answers as columns of a table."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow

_SCALARS = {
    "string": pyarrow.string(),
    "integer": pyarrow.int64(),
    "number": pyarrow.float64(),
    "boolean": pyarrow.bool_(),
}


def column(values: Sequence[Any], schema: Any) -> "pyarrow.Array":
    """Values of one property as an array; what has no plain type becomes JSON text.

    Raises ArrowException or OverflowError for values that the type of the property cannot hold.
    """
    kind = _type(schema)
    if kind is None:
        texts = [value if value is None else json.dumps(value, ensure_ascii=False) for value in values]
        return pyarrow.array(texts, pyarrow.string())
    return pyarrow.array(values, kind)


def _type(schema: Any) -> "pyarrow.DataType | None":
    """The type of a property's values: of plain ones, and of lists of such. None where they may be anything else."""
    if not isinstance(schema, dict):
        return None
    named = schema.get("type", "")
    kinds = [str(kind) for kind in (named if isinstance(named, list) else [named]) if kind != "null"]
    if kinds == [""]:
        values = schema.get("enum", [])
        return pyarrow.string() if values and all(isinstance(value, str) for value in values) else None
    if len(kinds) != 1:
        return None
    if kinds == ["array"] and "prefixItems" not in schema:
        items = _type(schema.get("items"))
        return items and pyarrow.list_(items)
    return _SCALARS.get(kinds[0])
