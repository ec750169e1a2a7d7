"""How large a JSON schema may be.

llama.cpp makes a grammar of it while all other answers wait: for 2,000 optional properties, a minute; for 400, two seconds.
"""

import json
from collections.abc import Iterator
from typing import Any

from etymon.serve.engine.base import Unsupported

MOST_PROPERTIES = 300
MOST_VALUES = 1_000
"""Of enumerations."""
MOST_CHARACTERS = 100_000


def refuse_large(schemas: Any, field: str) -> None:
    """Raises Unsupported where the schemas within a JSON value are together too large."""
    properties = values = 0
    for each in _objects(schemas):
        named, listed = each.get("properties"), each.get("enum")
        properties += len(named) if isinstance(named, dict) else 0
        values += len(listed) if isinstance(listed, list) else 0
    for count, most, what in ((properties, MOST_PROPERTIES, "properties"), (values, MOST_VALUES, "enumerated values")):
        if count > most:
            raise Unsupported(f"The schema has {count:,} {what}; it may have {most:,}.", field, "schema_too_large")
    if len(json.dumps(schemas)) > MOST_CHARACTERS:
        raise Unsupported(f"The schema is longer than {MOST_CHARACTERS:,} characters.", field, "schema_too_large")


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _objects(each)
