"""Which items of a task are not independent: those that share a passage, and those that are the same document twice."""

from typing import Any

from etymon.errors import EtymonError
from etymon.evaluate.identity import data_digest


class Clusters:
    """Items joined by what they share; an item that shares nothing is its own cluster."""

    def __init__(self) -> None:
        self.repeated: list[str] = []
        """Items whose document was there before."""
        self._first_with: dict[str, str] = {}
        """Digest of a document → the first item that asks it."""
        self._joined: dict[str, str] = {}

    def add(self, item: str, doc: Any, shared: str | None) -> None:
        """``shared``: the name of what the item shares with others, such as its passage."""
        self._joined[item] = item
        if shared is not None:
            self._join(item, shared)
        first = self._first_with.setdefault(data_digest([doc]), item)
        if first != item:
            self.repeated.append(item)
            self._join(item, first)

    def of(self, item: str) -> str:
        """The name of the cluster that an item belongs to."""
        while (other := self._joined.get(item, item)) != item:
            item = other
        return item

    def _join(self, one: str, other: str) -> None:
        one, other = self.of(one), self.of(other)
        if one != other:
            self._joined[one] = other


def shared_field(task: Any, doc: dict[str, Any], item: str) -> str | None:
    """What an item shares with others by the field of its document that the task names as ``metadata: {cluster: FIELD}``.

    Raises EtymonError where the document has no such field.
    """
    metadata = task.get_config("metadata")
    field = metadata.get("cluster") if isinstance(metadata, dict) else None
    if field is None:
        return None
    if field not in doc:
        raise EtymonError(
            f"{task.task_name}: item {item} has no field {field!r}, by which its items are clustered.",
            f"Its fields are {', '.join(map(str, doc))}; mend `metadata: {{cluster: ...}}` in the task file.",
        )
    return str(doc[field])
