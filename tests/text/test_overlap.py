"""Runs of 13 words are found wherever they are, in any script, and nothing else is."""

import pickle

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from etymon.text.ngrams import ngrams
from etymon.text.normalise import folded
from etymon.text.overlap import GRAM, ItemGrams, find_overlaps
from etymon.text.words import words

PASSAGE = "The quick brown fox, having jumped over the lazy dog, went home and slept until the next morning."
CHINESE = "人工智能是计算机科学的一个分支，它研究怎样让机器思考。"


def test_case_layout_and_punctuation_do_not_hide_a_passage():
    (found,) = find_overlaps([PASSAGE], [("a", "other words"), ("b", "Once more: " + PASSAGE.upper().replace(" ", "\n"))])
    assert (found.document, found.shared, found.grams, found.words) == ("b", 6, 6, 18)
    assert found.excerpt == "the quick brown fox having jumped over the lazy dog went home and"


def test_twelve_words_are_not_thirteen():
    twelve = " ".join(words(PASSAGE)[:12])
    long, short = find_overlaps([PASSAGE, twelve], [("a", f"{twelve} something else follows here")])
    assert (long.shared, long.document, long.excerpt) == (0, None, None)
    assert (short.words, short.grams, short.shared) == (12, 0, 0)


def test_characters_are_the_words_of_scripts_without_spaces():
    found = find_overlaps(
        [CHINESE, "今天天气很好我们一起去公园散步吧"], [("zh", "据说" + CHINESE.replace("，", "") + "等等")]
    )
    assert found[0].document == "zh"
    assert found[1].shared == 0
    assert found[1].grams == 4


def test_nothing_to_compare_is_no_overlap():
    assert find_overlaps([], [("a", PASSAGE)]) == []
    assert find_overlaps(["", PASSAGE], []) == find_overlaps(["", PASSAGE], [("a", "")])


@given(st.lists(st.text("ab ", max_size=60), max_size=4), st.lists(st.text("ab ", max_size=80), max_size=4))
def test_hashes_find_what_comparing_runs_finds(texts, documents):
    known = {gram for text in documents for gram in ngrams(words(folded(text)), GRAM)}
    for text, found in zip(texts, find_overlaps(texts, [(str(n), each) for n, each in enumerate(documents)]), strict=True):
        grams = set(ngrams(words(folded(text)), GRAM))
        assert (found.grams, found.shared) == (len(grams), len(grams & known))


def test_a_corpus_is_read_a_document_at_a_time(tmp_path):
    pq.write_table(
        pa.table({"id": ["x"] * 300 + ["y"], "text": ["word " * 30] * 300 + [PASSAGE]}), tmp_path / "train.parquet"
    )
    alive = []

    def documents():
        for batch in pq.ParquetFile(tmp_path / "train.parquet").iter_batches(batch_size=10):
            alive.append(batch.num_rows)
            yield from zip(batch["id"].to_pylist(), batch["text"].to_pylist(), strict=True)

    assert find_overlaps([PASSAGE], documents())[0].document == "y"
    assert max(alive) == 10


def test_documents_are_looked_at_in_batches():
    items = ["short", PASSAGE, CHINESE, "quite another thing " + PASSAGE]
    grams = pickle.loads(pickle.dumps(ItemGrams([[item] for item in items])))
    assert grams.short_N.sum() == 1
    found = grams.found_in(["", "nothing of the kind " * 9, "Or: " + PASSAGE.upper() + CHINESE, CHINESE, "short"])
    assert found == [
        (2, 1, 6, "the quick brown fox having jumped over the lazy dog went home and"),
        (2, 2, 13, " ".join(CHINESE[:13])),
        (3, 2, 13, " ".join(CHINESE[:13])),
    ]
    assert ItemGrams([]).found_in([PASSAGE]) == ItemGrams([[item] for item in items]).found_in([]) == []


@given(st.lists(st.text("ab ", max_size=60), max_size=4), st.lists(st.text("ab ", max_size=80), max_size=4))
def test_batches_find_what_comparing_runs_finds(texts, documents):
    first = {}
    for item, text in enumerate(texts):
        for gram in ngrams(words(folded(text)), GRAM):
            first.setdefault(gram, item)
    expected = {}
    for at, document in enumerate(documents):
        for gram in ngrams(words(folded(document)), GRAM):
            if gram in first:
                expected.setdefault((at, first[gram]), []).append(gram)
    found = ItemGrams([[text] for text in texts]).found_in(documents)
    assert {(at, item): (shared, excerpt) for at, item, shared, excerpt in found} == {
        pair: (len(set(grams)), " ".join(grams[0])) for pair, grams in expected.items()
    }
