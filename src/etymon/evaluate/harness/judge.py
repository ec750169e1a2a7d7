"""lm-eval asks and judges; its verdicts become our records, item by item."""

import math
from typing import Any

import numpy as np
from lm_eval import evaluator
from lm_eval.api.metrics import bits_per_byte, mean

from etymon.errors import EtymonError
from etymon.evaluate.examinee import Examinee, Progress
from etymon.evaluate.harness.model import SharedPrefixLM
from etymon.evaluate.harness.tasks import HarnessTask, explaining
from etymon.evaluate.records import ItemRecord, Records, RequestRecord, Usage

FEWSHOT_SEED = 1234
"""lm-eval's own default, so the same examples are drawn."""


def run_harness_task(task: HarnessTask, examinee: Examinee, progress: Progress) -> Records:
    """Let lm-eval ask and judge; return its verdicts item by item, checked against its own sums."""
    lm = SharedPrefixLM(examinee, progress)
    for each in task.tasks.values():
        each.set_fewshot_seed(seed=FEWSHOT_SEED)
    with explaining(f"The task {task.name!r}"):
        found = evaluator.evaluate(lm, {"tasks": task.tasks}, bootstrap_iters=0, log_samples=True)
    translation = _Translation(task, lm)
    for name, each in task.tasks.items():
        translation.add(name, each, found["samples"][name], found["results"][name])
    return translation.records()


class _Translation:
    """From lm-eval's samples to our records."""

    def __init__(self, task: HarnessTask, lm: SharedPrefixLM) -> None:
        self._task, self._lm = task, lm
        self._requests: list[RequestRecord] = []
        self._items: list[ItemRecord] = []
        self._higher_is_better: dict[str, bool] = {}
        self._left_out: dict[str, None] = {}
        self._counts = {"bad_label": 0, "one_choice": 0}

    def add(self, name: str, task: Any, samples: list[dict[str, Any]], results: dict[str, Any]) -> None:
        filters = list(dict.fromkeys(sample["filter"] for sample in samples))
        directions, sums = task.higher_is_better(), task.aggregation()
        for sample in samples:
            item = self._item(name, sample["doc_id"])
            if sample["filter"] == filters[0]:
                self._add_requests(item, name, task, sample)
            for metric in sample["metrics"]:
                label = metric if len(filters) == 1 else f"{metric}[{sample['filter']}]"
                summed = sums.get(metric, mean)
                if (value := _value_and_weight(sample[metric], summed)) is None:
                    self._left_out[label] = None
                    continue
                self._items.append(ItemRecord(item, item, label, *value))
                self._higher_is_better.setdefault(label, bool(directions.get(metric, True)))
        self._check_sums(name, filters, results)

    def records(self) -> Records:
        scored = {row.metric for row in self._items}
        if not scored:
            raise EtymonError(
                f"None of the metrics of {self._task.name} ({', '.join(self._left_out)}) is a mean over items.",
                "Add one that is, such as acc, acc_norm or exact_match, to the task's metric_list.",
            )
        if "logprob_right" in self._higher_is_better:  # a companion, never the main metric
            self._higher_is_better = {
                **{k: v for k, v in self._higher_is_better.items() if k != "logprob_right"}, "logprob_right": True,
            }  # fmt: skip
        usages = self._lm.usages or [Usage(len(self._requests), 0, 0, 0, 0, 0.0)]
        usage = Usage(*(sum(getattr(each, field) for each in usages) for field in Usage.__dataclass_fields__))
        return Records(self._requests, self._items, self._higher_is_better, usage, self._notes(usage))

    def _item(self, name: str, doc_id: int) -> str:
        item = self._task.item_names[doc_id] if self._task.item_names else f"{doc_id:06d}"
        return item if len(self._task.tasks) == 1 else f"{name}/{item}"

    def _add_requests(self, item: str, name: str, task: Any, sample: dict[str, Any]) -> None:
        right = _right_choices(task, sample) if task.OUTPUT_TYPE == "multiple_choice" else None
        choices = len(task.doc_to_choice(sample["doc"])) if right is not None else 0
        if right is not None:
            self._counts["bad_label"] += not right or any(not 0 <= index < choices for index in right)
            self._counts["one_choice"] += choices == 1
        for index, arguments in enumerate(sample["arguments"]):
            score = self._lm.scores[name, sample["doc_id"], index]
            generated = task.OUTPUT_TYPE == "generate_until"
            text = str(sample["resps"][index][0]) if generated else str(arguments[-1])
            self._requests.append(
                RequestRecord(
                    item=item,
                    request=index,
                    logprob=None if generated else score.logprob,
                    tokens=score.tokens,
                    bytes=len(text.encode()),
                    characters=len(text),
                    is_greedy=None if generated else score.is_greedy,
                    target=None if right is None else index in right,
                    seconds=score.seconds,
                )
            )
        if right is not None and len(right) == 1 and 0 <= right[0] < choices:
            logprob = self._lm.scores[name, sample["doc_id"], right[0]].logprob
            self._items.append(ItemRecord(item, item, "logprob_right", logprob))
            self._higher_is_better.setdefault("logprob_right", True)

    def _check_sums(self, name: str, filters: list[str], results: dict[str, Any]) -> None:
        prefix = "" if len(self._task.tasks) == 1 else f"{name}/"
        for key, theirs in results.items():
            metric, comma, chosen = key.partition(",")
            label = metric if len(filters) == 1 else f"{metric}[{chosen}]"
            rows = [row for row in self._items if row.metric == label and row.item.startswith(prefix)]
            if comma and rows and label not in self._left_out:
                ours = sum(row.value * row.weight for row in rows) / sum(row.weight for row in rows)
                same = math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12)
                assert same, f"{name}: lm-eval gives {theirs} for {key}, our items {ours}"

    def _notes(self, usage: Usage) -> list[str]:
        notes = list(self._task.notes)
        if self._left_out:
            notes.append(f"Left out, as they are not means over items: {', '.join(self._left_out)}.")
        if self._counts["bad_label"]:
            notes.append(f"{self._counts['bad_label']} items have a right answer outside their choices; they count as wrong.")
        if self._counts["one_choice"]:
            notes.append(f"{self._counts['one_choice']} items have a single choice, which is always taken.")
        if usage.truncated:
            notes.append(f"{usage.truncated} requests exceed the model's context and lost their beginning.")
        if len(self._task.tasks) > 1:
            notes.append(f"The mean over all items of {len(self._task.tasks)} tasks; each item counts the same.")
        return notes


def _value_and_weight(value: Any, summed: Any) -> tuple[float, float] | None:
    """An item's share in a metric, or None where the metric is no weighted mean of its items."""
    if summed is bits_per_byte:
        nats, size = value
        return (-nats / math.log(2) / size, float(size)) if size else None
    if summed is mean and isinstance(value, int | float | np.number | np.bool_):
        return float(value), 1.0
    return None


def _right_choices(task: Any, sample: dict[str, Any]) -> list[int]:
    """Indices of the right choices as lm-eval understands the target; empty where it names none."""
    target = task.doc_to_text(sample["doc"]) if task.multiple_input else sample["target"]
    if isinstance(target, str):
        choices = task.doc_to_choice(sample["doc"])
        return [choices.index(target)] if target in choices else []
    return [int(index) for index in (target if isinstance(target, list) else [target])]
