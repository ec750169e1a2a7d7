"""The plan of a training made again, without training: which rows are learned from or dropped, and in how many steps."""

from pathlib import Path
from tempfile import TemporaryDirectory

from etymon.foundation.model import Model
from etymon.progress import Listener, clocks
from etymon.store import Artifact, file_digest
from etymon.train.stage import TrainMeaning


def pack_again(training: Artifact, foundation: Model, corpus: Artifact, listener: Listener) -> list[str]:
    """What of the plan came out otherwise: facts of the training, or its list of rows."""
    from etymon.train.prepare import prepare  # Transformers
    from etymon.train.save import write_rows

    meaning = TrainMeaning.model_validate(training.manifest.meaning)
    with TemporaryDirectory() as work:
        prepared = prepare(foundation, corpus, meaning, Path(work), clocks(listener, "train"))
        write_rows(prepared, Path(work) / "rows.parquet")
        rows = file_digest(Path(work) / "rows.parquet")
    found = {"steps": len(prepared.plan.steps), "tokens": prepared.plan.tokens, "rows": prepared.encoded.counts}
    differing = [name for name, value in found.items() if training.facts.get(name) != value]
    recorded = training.manifest.files.get("rows.parquet")
    return differing + (["rows.parquet"] if recorded is None or recorded.sha256 != rows else [])
