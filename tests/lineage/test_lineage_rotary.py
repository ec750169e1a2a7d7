"""The order of rotary pairs, told from the weights of the quickstart's base model."""

from pathlib import Path

import pytest
from lineage_transforms import Tensors, interleave_rotary, rename_words, write_weights

from etymon.foundation.sources import open_model
from etymon.foundation.weights import open_weights
from etymon.lineage.compare import opened
from etymon.lineage.read.roles import Rotary, rotary_of

pytestmark = pytest.mark.slow
HEAD = 64


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    weights = open_weights(open_model("smollm2-135m-instruct-q4_1").folder)
    return {name: weights.read(name).copy() for name in weights.names}


def rotary_in(folder: Path, tensors: Tensors) -> Rotary | None:
    side = opened(write_weights(folder, tensors), "model")
    return rotary_of([*side.settled_by_few[1].values()])


def test_rows_in_halves(tmp_path: Path, tensors: Tensors) -> None:
    assert rotary_in(tmp_path, tensors) == Rotary(HEAD)


def test_interleaved_rows_whatever_they_are_called(tmp_path: Path, tensors: Tensors) -> None:
    """Their size of heads is not told: neighbours are coupled at any."""
    found = rotary_in(tmp_path, rename_words(interleave_rotary(tensors, HEAD)))
    assert found is not None
    assert found.interleaved
