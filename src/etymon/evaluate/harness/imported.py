"""Result files of lm-eval (``lm_eval --log_samples``) read as hostile input: what they hold is checked before it is believed.

An item's figures come from ``samples_TASK_DATE.jsonl``. It is checked that their means are those of ``results_DATE.json`` and
that no item is missing; what was measured, and whether the files are honest, cannot be: such scores are marked as imported.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from etymon.errors import EtymonError
from etymon.evaluate.records import ItemRecord, Records, RequestRecord, Usage
from etymon.store import value_digest

_LARGEST_RESULTS = 64 << 20
_LARGEST_SAMPLES = 4 << 30
_LONGEST_LINE = 16 << 20
_REMEDY = "Evaluate again with `lm_eval --log_samples`, or leave this task's files out."
_OF_THE_RUN = ("limit", "gen_kwargs", "model_dtype", "fewshot_seed")


class _Counts(BaseModel):
    effective: int = Field(gt=0, le=50_000_000)


class _Results(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    results: dict[str, dict[str, Any]]
    configs: dict[str, dict[str, Any]]
    versions: dict[str, Any] = {}
    shots: dict[str, Any] = Field({}, alias="n-shot")
    higher_is_better: dict[str, dict[str, bool | None]] = {}
    samples: dict[str, _Counts] = Field(alias="n-samples")
    config: dict[str, Any]
    lm_eval_version: str = Field(min_length=1, max_length=100)
    system_instruction: str | None = None
    chat_template_sha: str | None = None
    fewshot_as_multiturn: bool | None = None


class _Sample(BaseModel):
    model_config = ConfigDict(extra="allow")

    doc_id: int = Field(ge=0)
    filter: str = Field(max_length=1000)
    metrics: list[str]
    doc_hash: str
    prompt_hash: str
    target_hash: str
    arguments: dict[str, dict[str, Any]]
    resps: list[Any] = []


@dataclass(frozen=True)
class ResultFiles:
    """One run of lm-eval: its results, and the file of samples of each task that has one."""

    results: Path
    samples: dict[str, Path]
    parameters: int | None
    """Of the model, where the files say so."""
    without_samples: tuple[str, ...]
    """Tasks that cannot be taken over: their scores have no items."""


def find_results(given: Path) -> ResultFiles:
    """The files of one run below a folder, or beside a ``results_*.json``. No name from a file becomes a path."""
    found = [given] if given.is_file() else sorted(given.rglob("results_*.json")) if given.is_dir() else []
    if len(found) != 1:
        problem = f"holds {len(found)} results of lm-eval" if found else "holds no results_*.json of lm-eval"
        raise EtymonError(f"{given} {problem}; one is expected.", "Name the file itself." if found else _REMEDY)
    results = _read_results(found[0])
    beside = {path.name: path for path in found[0].parent.iterdir() if path.is_file()}
    date = found[0].stem.removeprefix("results_")
    names = {task: f"samples_{task}_{date}.jsonl" for task in results.samples}
    samples = {task: beside[name] for task, name in names.items() if name in beside}
    if not samples:
        raise EtymonError(f"There are no samples beside {found[0]}; a score without its items is not shown.", _REMEDY)
    parameters = results.config.get("model_num_parameters")
    known = isinstance(parameters, int) and not isinstance(parameters, bool) and 0 < parameters < 10**15
    return ResultFiles(found[0], samples, parameters if known else None, tuple(sorted(set(names) - set(samples))))


def read_imported(results_file: Path, samples_file: Path, task: str) -> tuple[Records, str]:
    """A task's records and its identity. Raises EtymonError naming file, line and key of the first thing that is wrong."""
    results = _read_results(results_file)
    if task not in results.samples or task not in results.results or task not in results.configs:
        raise EtymonError(f"{results_file} says nothing of {task}.", _REMEDY)
    samples = list(_read_samples(samples_file))
    filters = list(dict.fromkeys(sample.filter for _, sample in samples))
    items: list[ItemRecord] = []
    directions: dict[str, bool] = {}
    left_out = []
    for chosen in filters:
        rows = [(where, sample) for where, sample in samples if sample.filter == chosen]
        _check_items(results, task, chosen, rows, samples_file)
        for metric in dict.fromkeys(name for _, sample in rows for name in sample.metrics):
            label = metric if len(filters) == 1 else f"{metric}[{chosen}]"
            direction = results.higher_is_better.get(task, {}).get(metric)
            values = _values(results, results_file, task, metric, chosen, rows)
            if values is None or direction is None:
                left_out.append(label)
                continue
            items += [ItemRecord(_item(s), _item(s), label, v) for (_, s), v in zip(rows, values, strict=True)]
            directions[label] = direction
    if not directions:
        raise EtymonError(f"{samples_file}: no metric of {task} is a mean over its items, with a direction.", _REMEDY)
    first = [sample for _, sample in samples if sample.filter == filters[0]]
    notes = [f"Imported: measured elsewhere by lm-eval {results.lm_eval_version}; its items agree with its sums."]
    if left_out:
        notes.append(f"Left out, as they are no means over items or have no direction: {', '.join(left_out)}.")
    requests = [request for sample in first for request in _requests(sample, samples_file)]
    usage = Usage(len(requests), 0, 0, 0, 0, 0.0)
    return Records(requests, items, directions, usage, notes), _identity(results, task, first)


def _read_results(path: Path) -> _Results:
    try:
        if path.stat().st_size > _LARGEST_RESULTS:
            raise EtymonError(f"{path} is larger than {_LARGEST_RESULTS >> 20} MiB; results of lm-eval are not.", _REMEDY)
        return _Results.model_validate(json.loads(path.read_bytes()))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise EtymonError(f"{path} is no result of lm-eval 0.4: `{key}`: {first['msg']}.", _REMEDY) from None
    except (OSError, ValueError, RecursionError) as error:
        raise EtymonError(f"{path} cannot be read as results of lm-eval: {error}.", _REMEDY) from None


def _read_samples(path: Path) -> Iterator[tuple[str, _Sample]]:
    if path.stat().st_size > _LARGEST_SAMPLES:
        raise EtymonError(f"{path} is larger than {_LARGEST_SAMPLES >> 30} GiB.", _REMEDY)
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_LONGEST_LINE + 1):
            number += 1
            where = f"{path}, line {number}"
            if len(line) > _LONGEST_LINE:
                raise EtymonError(f"{where} is longer than {_LONGEST_LINE >> 20} MiB.", _REMEDY)
            try:
                yield where, _Sample.model_validate(json.loads(line))
            except ValidationError as error:
                first = error.errors()[0]
                key = ".".join(map(str, first["loc"]))
                raise EtymonError(f"{where} is no sample of lm-eval: `{key}`: {first['msg']}.", _REMEDY) from None
            except (ValueError, RecursionError) as error:
                raise EtymonError(f"{where} is not JSON: {error}.", _REMEDY) from None


def _check_items(results: _Results, task: str, chosen: str, rows: list[tuple[str, _Sample]], path: Path) -> None:
    """Every item once, and as many as the results say."""
    seen: set[int] = set()
    for where, sample in rows:
        if sample.doc_id in seen:
            raise EtymonError(f"{where}: item {sample.doc_id} is there twice for the filter {chosen!r}.", _REMEDY)
        seen.add(sample.doc_id)
    if len(rows) != (said := results.samples[task].effective):
        raise EtymonError(f"{path} has {len(rows)} items of {task}, and its results speak of {said}.", _REMEDY)


def _values(
    results: _Results, results_file: Path, task: str, metric: str, chosen: str, rows: list[tuple[str, _Sample]]
) -> list[float] | None:
    """A metric's value by item, or None where it is no plain mean of them."""
    given = [(sample.model_extra or {}).get(metric) for _, sample in rows]
    if any(not isinstance(value, int | float) for value in given):
        return None
    found = [_finite(value) for value in given]
    if unfinite := [where for (where, _), value in zip(rows, found, strict=True) if value is None]:
        raise EtymonError(f"{unfinite[0]}: {metric} is not finite.", _REMEDY)
    values = [value for value in found if value is not None]
    said = results.results[task].get(f"{metric},{chosen}")
    number = _finite(said) if isinstance(said, int | float) else None
    if number is not None and math.isclose(number, sum(values) / len(values), rel_tol=1e-6, abs_tol=1e-9):
        return values
    if _is_mean(results.configs[task], metric):
        raise EtymonError(
            f"{results_file} gives {said} for {metric} of {task}, and its items {sum(values) / len(values):.6g}.", _REMEDY
        )
    return None


def _is_mean(config: dict[str, Any], metric: str) -> bool:
    listed = config.get("metric_list")
    return isinstance(listed, list) and any(
        isinstance(each, dict) and each.get("metric") == metric and each.get("aggregation") == "mean" for each in listed
    )


def _requests(sample: _Sample, path: Path) -> Iterator[RequestRecord]:
    """What was asked and answered. How many tokens it took is not in the files."""
    for number, arguments in enumerate(sample.arguments.values()):
        answers = sample.resps[number] if number < len(sample.resps) else None
        answer = answers[0] if isinstance(answers, list) and answers else None
        logprob, is_greedy, text = None, None, None
        if isinstance(answer, list) and len(answer) == 2:
            logprob, is_greedy = _finite(answer[0]), str(answer[1]) == "True"
            if logprob is None:
                raise EtymonError(f"{path}: the log-probability of item {sample.doc_id} is no finite number.", _REMEDY)
        elif isinstance(answer, str):
            text = answer
        asked = text if text is not None else str(arguments.get("arg_1", arguments.get("arg_0", "")))
        yield RequestRecord(
            item=_item(sample),
            request=number,
            logprob=logprob,
            tokens=0,
            characters=len(asked),
            bytes=len(asked.encode("utf-8", "replace")),
            is_greedy=is_greedy,
            target=None,
            seconds=0.0,
            text=text,
        )


def _finite(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _item(sample: _Sample) -> str:
    return f"{sample.doc_id:06d}"


def _identity(results: _Results, task: str, samples: list[_Sample]) -> str:
    """A digest of what the files say was asked and how; it has a mark, so it never equals that of a measured score."""
    config = {key: value for key, value in results.configs[task].items() if key not in ("metadata", "custom_dataset")}
    template = results.chat_template_sha is not None
    ordered = sorted(samples, key=lambda sample: sample.doc_id)
    data = [
        # under a chat template prompts differ between models
        [sample.doc_id, sample.doc_hash, sample.target_hash, None if template else sample.prompt_hash]
        for sample in ordered
    ]
    known = {
        "imported": "lm-eval",
        "version": results.lm_eval_version,
        "task": task,
        "config": config,
        "task_version": results.versions.get(task),
        "shots": results.shots.get(task),
        "data": data,
        "template": template,
        "system": results.system_instruction,
        "multiturn": results.fewshot_as_multiturn if template else None,
        "run": {key: results.config.get(key) for key in _OF_THE_RUN},
    }
    return value_digest(known)
