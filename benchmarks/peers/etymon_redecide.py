"""Etymon's decisions by other thresholds over a finished corpus, as `etymon corpus inspect --policy` makes them.

Arguments: workspace, policy (a YAML file). Seconds are from opening the corpus to the counts.
"""

import json
import sys
import time
from pathlib import Path

from common import peak_bytes
from etymon.corpus.inspect.opened import newest_corpus
from etymon.corpus.inspect.redecide import redecide
from etymon.corpus.policy.load import load_policy
from etymon.store import Store

workspace, policy = Path(sys.argv[1]), Path(sys.argv[2])
store = Store(workspace)
begin = time.perf_counter()
found = redecide(newest_corpus(store), load_policy(policy.name, policy.parent))
seconds = time.perf_counter() - begin
documents = found.passing.documents + sum(rule.after.documents for rule in found.rules)
print(json.dumps({"seconds": seconds, "documents": documents, "kept": found.kept.documents, "peak_mb": peak_bytes() / 2**20}))
