"""From a task's name to what the store is asked for, before any model is loaded: mistakes in a recipe show at once."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from etymon.errors import EtymonError
from etymon.evaluate.budget import MEMORY_MB
from etymon.evaluate.heldout import HeldoutChoice
from etymon.evaluate.identity import AS_IT_IS, Asked, in_precision
from etymon.evaluate.stage import DATA_FILES, EvaluateExecution, EvaluateMeaning, HeldoutDocuments, load_task
from etymon.evaluate.suites import SUITES
from etymon.foundation.model import Model
from etymon.recipe import Evaluate
from etymon.store import Artifact, Input

BUILT_IN = ("heldout", "mmlu_dev", "chat_retention")
_FORM_OF_THEIR_OWN = ("heldout", "chat_retention")
"""Tasks that no template, system prompt, number of shots or engine changes."""
HELDOUT_CHARACTERS = 28_000
Device = Literal["auto", "cpu", "cuda", "mps"]
Engine = Literal["etymon", "vllm", "openai"]


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


@dataclass(frozen=True)
class Setting:
    """Where tasks are found and where they are run."""

    corpus: Artifact | None = None
    characters: int = HELDOUT_CHARACTERS
    folder: Path = Path()
    device: Device = "auto"
    url: str | None = None
    served_as: str | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"
    engine: Engine = "etymon"
    memory_mb: int = MEMORY_MB
    """What scoring may take besides the weights."""


def plan_evaluation(wanted: Evaluate, setting: Setting) -> list[TaskPlan]:
    """Every task that a recipe or the command line asks for, the suite's first.

    Raises EtymonError where two tasks have one name, shots are given for a task that is not asked, an option would do
    nothing, or tasks cannot be loaded: then all of them are named.
    """
    setting = replace(setting, dtype=wanted.dtype)
    common = Asked(template=wanted.template, system=wanted.system, engine=setting.engine)
    suite = SUITES[wanted.suite] if wanted.suite else None
    asked = {each.task: each.asked(common) for each in suite.tasks} if suite else {}
    for task in wanted.named_tasks:
        if task in asked:
            raise EtymonError(f"evaluate asks for {task} twice.", "Name each task once; a suite names its own.")
        asked[task] = common
    plans: dict[str, TaskPlan] = {}
    failed: dict[str, EtymonError] = {}
    shots = dict(wanted.shots)
    for task, form in asked.items():
        name = Path(task).stem if _is_file(task) else task
        given = [shots.pop(key) for key in dict.fromkeys((task, name)) if key in shots]
        if given and form.metric:
            raise EtymonError(f"The suite {wanted.suite} says how many shots {task} has.", f"Leave {task} out of `shots`.")
        form = form.model_copy(update={"shots": given[0]}) if given else form
        try:
            plans[task] = _plan(task, form, setting)
        except EtymonError as error:
            failed[task] = error
    if len(failed) == 1 and suite is None:
        raise next(iter(failed.values()))
    if failed:
        asked_for = f"The suite {wanted.suite} cannot be asked; {len(failed)} of its" if suite else f"{len(failed)}"
        raise EtymonError(
            f"{asked_for} tasks cannot be loaded:\n" + "\n".join(f"{task}: {error}" for task, error in failed.items()),
            "Mend that, or name the tasks that can be loaded in `tasks`.",
        )
    _refuse_vain(wanted, setting, list(asked), list(shots))
    names = [plan.meaning.task for plan in plans.values()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise EtymonError(f"Two of evaluate.tasks are named {twice[0]}.", "Give one of the files another name.")
    return list(plans.values())


def _refuse_vain(wanted: Evaluate, setting: Setting, tasks: list[str], shots_left: list[str]) -> None:
    """Refuse what would do nothing."""
    if shots_left:
        raise EtymonError(f"`shots` names {shots_left[0]}, which is not among the tasks.", "Leave it out, or add the task.")
    for option, given in (("template", wanted.template != "none"), ("system", wanted.system is not None)):
        if given and all(task in _FORM_OF_THEIR_OWN for task in tasks):
            raise EtymonError(
                f"`{option}` would do nothing: {' and '.join(tasks)} have a form of their own.", "Leave it out."
            )
    if (setting.url is None) == (setting.engine == "openai"):
        problem = "has no address" if setting.engine == "openai" else f"would do nothing for the engine {setting.engine}"
        raise EtymonError(f"`url` {problem}.", "Give both --engine openai and --url http://HOST:PORT/v1/completions.")
    if setting.engine == "openai" and wanted.dtype != "float32":
        raise EtymonError("`dtype` would do nothing: the server decides in which precision it computes.", "Leave it out.")


def plan_task(
    task: str,
    *,
    corpus: Artifact | None = None,
    characters: int = HELDOUT_CHARACTERS,
    folder: Path = Path(),
    device: Device = "auto",
    asked: Asked = AS_IT_IS,
) -> TaskPlan:
    """``task``: a built-in name; a task file (.yaml) or data file (.jsonl, .csv, .parquet), relative to ``folder``; or the
    name of a task of lm-eval.

    ``corpus`` and ``characters`` are for ``heldout``. Raises EtymonError for a task that is unknown or broken, needs a hub
    that cannot be reached, has too few held-out documents, or cannot be asked in the way it is to be.
    """
    return _plan(task, asked, Setting(corpus, characters, folder, device))


def _is_file(task: str) -> bool:
    return task.endswith((".yaml", ".yml", *DATA_FILES))


def _plan(task: str, asked: Asked, setting: Setting) -> TaskPlan:
    file = None
    if _is_file(task):
        file = (setting.folder / task).resolve()
        if not file.is_file():
            raise EtymonError(
                f"There is no task file {file}.",
                f"Paths are relative to {setting.folder}." if setting.folder != Path() else "Check the path.",
            )
    if task in _FORM_OF_THEIR_OWN:
        asked = _bare(task, asked)
    heldout = task == "heldout"
    characters = setting.characters if heldout else None
    loaded = load_task(task, file=file, corpus=setting.corpus, characters=characters, asked=asked)
    name = task if file is None else loaded.name
    if file is not None and name in (*BUILT_IN, *SUITES):
        raise EtymonError(f"{file} defines a task named {name}, which is a built-in one.", "Give it another name.")
    if isinstance(loaded, HeldoutChoice):
        conversations = "held-out rows" if loaded.needs_chat_template else None
    else:
        conversations = "its questions" if task == "chat_retention" or asked.template == "own" else None
    return TaskPlan(
        EvaluateMeaning(task=name, identity=in_precision(loaded.identity, setting.dtype), asked=asked, dtype=setting.dtype),
        EvaluateExecution(
            device=setting.device,
            file=str(file) if file else None,
            characters=characters,
            url=setting.url,
            served_as=setting.served_as,
            memory_mb=setting.memory_mb,
        ),
        HeldoutDocuments(setting.corpus, loaded.identity) if heldout and setting.corpus else None,
        conversations,
    )


def _bare(task: str, asked: Asked) -> Asked:
    """A task with a form of its own is asked in it, whatever the others' template; shots and engines it cannot have."""
    if asked.shots is not None:
        raise EtymonError(f"{task} has no shots.", f"Leave {task} out of `shots`.")
    if asked.engine != "etymon":
        raise EtymonError(
            f"{task} is scored by Etymon itself, not by {asked.engine}.", "Leave it out, or leave out --engine."
        )
    return AS_IT_IS
