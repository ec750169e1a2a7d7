"""Declared siblings: what they have in common is measured, and none is flagged for it."""

import datetime
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "lineage"))

from lineage_models import random_model, tensors_of
from lineage_transforms import noise, write_weights

from etymon.board.entries import Parent, Screening
from etymon.board.file import ListedModel
from etymon.board.words import siblings_in_words
from etymon.commands.screening.screen import declared_siblings
from etymon.commands.screening.siblings import measure_siblings, read_siblings, with_siblings
from etymon.errors import EtymonError
from etymon.foundation.model import Model
from etymon.store import Store


def listed(name: str, *parents: str) -> ListedModel:
    declared = tuple(Parent(name=each, weights=f"w-{each}") for each in parents)
    return ListedModel(
        model=name, source=name, digest=f"d-{name}", weights=f"w-{name}", listed=datetime.date(2026, 3, 1), parents=declared,
        parameters=1,
    )  # fmt: skip


def test_siblings_are_neither_ancestors_nor_strangers() -> None:
    models = [listed("base"), listed("one", "base"), listed("two", "base"), listed("grandchild", "one"), listed("stranger")]
    assert [(models[i].model, models[j].model) for i, j in declared_siblings(models)] == [
        ("one", "two"), ("two", "grandchild"),
    ]  # fmt: skip


def test_the_nearest_siblings_are_named_and_measured_once(tmp_path: Path) -> None:
    base = tensors_of(random_model(1))
    one = noise(base, 0.1, 1)
    copied = {name: one[name] if ".layers.2." in name else values for name, values in noise(one, 0.01, 2).items()}
    tensors = {"one": one, "two": noise(base, 0.1, 3), "copied": copied, "gone": base}
    folders = {name: write_weights(tmp_path / name, values) for name, values in tensors.items()}
    asked: list[str] = []

    def opener(model: ListedModel) -> Model:
        asked.append(model.model)
        if model.model == "gone":
            raise EtymonError("It is gone.", "")
        return Model(name=model.model, folder=folders[model.model], digest=model.digest, facts=None)  # type: ignore[arg-type]

    models, store = [listed(name, "base") for name in tensors], Store(tmp_path / "store")
    measure_siblings(models, opener, store)
    nearest, *others = read_siblings(models, store)
    assert (nearest.model, nearest.other) == ("copied", "one")
    assert nearest.shared_share > 0.05
    assert nearest.distance == pytest.approx(0.01 / 2**0.5, rel=0.2)  # one of the two layers is the same
    assert [each.shared_matrices for each in others] == [0, 0]
    assert all(each.distance == pytest.approx(0.14, abs=0.02) for each in others)
    screening = with_siblings(Screening(pairs=0, untested=0, declared=6), models, store)
    told, missing = siblings_in_words(screening)
    assert missing == "3 pairs of declared siblings could not be measured."
    assert told.startswith("3 pairs of declared siblings, measured and not tested; the nearest are copied and one: ")
    asked.clear()
    measure_siblings(models, opener, store)
    assert set(asked) <= {"one", "two", "copied", "gone"}
    assert len(read_siblings(models, store)) == 3
