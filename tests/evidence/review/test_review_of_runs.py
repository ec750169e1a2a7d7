"""What a workspace knows beside the files: signatures, scores, text of its corpora, fingerprints."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from evidence_run import Run
from rebadged import with_card
from test_review_command import about, reviewed, run
from typer.testing import CliRunner

from etymon.cli.app import app
from etymon.evidence.keys import new_key


@pytest.fixture(scope="module")
def trained(run: Run) -> Run:
    return run


def test_text_of_a_corpus_is_looked_for_in_the_model_and_its_base(trained: Run) -> None:
    model, base = trained.derivative.folder / "model", trained.foundation.folder
    given = ["--corpus", trained.corpus.name, "--passages", "4", "-w", trained.store.root]
    review = reviewed(model, "--parent", base, *given)
    for side in ("training", "held-out"):
        found = about(review, f"Text by heart, its {side} side")
        assert found.status == "established"
        assert "given 50 tokens, it goes on with the next 50 tokens" in found.measured
        assert "in 0 of " in found.measured
        assert f"{base.name}: 0 of " in found.measured


def test_a_claimed_score_is_set_beside_the_one_that_was_measured_of_the_same_weights(trained: Run, tmp_path: Path) -> None:
    model = trained.derivative.folder / "model"
    value = trained.heldout.facts["metrics"]["bits_per_byte"]["score"]

    def claimed(name: str, task: str, score: float) -> Path:
        results = [{"dataset": {"name": task, "type": "x"}, "metrics": [{"type": "bits_per_byte", "value": score}]}]
        return with_card(shutil.copytree(model, tmp_path / name), **{"model-index": [{"name": "x", "results": results}]})

    given = ["--parent", model, "-w", trained.store.root]
    assert about(reviewed(claimed("true", "heldout", value), *given), "Score on heldout").status == "established"
    assert about(reviewed(claimed("false", "heldout", value / 9), *given), "Score on heldout").status == "unknown"
    assert "board add" in about(reviewed(claimed("other", "mmlu", 0.9), *given), "Scores").measured


def test_a_signature_is_checked_with_the_key_of_its_signer(tmp_path: Path, original: Path) -> None:
    folder, key, store = shutil.copytree(original, tmp_path / "signed"), tmp_path / "key.pem", ["-w", tmp_path / "store"]
    new_key(key, "correct horse")
    signed = CliRunner().invoke(app, ["sign", f"{folder}/", "--key", str(key)], env={"ETYMON_KEY_PASSWORD": "correct horse"})
    assert signed.exit_code == 0
    assert about(reviewed(folder, *store), "Signature").status == "unknown"
    checked = [folder, "--key", f"{key}.pub", *store]
    assert about(reviewed(*checked), "Signature").status == "established"
    other = new_key(tmp_path / "other.pem", "correct horse")
    found = about(reviewed(folder, "--key", tmp_path / "other.pem.pub", *store), "Signature")
    assert (found.status, other.id[:16] in found.measured) == ("unknown", False)
    with (folder / "README.md").open("a") as card:
        card.write("More.")
    found = about(reviewed(*checked), "Signature")
    assert (found.status, "README.md" in found.measured) == ("contradicted", True)


def test_a_fingerprint_alone_is_no_verdict(tmp_path: Path, original: Path, rebadged: Path) -> None:
    theirs, ours, archive = ["-w", tmp_path / "theirs"], ["-w", tmp_path / "ours"], tmp_path / "prints.zip"
    run("index", "add", original, *theirs)
    run("index", "export", archive, *theirs)
    run("index", "import", archive, *ours)
    review = reviewed(rebadged, *ours)
    assert about(review, "Base model").status == "unknown"
    assert "no verdict" in about(review, "A likely relative").measured
    assert review.suspects[0].name == "Llama-Tiny"


def test_a_model_of_the_workspace_is_reviewed_like_any_other(trained: Run, make_llama: Callable[..., Path]) -> None:
    review = reviewed(trained.derivative.name, "--parent", trained.foundation.folder, "-w", trained.store.root)
    assert review.weights == trained.derived_model().weights
