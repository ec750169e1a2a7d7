"""Etymon's scorer on given work (json: see ``evaluate.py``). Arguments: file, float32|bfloat16, batch size (for the peer)."""

import sys

from answering import answer

from etymon.evaluate.examinee import open_examinee
from etymon.evaluate.harness.model import SharedPrefixLM
from etymon.foundation.sources import open_model

file, dtype, _ = sys.argv[1:]
assert dtype in ("float32", "bfloat16")
examinee = open_examinee(open_model("smollm2-135m-instruct-q4_1"), "cpu", dtype=dtype)
answer(SharedPrefixLM(examinee, lambda *_: None), file)
