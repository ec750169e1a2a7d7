"""lm-eval judges stored answers again: its filters and its ``process_results``, with no model."""

from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.metrics import mean

from etymon.errors import EtymonError
from etymon.evaluate.harness.judge import item_name, metric_label, value_and_weight
from etymon.evaluate.harness.tasks import HarnessTask, explaining
from etymon.evaluate.records import RequestRecord


def judge_again(task: HarnessTask, requests: dict[str, list[RequestRecord]]) -> dict[str, dict[str, float]]:
    """By metric and item the value that the task's judge gives for the stored answers.

    ``requests``: by item, in order. Raises EtymonError where the answers are not those to the task's questions.
    """
    values: dict[str, dict[str, float]] = {}
    with explaining(f"The task {task.name!r}"):
        for name, each in task.tasks.items():
            docs = [(item_name(task, name, number), doc) for number, doc in enumerate(each.eval_docs)]
            if missing := [item for item, _ in docs if item not in requests]:
                raise EtymonError(f"the records have no answer to item {missing[0]}.")
            asked = {item: _instances(each, doc, requests[item]) for item, doc in docs}
            instances = [one for of_item in asked.values() for one in of_item]
            for each_filter in each._filters:
                each_filter.apply(instances)
            filters = list(instances[0].filtered_resps)
            sums = each.aggregation()
            for item, doc in docs:
                for chosen in filters:
                    found = each.process_results(doc, [one.filtered_resps[chosen] for one in asked[item]])
                    for metric, value in found.items():
                        if (judged := value_and_weight(value, sums.get(metric, mean))) is not None:
                            values.setdefault(metric_label(metric, chosen, filters), {})[item] = judged[0]
    return values


def _instances(task: Any, doc: Any, rows: list[RequestRecord]) -> list[Instance]:
    """The requests of a document as lm-eval holds them once they are answered."""
    if task.OUTPUT_TYPE == "generate_until":
        answers: list[list[Any]] = [[row.text for row in rows]]
    elif task.OUTPUT_TYPE == "loglikelihood_rolling":
        answers = [[row.logprob] for row in rows]
    else:
        answers = [[(row.logprob, row.is_greedy)] for row in rows]
    return [
        Instance(task.OUTPUT_TYPE, doc, ("",), index, metadata=(task.task_name, None, len(resps)), resps=resps)
        for index, resps in enumerate(answers)
    ]
