"""What a corpus must not hold: evaluation items, and what another corpus has already."""

import json
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from corpus_building import Build, prose
from etymon.corpus.inspect.funnel import funnel
from etymon.corpus.inspect.opened import open_corpus
from etymon.corpus.inspect.redecide import redecide
from etymon.corpus.inspect.why import why
from etymon.errors import EtymonError
from etymon.job.summaries import corpus_line
from etymon.store import Store

ITEM = "Which of the seven valves of the upper tank must be closed first when the pressure falls below the red mark?"


def test_documents_that_say_an_item_of_a_file_are_left_out(build: Build, folder: Path, tmp_path: Path) -> None:
    (folder / "note-05.txt").write_text(f"{prose(5)}\n\n{ITEM} The lowest.", "utf-8")
    (tmp_path / "items.jsonl").write_text(json.dumps({"id": "q1", "question": ITEM, "answer": "the lowest"}), "utf-8")
    built = build({"path": "docs"}, decontaminate=["items.jsonl"])
    assert [row["unit"] for row in built.dropped("evaluation-item")] == ["note-05.txt"]
    (decision,) = [row for row in built.rows("decisions") if row["reason"] == "evaluation-item"]
    assert decision["detail"].endswith("q1")


def test_an_item_is_found_as_it_was_typeset_masked_or_lettered(build: Build, folder: Path, tmp_path: Path) -> None:
    quoted = "It's the farmer's duty, isn't it, and hasn't he said that they'd be fed before we'd come to see them?"
    asked = "Write a letter to j.miller@firma.de in which you ask whether the order of last week was sent to us."
    choices = ["by the early morning train", "on foot over the hills", "with a hired carriage"]
    items = [{"id": "quoted", "text": quoted}, {"id": "asked", "text": asked}]
    items += [{"id": "choices", "question": "How did she leave the town?", "choices": choices}]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, items)), "utf-8")
    lettered = " ".join(f"({letter}) {choice}" for letter, choice in zip("ABC", choices, strict=True))
    for number, said in enumerate((quoted.replace("'", "’"), asked, f"Q: How did she leave the town? {lettered}")):
        (folder / f"note-{number:02}.txt").write_text(f"{prose(number)}\n\n{said}", "utf-8")
    built = build({"path": "docs"}, decontaminate=["items.jsonl"])
    found = {row["unit"]: row["detail"] for row in built.rows("decisions") if row["reason"] == "evaluation-item"}
    assert {unit: detail.partition("#")[2] for unit, detail in found.items()} == {
        "note-00.txt": "quoted", "note-01.txt": "asked", "note-02.txt": "choices",
    }  # fmt: skip


def test_items_that_are_too_short_are_counted(build: Build, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "items.txt").write_text(f"{ITEM}\n\nWhat is 2 + 2?\n\nWho?", "utf-8")
    (tmp_path / "more.jsonl").write_text('{"question": "Why?"}', "utf-8")
    built = build({"path": "docs"}, decontaminate=["items.txt", "more.jsonl"])
    assert built.facts["evaluation_items"] == {"items": 4, "too_short": {"items.txt": 2, "more.jsonl": 1}}
    assert "3 of 4 evaluation items too short to be looked for" in corpus_line(built.artifact)


def test_files_of_items_that_the_policy_keeps_are_refused(build: Build, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "lenient.yaml").write_text("name: lenient\nevaluation_items: keep\n", "utf-8")
    with pytest.raises(EtymonError, match=r"decontaminate names items.txt, and the data policy lenient keeps"):
        build({"path": "docs"}, decontaminate=["items.txt"], data_policy="lenient.yaml")


def test_what_another_corpus_has_is_not_had_again(build: Build, folder: Path, tmp_path: Path) -> None:
    first = build({"path": "docs"})
    for number in range(20, 40):
        (folder / f"note-{number}.txt").write_text(prose(number), "utf-8")
    (folder / "note-03.txt").write_text(f"A revision. {prose(3)}", "utf-8")
    second = build({"path": "docs"}, against=[str(first.artifact.folder)])
    assert {row["unit"] for row in second.documents} == {f"note-{number}.txt" for number in range(20, 40)}
    assert len(second.dropped("in-existing-corpus")) == 20
    ids = {row["id"] for row in first.documents}
    assert {row["detail"] for row in second.rows("decisions") if row["reason"]} <= ids
    opened = open_corpus(second.artifact.name, Store(tmp_path / "store"))
    path = funnel(opened)
    assert path.total.lost("existing corpora").documents == 20
    assert all(each.note.removeprefix("stands there as ") in ids for each in path.samples["in-existing-corpus"])
    story = why(opened, "note-03.txt").story
    assert story
    assert story.detail in ids
    again = redecide(opened, opened.policy)
    assert again.kept == again.kept_before


def test_a_mixture_gives_sources_their_shares(build: Build, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "more.jsonl").write_text("".join(f'{{"text": "{" ".join(prose(n, 3).split())}"}}\n' for n in range(50, 90)))
    mixture = {"weights": {"docs": 3, "more": 1}, "tokens": 9_000}
    built = build({"path": "docs"}, {"name": "more", "path": "more.jsonl"}, mix=mixture)
    shares = {each["source"]: each for each in built.facts["mixture"]}
    assert abs(shares["docs"]["share"] - 0.75) < 0.05
    assert abs(sum(each["mixed"] for each in shares.values()) - 9_000) < 500
    told = corpus_line(built.artifact)
    assert f"mixture of {sum(each['mixed'] for each in shares.values()):,} tokens: docs 7" in told
    assert built.dropped("not-in-mixture") or shares["more"]["epochs"] >= 1
    train = parquet.read_table(built.artifact.file("train.parquet")).to_pylist()
    assert all(row["copies"] >= 1 for row in train)
    assert (
        built.artifact.digest == build({"path": "docs"}, {"name": "more", "path": "more.jsonl"}, mix=mixture).artifact.digest
    )
