"""What makes two scores comparable: the same questions, asked in the same form, judged by the same rules."""

import ast
import hashlib
import importlib.util
import inspect
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path
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
    """A task's definition as plain JSON: keys sorted, functions by what they do as far as that can be told."""
    if isinstance(value, dict):
        return {str(key): plain_form(each) for key, each in sorted(value.items(), key=lambda pair: str(pair[0]))}
    if isinstance(value, list | tuple):
        return [plain_form(each) for each in value]
    if callable(value):
        return _function_form(value)
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _function_form(function: Any) -> Any:
    """Our own functions by the version that their module states, lm-eval's by their source, for its version is part of every
    identity; others by the whole file they are in and the files beside it that it imports.
    """
    module = inspect.getmodule(function)
    package = (module.__name__ if module else "").partition(".")[0]
    if package == "etymon":
        return vars(module)["FORM"]
    source, file = inspect.getsource(function), inspect.getsourcefile(function)
    if package == "lm_eval" or file is None or Path(file).is_relative_to(_harness_folder()):
        return source
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in _with_neighbours(Path(file))}
    return {"source": source, "files": files}


def _with_neighbours(file: Path) -> list[Path]:
    """A Python file and what it imports, directly or not, from its own folder."""
    found, waiting = {file}, [file]
    while waiting:
        for node in ast.walk(ast.parse(waiting.pop().read_bytes())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            near = {file.parent / f"{name.partition('.')[0]}.py" for name in names}
            new = {path for path in near if path.is_file()} - found
            found |= new
            waiting += new
    return sorted(found)


@cache
def _harness_folder() -> Path:
    spec = importlib.util.find_spec("lm_eval")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent
