"""``etymon evaluate`` from the command line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from etymon.cli.app import app
from etymon.errors import EtymonError
from etymon.store import Store


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [{"question": f"What follows {n}?", "choices": [str(n + 1), "none"], "answer": n % 2} for n in range(6)]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_options_reach_the_score(place: Path, tiny_llama: Path):
    options = ["--tasks", "mine.jsonl", "--shots", "mine=2", "--template", "own", "--system", "Be brief.", "-w", "store"]
    done = CliRunner().invoke(app, ["evaluate", str(tiny_llama), *options], catch_exceptions=False)
    assert done.exit_code == 0
    (made,) = [each for each in Store(place / "store").artifacts() if each.manifest.stage == "evaluate"]
    asked = made.manifest.meaning["asked"]
    assert (asked["template"], asked["system"], asked["shots"]) == ("own", "Be brief.", 2)
    assert made.facts["task"] == "mine"


WRONG = {
    "shots without a number": (["--tasks", "mine.jsonl", "--shots", "mine"], "not of the form TASK=N"),
    "an unknown suite": (["--suite", "all"], "--suite all"),
    "an address for nothing": (["--tasks", "mine.jsonl", "--url", "http://localhost"], "`url` would do nothing"),
    "a file that is not there": (["--tasks", "missing.yaml"], r"no task file .*missing.yaml.\nPaths are relative to "),
    "a name for nothing": (["--tasks", "mine.jsonl", "--served-as", "x"], "--served-as"),
}


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_are_named(place: Path, tiny_llama: Path, case: str):
    options, said = WRONG[case]
    with pytest.raises(EtymonError, match=said):
        CliRunner().invoke(app, ["evaluate", str(tiny_llama), *options, "-w", "store"], catch_exceptions=False)


def test_two_precisions_are_two_scores(place: Path, tiny_llama: Path):
    for dtype in ("float32", "bfloat16"):
        options = ["--tasks", "mine.jsonl", "--dtype", dtype, "-w", "store"]
        assert CliRunner().invoke(app, ["evaluate", str(tiny_llama), *options], catch_exceptions=False).exit_code == 0
    made = [each for each in Store(place / "store").artifacts() if each.manifest.stage == "evaluate"]
    assert {each.manifest.meaning["dtype"] for each in made} == {"float32", "bfloat16"}
    assert len({each.facts["identity"] for each in made}) == 2
