"""A parent that nobody named, found by its fingerprint: from the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner, Result

from etymon.cli.app import app
from etymon.errors import EtymonError
from etymon.job.record import RunExecution, RunMeaning, run_stage
from etymon.recipe import Recipe
from etymon.store import Store

PLAN = {
    "corpus": {"sources": [{"name": "notes", "kind": "files", "license": "own", "path": "notes.txt"}]},
    "train": {"objective": "pretrain", "method": "full", "budget": {"tokens": 1000}},
}


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture(scope="module")
def parent(make_llama: Callable[..., Path]) -> Path:
    return make_llama(31, num_hidden_layers=8)


@pytest.fixture(scope="module")
def child(make_llama: Callable[..., Path], parent: Path) -> Path:
    """The parent with noise of a tenth of its weights."""
    folder = make_llama(32, num_hidden_layers=8)
    rng = np.random.default_rng(0)
    weights = load_file(parent / "model.safetensors")
    changed = {
        name: values + np.float32(0.1 * values.std()) * rng.standard_normal(values.shape, np.float32)
        for name, values in weights.items()
    }
    save_file(changed, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_a_parent_whose_weights_are_at_hand_gets_the_real_test(
    tmp_path: Path, make_llama: Callable[..., Path], parent: Path, child: Path
) -> None:
    other = make_llama(33, num_hidden_layers=8)
    store = ["-w", tmp_path / "store"]
    assert "is in the index" in run("index", "add", parent, other, *store).output
    shown = run("lineage", child, "--json", *store).output
    (lineage,) = json.loads(shown)
    assert lineage["parent"] == parent.name
    assert lineage["verdict"] == "related"
    assert "holds these very weights" in run("lineage", parent, *store).output


def test_a_foundation_that_is_gone_is_named_and_the_others_are_compared(tmp_path: Path, parent: Path, child: Path) -> None:
    store = Store(tmp_path / "store")
    for name, foundation in (("gone", tmp_path / "deleted"), ("here", parent)):
        recipe = Recipe.model_validate({"name": name, "foundation": str(foundation), **PLAN})
        store.obtain(run_stage, {}, RunMeaning(recipe=recipe, entries=()), RunExecution())
    shown = run("lineage", child, "-w", store.root).output
    assert "related: " in shown
    assert f"Not compared with {tmp_path / 'deleted'}" in " ".join(shown.split())


def test_a_parent_known_by_an_exchanged_fingerprint_is_a_candidate_and_no_verdict(
    tmp_path: Path, parent: Path, child: Path
) -> None:
    theirs, ours, archive = ["-w", tmp_path / "theirs"], ["-w", tmp_path / "ours"], tmp_path / "prints.zip"
    run("index", "add", parent, *theirs)
    assert "not signed" in run("index", "export", archive, *theirs).output
    assert "imported, unsigned" in run("index", "import", archive, *ours).output
    (found,) = json.loads(run("lineage", child, "--json", *ours).output)
    assert found["verdict"] == "candidate"
    assert found["candidate"] == parent.name
    assert found["effect"] > 0.9
    assert str(parent.parent) not in archive.read_bytes().decode("latin-1")  # where a model lies here is nobody's business
    told = run("lineage", child, *ours).output
    assert "A fingerprint is no verdict" in told
    assert "unsigned" in run("index", "list", *ours).output
    run("index", "remove", parent.name, *ours)
    assert "The index is empty" in run("index", "list", *ours).output
    with pytest.raises(EtymonError, match="index is empty"):
        run("lineage", child, *ours)
    with pytest.raises(EtymonError, match="no model nobody"):
        run("index", "remove", "nobody", *theirs)
