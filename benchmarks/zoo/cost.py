"""One comparison in a process of its own, as JSON. Arguments: model, parent, and ``whole`` to count the imports."""

import json
import sys
import time
from pathlib import Path

begin = time.perf_counter()
from common import peak_bytes  # noqa: E402
from etymon.lineage.compare import compare_sides, opened  # noqa: E402

model, parent, *whole = sys.argv[1:]
ours = opened(Path(model), "model")
theirs = opened(Path(parent), "parent")
if not whole:
    ours.digests, theirs.digests  # noqa: B018
    begin = time.perf_counter()
found = compare_sides(ours, theirs)
seconds = time.perf_counter() - begin
print(json.dumps({"seconds": seconds, "peak_mb": peak_bytes() / 1e6, "verdict": found.verdict}))
