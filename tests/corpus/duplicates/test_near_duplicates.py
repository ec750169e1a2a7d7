"""What is removed has a similar document that stays; nothing else goes, however the work is divided."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from duplicate_tables import EAGER, NEAR, found_in, plainly, write_tables
from hypothesis import given, settings
from hypothesis import strategies as st

from etymon.corpus.duplicates import near as module
from etymon.corpus.duplicates import similarity, survivors
from etymon.corpus.duplicates.near import near_duplicates
from etymon.text.ngrams import jaccard, shingles

WORDS = st.lists(st.sampled_from("abcdefghij"), max_size=7).map(" ".join)
CORPORA = st.lists(st.tuples(WORDS, st.booleans()), min_size=1, max_size=40)


def sentence(*changed: int) -> str:
    return " ".join(f"other{at}" if at in changed else f"word{at}" for at in range(100))


def test_near_copies_go_and_the_first_stays(tmp_path: Path) -> None:
    found = found_in(tmp_path, ["something else", sentence(), sentence(3), sentence(97), "", ""])
    assert found.survivor_N.tolist() == [0, 1, 1, 1, 4, 5]
    assert found.component_N.tolist() == [-1, 1, 1, 1, -1, -1]
    assert (found.existing_N == -1).all()
    assert found.compared == 2


def test_a_chain_does_not_remove_what_is_unlike_the_survivor(tmp_path: Path) -> None:
    chain = [sentence(), sentence(20, 60), sentence(20, 60, 40, 80)]
    assert jaccard(shingles(chain[0], 5), shingles(chain[2], 5)) < 0.7 < jaccard(shingles(chain[1], 5), shingles(chain[2], 5))
    assert found_in(tmp_path, chain).survivor_N.tolist() == [0, 0, 2]


def test_rows_stay_and_are_linked(tmp_path: Path) -> None:
    texts = [sentence(), sentence(3), sentence(5), sentence(7), "a b c"]
    found = found_in(tmp_path, texts, rows=[False, True, True, False, True])
    assert found.survivor_N.tolist() == [0, 1, 2, 0, 4]
    assert found.component_N.tolist() == [0, 0, 0, 0, -1]


def test_only_what_the_rules_kept_is_compared(tmp_path: Path) -> None:
    documents, bands = write_tables(tmp_path, [sentence(), sentence(1), "x y", sentence(2)])
    found = near_duplicates(documents, bands, np.array([1, 2, 3]), NEAR)
    assert found.survivor_N.tolist() == [0, 1, 2, 1]
    assert found.component_N.tolist() == [-1, 1, -1, 1]


def test_documents_like_existing_ones_go(tmp_path: Path) -> None:
    existing = write_tables(tmp_path / "existing", ["nothing alike", sentence(50), sentence(3), sentence(1)])
    texts = ["p q r s t", sentence(), sentence(4), "u v w x y z", sentence(5)]
    documents, bands = write_tables(tmp_path / "new", texts, rows=[False, False, False, False, True])
    found = near_duplicates(documents, bands, np.arange(5), NEAR, existing=existing, scratch=tmp_path)
    assert found.existing_N.tolist() == [-1, 1, 1, -1, -1]
    assert found.survivor_N.tolist() == [0, 1, 2, 3, 4]
    assert found.component_N.tolist() == [-1] * 5
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("near")] == []


def test_a_policy_may_keep_and_only_link_them(tmp_path: Path) -> None:
    texts = [sentence(), sentence(20, 60), sentence(20, 60, 40, 80), "x y z"]
    found = found_in(tmp_path, texts, NEAR.model_copy(update={"drop": False}))
    assert found.survivor_N.tolist() == [0, 1, 2, 3]
    assert found.component_N.tolist() == [0, 0, 0, -1]


def test_nothing_to_compare_is_no_duplicate(tmp_path: Path) -> None:
    for texts in ([], [""], ["alone"], ["", ""]):
        assert found_in(tmp_path, texts).survivor_N.tolist() == list(range(len(texts)))


@settings(deadline=None, max_examples=150)
@given(CORPORA)
def test_it_is_what_comparing_all_with_all_finds(corpus: list[tuple[str, bool]]) -> None:
    texts, rows = [text for text, _ in corpus], [row for _, row in corpus]
    with TemporaryDirectory() as folder:
        found = found_in(Path(folder), texts, EAGER, rows)
    plain = plainly(texts, EAGER, rows)
    assert found.survivor_N.tolist() == plain.survivors
    for one, other in plain.alike:
        assert found.component_N[one] == found.component_N[other] >= 0


@settings(deadline=None, max_examples=60)
@given(CORPORA, CORPORA)
def test_later_documents_change_nothing_for_earlier_ones(
    corpus: list[tuple[str, bool]], more: list[tuple[str, bool]]
) -> None:
    def survivors_of(*documents: tuple[str, bool]) -> list[int]:
        with TemporaryDirectory() as folder:
            found = found_in(Path(folder), [text for text, _ in documents], EAGER, [row for _, row in documents])
        return [int(at) for at in found.survivor_N[: len(corpus)]]

    assert survivors_of(*corpus) == survivors_of(*corpus, *more)


@settings(deadline=None, max_examples=60)
@given(CORPORA, st.integers(1, 7), st.integers(1, 5), st.integers(1, 9))
def test_it_does_not_depend_on_how_the_work_is_divided(
    corpus: list[tuple[str, bool]], group: int, batch: int, pairs: int
) -> None:
    texts, rows = [text for text, _ in corpus], [row for _, row in corpus]
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        whole = found_in(Path(folder) / "whole", texts, EAGER, rows)
        patch.setattr(similarity, "_BATCH", batch)
        patch.setattr(similarity, "_ELEMENTS", 3)
        patch.setattr(similarity, "_PAIRS", 2)
        patch.setattr(survivors, "_PAIRS", pairs)
        divided = found_in(Path(folder) / "divided", texts, EAGER, rows, group)
    for name in ("survivor_N", "existing_N", "component_N"):
        assert getattr(whole, name).tolist() == getattr(divided, name).tolist()


@settings(deadline=None, max_examples=60)
@given(CORPORA, st.integers(0, 40))
def test_existing_documents_all_count(corpus: list[tuple[str, bool]], cut: int) -> None:
    texts = [text for text, _ in corpus]
    old, new = texts[:cut], texts[cut:]
    with TemporaryDirectory() as folder:
        existing = write_tables(Path(folder) / "existing", old, EAGER)
        documents, bands = write_tables(Path(folder) / "new", new, EAGER)
        found = module.near_duplicates(documents, bands, np.arange(len(new)), EAGER, existing=existing)
    for at, text in enumerate(new):
        alike = [one for one, other in enumerate(old) if plainly([other, text], EAGER).survivors == [0, 0]]
        assert found.existing_N[at] == (alike[0] if alike else -1)
