"""Memory and work grow with the documents, and no faster."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from duplicate_tables import NEAR, found_in, write_tables

from etymon.text.ngrams import jaccard, shingles

_MEASURED = """
import resource, sys
import numpy as np
from pathlib import Path
from etymon.corpus.duplicates.near import near_duplicates
from etymon.corpus.policy.policy import NearDuplicates
folder, count = Path(sys.argv[1]), int(sys.argv[2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
near = NearDuplicates.model_validate_json(sys.argv[3])
found = near_duplicates(folder / "documents.parquet", folder / "bands.parquet", np.arange(count), near, scratch=folder)
np.save(folder / "survivors.npy", found.survivor_N)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def documents(count: int) -> tuple[list[str], list[tuple[int, int]]]:
    """Short documents, every tenth of them an earlier one with a word changed; and which of which."""
    random = np.random.default_rng(count)
    vocabulary = np.array([f"w{number}" for number in range(20_000)])
    words = [vocabulary[random.integers(0, 20_000, 50)] for _ in range(count)]
    planted = [(at - int(random.integers(1, 10)), at) for at in range(9, count, 10)]
    for one, other in planted:
        words[other] = words[one].copy()
        words[other][random.integers(50)] = "changed"
    return [" ".join(each) for each in words], planted


def test_a_hundred_thousand_comparisons_do_for_twenty_thousand_copies(tmp_path: Path) -> None:
    words = [f"word{at}" for at in range(100)]
    copies = [" ".join([*words[:50], f"copy{number}", *words[50:]]) for number in range(20_000)]
    found = found_in(tmp_path, copies)
    assert (found.survivor_N == 0).all()
    assert found.compared < 5 * len(copies)
    rows = found_in(tmp_path / "rows", copies[:5000], rows=[True] * 5000)
    assert (rows.component_N == 0).all()
    assert rows.compared < 5 * 5000


@pytest.mark.slow
def test_two_hundred_thousand_documents_take_some_hundred_megabytes(tmp_path: Path) -> None:
    count = 200_000
    texts, planted = documents(count)
    write_tables(tmp_path, texts)
    order = [sys.executable, "-c", _MEASURED, str(tmp_path), str(count), NEAR.model_dump_json()]
    kilobytes = int(subprocess.run(order, check=True, capture_output=True, text=True).stdout)
    assert kilobytes < 700_000
    survivors = np.load(tmp_path / "survivors.npy")
    assert np.mean([survivors[other] < other for _, other in planted]) > 0.999
    removed = np.flatnonzero(survivors != np.arange(count))[::20].tolist()
    alike = [jaccard(shingles(texts[at], 5), shingles(texts[survivors[at]], 5)) for at in removed]
    assert min(alike) >= NEAR.similarity
