"""Rank intervals hold the true ranks of all models at once, and separate what can be separated."""

import numpy as np

from etymon.statistics.ranks import RankInterval, rank_intervals


def test_clearly_different_models_have_one_rank_and_near_equal_ones_share():
    random = np.random.default_rng(1)
    items = random.normal(size=400)
    values = np.stack([items + shift + random.normal(0, 0.1, 400) for shift in (1.0, 0.0, 0.001, -1.0)])
    assert rank_intervals(values, higher_is_better=True) == [
        RankInterval(1, 1),
        RankInterval(2, 3),
        RankInterval(2, 3),
        RankInterval(4, 4),
    ]
    assert rank_intervals(values, higher_is_better=False)[0] == RankInterval(4, 4)


def test_binary_items_use_the_items_that_changed():
    base = np.r_[np.ones(50), np.zeros(50)]
    better = np.r_[np.ones(65), np.zeros(35)]
    hardly = np.r_[np.ones(52), np.zeros(48)]
    assert rank_intervals(np.stack([base, better, hardly]), higher_is_better=True) == [
        RankInterval(2, 3),
        RankInterval(1, 1),
        RankInterval(2, 3),
    ]


def test_identical_models_lone_models_and_single_clusters():
    same = np.tile(np.random.default_rng(2).normal(size=30), (3, 1))
    assert rank_intervals(same, higher_is_better=True) == [RankInterval(1, 3)] * 3
    assert rank_intervals(same[:1], higher_is_better=True) == [RankInterval(1, 1)]
    assert rank_intervals([[1.0], [2.0]], higher_is_better=True) == [RankInterval(1, 2)] * 2
    assert rank_intervals(np.empty((0, 4)), higher_is_better=True) == []


def test_rank_intervals_cover_all_true_ranks_at_once():
    """600 simulated boards of six models, close enough that most pairs are in doubt."""
    random = np.random.default_rng(3)
    chance = np.array([0.62, 0.58, 0.55, 0.52, 0.50, 0.35])
    drift = np.array([0.20, 0.15, 0.10, 0.05, 0.02, -0.30])
    true_rank = np.arange(1, 7)
    cluster = np.repeat(np.arange(30), 4)
    weight = random.integers(50, 2000, 120).astype(float)
    covered = {"binary": 0, "clustered": 0, "equal": 0}
    width = 0
    for _ in range(600):
        difficulty = random.uniform(size=120)
        noise = random.uniform(size=(6, 120))
        right = np.where(random.uniform(size=(1, 120)) < 0.5, difficulty, noise) < chance[:, None]
        found = rank_intervals(right.astype(float), higher_is_better=True)
        covered["binary"] += all(each.best <= rank <= each.worst for each, rank in zip(found, true_rank, strict=True))
        width += sum(each.worst - each.best for each in found)
        passage = random.normal(size=(6, 30))[:, cluster]
        values = drift[:, None] + 0.3 * passage + random.normal(0, 0.4, size=(6, 120))
        found = rank_intervals(values, weight, cluster, higher_is_better=True)
        covered["clustered"] += all(each.best <= rank <= each.worst for each, rank in zip(found, true_rank, strict=True))
        found = rank_intervals(values - drift[:, None], weight, cluster, higher_is_better=True)
        covered["equal"] += found == [RankInterval(1, 6)] * 6
    assert all(count >= 0.93 * 600 for count in covered.values()), covered
    assert width / 3600 < 4.5, "intervals that hold every rank would cover as well and say nothing"
