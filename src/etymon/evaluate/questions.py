"""The real MMLU development questions that come with lm-eval: question, four options, right answer, worked answer.

They lie in ``tasks/mmlu/flan_cot_fewshot/_cot_prompts.json`` of the installed package, as prompts to be parsed; reading them
imports nothing of lm-eval. The right answer is the one that the worked text ends with.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from etymon.errors import EtymonError

_FILE = "tasks/mmlu/flan_cot_fewshot/_cot_prompts.json"
_QUESTION = re.compile(
    r"(?P<question>.*?)\n\(A\) (?P<A>.*?)\s*\(B\) (?P<B>.*?)\s*\(C\) (?P<C>.*?)\s*\(D\) (?P<D>.*?)\n"
    r"A: (?:Let's think step by step\. )?(?P<worked>.*The answer is \((?P<answer>[A-D])\)\.?)\s*",
    re.DOTALL,
)
_FIVE_OPTIONS = re.compile(r"\(D\) [^\n]*\(E\) [^\n]*\nA: ")


@dataclass(frozen=True)
class Question:
    """One question with four options."""

    subject: str
    number: int
    """From 0 within the subject's file."""
    question: str
    options: tuple[str, str, str, str]
    answer: int
    """Index of the right option."""
    worked: str
    """The worked answer, ending with "The answer is (B)."."""

    @property
    def name(self) -> str:
        return f"{self.subject}/{self.number}"

    @property
    def subject_text(self) -> str:
        return self.subject.replace("_", " ")

    @property
    def prompt(self) -> str:
        """Question and lettered options, without the answer."""
        lines = (f"{letter}. {option}" for letter, option in zip("ABCD", self.options, strict=True))
        return "\n".join([self.question.strip(), *lines])


@dataclass(frozen=True)
class QuestionFile:
    """What the file holds."""

    questions: tuple[Question, ...]
    five_options: tuple[str, ...]
    """Names of the questions that have five options and are left out."""


@cache
def mmlu_dev_questions() -> QuestionFile:
    """Parse the file. Raises EtymonError where it is not there or not as expected."""
    package = find_spec("lm_eval")
    path = Path(package.origin).parent / _FILE if package and package.origin else None
    if path is None or not path.is_file():
        raise EtymonError(
            f"The installed lm-eval has no {_FILE}, where the questions of mmlu_dev come from.",
            "Install the version this project was made for: pip install lm-eval==0.4.13",
        )
    questions: list[Question] = []
    five: list[str] = []
    for subject, prompt in sorted(json.loads(path.read_text("utf-8")).items()):
        for number, text in enumerate(prompt.split("\n\nQ: ")[1:]):
            if _FIVE_OPTIONS.search(text):
                five.append(f"{subject}/{number}")
            elif found := _QUESTION.fullmatch(text):
                options = (found["A"], found["B"], found["C"], found["D"])
                answer = "ABCD".index(found["answer"])
                questions.append(Question(subject, number, found["question"], options, answer, found["worked"]))
            else:
                raise EtymonError(
                    f"{path}: question {number} of {subject} is not in the expected form.",
                    "Install the version this project was made for: pip install lm-eval==0.4.13",
                )
    return QuestionFile(tuple(questions), tuple(five))
