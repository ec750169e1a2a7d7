"""A base, its fine-tuned copy, and a model from another start trained on the same tokens."""

import json

import pytest
from lineage_models import VOCABULARY, random_model, tensors_of, train, with_traces
from lineage_transforms import Tensors


@pytest.fixture(scope="session")
def base() -> Tensors:
    return with_traces(tensors_of(train(random_model(1), 60)), 1)


@pytest.fixture(scope="session")
def derivative() -> Tensors:
    """The base's twin, trained on: every tensor has changed."""
    return with_traces(tensors_of(train(random_model(1), 80)), 1)


@pytest.fixture(scope="session")
def scratch() -> Tensors:
    """Same architecture, same tokens, another random start; its gains are nearly ones, as after a short training."""
    return tensors_of(train(random_model(2), 60))


@pytest.fixture(scope="session")
def tokenizer() -> str:
    """A tokenizer.json as far as lineage reads it."""
    return json.dumps({"model": {"type": "BPE", "vocab": {f"t{row}": row for row in range(VOCABULARY)}}})
