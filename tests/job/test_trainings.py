"""Which models a recipe asks for, and that a control is trained like the derivative, on other data."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from etymon.errors import EtymonError
from etymon.job.control import control_corpus
from etymon.job.corpora import build_corpora
from etymon.job.job import Job
from etymon.job.trainings import Training, train_config, trainings
from etymon.recipe import Corpus, Recipe, Sft, Source, Train
from etymon.run import seed_notes
from etymon.store import Store
from etymon.train.stage import TrainMeaning

TEXTS = [
    f"Pump {number} draws water from the lower tank and lifts it to the roof. The operator of hall {number * 7} reads it "
    f"twice a day, and notes {number * 13} figures in the log. When the needle of gauge {number * 17} falls, she closes the "
    "valve, waits for the pipe to cool, and asks the engineer to look at the seals before the shift ends."
    for number in range(60)
]


def recipe_of(source: Source | None = None, **more: object) -> Recipe:
    own = source or Source(name="docs", kind="files", license="own", path="docs")
    return Recipe(
        **{"name": "mine", "foundation": "f", "corpus": Corpus(sources=(own,)), "train": {"budget": {"tokens": 500}}} | more
    )


def written(folder: Path, texts: list[str]) -> None:
    folder.mkdir()
    for number, text in enumerate(texts):
        (folder / f"{number:02d}.txt").write_text(text, "utf-8")


def test_seeds_repeat_the_derivative_and_the_control_but_not_scratch() -> None:
    recipe = recipe_of(baselines=("scratch", "control"), seeds=3, train={"budget": {"tokens": 500}, "seed": 7})
    found = trainings(recipe)
    names = ["", "-seed8", "-seed9", "-scratch", "-control", "-control-seed8", "-control-seed9"]
    assert [training.name(recipe) for training in found] == [f"mine{name}" for name in names]
    assert [training.role for training in found] == ["train" + name.replace("-", " ") for name in names]
    assert trainings(recipe_of()) == [Training()]
    assert len(trainings(recipe_of(baselines=("control", "control")))) == 2


def test_each_training_has_its_seed_and_all_else_is_the_same() -> None:
    recipe = recipe_of(baselines=("control",), seeds=2, control_corpus=Corpus(sources=(recipe_of().corpus.sources)))
    job = Job(recipe, Path(), Store(Path("unused")))
    configs = [train_config(job, training)[0] for training in trainings(recipe)]
    assert [config.settings.seed for config in configs] == [0, 1, 0, 1]
    assert (
        len(
            {
                config.model_copy(update={"settings": config.settings.model_copy(update={"seed": 0})}).model_dump_json()
                for config in configs
            }
        )
        == 1
    )


@dataclass
class Trained:
    """What a finished training is asked for."""

    facts: dict[str, object] = field(default_factory=lambda: {"tokens": 12_345})


def test_a_control_sees_as_many_tokens_as_the_derivative_saw() -> None:
    recipe = recipe_of(baselines=("control",), train={"budget": {"epochs": 2.5}})
    job = Job(recipe, Path(), Store(Path("unused")), made={"train": Trained()})  # type: ignore[dict-item]
    assert train_config(job)[0].settings.budget.epochs == 2.5
    budget = train_config(job, Training("control"))[0].settings.budget
    assert (budget.tokens, budget.epochs) == (12_345, None)


def test_the_default_control_learns_documents_whatever_the_recipe_learns() -> None:
    chats = Source(name="chats", kind="chat", license="own", path="rows.jsonl")
    settings = Train(budget={"tokens": 500}, objective="sft", sft=Sft(supervise="last"), method="lora", lora={"rank": 4})
    recipe = recipe_of(chats, baselines=("control",), train=settings)
    job = Job(recipe, Path(), Store(Path("unused")))
    meaning = train_config(job, Training("control", 1))[0]
    control = meaning.settings
    assert (control.objective, control.sft, control.method, control.lora.rank) == ("pretrain", Sft(), "lora", 4)
    assert (control.seed, control.budget) == (1, settings.budget)
    assert TrainMeaning.model_validate(meaning.model_dump(mode="json")) == meaning
    given = recipe.model_copy(update={"control_corpus": Corpus(sources=(chats,))})
    same = train_config(Job(given, Path(), Store(Path("unused"))), Training("control"))[0].settings
    assert (same.objective, same.sft.supervise) == ("sft", "last")


def test_the_default_control_is_other_data_than_the_recipes() -> None:
    (source,) = control_corpus(recipe_of(baselines=("control",))).sources
    assert (source.kind, source.license) == ("python-docs", "PSF-2.0")
    own = recipe_of(Source(name="library", kind="python-docs", license="PSF-2.0"), baselines=("control",))
    with pytest.raises(EtymonError, match="'library' is too") as refused:
        control_corpus(own)
    assert "control_corpus" in str(refused.value.remedy)


def test_a_control_with_documents_of_the_recipe_is_refused_with_their_number(tmp_path: Path) -> None:
    written(tmp_path / "docs", TEXTS[:40])
    written(tmp_path / "other", TEXTS[40:])
    written(tmp_path / "mixed", TEXTS[30:])

    def corpora(path: str) -> object:
        source = Source(name="control", kind="files", license="own", path=path)
        recipe = recipe_of(baselines=("control",), control_corpus=Corpus(sources=(source,)))
        return build_corpora(Job(recipe, tmp_path, Store(tmp_path / "store")))

    corpus, control = corpora("other")  # type: ignore[misc]
    assert corpus.facts["documents_train"] + corpus.facts["documents_heldout"] == 40
    assert control.facts["documents_train"] > 10
    with pytest.raises(EtymonError, match=r"not unrelated: \d+ of its \d+ documents") as refused:
        corpora("mixed")
    count = int(str(refused.value).split("not unrelated: ")[1].split()[0])
    assert 5 <= count <= 10, "those ten that the control does not hold out itself"


@dataclass
class Weights:
    """A model as far as its name and content go."""

    name: str
    digest: str


def test_seeds_that_change_nothing_are_named(tmp_path: Path) -> None:
    job = Job(recipe_of(baselines=("scratch", "control"), seeds=2), tmp_path, Store(tmp_path))
    digests = dict(zip(trainings(job.recipe), ["a", "b", "a", "c", "c"], strict=True))
    models = {training: Weights(training.name(job.recipe), digest) for training, digest in digests.items()}
    first, second = seed_notes(job, models)  # type: ignore[arg-type]
    assert "mine, the first of 2 seeds" in first
    assert second.startswith("mine-control and mine-control-seed1 have the same weights")
    assert seed_notes(Job(recipe_of(), tmp_path, Store(tmp_path)), {}) == []
