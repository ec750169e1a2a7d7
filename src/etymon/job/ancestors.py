"""What a foundation was trained on, where it was trained here: a derivative of it owes what those texts' licences ask."""

from etymon.errors import EtymonError
from etymon.evidence.ancestry import INHERITED
from etymon.evidence.provenance import model_digest, model_files, package_url
from etymon.foundation.model import Model
from etymon.store import Artifact, Store, load_artifact
from etymon.store.artifact import MANIFEST
from etymon.train.stage import train_stage


def earlier_corpora(foundation: Model, store: Store) -> dict[str, Artifact]:
    """The corpora of the trainings that led to a foundation, the last one first, as inputs of evidence.

    Raises EtymonError where it was trained by Etymon, and what on is not to be found in this workspace.
    """
    if package_url(foundation.facts.source):
        return {}  # it came from elsewhere
    artifacts = list(store.artifacts())
    trainings = {model_digest(each): each for each in artifacts if _is_training(each)}
    by_digest = {each.digest: each for each in artifacts}
    found: dict[str, Artifact] = {}
    training = trainings.get(foundation.digest)
    if training is None and _is_elsewhere(foundation):
        raise EtymonError(
            f"{foundation.folder} was trained in another workspace, and what it learned from is not known in this one.",
            "There, `etymon export RUN FOLDER --to hf`, and name that folder as the foundation: it says what it is made of.",
        )
    while training is not None:
        record = training.manifest.inputs["corpus"]
        if record.digest not in by_digest:
            raise EtymonError(
                f"{foundation.name} was trained on {record.label}, which is not in {store.root} any more: what its licences "
                "ask of a derivative is not known.",
                "Bring it back, or run the recipe again that it was trained by.",
            )
        found[f"{INHERITED}{len(found)}"] = by_digest[record.digest]
        begun_from = training.manifest.inputs["foundation"].digest
        training = trainings.get(begun_from) if training.manifest.meaning.get("start") == "foundation" else None
    return found


def _is_training(artifact: Artifact) -> bool:
    return artifact.manifest.stage == train_stage.name and bool(model_files(artifact))


def _is_elsewhere(foundation: Model) -> bool:
    """Whether its folder lies in an artifact of a training."""
    holder = foundation.folder.parent
    return (holder / MANIFEST).is_file() and load_artifact(holder).manifest.stage == train_stage.name
