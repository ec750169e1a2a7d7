"""etymon corpus build, inspect, why: from a recipe to answers."""

import inspect
import json
import random
import textwrap
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from etymon.cli.app import app
from etymon.errors import EtymonError

_WORDS = list(dict.fromkeys(inspect.getsource(textwrap).split()))


@pytest.fixture
def recipe(tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe for a folder of notes, in a folder of its own that is the current one."""
    (tmp_path / "notes").mkdir()
    for number in range(24):
        words = random.Random(number).choices(_WORDS, k=120)
        (tmp_path / "notes" / f"note-{number:02}.md").write_text(" ".join(words), "utf-8")
    (tmp_path / "notes" / "brief.md").write_text("Nothing today.", "utf-8")
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"name: lamps\nfoundation: {tiny_llama}\n"
        "corpus:\n  sources:\n    - {name: notes, kind: files, license: own, path: notes}\n"
        "train: {objective: pretrain, budget: {tokens: 1000}, sequence_length: 128}\n"
        "evaluate: {tasks: [heldout]}\n",
        "utf-8",
    )
    monkeypatch.chdir(tmp_path)
    return path


def etymon(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


def test_a_corpus_is_built_looked_at_and_asked(recipe: Path) -> None:
    with pytest.raises(EtymonError, match="The corpus of lamps is not built") as refused:
        etymon("corpus", "inspect", recipe)
    assert "etymon corpus build" in refused.value.remedy
    with pytest.raises(EtymonError, match="has no corpus"):
        etymon("corpus", "why", "brief.md")
    assert "too-few-words" in etymon("corpus", "build", recipe).output

    page, figures = recipe.parent / "page.html", recipe.parent / "figures.json"
    shown = etymon("corpus", "inspect", recipe, "--html", page, "--json", figures)
    assert shown.exit_code == 0
    assert "25  100%  found" in shown.output
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert json.loads(figures.read_text("utf-8"))["funnel"]["total"]["found"]["documents"] == 25
    assert etymon("corpus", "inspect", "lamps").output == shown.output.partition("\nPage:")[0]

    (recipe.parent / "lenient.yaml").write_text(
        "name: lenient\nrules:\n - {reason: none, signal: words, below: 1}\n", "utf-8"
    )
    again = etymon("corpus", "inspect", "lamps", "--policy", "lenient.yaml")
    assert "The policy lenient in place of default" in again.output
    assert "brief.md" in again.output
    assert "Signals of all documents" not in again.output

    assert "dropped: too-few-words" in etymon("corpus", "why", "notes/brief.md").output
    assert "note-03.md" in etymon("corpus", "why", "note-03.md", recipe).output
    with pytest.raises(EtymonError, match=r"has no document 'bref\.md'") as unknown:
        etymon("corpus", "why", "bref.md", "lamps")
    assert "Did you mean brief.md" in unknown.value.remedy


def test_a_changed_recipe_is_told_and_its_own_corpus_found(recipe: Path) -> None:
    etymon("corpus", "build", recipe)
    first = etymon("corpus", "inspect", recipe).stdout
    assert "has changed" not in first
    text = recipe.read_text("utf-8")
    recipe.write_text(text.replace("corpus:\n", "corpus:\n  seed: 1\n  mix: {tokens: 900}\n"), "utf-8")
    (recipe.parent / "notes" / "new.md").write_text("A new note. " * 20, "utf-8")
    for shown in (etymon("corpus", "inspect", recipe).output, etymon("corpus", "why", "brief.md", recipe).output):
        assert "recipe.yaml has changed since corpus-" in shown
        assert "corpus.mix, corpus.seed, the files of notes." in shown
    assert "has changed" not in etymon("corpus", "inspect", "lamps").output
    etymon("corpus", "build", recipe)
    assert "26  100%  found" in etymon("corpus", "inspect", recipe).output
    recipe.write_text(text, "utf-8")
    (recipe.parent / "notes" / "new.md").unlink()
    assert etymon("corpus", "inspect", recipe).stdout == first, "the corpus of this recipe, though another was built last"


def test_a_build_that_is_refused_hides_no_corpus(recipe: Path) -> None:
    etymon("corpus", "build", recipe)
    text = recipe.read_text("utf-8")
    recipe.write_text(text.replace("corpus:\n", "corpus:\n  mix: {tokens: 1}\n"), "utf-8")
    with pytest.raises(EtymonError, match=r"corpus\.mix \(tokens: 1\) leaves nothing to learn"):
        etymon("corpus", "build", recipe)
    assert "has changed since corpus-" in etymon("corpus", "inspect", recipe).output
    recipe.write_text(text, "utf-8")
    assert "has changed" not in etymon("corpus", "inspect", recipe).output


def test_a_file_of_rows_is_asked_as_a_whole(recipe: Path) -> None:
    words = [word for word in _WORDS if word.isalpha()]
    rows = [f'{number},"{" ".join(random.Random(100 + number).choices(words, k=60))}"' for number in range(9)]
    rows[4] = rows[4][:-1]
    (recipe.parent / "notes" / "rows.csv").write_text("\n".join(["n,text", *rows]), "utf-8")
    etymon("corpus", "build", recipe)
    shown = etymon("corpus", "why", "rows.csv").output
    assert "1  not read: unclosed-quote" in shown
    assert "dropped" not in shown
    assert "line 6: 4," in shown


def test_a_place_that_will_not_do_is_refused_before_the_work(recipe: Path) -> None:
    (recipe.parent / "mine.html").write_text("my notes", "utf-8")
    with pytest.raises(EtymonError, match="no page of Etymon"):
        etymon("corpus", "inspect", recipe, "--html", recipe.parent / "mine.html")
    etymon("corpus", "build", recipe)
    with pytest.raises(EtymonError, match="cannot be written"):
        etymon("corpus", "inspect", recipe, "--json", recipe.parent / "no" / "figures.json")
