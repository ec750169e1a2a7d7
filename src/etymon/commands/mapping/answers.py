"""What answers look like: a JSON schema of an object, whose properties become columns."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import referencing
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from etymon.commands.mapping.columns import column
from etymon.errors import EtymonError

_EXAMPLE = 'Such as {"type": "object", "properties": {"label": {"enum": ["yes", "no"]}}, "required": ["label"]}.'
_SHOWN = 300


class UnfitAnswer(Exception):
    """An answer is no JSON, or breaks the schema. ``reason`` is what is counted."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail[:_SHOWN]


@dataclass(frozen=True)
class Schema:
    """A schema that was checked."""

    content: dict[str, Any]
    """No other properties than it names are allowed: a table's columns are known before its rows."""
    validator: Validator

    @property
    def text(self) -> str:
        """As JSON; the order of properties is that in which they are answered."""
        return json.dumps(self.content)

    @property
    def columns(self) -> dict[str, dict[str, Any]]:
        """What becomes of each property: a column, with the property's own schema."""
        found: dict[str, dict[str, Any]] = self.content["properties"]
        return found

    def read(self, text: str) -> dict[str, Any]:
        """An answer that keeps to the schema. Raises UnfitAnswer."""
        try:
            answer = json.loads(text)
            json.dumps(answer, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError) as error:
            raise UnfitAnswer("no-json", f"{error}: {text!r}") from None
        if found := best_match(self.validator.iter_errors(answer)):
            where = "".join(f".{part}" for part in found.absolute_path)
            raise UnfitAnswer("schema", f"the answer{where}: {found.message}")
        assert isinstance(answer, dict)
        for name, value in answer.items():
            try:
                column([value], self.columns[name])
            except (pyarrow.ArrowException, OverflowError) as error:
                raise UnfitAnswer("schema", f"the answer.{name} does not fit into a column: {error}") from None
        return answer


def read_schema(path: Path) -> Schema:
    """Raises EtymonError for a file that is no schema of an object, or refers to another file."""
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise EtymonError(f"The schema {path} cannot be read: {error}.", "Give a file with a JSON schema.") from None
    if not isinstance(content, dict) or content.get("type") != "object" or not content.get("properties"):
        raise EtymonError(f"{path} is no schema of an object with properties, which become columns.", _EXAMPLE)
    kind = validator_for(content, default=Draft202012Validator)
    try:
        kind.check_schema(content)
    except SchemaError as error:
        where = ".".join(str(part) for part in error.absolute_path) or "the schema"
        raise EtymonError(f"{path}: {where}: {error.message}.", "It is no valid JSON schema.") from None
    if content.setdefault("additionalProperties", False) is not False:
        raise EtymonError(f"{path} allows properties that it does not name.", "Name them: each becomes a column.")
    _check_references(path, content)
    return Schema(content, kind(content, registry=referencing.Registry()))


def _check_references(path: Path, content: dict[str, Any]) -> None:
    """Nothing is fetched: a schema stands for itself."""
    resource = DRAFT202012.create_resource(content)
    resolver = referencing.Registry().with_resource("", resource).resolver()
    for reference in _references(content):
        try:
            if not reference.startswith("#"):
                raise EtymonError(f"{path} refers to {reference}, outside of itself.", "Put it under $defs.")
            resolver.lookup(reference)
        except Unresolvable:
            raise EtymonError(f"{path} refers to {reference}, which it does not have.", "Correct the reference.") from None


def _references(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        if isinstance(content.get("$ref"), str):
            yield content["$ref"]
        content = list(content.values())
    if isinstance(content, list):
        for each in content:
            yield from _references(each)
