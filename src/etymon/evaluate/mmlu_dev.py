"""The task ``mmlu_dev``: the MMLU development questions that come with lm-eval, 0-shot, in MMLU's standard form.

The form is that of Hendrycks et al. (arXiv 2009.03300) and of lm-eval's own ``mmlu`` tasks. With 281 questions a model near
chance cannot be told from another by accuracy; the mean log-probability of the right answer is shown beside it.
"""

from typing import Any

from etymon.evaluate.question_task import QuestionTask
from etymon.evaluate.questions import mmlu_dev_questions

CONFIG: dict[str, Any] = {
    "task": "mmlu_dev",
    "output_type": "multiple_choice",
    "test_split": "test",
    "num_fewshot": 0,
    "description": "The following are multiple choice questions (with answers) about {{subject}}.\n\n",
    "doc_to_text": "{{prompt}}\nAnswer:",
    "doc_to_choice": ["A", "B", "C", "D"],
    "doc_to_target": "answer",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}
"""The task as lm-eval is told about it. 0 shots always: these questions are themselves the examples of MMLU's 5-shot form."""


def mmlu_dev_task() -> QuestionTask:
    file = mmlu_dev_questions()
    rows = [{"subject": q.subject_text, "prompt": q.prompt, "answer": q.answer} for q in file.questions]
    left_out = ", ".join(file.five_options)
    note = f"Of {len(rows) + len(file.five_options)} questions {len(rows)} have four options; left out with five: {left_out}."
    return QuestionTask("mmlu_dev", rows, tuple(question.name for question in file.questions), CONFIG, (note,))
