"""Questions of our own as rows, with what lm-eval is told about them; loading them imports nothing of lm-eval."""

from dataclasses import dataclass, replace
from typing import Any

from etymon.errors import EtymonError
from etymon.evaluate.identity import AS_IT_IS, HARNESS, Asked, data_digest, plain_form, task_identity


@dataclass(frozen=True)
class QuestionTask:
    """A task whose questions are at hand."""

    name: str
    rows: list[dict[str, Any]]
    items: tuple[str, ...]
    """What the questions are called."""
    config: dict[str, Any]
    """The task as lm-eval is told about it, without its data; ``num_fewshot`` is there only where it cannot be changed."""
    notes: tuple[str, ...] = ()
    clusters: tuple[str, ...] | None = None
    """Which questions belong together; by default each stands alone."""
    asked: Asked = AS_IT_IS

    @property
    def shots(self) -> int:
        return int(self.config.get("num_fewshot", self.asked.shots or 0))

    @property
    def identity(self) -> str:
        data, form = data_digest([self.rows, self.clusters]), plain_form(self.config)
        return task_identity(self.name, data=data, form=form, shots=self.shots, judge=HARNESS, asked=self.asked)

    def put(self, asked: Asked) -> "QuestionTask":
        """The task as it is to be asked. Raises EtymonError where the number of shots cannot be what was asked for."""
        if asked.shots is not None and asked.shots != self.config.get("num_fewshot", asked.shots):
            raise EtymonError(
                f"{self.name} is asked with {self.config['num_fewshot']} shots, always; {asked.shots} were asked for.",
                f"Leave {self.name} out of `shots`.",
            )
        if asked.shots and asked.shots >= len(self.rows):
            raise EtymonError(
                f"{self.name} has {len(self.rows)} questions, and {asked.shots} examples besides the one asked are wanted.",
                "Ask for fewer shots, or add rows.",
            )
        return replace(self, asked=asked)
