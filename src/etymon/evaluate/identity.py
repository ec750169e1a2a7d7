"""What makes two scores comparable: the same questions, asked in the same form, judged by the same rules."""

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from etymon.store import value_digest

HARNESS = f"lm-eval {version('lm-eval')}"


def task_identity(name: str, *, data: str, form: Any, shots: int, template: str, judge: str) -> str:
    """A digest; scores of different identity are never compared. It does not depend on the model or its tokenizer.

    ``data``: digest of the questions and right answers. ``form``: how they become a prompt, down to the wording.
    ``template``: "none", or whose chat template wraps the prompt. ``judge``: the program that turns answers into a score.
    """
    return value_digest({"task": name, "data": data, "form": form, "shots": shots, "template": template, "judge": judge})


def data_digest(rows: Iterable[Any]) -> str:
    """Digest of questions in their order; anything that is not plain JSON counts by its text."""
    return value_digest([_plain(row) for row in rows])


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, str | int | bool) else repr(value)
