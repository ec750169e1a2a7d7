"""Scoring on several ranks gives what one process gives."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.evaluate.ranked import share_out
from etymon.evaluate.tree import TokenRequest, build_tree

sequences = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=24).map(tuple), min_size=1, max_size=24)


@given(sequences, st.integers(1, 5))
def test_every_sequence_is_in_one_part_and_parts_are_even(fed, size):
    parts = share_out(fed, size)
    assert len(parts) == size
    assert sorted(number for part in parts for number in part) == list(range(len(fed)))
    tree, _ = build_tree(fed)
    for part in parts:  # what is new in a part, besides the beginning of its first sequence and the rest of its last
        mine, _ = build_tree([fed[number] for number in part])
        assert mine.tokens <= tree.tokens / size + 2 * max(map(len, fed))


@pytest.mark.slow
def test_two_ranks_answer_as_one(tiny_model, examinee, tmp_path):
    draw = random.Random(0)
    header = tuple(draw.randrange(3, 60) for _ in range(30))
    requests = [
        TokenRequest((*header[: draw.choice((10, 30))], draw.randrange(3, 60)), (draw.randrange(3, 60), choice))
        for _ in range(20)
        for choice in range(3, 6)
    ]
    asked, answers = tmp_path / "asked.json", tmp_path / "answers.json"
    asked.write_text(json.dumps([[request.context, request.continuation] for request in requests]))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    arguments = [str(Path(__file__).parent / "rank_scoring.py"), str(tiny_model.folder), str(asked), str(answers)]
    subprocess.run([*command, *arguments], env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, timeout=200)
    found = json.loads(answers.read_text())
    scores, usage = examinee.scorer.score(requests)
    assert [each[0] for each in found["scores"]] == pytest.approx([score.logprob for score in scores], abs=1e-5)
    assert [each[1:] for each in found["scores"]] == [[score.is_greedy, score.tokens] for score in scores]
    assert found["usage"]["requests"] == usage.requests
    assert found["usage"]["tokens_asked"] == usage.tokens_asked
    assert found["usage"]["tokens_fed"] - found["usage"]["tokens_repeated"] == usage.tokens_fed - usage.tokens_repeated
