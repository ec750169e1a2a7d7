"""datatrove's filters and its four steps of MinHash over jsonl documents, in two processes. Run in the peer's environment.

Arguments: folder of documents, folder for what it writes (emptied first). As in its own examples
(``fineweb.py``, ``minhash_deduplication.py``): dropped documents are written with their reason, clusters keep their number.
"""

import json
import multiprocessing
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove_rules import filters
from loguru import logger

WORKERS = 2


def run(name: str, pipeline: list[Any], tasks: int, out: Path) -> None:
    workers = min(tasks, WORKERS)
    LocalPipelineExecutor(pipeline=pipeline, tasks=tasks, workers=workers, logging_dir=str(out / "logs" / name)).run()


def curate(documents: Path, out: Path) -> dict[str, float]:
    config = MinhashConfig()
    steps: dict[str, tuple[list[Any], int]] = {
        "filters": (
            [
                JsonlReader(str(documents)),
                *filters(lambda name: JsonlWriter(str(out / "dropped" / name), compression=None)),
                JsonlWriter(str(out / "filtered"), compression=None),
            ],
            WORKERS,
        ),
        "signatures": (
            [JsonlReader(str(out / "filtered")), MinhashDedupSignature(str(out / "signatures"), config)],
            WORKERS,
        ),
        "buckets": ([MinhashDedupBuckets(str(out / "signatures"), str(out / "buckets"), config=config)], config.num_buckets),
        "clusters": ([MinhashDedupCluster(str(out / "buckets"), str(out / "remove"), config, save_cluster_id=True)], 1),
        "removal": (
            [
                JsonlReader(str(out / "filtered")),
                MinhashDedupFilter(
                    str(out / "remove"), JsonlWriter(str(out / "removed"), compression=None), load_cluster_ids=True
                ),
                JsonlWriter(str(out / "kept"), compression=None),
            ],
            WORKERS,
        ),
    }
    seconds = {}
    for name, (pipeline, tasks) in steps.items():
        begin = time.perf_counter()
        run(name, pipeline, tasks, out)
        seconds[name] = round(time.perf_counter() - begin, 2)
    return seconds


if __name__ == "__main__":
    folder, written = sys.argv[1:3]
    logger.remove()
    multiprocessing.freeze_support()
    shutil.rmtree(written, ignore_errors=True)
    print(json.dumps(curate(Path(folder), Path(written))))
