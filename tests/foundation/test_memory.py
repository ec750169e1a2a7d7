"""Freed memory is kept for the next tensor, and given back when asked."""

import subprocess
import sys

import pytest

PROGRAM = """
import psutil, torch
from etymon.foundation.memory import give_back_memory, keep_freed_memory
keep_freed_memory()
held = lambda: psutil.Process().memory_info().rss / 2**20
tensors = [torch.ones(10_000_000) for _ in range(10)]
full = held()
del tensors
kept = held()
give_back_memory()
print(full - kept, kept - held())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is asked")
def test_freed_memory_is_kept_until_it_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    at_once, when_asked = map(float, done.stdout.split())
    assert at_once < 100
    assert when_asked > 300
