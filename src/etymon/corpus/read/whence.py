"""Where and when a row's text was found, as its own columns say."""

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

WHENCE = ("url", "date", "timestamp")
"""The columns that are looked at; ``date`` before ``timestamp``."""
_LESS_THAN_A_DAY = re.compile(r"\d{4}(-(0[1-9]|1[0-2]))?")


def url_of(content: Mapping[str, Any], column: str = "") -> str | None:
    """The column ``url``, unless it is the ``column`` that holds the text."""
    value = content.get("url") if column != "url" else None
    return value.strip() or None if isinstance(value, str) else None


def date_of(content: Mapping[str, Any], column: str = "") -> str | None:
    """The column ``date`` or ``timestamp`` in ISO 8601; None where it is none: a number could mean anything."""
    for name in WHENCE[1:]:
        if name != column and (found := iso_date(content.get(name))):
            return found
    return None


def iso_date(value: Any) -> str | None:
    """A date or a moment in ISO 8601, as it was written; None where it is none."""
    if isinstance(value, date):  # a datetime is one
        return value.isoformat()
    if not isinstance(value, str):
        return None
    text = value.strip()
    if _LESS_THAN_A_DAY.fullmatch(text):
        return text
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return None
    return text
