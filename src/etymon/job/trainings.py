"""Which models a recipe trains, and the train stage's config for each."""

from dataclasses import dataclass
from typing import Any, Literal

from etymon.errors import EtymonError
from etymon.job.control import control_settings
from etymon.job.job import Job
from etymon.recipe import Lora, Recipe
from etymon.train.device import resolve_device, resolve_dtype
from etymon.train.stage import TrainExecution, TrainMeaning


@dataclass(frozen=True)
class Training:
    """One model that a recipe trains: the derivative or a baseline, with the recipe's seed or a further one."""

    baseline: Literal["scratch", "control"] | None = None
    further_seed: int | None = None

    @property
    def role(self) -> str:
        """``train``, ``train seed1``, ``train control``, ``train control seed1``: what the run calls the artifact."""
        return " ".join(["train", *self._parts])

    def name(self, recipe: Recipe) -> str:
        """``mine``, ``mine-seed1``, ``mine-control``, ``mine-control-seed1``: what the user calls the model."""
        return "-".join([recipe.name, *self._parts])

    @property
    def _parts(self) -> list[str]:
        seed = None if self.further_seed is None else f"seed{self.further_seed}"
        return [part for part in (self.baseline, seed) if part]


def trainings(recipe: Recipe) -> list[Training]:
    """In the order in which they are done, the derivative first. ``scratch`` is trained once, whatever ``seeds`` says."""
    first = recipe.train.seed
    further = [None, *range(first + 1, first + recipe.seeds)]
    kinds = (None, *dict.fromkeys(recipe.baselines))
    return [Training(kind, seed) for kind in kinds for seed in (further if kind != "scratch" else [None])]


def train_config(
    job: Job, training: Training | None = None, derivative_tokens: int | None = None
) -> tuple[TrainMeaning, TrainExecution]:
    """The train stage's config, with device, compute type and chat template resolved; by default the derivative's.

    A control's budget may be the derivative's tokens: those given, else those of its training, which has to be done before.
    """
    recipe, training = job.recipe, training or Training()
    device = resolve_device(recipe.execution.device)
    settings = recipe.train
    if training.baseline == "control":
        derivative = job.made.get(Training().role)
        settings = control_settings(recipe, derivative.facts["tokens"] if derivative else derivative_tokens)
    update: dict[str, Any] = {"dtype": resolve_dtype(settings.dtype, device), "chat_template": None}
    if training.baseline == "scratch":
        update |= {"method": "full", "lora": Lora()}
    if training.further_seed is not None:
        update["seed"] = training.further_seed
    meaning = TrainMeaning(
        settings=settings.model_copy(update=update),
        start="random" if training.baseline == "scratch" else "foundation",
        chat_template=_chat_template(job),
    )
    return meaning, TrainExecution(device=device, **recipe.execution.model_dump(exclude={"device", "data_runner"}))


def _chat_template(job: Job) -> str | None:
    if job.recipe.train.chat_template is None:
        return None
    path = job.folder / job.recipe.train.chat_template
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EtymonError(f"train.chat_template: {path} cannot be read: {error}.", "Give a Jinja file.") from None
