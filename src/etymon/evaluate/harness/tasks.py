"""Tasks of lm-eval, from its own collection, from a local file, or built in; and what their scores may be compared with."""

import difflib
import inspect
import logging
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import datasets  # type: ignore[import-untyped]
import lm_eval.api.task
import pyarrow as pa
import yaml
from jinja2 import TemplateError
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from etymon.errors import EtymonError
from etymon.evaluate.identity import HARNESS, data_digest, task_identity
from etymon.evaluate.mmlu_dev import CONFIG, mmlu_dev_task

lm_eval.api.task.tqdm = lambda iterable, **_: iterable  # its bars would cut through our progress
logging.getLogger("lm_eval").setLevel(logging.ERROR)
datasets.disable_progress_bars()

_TASK_FOLDER = Path(lm_eval.api.task.__file__).parents[1] / "tasks"
_BAD_TASK = (
    KeyError, ValueError, TypeError, AttributeError, IndexError, AssertionError, ImportError, SyntaxError, TemplateError,
    yaml.YAMLError, pa.ArrowException, datasets.exceptions.DatasetsError,
)  # fmt: skip
"""What lm-eval lets through when a task's definition or its data are wrong."""
_OURS = ("_loglikelihood_tokens", "loglikelihood_rolling", "generate_until")
"""Methods of our model side, which lm-eval calls."""


@dataclass(frozen=True, eq=False)
class HarnessTask:
    """A task of lm-eval, loaded: one task, or the tasks of a group, whose items are taken together."""

    name: str
    tasks: dict[str, Any]
    """lm-eval's task objects by name."""
    identity: str
    item_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def load_task_file(path: Path) -> HarnessTask:
    """A task from a local YAML file; data files it names are looked for beside it first."""
    try:
        config = load_yaml(path, resolve_func=True)
    except _BAD_TASK as error:
        raise EtymonError(f"{path} is not a task file: {_first_line(error)}") from error
    if not isinstance(config, dict) or not isinstance(config.get("task"), str):
        raise EtymonError(f"{path} defines no task.", "A task file of lm-eval has a key `task` with the task's name.")
    config = {**config, "metadata": config["metadata"] if isinstance(config.get("metadata"), dict) else {}}
    _find_data(config, path)
    with explaining(f"The task file {path}"):
        loaded = TaskManager(include_defaults=False).load([config])
        return _describe(config["task"], loaded["tasks"])


@lru_cache(maxsize=4)
def load_named_task(name: str) -> HarnessTask:
    """A task, group or tag of lm-eval by name. Its data come from the hub, or from the local cache of ``datasets``."""
    with explaining(f"The task {name!r}"):
        if found := _file_of_task(name):
            loaded = TaskManager(include_defaults=False).load([str(found)])
        else:  # groups and tags refer to other files: only the whole index, which takes long to read, knows them
            manager = TaskManager()
            if name not in manager.all_tasks:
                close = difflib.get_close_matches(name, manager.all_tasks, n=3)
                hint = f"Did you mean {' or '.join(close)}? " if close else ""
                raise EtymonError(
                    f"There is no task {name!r}: neither a task of {HARNESS}, nor a built-in one, nor a file.",
                    f"{hint}Built in are heldout, mmlu_dev and chat_retention; a task file ends in .yaml.",
                )
            loaded = manager.load([name])
        return _describe(name, loaded["tasks"])


def _file_of_task(name: str) -> Path | None:
    """The file that defines a task. Reading text takes a second, where lm-eval's own index takes twenty."""
    definition = re.compile(rf"^task:\s*[\"']?{re.escape(name)}[\"']?\s*$", re.MULTILINE)
    for path in sorted(_TASK_FOLDER.rglob("*.yaml")):
        if definition.search(path.read_text("utf-8", errors="replace")):
            return path
    return None


@lru_cache(maxsize=1)
def load_mmlu_dev() -> HarnessTask:
    """The questions that come with lm-eval, 0-shot."""
    task = mmlu_dev_task()
    config = {**deepcopy(CONFIG), "custom_dataset": lambda **_: {"test": datasets.Dataset.from_list(task.rows)}}
    loaded = TaskManager(include_defaults=False).load([config])
    return HarnessTask(task.name, loaded["tasks"], task.identity, task.items, (task.note,))


def _find_data(config: dict[str, Any], path: Path) -> None:
    """Make the data paths of a task file absolute where they lie beside it."""

    def beside(value: Any) -> Any:
        if isinstance(value, dict):
            return {split: beside(each) for split, each in value.items()}
        if isinstance(value, list):
            return [beside(each) for each in value]
        text = str(value)
        if "://" in text or Path(text).is_absolute():
            return value
        local = path.parent / text
        if any(path.parent.glob(text)):
            return str(local.resolve())
        if any(Path().glob(text)):
            return value
        raise EtymonError(f"{path} names the data file {text}, which is not there.", f"It was looked for as {local}.")

    keywords = dict(config.get("dataset_kwargs") or {})
    for key in ("data_files", "data_dir"):
        if key in keywords:
            keywords[key] = beside(keywords[key])
    if keywords:
        config["dataset_kwargs"] = keywords
    dataset = config.get("dataset_path")
    if isinstance(dataset, str) and (path.parent / dataset).exists():
        config["dataset_path"] = str((path.parent / dataset).resolve())


def _describe(name: str, tasks: dict[str, Any]) -> HarnessTask:
    forms, data, shots = [], [], 0
    for task in tasks.values():
        if getattr(task, "UNSAFE_CODE", False):
            raise EtymonError(f"The task {task.task_name!r} runs code that the model writes; that is not supported here.")
        if getattr(task, "MULTIMODAL", False):
            raise EtymonError(f"The task {task.task_name!r} needs images or sound; only text is supported here.")
        if unknown := [metric for metric, judge in task._metric_fn_list.items() if judge is None and not _own_judge(task)]:
            raise EtymonError(f"The task {task.task_name!r} asks for a metric that lm-eval does not know: {unknown[0]}.")
        if task.get_config("num_fewshot") is None:
            task.set_config("num_fewshot", 0)
        shots = max(shots, task.get_config("num_fewshot"))
        forms.append(_form(task))
        examples = task.fewshot_docs() if task.get_config("num_fewshot") else None
        data.append([data_digest(task.eval_docs), data_digest(examples or [])])
    if not tasks:
        raise EtymonError(f"{name!r} names no task that could be run.")
    identity = task_identity(name, data=data_digest(data), form=forms, shots=shots, template="none", judge=HARNESS)
    return HarnessTask(name, tasks, identity)


def _own_judge(task: Any) -> bool:
    """Whether the task brings a function that judges answers."""
    return callable(task.get_config("process_results"))


_NOT_FORM = ("task_alias", "tag", "custom_dataset", "dataset_path", "dataset_name", "dataset_kwargs", "metadata")


def _form(task: Any) -> Any:
    """A task's definition without where its data lie; functions count by their source."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): plain(each) for key, each in sorted(value.items(), key=lambda pair: str(pair[0]))}
        if isinstance(value, list | tuple):
            return [plain(each) for each in value]
        if callable(value):
            return inspect.getsource(value)
        return value if value is None or isinstance(value, str | int | float | bool) else str(value)

    config = {key: value for key, value in vars(task.config).items() if key not in _NOT_FORM and value is not None}
    fewshot = config.get("fewshot_config")
    if fewshot is not None and not isinstance(fewshot, dict):
        config["fewshot_config"] = vars(fewshot)
    return [plain(config), str(task.VERSION)]


@contextmanager
def explaining(what: str) -> Iterator[None]:
    """Tell a mistake in a task, or a hub that is out of reach, from a bug: what our own model side raises is one."""
    try:
        yield
    except EtymonError:
        raise
    except (ConnectionError, datasets.exceptions.DatasetNotFoundError) as error:
        raise EtymonError(
            f"{what} needs data from the Hugging Face hub, which cannot be reached: {_first_line(error)}",
            "Connect, unset HF_HUB_OFFLINE, or use a task file with local data.",
        ) from error
    except (OSError, *_BAD_TASK) as error:
        if any(frame.name in _OURS for frame in traceback.extract_tb(error.__traceback__)):
            raise
        raise EtymonError(
            f"{what} cannot be used: {type(error).__name__}: {_first_line(error)}",
            "lm-eval refuses its definition or its data; see the guide to task files in lm-eval's documentation.",
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
