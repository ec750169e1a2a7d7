"""lm-eval asks and judges; its verdicts become our records, item by item."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from lm_eval import evaluator
from lm_eval.api.metrics import bits_per_byte, mean
from lm_eval.api.task import ConfigurableTask

from etymon.errors import EtymonError
from etymon.evaluate.examinee import Examinee, Progress
from etymon.evaluate.harness.clusters import Clusters, shared_field
from etymon.evaluate.harness.engines import EngineLM
from etymon.evaluate.harness.model import SharedPrefixLM
from etymon.evaluate.harness.tasks import HarnessTask, explaining
from etymon.evaluate.identity import FEWSHOT_SEED
from etymon.evaluate.records import ItemRecord, Records, RequestRecord, Usage
from etymon.text.counted import counted


def run_harness_task(task: HarnessTask, examinee: Examinee, progress: Progress) -> Records:
    """Let lm-eval ask and judge what our scorer answers; see ``judge_answers``."""
    return judge_answers(task, SharedPrefixLM(examinee, progress))


def judge_answers(task: HarnessTask, lm: SharedPrefixLM | EngineLM) -> Records:
    """Let lm-eval ask and judge; return its verdicts item by item, checked against its own sums."""
    for each in task.tasks.values():
        each.set_fewshot_seed(seed=FEWSHOT_SEED)
    chat = task.asked.template == "own"
    if chat and task.asked.system and isinstance(lm, SharedPrefixLM):
        lm.require_system(task.asked.system)
    with explaining(f"The task {task.name!r}"):
        found = evaluator.evaluate(
            lm,
            {"tasks": task.tasks},
            bootstrap_iters=0,
            log_samples=True,
            system_instruction=task.asked.system,
            apply_chat_template=chat,
            fewshot_as_multiturn=chat,
        )
    translation = _Translation(task, lm)
    for name, each in task.tasks.items():
        translation.add(name, each, found["samples"][name], found["results"][name])
    return translation.records()


class _Translation:
    """From lm-eval's samples to our records."""

    def __init__(self, task: HarnessTask, lm: SharedPrefixLM | EngineLM) -> None:
        self._task, self._lm = task, lm
        self._weights = task.weights
        self._requests: list[RequestRecord] = []
        self._items: list[ItemRecord] = []
        self._higher_is_better: dict[str, bool] = {}
        self._left_out: dict[str, None] = {}
        self._formulas: dict[str, str | None] = {}
        self._clusters = Clusters()
        self._odd: dict[str, list[str]] = {"bad_label": [], "one_choice": [], "empty": []}

    def add(self, name: str, task: Any, samples: list[dict[str, Any]], results: dict[str, Any]) -> None:
        filters = list(dict.fromkeys(sample["filter"] for sample in samples))
        directions, sums = task.higher_is_better(), task.aggregation()
        for sample in samples:
            item = item_name(self._task, name, sample["doc_id"])
            if task.OUTPUT_TYPE == "loglikelihood_rolling" and not sample["arguments"][0][0]:
                self._odd["empty"] += [item] if sample["filter"] == filters[0] else []
                continue
            if sample["filter"] == filters[0]:
                self._add_requests(item, name, task, sample)
            for metric in sample["metrics"]:
                label = metric_label(metric, sample["filter"], filters)
                summed = sums.get(metric, mean)
                if (value := value_and_weight(sample[metric], summed)) is None:
                    self._left_out[label] = None
                    continue
                self._add_item(item, name, label, *value)
                self._higher_is_better.setdefault(label, bool(directions.get(metric, True)))
                formula = _formula(task, label)
                if self._formulas.setdefault(label, formula) != formula:
                    self._formulas[label] = None
        self._check_sums(name, filters, results)

    def records(self) -> Records:
        if (bad := self._odd["bad_label"]) and len(bad) == len({row.item for row in self._requests}):
            raise EtymonError(
                f"{self._task.name}: no item has a right answer among its choices.",
                "Does doc_to_target name the answer, and does this split come with answers?",
            )
        scored = {row.metric for row in self._items}
        if not scored:
            raise EtymonError(
                f"None of the metrics of {self._task.name} ({', '.join(self._left_out)}) is a mean over items.",
                "Add one that is, such as acc, acc_norm or exact_match, to the task's metric_list.",
            )
        if (main := self._task.asked.metric) is not None:
            if main not in scored:
                raise EtymonError(f"{self._task.name} has no metric {main!r}; it has {', '.join(sorted(scored))}.")
            self._higher_is_better = {main: self._higher_is_better[main]} | self._higher_is_better
        if "logprob_right" in self._higher_is_better:  # a companion, never the main metric
            self._higher_is_better = {
                **{k: v for k, v in self._higher_is_better.items() if k != "logprob_right"}, "logprob_right": True,
            }  # fmt: skip
        usages = self._lm.usages or [Usage(len(self._requests), 0, 0, 0, 0, 0.0)]
        usage = Usage(*(sum(getattr(each, field) for each in usages) for field in Usage.__dataclass_fields__))
        items = [replace(row, cluster=self._clusters.of(row.item)) for row in self._items]
        formulas = {metric: formula for metric, formula in self._formulas.items() if formula}
        return Records(self._requests, items, self._higher_is_better, usage, self._notes(usage), formulas)

    def _add_item(self, item: str, name: str, metric: str, value: float, weight: float) -> None:
        subtask = name if len(self._task.tasks) > 1 else None
        self._items.append(ItemRecord(item, item, metric, value, weight * self._weights[name], subtask))

    def _add_requests(self, item: str, name: str, task: Any, sample: dict[str, Any]) -> None:
        doc, doc_id, kind = sample["doc"], sample["doc_id"], task.OUTPUT_TYPE
        shared = self._task.clusters[doc_id] if self._task.clusters else shared_field(task, doc, item)
        if shared is not None and len(self._task.tasks) > 1:
            shared = f"{name}/{shared}"
        self._clusters.add(item, doc, shared)
        if kind == "generate_until":
            self._add_generated(item, name, sample)
            return
        choices = task.doc_to_choice(doc) if kind == "multiple_choice" else []
        right = _right_choices(task, sample) if choices else []
        if choices:
            self._odd["bad_label"] += [item] if not right or any(not 0 <= index < len(choices) for index in right) else []
            if any(index < 0 for index in right) and "exact_match" in sample["metrics"]:
                raise EtymonError(
                    f"{name}: item {item} has the label {min(right)}: lm-eval's exact_match would take another choice.",
                    "Leave such items out of the task's data, or exact_match out of its metric_list.",
                )
            self._odd["one_choice"] += [item] if len(choices) == 1 else []
        for index, arguments in enumerate(sample["arguments"]):
            score = self._lm.scores[name, doc_id, index]
            # beyond the choices are those of acc_mutual_info, asked again without the question
            text = str(choices[index % len(choices)] if choices else arguments[-1])
            self._requests.append(
                RequestRecord(
                    item=item,
                    request=index,
                    logprob=score.logprob,
                    tokens=score.tokens,
                    characters=len(text),
                    bytes=len(text.encode()),
                    is_greedy=score.is_greedy,
                    target=index in right if index < len(choices) else None,
                    seconds=score.seconds,
                )
            )
        if len(right) == 1 and 0 <= right[0] < len(choices):
            self._add_item(item, name, "logprob_right", self._lm.scores[name, doc_id, right[0]].logprob, 1.0)
            self._higher_is_better.setdefault("logprob_right", True)
            self._formulas.setdefault("logprob_right", "logprob_right")

    def _add_generated(self, item: str, name: str, sample: dict[str, Any]) -> None:
        """A row for each answer: some tasks ask for several."""
        first = self._lm.scores[name, sample["doc_id"], 0]
        for number, text in enumerate(map(str, sample["resps"][0])):
            score = self._lm.scores.get((name, sample["doc_id"], number), first)
            self._requests.append(
                RequestRecord(
                    item=item,
                    request=number,
                    logprob=None,
                    tokens=score.tokens,
                    characters=len(text),
                    bytes=len(text.encode()),
                    is_greedy=None,
                    target=None,
                    seconds=score.seconds,
                    text=text,
                )
            )

    def _check_sums(self, name: str, filters: list[str], results: dict[str, Any]) -> None:
        prefix = "" if len(self._task.tasks) == 1 else f"{name}/"
        for key, theirs in results.items():
            metric, comma, chosen = key.partition(",")
            label = metric_label(metric, chosen, filters)
            rows = [row for row in self._items if row.metric == label and row.item.startswith(prefix)]
            if comma and rows and label not in self._left_out:
                ours = sum(row.value * row.weight for row in rows) / sum(row.weight for row in rows)
                same = math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12) or math.isnan(ours)  # said by ``summarise``
                assert same, f"{name}: lm-eval gives {theirs} for {key}, our items {ours}"

    def _notes(self, usage: Usage) -> list[str]:
        notes = list(self._task.notes)
        if self._left_out:
            notes.append(f"Left out, as they are not means over items: {', '.join(self._left_out)}.")
        for kind, said in _ODD.items():
            if items := self._odd[kind]:
                notes.append(f"{counted(len(items), *said)}, such as {items[0]}.")
        if repeated := self._clusters.repeated:
            notes.append(f"{counted(len(repeated), *_REPEATED)}, such as {repeated[0]}.")
        if self._task.asked.engine != "etymon":
            notes.append(f"Answered by {self._task.asked.engine}, whose kernels and precision are its own.")
        if isinstance(self._lm, SharedPrefixLM) and (without := self._lm.without_system):
            put = counted(without, "prompt was put", "prompts were put")
            notes.append(f"The chat template takes no system message: {put} without the task's description.")
        notes += usage.truncation_notes("request")
        if len(self._task.tasks) > 1:
            alike = "item" if self._task.asked.mean == "items" else "task"
            notes.append(f"The mean over all items of {len(self._task.tasks)} tasks; each {alike} counts the same.")
        return notes


_ODD = {
    "bad_label": (
        "item has a right answer outside its choices and counts as wrong",
        "items have a right answer outside their choices and count as wrong",
    ),
    "one_choice": ("item has a single choice, which is always taken", "items have a single choice, which is always taken"),
    "empty": ("item is an empty text and is left out", "items are empty texts and are left out"),
}
_REPEATED = (
    "item repeats another's document and is one cluster with it",
    "items repeat another's document and are one cluster with it",
)
_FORMULAS = {
    "multiple_choice": {name: name for name in ("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match")},
    "loglikelihood": {"acc": "greedy"},
    "loglikelihood_rolling": {"bits_per_byte": "bits_per_byte"},
}
"""By output type: lm-eval's own verdicts that follow from the requests alone."""


def item_name(task: HarnessTask, subtask: str, doc_id: int) -> str:
    """What an item is called in the records."""
    item = task.item_names[doc_id] if task.item_names else f"{doc_id:06d}"
    return item if len(task.tasks) == 1 else f"{subtask}/{item}"


def metric_label(metric: str, chosen: str, filters: list[str]) -> str:
    """What a metric is called in the records: by its filter too, where a task has several."""
    return metric if len(filters) == 1 else f"{metric}[{chosen}]"


def _formula(task: Any, metric: str) -> str | None:
    """How lm-eval reaches a verdict from the log-probabilities, or None where a filter or the task's own judge does."""
    own = callable(task.get_config("process_results")) or type(task).process_results is not ConfigurableTask.process_results
    return None if own or task.get_config("filter_list") else _FORMULAS.get(task.OUTPUT_TYPE, {}).get(metric)


def value_and_weight(value: Any, summed: Any) -> tuple[float, float] | None:
    """An item's share in a metric, or None where the metric is no weighted mean of its items."""
    if summed is bits_per_byte:
        nats, size = value
        return -nats / math.log(2) / size, float(size)
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
