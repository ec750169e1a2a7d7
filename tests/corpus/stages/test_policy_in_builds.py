"""What a data policy decides reaches the corpus that is built."""

import json
from pathlib import Path

import pytest

from corpus_building import Build, prose
from etymon.corpus.inspect.funnel import funnel
from etymon.corpus.inspect.opened import open_corpus
from etymon.corpus.inspect.show.figures import path_notes
from etymon.errors import EtymonError
from etymon.store import Store


def policy(folder: Path, text: str) -> str:
    (folder / "policy.yaml").write_text(f"name: mine\n{text}", "utf-8")
    return "policy.yaml"


def test_a_breach_stops_the_build_before_anything_is_read(build: Build, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EtymonError, match="license-not-allowed"):
        build({"path": "docs", "license": "CC-BY-NC-4.0"}, data_policy="permissive-only")
    assert not (tmp_path / "store" / "artifacts").exists()


def test_a_waiver_is_kept_with_the_corpus(build: Build, folder: Path) -> None:
    waivers = [{"rule": "license-not-allowed", "reason": "a study for ourselves"}]
    built = build({"path": "docs", "license": "CC-BY-NC-4.0"}, data_policy="permissive-only", waivers=waivers)
    assert [each["reason"] for each in built.facts["waived"]] == ["a study for ourselves"]
    assert "a study for ourselves" in built.artifact.file("croissant.json").read_text("utf-8")


def test_personal_data_is_masked_in_documents_and_rows(build: Build, folder: Path, tmp_path: Path) -> None:
    (folder / "note-00.txt").write_text(prose(0) + "\n\nWrite to anna.berg@siemens.com about it.", "utf-8")
    said = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Ask jo.lee@bosch.com, she knows it."}]
    (tmp_path / "chat.jsonl").write_text(json.dumps({"messages": said}), "utf-8")
    asked = policy(tmp_path, "personal_data: {action: mask}")
    built = build({"path": "docs"}, {"name": "chat", "kind": "chat", "path": "chat.jsonl"}, data_policy=asked)
    texts = "\n".join(row["text"] + (row["row"] or "") for row in built.documents)
    assert "siemens" not in texts
    assert "bosch" not in texts
    assert texts.count("<EMAIL>") == 3, "one document, one row's text and the row itself"
    assert sum(row["emails"] for row in built.rows("signals")) == 2
    kept = build({"path": "docs"}, data_policy=policy(tmp_path, "personal_data: {action: keep}"))
    assert any("anna.berg@siemens.com" in row["text"] for row in kept.documents)


def test_refused_terms_drop_documents(build: Build, folder: Path, tmp_path: Path) -> None:
    (folder / "note-03.txt").write_text(prose(3) + " Project Bluebird is secret.", "utf-8")
    built = build({"path": "docs"}, data_policy=policy(tmp_path, "refused_terms: {terms: [project bluebird]}"))
    assert [row["unit"] for row in built.dropped("refused-term")] == ["note-03.txt"]


def test_what_is_masked_is_a_refused_term_all_the_same_and_a_placeholder_is_none(build: Build, folder: Path) -> None:
    (folder / "note-03.txt").write_text(prose(3) + " Write to anna.berg@siemens.com.", "utf-8")
    (folder / "note-04.txt").write_text(prose(4) + " Write to jo.lee@bosch.com.", "utf-8")
    terms = "personal_data: {action: mask}\nrefused_terms: {terms: [anna.berg@siemens.com, email]}"
    built = build({"path": "docs"}, data_policy=policy(folder.parent, terms))
    assert [row["unit"] for row in built.dropped("refused-term")] == ["note-03.txt"]


def test_what_was_not_read_is_shown_without_personal_data(build: Build, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": prose(1)}) + '\n{"text": "Write to jane@firma.de', "utf-8")
    built = build({"path": "docs"}, {"name": "rows", "path": "rows.jsonl"})
    [bad] = built.dropped("bad-json")
    assert "Write to <EMAIL>" in bad["excerpt"]


def test_a_source_with_too_much_illegal_content_stops_the_build(build: Build, folder: Path, tmp_path: Path) -> None:
    asked = policy(tmp_path, "illegal_content: {sample: 20, limit: 0.05, terms: [pump]}")
    with pytest.raises(EtymonError, match="illegal-content"):
        build({"path": "docs"}, data_policy=asked)
    waivers = [{"rule": "illegal-content", "reason": "a study of pumps"}]
    built = build({"path": "docs"}, data_policy=asked, waivers=waivers)
    opened = open_corpus(built.artifact.name, Store(tmp_path / "store"))
    [note] = [note for note in path_notes(funnel(opened)) if "Illegal" in note]
    assert "docs: 16 of 20 documents looked at" in note
    steps = json.loads(built.artifact.file("croissant.json").read_text("utf-8"))["rai:dataPreprocessingProtocol"]
    assert any("illegal content, by a sample. docs: 16 of 20 documents" in step for step in steps)
