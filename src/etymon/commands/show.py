"""What a run or a training is looked up for: its model, its scores, the rows that it saw."""

from etymon.errors import EtymonError
from etymon.evaluate.stage import evaluate_stage
from etymon.evidence.run_record import read_run
from etymon.job.record import run_stage
from etymon.job.summaries import score_line
from etymon.run import trained_model
from etymon.store import Artifact, Store
from etymon.train.stage import train_stage


def run_results(record: Artifact, store: Store) -> dict[str, str]:
    """What a run is looked up for: the folder of its model, and every score that it took, by what it is."""
    parts = read_run(record, store.artifacts()).parts
    model = {"model": str(parts["train"].folder / "model")} if "train" in parts else {}
    return model | {role: score_line(part) for role, part in parts.items() if part.manifest.stage == evaluate_stage.name}


def training_rows(artifact: Artifact, store: Store, count: int) -> list[str]:
    """The first rows that a training saw, as text, with tokens that are not supervised between ⟦ and ⟧."""
    by_name = {each.name: each for each in store.artifacts()}
    if artifact.manifest.stage == run_stage.name:
        artifact = read_run(artifact, by_name.values()).part("train")
    if artifact.manifest.stage != train_stage.name:
        raise EtymonError(f"{artifact.name} is not a training.", "Name a run, or an artifact whose name begins with train-.")
    from etymon.train.rows import rendered_rows  # PyTorch and Transformers: only where they are needed

    corpus = by_name[artifact.manifest.inputs["corpus"].label]
    return rendered_rows(trained_model(artifact, artifact.name, store), corpus, artifact, count)
