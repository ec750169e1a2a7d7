"""The items of a recipe's tasks, which its corpora must not hold."""

from etymon.job.job import Job
from etymon.store import Artifact


def items_of_tasks(job: Job) -> dict[str, Artifact]:
    """By task, an artifact of the items stage; ``heldout`` has documents of the corpus itself and is left out.

    Raises EtymonError where a task cannot be loaded.
    """
    asked = job.recipe.evaluate
    tasks = tuple(task for task in asked.named_tasks if task != "heldout")
    if not (tasks or asked.suite):
        return {}
    from etymon.evaluate.items import items_stage  # with it come the libraries of tasks
    from etymon.evaluate.plan import Setting, plan_evaluation

    others = asked.model_copy(update={"tasks": tasks})
    plans = plan_evaluation(others, Setting(folder=job.folder, device=job.recipe.execution.device))
    found = {}
    for plan in plans:
        artifact = job.obtain(f"items of {plan.meaning.task}", items_stage, {}, plan.meaning, plan.execution)
        found[plan.meaning.task] = artifact
    return found
