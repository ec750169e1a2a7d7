"""Values of a table as JSON has them."""

import base64
import math
from datetime import date, datetime, time
from typing import Any


def plain(value: Any) -> Any:
    """Dates as ISO 8601, bytes as base64, numbers that are none as null; what else JSON does not know as text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return str(value)
