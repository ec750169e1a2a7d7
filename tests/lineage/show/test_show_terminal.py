"""What the commands print and write."""

import json
from pathlib import Path

import pytest
from lineage_models import random_model, train
from lineage_records import record
from rich.console import Console
from typer.testing import CliRunner

from etymon.cli.app import app
from etymon.errors import EtymonError
from etymon.lineage.screened import adjust
from etymon.lineage.show.terminal import terminal_lineage


def run(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, its child, the child in half the precision, and a model of another start; nine layers each."""
    folder = tmp_path_factory.mktemp("models")
    base = random_model(1, num_hidden_layers=9)
    base.save_pretrained(folder / "base")
    train(base, 1).save_pretrained(folder / "child")
    base.bfloat16().save_pretrained(folder / "rounded")
    random_model(2, num_hidden_layers=9).save_pretrained(folder / "scratch")
    return folder


def test_a_verdict_is_wrapped_with_its_indent() -> None:
    console = Console(width=60)
    with console.capture() as captured:
        console.print(terminal_lineage(record(model="a" * 20)))
    lines = [line.rstrip() for line in captured.get().splitlines()]
    assert lines[0].startswith("related: aaaa")
    assert max(map(len, lines)) <= 60
    heads = ["  What this means", "  Why", "  What changed", "  In common", "  Limits"]
    assert [line for line in lines if line.startswith("  ") and not line.startswith("    ")] == heads


def test_nothing_steers_the_terminal() -> None:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(terminal_lineage(adjust([record(parent="\x1b[31mred\u202e"), record()])[0]))
    assert "\x1b[31mred" not in captured.get()
    assert "\u202e" not in captured.get()


def test_the_family_command(models: Path, tmp_path: Path) -> None:
    names = [models / name for name in ("child", "base", "rounded", "scratch")]
    said = run("family", *names, "--workspace", tmp_path, "--html", tmp_path / "family.html")
    assert "rounded  changed by" in said
    assert "direction unknown" in said
    assert "Related to no other: scratch." in said
    assert "6 pairs were compared" in said
    assert '<svg class="kin"' in (tmp_path / "family.html").read_text("utf-8")
    found = json.loads(run("family", *names, "--workspace", tmp_path, "--json"))
    assert [tree["models"] for tree in found["trees"]] == [["child", "base", "rounded"], ["scratch"]]
    (derived,) = [edge for edge in found["trees"][0]["edges"] if edge["way"] == "derived"]
    assert (derived["parent"], derived["child"]) == ("child", "rounded")
    made = sorted(path.name for path in (tmp_path / "artifacts").iterdir())
    run("family", *names[::-1], "--workspace", tmp_path)
    assert sorted(path.name for path in (tmp_path / "artifacts").iterdir()) == made, "no pair is compared twice"


def test_a_family_is_not_made_of_one(models: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["family", str(models / "base"), "--workspace", str(tmp_path)])
    assert isinstance(done.exception, EtymonError)


def test_the_lineage_command_writes_a_page(models: Path, tmp_path: Path) -> None:
    page = tmp_path / "lineage.html"
    said = run("lineage", models / "scratch", models / "base", "--workspace", tmp_path, "--html", page)
    assert said.startswith("independent: the weights of scratch")
    assert "What this means" in said
    assert "Independent</h2>" in page.read_text("utf-8")


@pytest.mark.parametrize("command", ["lineage", "family"])
def test_a_page_that_cannot_be_put_is_refused_before_the_work(command: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [command, "no-such-model", "--html", str(tmp_path), "--workspace", str(tmp_path / "w")])
    assert isinstance(done.exception, EtymonError)
    assert "is a folder" in str(done.exception)
