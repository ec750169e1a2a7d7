"""The proof: a model that is passed off under another name and licence is contradicted on both, as a user sees it."""

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from etymon.cli.app import app
from etymon.evidence.review.records import Finding, Review


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def reviewed(*words: object) -> Review:
    result = run("review", *words, "--json")
    assert result.exit_code == 0
    return Review.model_validate(json.loads(result.stdout))


def about(review: Review, topic: str) -> Finding:
    (found,) = (each for each in review.findings if each.topic == topic)
    return found


def test_a_rebadged_model_is_contradicted_on_base_and_licence(tmp_path: Path, original: Path, rebadged: Path) -> None:
    store = ["-w", tmp_path / "store"]
    run("index", "add", original, *store)
    review = reviewed(rebadged, *store)
    base, licence = about(review, "Base model"), about(review, "Licence")
    assert base.status == "contradicted"
    assert "from scratch" in base.claim
    assert "Llama-Tiny" in base.measured
    assert "nothing was trained" in base.measured
    assert licence.status == "contradicted"
    assert licence.claim == "MIT."
    assert "llama-3.1" in licence.measured
    assert {each.ask for _, each in review.obligations.unmet} == {"licence-copy", "notice-line", "name-prefix", "display"}
    assert review.questions[:2] == (base.ask, licence.ask)
    assert "base model, licence" in review.summary
