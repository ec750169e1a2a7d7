"""Near duplicates are found, and the split never separates them."""

import random
from pathlib import Path

import pytest
from corpus_building import prose
from hypothesis import assume, given
from hypothesis import strategies as st

from etymon.corpus.duplicates.near import exact_survivors, near_duplicate_clusters
from etymon.corpus.engine import from_pydict
from etymon.corpus.policy.load import load_policy
from etymon.corpus.split import split_units
from etymon.errors import EtymonError
from etymon.text.ngrams import jaccard, shingles
from etymon.text.normalise import comparable

NEAR = load_policy("default", Path()).near_duplicates


@given(
    st.lists(st.tuples(st.integers(0, 15), st.one_of(st.none(), st.integers(0, 8))), min_size=1, max_size=60),
    st.floats(0.05, 0.9),
    st.integers(0, 3),
)
def test_no_cluster_is_ever_on_both_sides(documents: list[tuple[int, int | None]], share: float, seed: int) -> None:
    units = {position: ("source", f"unit-{unit}") for position, (unit, _) in enumerate(documents)}
    clusters = {position: cluster for position, (_, cluster) in enumerate(documents) if cluster is not None}
    try:
        split = split_units(units, (clusters,), share, seed)
    except EtymonError:
        assume(False)
    assert split == split_units(dict(reversed(units.items())), (clusters,), share, seed), (
        "the order of documents is no matter"
    )
    assert 0 < len(split.heldout) < split.units
    sides: dict[int, set[bool]] = {}
    for position, cluster in clusters.items():
        sides.setdefault(cluster, set()).add(units[position] in split.heldout)
    assert all(len(side) == 1 for side in sides.values())


def test_the_share_is_met_where_units_are_free() -> None:
    units = {position: ("s", f"unit-{position}") for position in range(200)}
    assert len(split_units(units, (), 0.1, 0).heldout) == 20


def test_units_that_are_all_bound_together_are_refused() -> None:
    with pytest.raises(EtymonError, match="its 3 units resemble each other"):
        split_units({0: ("s", "a"), 1: ("s", "b"), 2: ("s", "c")}, ({0: 0, 1: 0, 2: 0},), 0.5, 0)


def test_planted_near_duplicates_are_found_and_nothing_else_is_bound() -> None:
    draw = random.Random(5)
    texts: list[str] = []
    for seed in range(150):
        original = prose(seed, 10).split()
        texts.append(" ".join(original))
        for changes in (1, 2, 4):
            words = list(original)
            for _ in range(changes):
                words[draw.randrange(len(words))] = f"changed{draw.randrange(1000)}"
            texts.append(" ".join(words))
    positions = list(range(len(texts)))
    forms = [comparable(text) for text in texts]
    found = near_duplicate_clusters(from_pydict({"position": positions, "comparable": forms}), NEAR)
    grams = [shingles(form, NEAR.ngram) for form in forms]
    alike = {
        (one, other)
        for one in positions
        for other in range(one + 1, len(texts))
        if jaccard(grams[one], grams[other]) >= NEAR.similarity
    }
    bound = {pair for pair in alike if pair[0] in found and found[pair[0]] == found.get(pair[1])}
    assert len(alike) > 300
    assert len(bound) / len(alike) >= 0.99
    assert all(one // 4 == other // 4 for one, other in alike)
    assert all(found[position] // 4 == position // 4 for position in found), "no cluster reaches beyond one original"


def test_chinese_near_duplicates_are_found_by_characters() -> None:
    line = "秦川雄帝宅函谷壯皇居綺殿千尋起離宮百雉餘連甍遙接漢飛觀迥凌虛雲日隱層闕風煙出綺疎"
    forms = [comparable(text) for text in (line, line[:-1] + "樓", "白玉誰家郎回車渡天津看花東上陌驚動洛陽人")]
    assert near_duplicate_clusters(from_pydict({"position": [0, 1, 2], "comparable": forms}), NEAR) == {0: 0, 1: 0}


def test_nothing_alike_gives_no_clusters() -> None:
    assert (
        near_duplicate_clusters(from_pydict({"position": [0, 1], "comparable": ["a b c d e f", "g h i j k l"]}), NEAR) == {}
    )


def test_the_first_of_equal_contents_survives() -> None:
    survivors = exact_survivors(from_pydict({"position": [3, 1, 2], "content": ["x", "x", "y"]})).to_pydict()
    assert dict(zip(survivors["content"], survivors["survivor"], strict=True)) == {"x": 1, "y": 2}
