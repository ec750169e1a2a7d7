"""A small model to examine."""

from pathlib import Path

import pytest

from etymon.evaluate.examinee import Examinee, open_examinee
from etymon.foundation.model import Model
from etymon.foundation.sources import open_model


@pytest.fixture(scope="session")
def tiny_model(tiny_llama: Path) -> Model:
    return open_model(str(tiny_llama))


@pytest.fixture
def examinee(tiny_model: Model) -> Examinee:
    return open_examinee(tiny_model, "cpu")
