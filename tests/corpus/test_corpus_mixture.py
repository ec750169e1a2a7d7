"""Mixtures: sources have the shares that were asked for, in whole documents, or the recipe is told what is wrong."""

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from pydantic import ValidationError

from corpus_building import Build, prose
from etymon.corpus.draw import seeded_draw
from etymon.corpus.mix import Share, mix_sources
from etymon.errors import EtymonError
from etymon.recipe import Mix


def mixed(asked: dict[str, Any], tokens: dict[str, list[int]]) -> tuple[list[int], dict[str, Share]]:
    """Copies of every document of sources with documents of so many tokens."""
    source_N = np.repeat(np.arange(len(tokens)), [len(each) for each in tokens.values()])
    tokens_N = np.array([count for each in tokens.values() for count in each], np.int64)
    draw_N = seeded_draw([f"{place:020x}" for place in range(len(tokens_N))], 0)
    ones_N = np.ones(len(tokens_N), np.int64)
    copies_N, shares = mix_sources(list(tokens), source_N, tokens_N, ones_N, draw_N, Mix.model_validate(asked))
    return copies_N.tolist(), {share.source: share for share in shares}


def test_weights_are_shares_of_the_tokens() -> None:
    _, shares = mixed({"tokens": 4_000, "weights": {"a": 3, "b": 1}}, {"a": [100] * 50, "b": [100] * 50})
    assert (shares["a"].mixed, shares["b"].mixed) == (3_000, 1_000)


def test_what_a_source_cannot_give_goes_to_the_others() -> None:
    _, shares = mixed({"tokens": 4_000, "most_epochs": 1, "weights": {"a": 9, "b": 1}}, {"a": [100] * 10, "b": [100] * 50})
    assert (shares["a"].mixed, shares["b"].mixed) == (1_000, 3_000)


def test_a_source_that_is_read_often_does_not_starve_the_others() -> None:
    _, shares = mixed({"weights": {"a": 1}, "epochs": {"b": 2}}, {"a": [100] * 10, "b": [100] * 20})
    assert (shares["a"].mixed, shares["b"].mixed) == (1_000, 4_000)
    _, shares = mixed({"tokens": 3_000, "epochs": {"a": 2}}, {"a": [100] * 10, "b": [100] * 50})
    assert (shares["a"].mixed, shares["b"].mixed) == (2_000, 1_000)


@pytest.mark.parametrize("tokens", [1_000, 2_000])
def test_epochs_that_are_more_than_the_whole_pass_are_refused(tokens: int) -> None:
    with pytest.raises(EtymonError, match=rf"epochs \(a: 2\) asks for 2,000 tokens in one pass, and .* is {tokens:,}"):
        mixed({"tokens": tokens, "epochs": {"a": 2}}, {"a": [100] * 10, "b": [100] * 50})


def test_the_most_that_a_source_gives_is_never_exceeded() -> None:
    _, shares = mixed({"most_tokens": {"a": 500}}, {"a": [1_000], "b": [100] * 5})
    assert (shares["a"].mixed, shares["b"].mixed) == (0, 1_000)


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=30),
    st.lists(st.integers(1, 500), min_size=1, max_size=30),
    st.integers(500, 100_000),
    st.floats(1, 5),
)
def test_a_source_gives_what_it_should_to_within_a_document(a: list[int], b: list[int], tokens: int, most: float) -> None:
    copies, shares = mixed({"tokens": tokens, "most_epochs": most}, {"a": a, "b": b})
    total = min(tokens, most * (sum(a) + sum(b)))
    for name, own in (("a", a), ("b", b)):
        assert abs(shares[name].mixed - total * sum(own) / (sum(a) + sum(b))) <= max(own)
    assert max(copies) - min(copies) <= 1


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"tokens": 1}, "corpus.mix.tokens"),
        ({"most_tokens": {"docs": 1}}, "corpus.mix.most_tokens"),
        ({"epochs": {"docs": 1e-9}}, "corpus.mix.epochs"),
    ],
)
def test_a_mixture_of_nothing_is_refused(build: Build, folder: Any, asked: dict[str, Any], named: str) -> None:
    with pytest.raises(EtymonError, match=rf"leaves nothing to learn(.|\n)*Raise {named}"):
        build({"path": "docs"}, mix=asked)


@pytest.mark.parametrize(
    "asked",
    [
        {"weights": {"a": 0, "b": 0}},
        {"epochs": {"a": 1e300}},
        {"epochs": {"a": float("nan")}},
        {"tokens": 10**30},
        {"most_epochs": float("inf")},
        {"weights": {"a": 1e308, "b": 1e308}},
    ],
)
def test_mixtures_that_nobody_can_mean_are_refused_at_once(asked: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"weights|epochs|tokens"):
        Mix.model_validate(asked)


def test_a_source_of_weight_0_is_left_out_and_told(build: Build, folder: Any) -> None:
    (folder.parent / "more").mkdir()
    for number in range(5):
        (folder.parent / "more" / f"{number}.txt").write_text(prose(100 + number), "utf-8")
    built = build({"path": "docs"}, {"name": "more", "path": "more"}, mix={"weights": {"docs": 1, "more": 0}})
    assert {row["source"] for row in built.rows("train")} == {"docs"}
    assert {row["source"] for row in built.dropped("not-in-mixture")} == {"more"}
