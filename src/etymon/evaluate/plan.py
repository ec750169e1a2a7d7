"""From a task's name to what the store is asked for, before any model is loaded: mistakes in a recipe show at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from etymon.errors import EtymonError
from etymon.evaluate.heldout import HeldoutChoice
from etymon.evaluate.stage import EvaluateExecution, EvaluateMeaning, HeldoutDocuments, load_task
from etymon.foundation.model import Model
from etymon.store import Artifact, Input

BUILT_IN = ("heldout", "mmlu_dev", "chat_retention")
HELDOUT_CHARACTERS = 28_000


@dataclass(frozen=True)
class TaskPlan:
    """One task, ready to be put to any model: ``store.obtain(evaluate_stage, plan.inputs(model), plan.meaning,
    plan.execution)``."""

    meaning: EvaluateMeaning
    execution: EvaluateExecution
    documents: HeldoutDocuments | None
    conversations: str | None = None
    """What of the task is put to a model under its own chat template, if anything is."""

    def inputs(self, model: Model) -> dict[str, Input]:
        return {"model": model} if self.documents is None else {"model": model, "documents": self.documents}

    def not_applicable(self, model: Model) -> str | None:
        """Why this model cannot be put to the task, or None."""
        if self.conversations and not model.facts.has_chat_template:
            return f"{self.conversations} are conversations, and {model.name} has no chat template"
        return None


def plan_task(
    task: str,
    *,
    corpus: Artifact | None = None,
    characters: int = HELDOUT_CHARACTERS,
    folder: Path = Path(),
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> TaskPlan:
    """``task``: a built-in name, a task file (.yaml, relative to ``folder``), or the name of a task of lm-eval.

    ``corpus`` and ``characters`` are for ``heldout``. Raises EtymonError for a task that is unknown or broken, needs a hub
    that cannot be reached, or has too few held-out documents.
    """
    file = None
    if task.endswith((".yaml", ".yml")):
        file = (folder / task).resolve()
        if not file.is_file():
            raise EtymonError(f"There is no task file {file}.", "evaluate.tasks gives paths relative to the recipe.")
    heldout = task == "heldout"
    loaded = load_task(task, file=file, corpus=corpus, characters=characters if heldout else None)
    name = task if file is None else loaded.name
    if file is not None and name in BUILT_IN:
        raise EtymonError(f"{file} defines a task named {name}, which is a built-in one.", "Give it another name.")
    if isinstance(loaded, HeldoutChoice):
        conversations = "held-out rows" if loaded.needs_chat_template else None
    else:
        conversations = "its questions" if task == "chat_retention" else None
    return TaskPlan(
        EvaluateMeaning(task=name, identity=loaded.identity),
        EvaluateExecution(device=device, file=str(file) if file else None, characters=characters if heldout else None),
        HeldoutDocuments(corpus, loaded.identity) if heldout and corpus else None,
        conversations,
    )
