"""A newcomer's folder: what is in it is told truly, and the proposed recipe loads and builds without editing."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from fpdf import FPDF

from corpus_building import prose
from etymon.cli.new import new_recipe
from etymon.commands.propose.proposal import recipe_for, recipe_name
from etymon.commands.propose.survey import Survey, estimated_tokens, survey
from etymon.corpus.build import build_corpus, obtain_in
from etymon.corpus.sources.find import corpus_inputs
from etymon.errors import EtymonError
from etymon.recipe import Corpus, Recipe, load_recipe
from etymon.store import Artifact, Store


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    """Thirty PDFs of two pages, and a few files of other types, some of them of no use."""
    folder = tmp_path / "our papers [2024]"
    folder.mkdir()
    for number in range(30):
        pdf = FPDF()
        pdf.set_font("Times", size=11)
        for page in range(2):
            pdf.add_page()
            pdf.multi_cell(0, 6, prose(1000 + 2 * number + page, 16))
        pdf.output(str(folder / f"paper {number:02}.pdf"))
    (folder / "notes.txt").write_text(prose(1), "utf-8")
    (folder / "guide.md").write_text("# Guide\n\n" + prose(2), "utf-8")
    (folder / "page.html").write_text(f"<html><body><article><p>{prose(3)}</p></article></body></html>", "utf-8")
    (folder / "rows.jsonl").write_text("".join(json.dumps({"text": prose(10 + n, 4)}) + "\n" for n in range(5)), "utf-8")
    (folder / "scan.pdf").write_bytes(b"%PDF-1.4 broken")
    (folder / "photo.jpg").write_bytes(b"\xff\xd8")
    return folder


def recipe_of(found: Survey, name: str, beside: Path) -> Recipe:
    path = beside / f"{name}.yaml"
    path.write_text(recipe_for(found, name, beside), "utf-8")
    return load_recipe(path)


def build(recipe: Recipe, base: Path) -> Artifact:
    store = Store(base / ".etymon")
    inputs = corpus_inputs(recipe.corpus, base, store.digests)
    return build_corpus(recipe.corpus, inputs, obtain_in(store), Path())


def test_thirty_papers_become_a_recipe_that_builds(papers: Path, tmp_path: Path) -> None:
    found = survey(papers)
    assert {each.suffix: each.files for each in found.types} == {".html": 1, ".jsonl": 1, ".md": 1, ".pdf": 31, ".txt": 1}
    assert found.unsupported == {".jpg": 1}
    assert [(each.unit, each.reason) for each in found.unread] == [("scan.pdf", "unreadable-pdf")]
    assert found.documents == 38
    assert not found.estimated
    assert next(iter(found.languages)) == "en"
    assert found.sample

    beside = tmp_path / "recipes"
    beside.mkdir()
    recipe = recipe_of(found, recipe_name(papers), beside)
    assert recipe.name == "our-papers-2024"
    (source,) = recipe.corpus.sources
    assert (source.license, source.path) == ("own", "../our papers [2024]")
    assert recipe.evaluate.tasks == ("heldout", "mmlu_dev", "chat_retention")
    assert recipe.baselines == ()

    facts = build(recipe, beside).facts
    assert facts["documents_train"] + facts["documents_heldout"] == 38
    assert facts["heldout_units"] >= 5, "fewer cannot be scored"
    assert not facts["sectioned"]
    assert facts["drops"] == {"unreadable-pdf": 1, "unsupported-type.jpg": 1}
    assert facts["characters_train"] + facts["characters_heldout"] == pytest.approx(found.characters, rel=0.02)


def test_the_budget_follows_the_text_and_stops_at_ten_minutes(tmp_path: Path) -> None:
    (tmp_path / "small.txt").write_text(prose(1, 200), "utf-8")
    small = recipe_of(survey(tmp_path / "small.txt"), "small", tmp_path)
    assert small.train.budget.tokens is not None
    assert 1 <= small.train.budget.tokens / survey(tmp_path / "small.txt").tokens <= 2
    assert small.train.tokens_per_step < 2048
    (tmp_path / "large.txt").write_text(prose(2, 8000), "utf-8")
    large = recipe_of(survey(tmp_path / "large.txt"), "large", tmp_path)
    assert large.train.budget.tokens == 120_000
    assert large.train.tokens_per_step == 2048


@pytest.mark.parametrize(("sentences", "files"), [(60, 1), (150, 1), (600, 1), (30, 12), (40, 21)])
def test_enough_is_held_out_to_be_measured(tmp_path: Path, sentences: int, files: int) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(files):
        (folder / f"{number}.txt").write_text(prose(number, sentences), "utf-8")
    recipe = recipe_of(survey(folder), "few", tmp_path)
    assert "heldout" in recipe.evaluate.tasks
    assert build(recipe, tmp_path).facts["heldout_units"] >= 5


def test_too_little_text_is_not_promised_a_measure(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(prose(1, 20), "utf-8")
    recipe = recipe_of(survey(tmp_path / "a.txt"), "tiny", tmp_path)
    assert recipe.evaluate.tasks == ("mmlu_dev", "chat_retention")
    assert build(recipe, tmp_path).facts["documents_heldout"] > 0


def test_rows_with_other_columns_get_sources_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.txt").write_text(prose(number), "utf-8")
    (folder / "faq.csv").write_text("id,answer: long\n" + "".join(f'{n},"{prose(50 + n, 4)}"\n' for n in range(5)), "utf-8")
    (folder / "posts.jsonl").write_text("".join(json.dumps({"body": prose(70 + n, 4)}) + "\n" for n in range(5)), "utf-8")
    (folder / "chat.jsonl").write_text('{"messages": [{"role": "user"}]}\n', "utf-8")
    found = survey(folder)
    assert found.columns == {"faq.csv": "answer: long", "posts.jsonl": "body"}
    assert found.without_text == {"chat.jsonl": "columns messages"}
    recipe = recipe_of(found, "mixed", tmp_path)
    assert [source.column for source in recipe.corpus.sources] == ["text", "answer: long", "body"]
    facts = build(recipe, tmp_path).facts
    assert facts["documents_train"] + facts["documents_heldout"] == 22


def test_what_a_build_would_read_otherwise_is_left_out_and_told(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(24):
        (folder / f"{number}.txt").write_text(prose(number), "utf-8")
    (folder / "settings.json").write_text('{"theme": "dark", "about": "some words"}', "utf-8")
    (folder / "one.json").write_text(json.dumps({"text": prose(90)}), "utf-8")
    (folder / "faq.csv").write_text("id;body\n" + "".join(f"{n};{prose(50 + n, 2)}\n" for n in range(5)), "utf-8")
    (folder / "gone.txt").symlink_to(folder / "nowhere")
    found = survey(folder)
    assert found.without_text["settings.json"] == "a single row, as settings have"
    assert "'id;body': its cells seem to be separated by ';'" in found.without_text["faq.csv"]
    assert [(each.unit, each.reason) for each in found.unread] == [("gone.txt", "broken-link")]
    facts = build(recipe_of(found, "docs", tmp_path), tmp_path).facts
    assert facts["documents_train"] + facts["documents_heldout"] == found.documents == 25
    store = Store(tmp_path / "other")
    asked = Corpus.model_validate({"sources": [{"name": "a", "kind": "files", "license": "own", "path": "docs/faq.csv"}]})
    with pytest.raises(EtymonError, match="separated by ';', not by commas"):
        build_corpus(asked, corpus_inputs(asked, tmp_path, store.digests), obtain_in(store), tmp_path)


def chats(first: int, count: int) -> list[dict[str, Any]]:
    return [
        {"messages": [{"role": "user", "content": prose(n, 2)}, {"role": "assistant", "content": prose(1000 + n, 3)}]}
        for n in range(first, first + count)
    ]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def test_conversations_become_a_recipe_that_fine_tunes_on_them(tmp_path: Path) -> None:
    folder = tmp_path / "talks"
    folder.mkdir()
    write_rows(folder / "one.jsonl", chats(0, 20))
    (folder / "two.json").write_text(json.dumps(chats(20, 20)), "utf-8")
    alpaca = [{"instruction": prose(n, 1), "output": prose(2000 + n, 2), "text": "a form of both"} for n in range(10)]
    write_rows(folder / "three.jsonl", alpaca)
    (folder / "README.md").write_text("# About these talks\n\n" + prose(3), "utf-8")
    found = survey(folder)
    assert (found.kind, found.documents, found.columns) == ("chat", 50, {})
    assert found.other_kinds == {"README.md": "documents"}
    recipe = recipe_of(found, "talks", tmp_path)
    assert recipe.train.objective == "sft"
    (source,) = recipe.corpus.sources
    assert (source.kind, source.path) == ("chat", "talks")
    assert recipe.evaluate.tasks == ("heldout", "mmlu_dev", "chat_retention")
    facts = build(recipe, tmp_path).facts
    assert facts["documents_train"] + facts["documents_heldout"] == 50
    assert facts["heldout_units"] >= 5


def test_what_the_recipe_does_not_learn_from_is_named_in_it(tmp_path: Path) -> None:
    pairs = [{"prompt": prose(n, 1), "chosen": prose(50 + n, 1), "rejected": prose(90 + n, 1)} for n in range(5)]
    mostly = {"documents": (40, chats(0, 3)), "chat": (1, chats(0, 40))}
    for kind, (documents, conversations) in mostly.items():
        folder = tmp_path / kind
        folder.mkdir()
        for number in range(documents):
            (folder / f"{number}.txt").write_text(prose(number, 40), "utf-8")
        write_rows(folder / "chat.jsonl", conversations)
        write_rows(folder / "pairs.jsonl", pairs)
        found = survey(folder)
        assert found.kind == kind
        text, recipe = recipe_for(found, kind, tmp_path), recipe_of(found, kind, tmp_path)
        assert "left out: pairs.jsonl (preferences" in text
        assert ("left out: chat.jsonl" in text) == (kind == "documents")
        (source,) = recipe.corpus.sources
        assert source.path == {"documents": "documents/**/*.txt", "chat": "chat/chat.jsonl"}[kind]
        facts = build(recipe, tmp_path).facts
        assert facts["documents_train"] + facts["documents_heldout"] == 40


def test_preferences_alone_are_not_guessed_at(tmp_path: Path) -> None:
    rows = [{"prompt": prose(n, 1), "completion": prose(50 + n, 1), "label": bool(n % 2)} for n in range(5)]
    write_rows(tmp_path / "liked.jsonl", rows)
    with pytest.raises(EtymonError, match=r"liked\.jsonl holds preferences"):
        survey(tmp_path)


def test_what_is_not_read_for_time_is_estimated(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number}.txt").write_text(prose(number, 40), "utf-8")
    whole, hurried = survey(tmp_path), survey(tmp_path, seconds=0)
    assert hurried.estimated
    assert hurried.types[0].files_read < whole.types[0].files_read == 40
    assert hurried.characters == pytest.approx(whole.characters, rel=0.1)
    assert hurried.tokens == pytest.approx(whole.tokens, rel=0.1)


def test_a_folder_without_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"x")
    (tmp_path / "blank.txt").write_text(" ")
    with pytest.raises(EtymonError, match=r"No text was found(.|\n)*unsupported-type\.jpg 1"):
        survey(tmp_path)


@pytest.mark.parametrize("name", ["Ünïcode & co: 'x' #1", "- dash", 'quote"d', "語料"])
def test_any_folder_name_gives_a_valid_recipe(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "a.txt").write_text(prose(1, 60), "utf-8")
    recipe = recipe_of(survey(folder), recipe_name(folder), tmp_path)
    assert recipe.corpus.sources[0].path == name
    assert yaml.safe_load(recipe_for(survey(folder), "x", tmp_path))["name"] == "x"


def test_a_name_that_is_no_text_is_looked_at_too(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"bad\xff.txt")).write_text(prose(1, 60), "utf-8")
    (tmp_path / "good.txt").write_text(prose(2, 60), "utf-8")
    assert survey(tmp_path).documents == 2


@pytest.mark.parametrize("name", ["2024", "no", "null", "1e5", "2024-01-01", "語料"])
def test_a_name_that_yaml_takes_for_something_else_stays_a_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "a.txt").write_text(prose(1, 60), "utf-8")
    assert recipe_of(survey(folder), recipe_name(folder), tmp_path).name == name


def test_a_recipe_is_not_surveyed_for_where_it_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text(prose(1, 60), "utf-8")
    with pytest.raises(EtymonError, match=r"no folder .*missing"):
        new_recipe(tmp_path / "not-looked-at", tmp_path / "missing" / "x.yaml")
    new_recipe(tmp_path / "a.txt", tmp_path / "x.yaml")
    said = " ".join(capsys.readouterr().out.split())
    assert f"Next: etymon check {tmp_path / 'x.yaml'}, then etymon run" in said
    assert load_recipe(tmp_path / "x.yaml").name == "a"


def test_tokens_are_estimated_within_reason() -> None:
    assert estimated_tokens("plain English words " * 10) == 50
    assert 1 < estimated_tokens("秦川雄帝宅") / 5 < 3
    assert estimated_tokens("\ud83d") > 0
