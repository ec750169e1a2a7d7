"""Copies by what a document stands for."""

import numpy as np

from etymon.corpus.duplicates.rehydrate import copies_by_cluster_size


def test_copies_are_those_of_the_published_table() -> None:
    sizes = np.array([1, 2, 3, 4, 5, 99, 100, 999, 1000, 10**6])
    assert copies_by_cluster_size(sizes).tolist() == [1, 2, 3, 3, 5, 5, 8, 8, 1, 1]
