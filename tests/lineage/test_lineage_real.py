"""The quickstart's base model itself: what the small models cannot show (real weights, real sizes, real time)."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from lineage_transforms import (
    Tensors,
    composed,
    fold_gains,
    noise,
    permute_neurons,
    permute_residual,
    rename_randomly,
    rescale_neurons,
    rotate_residual,
    write_weights,
)

from etymon.foundation.model import Model
from etymon.foundation.sources import open_model
from etymon.foundation.weights import open_weights
from etymon.lineage.compare import compare
from etymon.lineage.explain import explain

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def foundation() -> Model:
    return open_model("smollm2-135m-instruct-q4_1")


@pytest.fixture(scope="module")
def tensors(foundation: Model) -> Tensors:
    weights = open_weights(foundation.folder)
    return {name: weights.read(name).copy() for name in weights.names}


def write(folder: Path, tensors: Tensors, foundation: Model) -> Path:
    return write_weights(folder, tensors, (foundation.folder / "tokenizer.json").read_text("utf-8"))


@pytest.mark.parametrize(
    "transform",
    [
        lambda tensors: noise(tensors, 0.1),
        composed(permute_residual, permute_neurons, rescale_neurons, rename_randomly),
        composed(rotate_residual, permute_neurons, lambda tensors: noise(tensors, 0.1)),
        fold_gains,
    ],
    ids=["noise", "reordered, rescaled and renamed", "rotated and noised", "gains folded"],
)
def test_a_transformed_base_is_related_in_every_layer(
    tmp_path: Path, foundation: Model, tensors: Tensors, transform: object
) -> None:
    lineage = compare(write(tmp_path / "model", transform(tensors), foundation), foundation.folder)  # type: ignore[operator]
    assert lineage.verdict == "related", explain(lineage)
    assert lineage.p_value is not None
    assert lineage.p_value < 1e-20
    for test in lineage.tests:
        assert min(layer.agreeing / layer.sampled for layer in test.layers) > 0.9


def test_a_random_start_of_the_same_config_is_independent(tmp_path: Path, foundation: Model, tensors: Tensors) -> None:
    rng = np.random.default_rng(0)
    fresh = {
        name: np.ones_like(values) if values.ndim == 1 else np.float32(0.02) * rng.standard_normal(values.shape, np.float32)
        for name, values in tensors.items()
    }
    model = write(tmp_path / "model", fresh, foundation)
    lineage = compare(model, foundation.folder)
    assert lineage.verdict == "independent", explain(lineage)
    assert lineage.power == 1
    assert lineage.same_architecture
    assert lineage.same_vocabulary
    alone = (  # VmHWM: unlike ru_maxrss it does not begin with the peak of the process that started this one
        "import sys; from pathlib import Path; from etymon.lineage.compare import compare; "
        "compare(*map(Path, sys.argv[1:])); status = Path('/proc/self/status').read_text(); "
        "print(status.split('VmHWM:')[1].split()[0])"
    )
    command = [sys.executable, "-c", alone, str(model), str(foundation.folder)]
    peak = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert peak < 1 << 20  # KiB; about 340 MB was measured
