"""2,000 simulated boards: single intervals hold what they should 95% of the time, rank intervals every rank at once."""

import numpy as np
import pytest

from etymon.statistics.intervals import cluster_sums, score_estimate
from etymon.statistics.paired import bootstrap_reach, compare
from etymon.statistics.ranks import rank_intervals

BOARDS = 2_000
CHANCE = np.array([0.64, 0.58, 0.52, 0.46])
DRIFT = np.array([0.15, 0.10, 0.02, -0.30])


@pytest.mark.slow
def test_intervals_and_ranks_keep_their_promises_over_2000_boards():
    """Boards of four models with 120 items: right or wrong, alone and in passages of three, and measured."""
    random = np.random.default_rng(1)
    passage_I = np.repeat(np.arange(40), 3)
    singles = {"shares": 0, "clustered shares": 0, "means": 0, "differences of shares": 0, "differences of means": 0}
    ranks = {"shares": 0, "means": 0}
    for board in range(BOARDS):
        common_I = random.uniform(size=120) < 0.5
        right_MI = np.where(common_I, random.uniform(size=120), random.uniform(size=(4, 120))) < CHANCE[:, None]
        values_MI = DRIFT[:, None] + 0.3 * random.normal(size=(4, 40))[:, passage_I] + 0.4 * random.normal(size=(4, 120))
        passages_I = random.beta(2, 2, size=40)[passage_I]
        model = board % 4
        found = score_estimate(right_MI[model])
        singles["shares"] += found.low <= CHANCE[model] <= found.high
        found = score_estimate(random.uniform(size=120) < passages_I, clusters=passage_I)
        singles["clustered shares"] += found.low <= 0.5 <= found.high
        found = score_estimate(values_MI[model], clusters=passage_I)
        singles["means"] += found.low <= DRIFT[model] <= found.high
        difference = compare(right_MI[0], right_MI[1 + board % 3])
        singles["differences of shares"] += difference.low <= CHANCE[0] - CHANCE[1 + board % 3] <= difference.high
        sums = cluster_sums(values_MI[0] - values_MI[2], clusters=passage_I)
        reach = bootstrap_reach(sums, resamples=1_999)
        assert reach
        singles["differences of means"] += abs(sums.ratio - (DRIFT[0] - DRIFT[2])) <= reach[0] * sums.stderr
        for kind, board_MI, clusters in (("shares", right_MI, None), ("means", values_MI, passage_I)):
            intervals = rank_intervals(board_MI, clusters=clusters, higher_is_better=True)
            ranks[kind] += all(each.best <= 1 + place <= each.worst for place, each in enumerate(intervals))
    assert all(0.93 <= held / BOARDS <= 0.97 for held in singles.values()), singles
    assert all(held / BOARDS >= 0.93 for held in ranks.values()), ranks
