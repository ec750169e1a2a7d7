"""What happened to one document of a built corpus."""

from collections import Counter

import pyarrow.parquet
import pytest

from etymon.corpus.inspect.opened import OpenCorpus
from etymon.corpus.inspect.why import Story, why
from etymon.errors import EtymonError


def story_of(opened: OpenCorpus, text: str) -> Story:
    found = why(opened, text).story
    assert found
    return found


def test_every_document_has_a_story_that_agrees_with_the_tables(opened: OpenCorpus) -> None:
    copies = {}
    for row in pyarrow.parquet.read_table(opened.corpus.file("train.parquet")).to_pylist():
        copies[row["source"], row["unit"]] = row["copies"]
    for row in opened.decisions("id", "source", "unit", "reason", "side").to_pylist():
        story = story_of(opened, f"{row['source']}/{row['unit']}")
        assert (story.id, story.reason, story.outcome) == (row["id"], row["reason"], row["side"] or "dropped")
        assert story.copies == copies.get((row["source"], row["unit"]), 0)
        broken = {rule.reason for rule in story.rules if rule.broken}
        assert row["reason"] in broken if broken else True


def test_a_copy_names_the_one_that_is_kept(opened: OpenCorpus) -> None:
    pair = [story_of(opened, unit) for unit in ("again.txt", "note-03.txt")]
    kept, gone = sorted(pair, key=lambda story: story.reason or "")
    assert gone.reason == "exact-duplicate"
    assert gone.survivor
    assert (gone.survivor.name, gone.survivor.similarity) == (f"notes/{kept.unit}", 1.0)
    assert (kept.duplicates, kept.stands_for[0].name) == (1, f"notes/{gone.unit}")
    assert story_of(opened, kept.id).unit == kept.unit  # both have this id


def test_the_others_of_a_text_are_told_beside_the_one_that_is_kept(opened: OpenCorpus) -> None:
    (gone,) = (name for name in ("again.txt", "note-03.txt") if story_of(opened, name).reason)
    story = story_of(opened, gone)
    answer = why(opened, story.id)
    assert answer.story
    assert (answer.story.outcome, answer.count) == ("train" if answer.story.copies else "heldout", 2)
    assert answer.outcomes == {"dropped: exact-duplicate": 1}
    assert [each.unit for each in answer.several] == [gone]


def test_a_near_duplicate_tells_how_near(opened: OpenCorpus) -> None:
    stories = [story_of(opened, f"deep/nearly-{number}.txt") for number in range(3)]
    (kept,) = (story for story in stories if story.reason is None)
    for story in stories:
        if story is not kept:
            assert story.survivor
            assert story.survivor.id == kept.id
            assert story.survivor.similarity is not None
            assert 0.7 <= story.survivor.similarity < 1
    assert kept.duplicates == 2


def test_the_item_and_the_words_shared_with_it_are_named(opened: OpenCorpus) -> None:
    (shared,) = story_of(opened, "leak.txt").shared
    assert (shared.item, shared.runs > 0) == ("lamps/1", True)
    assert "lamps of the northern lighthouse" in shared.excerpt


def test_masked_personal_data_is_told_and_not_shown(opened: OpenCorpus) -> None:
    story = story_of(opened, "letter.txt")
    assert (story.personal, story.masked) == ({"email": 1}, ("email",))
    assert "jane" not in story.model_dump_json()


def test_rows_are_told_apart_from_documents(opened: OpenCorpus) -> None:
    story = story_of(opened, "talk.jsonl#2")
    assert story.kind == "conversation"
    assert not all(rule.applies for rule in story.rules)


def test_what_was_not_read_is_found_too(opened: OpenCorpus) -> None:
    answer = why(opened, "notes/broken.pdf")
    assert answer.story is None
    assert [each.outcome for each in answer.several] == ["not read: unreadable-pdf"]


def test_a_file_of_rows_is_told_as_a_whole(opened: OpenCorpus) -> None:
    decided = [
        row for row in opened.decisions("unit", "reason", "side").to_pylist() if row["unit"].startswith("pages.jsonl#")
    ]
    expected = Counter(
        "held out" if row["side"] == "heldout" else "training" if row["side"] else f"dropped: {row['reason']}"
        for row in decided
    )
    expected["not read: bad-json"] = 1
    for name in ("pages.jsonl", "pages/pages.jsonl"):
        answer = why(opened, name)
        assert answer.story is None
        assert (answer.outcomes, answer.count) == (dict(expected), 31)
        assert list(answer.outcomes.values()) == sorted(expected.values(), reverse=True)
        assert Counter(each.outcome for each in answer.several) == {name: min(5, n) for name, n in expected.items()}
        assert all(each.unit.startswith("pages.jsonl#") and each.excerpt for each in answer.several)


def test_an_id_may_be_cut_short(opened: OpenCorpus) -> None:
    story = story_of(opened, "short.txt")
    assert story_of(opened, story.id[:10].upper()) == story


def test_an_unknown_document_brings_suggestions(opened: OpenCorpus) -> None:
    with pytest.raises(EtymonError, match=r"no document 'note-3.txt'") as caught:
        why(opened, "note-3.txt")
    assert "note-03.txt" in caught.value.remedy
    with pytest.raises(EtymonError, match="no document") as caught:
        why(opened, "sho")
    assert "short.txt" in caught.value.remedy
