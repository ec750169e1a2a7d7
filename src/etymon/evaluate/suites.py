"""Suites: tasks that are asked together, each with its shots and main metric, and how one figure is made of their scores."""

from dataclasses import dataclass
from typing import Literal

from etymon.evaluate.identity import Asked
from etymon.recipe import Evaluate


@dataclass(frozen=True)
class SuiteTask:
    """A task of a suite."""

    task: str
    metric: str
    """The main one, in which the suite counts it."""
    shots: int | None = None
    """None: as the task says."""
    mean: Literal["items", "tasks"] = "items"
    """Of a group: whether every item counts the same, or every task of it."""

    def asked(self, others: Asked) -> Asked:
        """As the suite asks it, in the template and by the engine of all others."""
        return others.model_copy(update={"metric": self.metric, "shots": self.shots, "mean": self.mean})


@dataclass(frozen=True)
class Suite:
    """Tasks, and what is made of their scores."""

    name: str
    tasks: tuple[SuiteTask, ...]
    aggregate: Literal["mean", "none"]
    """``mean``: the plain mean of the tasks' main metrics. ``none``: the scores stand side by side."""


SUITES = {
    suite.name: suite
    for suite in (
        # The Open LLM Leaderboard of 2023 to June 2024, as its "About" page defined it, with today's lm-eval: its own scores
        # came from an older version (b281b09), whose prompts and answer extraction differ in places.
        Suite(
            "open_llm_v1",
            (
                SuiteTask("arc_challenge", "acc_norm", 25),
                SuiteTask("hellaswag", "acc_norm", 10),
                SuiteTask("mmlu", "acc", 5, mean="tasks"),
                SuiteTask("truthfulqa_mc2", "acc", 0),
                SuiteTask("winogrande", "acc", 5),
                SuiteTask("gsm8k", "exact_match[strict-match]", 5),
            ),
            "mean",
        ),
        # Comes with lm-eval: no hub is needed. Accuracy and bits per byte have no common mean.
        Suite("quick", (SuiteTask("mmlu_dev", "acc"), SuiteTask("chat_retention", "bits_per_byte")), "none"),
    )
}


def task_names(wanted: Evaluate) -> tuple[str, ...]:
    """Every task that is asked for, as it is named there."""
    return (*(each.task for each in (SUITES[wanted.suite].tasks if wanted.suite else ())), *wanted.named_tasks)
