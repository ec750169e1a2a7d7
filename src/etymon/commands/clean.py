"""What of a workspace can be cleaned away: nothing that a run or a decision rests on."""

from dataclasses import dataclass
from pathlib import Path

from etymon.board.stage import board_stage
from etymon.evaluate.stage import evaluate_stage
from etymon.evidence.register.chain import STAGE as DECISION
from etymon.evidence.register.pins import Holdings
from etymon.evidence.run_record import part_names
from etymon.store import Artifact, Store
from etymon.train.stage import TrainMeaning, checkpoint_key, train_stage
from etymon.workspace import runs


@dataclass(frozen=True)
class Leftover:
    """Something that nothing refers to."""

    name: str
    reason: str
    bytes: int
    artifact: Artifact | None
    folder: Path


def leftovers(store: Store, *, checkpoints: bool = False) -> list[Leftover]:
    """Artifacts on which no run, finished or begun, and no decision rests; checkpoints of removed trainings; what killed
    runs left.

    With ``checkpoints`` also those from which a training could be continued or extended, and answers of killed evaluations.
    """
    artifacts = list(store.artifacts())
    kept = {record.name for record in runs(store)} | {name for p in store.pointers().values() for name in p.parts.values()}
    for record in runs(store):
        kept |= set(part_names(record).values())
    decided = [artifact for artifact in artifacts if artifact.manifest.stage == DECISION]
    kept |= {artifact.name for artifact in Holdings(artifacts).upstream(decided)}
    boards = [artifact for artifact in artifacts if artifact.manifest.stage == board_stage.name]
    if boards:
        kept.add(max(boards, key=lambda each: each.manifest.created).name)
    found = [_leftover(each, "no run refers to it") for each in artifacts if each.name not in kept]
    trained = [artifact for artifact in artifacts if artifact.manifest.stage == train_stage.name]
    extendable = {_scratch_of(store, artifact) for artifact in trained if artifact.name in kept}
    superseded = {_scratch_of(store, artifact) for artifact in trained} - extendable
    for folder in store.folders("scratch"):
        if folder in superseded:
            found.append(Leftover(folder.name, "checkpoints of a training that is removed", _size(folder), None, folder))
        elif checkpoints and folder.name.startswith(f"{evaluate_stage.name}-"):
            reason = "answers to continue an unfinished evaluation"
            found.append(Leftover(folder.name, reason, _size(folder), None, folder))
        elif checkpoints:
            reason = "to extend a finished training" if folder in extendable else "to continue an unfinished training"
            found.append(Leftover(folder.name, f"checkpoints {reason}", _size(folder), None, folder))
    found += [Leftover(f.name, "half-written by a run that was killed", _size(f), None, f) for f in store.folders("making")]
    return found


def remove(store: Store, leftover: Leftover) -> bool:
    """Delete one leftover; False where another run is using it just now."""
    if leftover.artifact is None:
        return store.remove_folder(leftover.folder)
    store.remove(leftover.artifact)
    return True


def _leftover(artifact: Artifact, reason: str) -> Leftover:
    return Leftover(artifact.name, reason, _size(artifact.folder), artifact, artifact.folder)


def _scratch_of(store: Store, trained: Artifact) -> Path:
    digests = {role: record.digest for role, record in trained.manifest.inputs.items()}
    meaning = TrainMeaning.model_validate(trained.manifest.meaning)
    return store.scratch_folder(train_stage.name, checkpoint_key(meaning, digests))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
