"""Tasks of lm-eval, from its own collection, from a local file, or built in; and what their scores may be compared with."""

import difflib
import json
import logging
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import datasets  # type: ignore[import-untyped]
import lm_eval.api.task
import pyarrow as pa
import yaml
from jinja2 import TemplateError
from lm_eval.tasks import TaskManager
from lm_eval.tasks._index import Entry, Kind, TaskIndex
from lm_eval.tasks._yaml_loader import load_yaml

from etymon.errors import EtymonError
from etymon.evaluate.identity import AS_IT_IS, HARNESS, Asked, data_digest, plain_form, task_identity
from etymon.evaluate.question_task import QuestionTask
from etymon.foundation.user_cache import user_cache
from etymon.store import value_digest

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
    clusters: tuple[str, ...] | None = None
    """Which items belong together; by default each stands alone."""
    asked: Asked = AS_IT_IS

    @property
    def weights(self) -> dict[str, float]:
        """What an item of each task counts: the same, or so much that every task does."""
        if self.asked.mean == "items":
            return dict.fromkeys(self.tasks, 1.0)
        return {name: 1 / len(task.eval_docs) for name, task in self.tasks.items()}


def load_task_file(path: Path, asked: Asked = AS_IT_IS) -> HarnessTask:
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
        return _describe(config["task"], loaded["tasks"], asked)


@lru_cache(maxsize=8)
def load_named_task(name: str, asked: Asked = AS_IT_IS) -> HarnessTask:
    """A task, group or tag of lm-eval by name. Its data come from the hub, or from the local cache of ``datasets``."""
    with explaining(f"The task {name!r}"):
        manager = _manager()
        if name not in manager.all_tasks:
            built_in = ["heldout", "mmlu_dev", "chat_retention"]
            close = difflib.get_close_matches(name, built_in, n=1) or difflib.get_close_matches(name, manager.all_tasks, n=3)
            hint = f"Did you mean {' or '.join(close)}? " if close else ""
            raise EtymonError(
                f"There is no task {name!r}: neither a task of {HARNESS}, nor a built-in one, nor a file.",
                f"{hint}Built in are heldout, mmlu_dev and chat_retention; a task file ends in .yaml, a data file in "
                ".jsonl, .csv or .parquet.",
            )
        loaded = manager.load([name])
        return _describe(name, loaded["tasks"], as_defined(loaded["groups"].get(name), asked))


def as_defined(group: Any, asked: Asked) -> Asked:
    """What is asked of a group, with its mean over tasks where its own definition takes it so (``weight_by_size: false``)."""
    aggregates = group.aggregate_metric_list if group is not None else None
    if aggregates and not any(each.weight_by_size for each in aggregates):
        return asked.model_copy(update={"mean": "tasks"})
    return asked


def load_questions(task: QuestionTask) -> HarnessTask:
    """Questions that are at hand, as a task of lm-eval."""
    data = {"test": datasets.Dataset.from_list(task.rows)}
    config = deepcopy(task.config) | {"custom_dataset": lambda **_: data, "num_fewshot": task.shots}
    with explaining(f"The task {task.name!r}"):
        loaded = TaskManager(include_defaults=False).load([config])
    return HarnessTask(task.name, loaded["tasks"], task.identity, task.items, task.notes, task.clusters, task.asked)


@cache
def _manager() -> Any:
    """lm-eval's task manager over its whole collection. Its index takes up to 20 s to read, and is kept."""
    path = user_cache().root / f"{HARNESS.replace(' ', '-')}-tasks-{value_digest(str(_TASK_FOLDER))[:12]}.json"
    manager = TaskManager(include_defaults=False)
    try:
        index = {name: _entry(name, *known) for name, known in json.loads(path.read_text("utf-8")).items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # not there yet, or damaged
        index = TaskIndex.build([_TASK_FOLDER])
        making = path.with_name(f"{path.name}.{os.getpid()}.making")
        making.write_text(json.dumps({name: _known(entry) for name, entry in index.items()}), "utf-8")
        making.replace(path)
    manager._index.update(index)
    manager._all_tasks = sorted(index)
    return manager


def _known(entry: Any) -> list[Any]:
    path = entry.yaml_path
    return [entry.kind.name, path.relative_to(_TASK_FOLDER).as_posix() if path else None, sorted(entry.tags)]


def _entry(name: str, kind: str, path: str | None, tags: list[str]) -> Any:
    return Entry(name, Kind[kind], _TASK_FOLDER / path if path else None, None, set(tags))


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


def _describe(name: str, tasks: dict[str, Any], asked: Asked) -> HarnessTask:
    forms, data, notes, shots = [], [], [], 0
    for task in tasks.values():
        _check_usable(task)
        _set_shots(task, asked.shots)
        shots = max(shots, task.get_config("num_fewshot"))
        forms.append(_form(task))
        examples = task.fewshot_docs() if task.get_config("num_fewshot") else None
        data.append([data_digest(task.eval_docs), data_digest(examples or [])])
        notes += _notes(task)
    if not tasks:
        raise EtymonError(f"{name!r} names no task that could be run.")
    identity = task_identity(name, data=data_digest(data), form=forms, shots=shots, judge=HARNESS, asked=asked)
    return HarnessTask(name, tasks, identity, notes=tuple(notes), asked=asked)


def _check_usable(task: Any) -> None:
    if getattr(task, "UNSAFE_CODE", False):
        raise EtymonError(f"The task {task.task_name!r} runs code that the model writes; that is not supported here.")
    if getattr(task, "MULTIMODAL", False):
        raise EtymonError(f"The task {task.task_name!r} needs images or sound; only text is supported here.")
    if unknown := [metric for metric, judge in task._metric_fn_list.items() if judge is None and not _own_judge(task)]:
        raise EtymonError(f"The task {task.task_name!r} asks for a metric that lm-eval does not know: {unknown[0]}.")


def _set_shots(task: Any, asked: int | None) -> None:
    """The number of few-shot examples. Another number than a defined 0, which lm-eval ignores, is refused."""
    defined = task.get_config("num_fewshot")
    if asked is not None and asked != defined and defined == 0:
        raise EtymonError(
            f"The definition of {task.task_name} says 0 shots, which lm-eval never overrides; {asked} were asked for.",
            f"Leave {task.task_name} out of `shots`, or write a task file with another num_fewshot.",
        )
    if asked and task.OUTPUT_TYPE == "loglikelihood_rolling":
        raise EtymonError(f"{task.task_name} scores whole texts; it has no shots.", f"Leave {task.task_name} out of `shots`.")
    task.set_config("num_fewshot", asked if asked is not None else defined or 0)


def _notes(task: Any) -> list[str]:
    """What a reader of the score must know about a task's data."""
    own = task.fewshot_cfg.split is None and not (task.has_training_docs() or task.has_validation_docs())
    if own and task.get_config("num_fewshot") and task.fewshot_cfg.samples is None:
        return [f"{task.task_name} draws its few-shot examples from the scored items; an item may be its own example."]
    return []


def _own_judge(task: Any) -> bool:
    """Whether the task brings a function that judges answers."""
    return callable(task.get_config("process_results"))


_NOT_FORM = ("task_alias", "tag", "custom_dataset", "dataset_path", "dataset_name", "dataset_kwargs", "metadata")


def _form(task: Any) -> Any:
    """A task's definition without where its data lie."""
    config = {key: value for key, value in vars(task.config).items() if key not in _NOT_FORM and value is not None}
    fewshot = config.get("fewshot_config")
    if fewshot is not None and not isinstance(fewshot, dict):
        config["fewshot_config"] = vars(fewshot)
    metadata = task.get_config("metadata")
    clustered = [metadata["cluster"]] if isinstance(metadata, dict) and "cluster" in metadata else []
    return [plain_form(config), str(task.VERSION), *clustered]


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
