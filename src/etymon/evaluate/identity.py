"""What makes two scores comparable: the same questions, asked in the same form, judged by the same rules."""

import inspect
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, Literal

from etymon.store import Config, value_digest

HARNESS = f"lm-eval {version('lm-eval')}"
FEWSHOT_SEED = 1234
"""With which few-shot examples are drawn: lm-eval's own default, so the same ones are."""


class Asked(Config):
    """How a task is put to a model, beyond what the task itself says."""

    template: Literal["none", "own"] = "none"
    """``own``: questions are turns of a conversation under the model's own chat template, few-shot examples turns before."""
    system: str | None = None
    """A system prompt."""
    shots: int | None = None
    """Few-shot examples, in place of the task's own number."""
    mean: Literal["items", "tasks"] = "items"
    """Of a group: whether every item counts the same, or every task of it."""
    engine: Literal["etymon", "vllm", "openai"] = "etymon"
    """What computes the answers."""
    metric: str | None = None
    """Which of the task's metrics is the main one, in place of its first; no part of the identity."""


AS_IT_IS = Asked()


def task_identity(
    name: str, *, data: str, form: Any, shots: int, template: str | None = None, judge: str, asked: Asked = AS_IT_IS
) -> str:
    """A digest; scores of different identity are never compared. It does not depend on the model or its tokenizer.

    ``data``: digest of the questions and right answers. ``form``: how they become a prompt, down to the wording. ``shots``:
    few-shot examples as they are used. ``template``: "none", or whose chat template wraps the prompt; by default what was
    ``asked``. ``judge``: the program that turns answers into a score.
    """
    known = {"task": name, "data": data, "form": form, "shots": shots, "template": template or asked.template, "judge": judge}
    if shots:
        known["fewshot_seed"] = FEWSHOT_SEED
    return value_digest(known | {"system": asked.system, "mean": asked.mean, "engine": asked.engine})


def in_precision(identity: str, dtype: str) -> str:
    """An identity under the precision of the model: float32 is the reference, and anything else is compared apart."""
    return identity if dtype == "float32" else value_digest({"identity": identity, "dtype": dtype})


def data_digest(rows: Iterable[Any]) -> str:
    """Digest of questions in their order; anything that is not plain JSON counts by its text."""
    return value_digest([_plain(row) for row in rows])


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, str | int | bool) else repr(value)


def plain_form(value: Any) -> Any:
    """A task's definition as plain JSON: keys sorted, functions by their source."""
    if isinstance(value, dict):
        return {str(key): plain_form(each) for key, each in sorted(value.items(), key=lambda pair: str(pair[0]))}
    if isinstance(value, list | tuple):
        return [plain_form(each) for each in value]
    if callable(value):
        return inspect.getsource(value)
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
