"""Seconds to open a model and digest every tensor, as lineage does first. Argument: folder."""

import json
import sys
import time
from pathlib import Path

from etymon.lineage.compare import opened

begin = time.perf_counter()
side = opened(Path(sys.argv[1]), "model")
count = len(side.digests)
print(json.dumps({"seconds": time.perf_counter() - begin, "tensors": count}))
