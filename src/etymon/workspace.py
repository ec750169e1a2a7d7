"""A workspace over many runs: its records, its board, its models by name, and what can be cleaned away."""

import difflib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from etymon.board.entries import BoardMeaning, Entry
from etymon.board.stage import BoardExecution, board_stage
from etymon.corpus.stage import corpus_stage
from etymon.errors import EtymonError
from etymon.evaluate.plan import plan_task
from etymon.evaluate.stage import evaluate_stage
from etymon.foundation.model import Model
from etymon.foundation.sources import open_model
from etymon.lineage.stage import Execution as LineageExecution
from etymon.lineage.stage import Meaning as LineageMeaning
from etymon.lineage.stage import lineage_stage
from etymon.lineage.verdict import Lineage
from etymon.progress import Listener, silent
from etymon.run import RunMeaning, StageLine, read_lineage, run_stage, score_line, trained_model
from etymon.store import Artifact, Store
from etymon.train.stage import TrainMeaning, checkpoint_key, train_stage


def runs(store: Store) -> Iterator[Artifact]:
    """The newest record of every run's name, oldest first."""
    newest: dict[str, Artifact] = {}
    for artifact in sorted(store.artifacts(), key=lambda each: each.manifest.created):
        if artifact.manifest.stage == run_stage.name:
            newest.pop(artifact.facts["name"], None)
            newest[artifact.facts["name"]] = artifact
    yield from newest.values()


def workspace_board(store: Store, listener: Listener = silent) -> Artifact:
    """The board of every run. Raises EtymonError where there is none yet."""
    entries: dict[str, Entry] = {}
    artifacts = {artifact.name: artifact for artifact in store.artifacts()}
    for record in runs(store):
        for entry in RunMeaning.model_validate(record.manifest.meaning).entries:
            known = entries.get(entry.name)
            before = known.evaluations if known and known.digest == entry.digest else ()
            together = tuple(dict.fromkeys((*before, *entry.evaluations)))
            entries[entry.name] = entry.model_copy(update={"evaluations": together})
    if not entries:
        raise EtymonError(f"The workspace {store.root} has no finished run.", "`etymon run RECIPE` makes one.")
    inputs = {role: artifacts[role] for entry in entries.values() for role in entry.evaluations}
    meaning = BoardMeaning(title="Every model of this workspace", entries=tuple(entries.values()))
    board, _ = store.obtain(board_stage, inputs, meaning, BoardExecution(), listener)
    return board


def find_model(text: str, store: Store, listener: Listener = silent) -> Model:
    """A model by what a user calls it: a run or its baseline, a train artifact, or anything ``open_model`` takes."""
    trained = _trained_models(store)
    if text in trained:
        return trained_model(trained[text], text, store)
    try:
        return open_model(text, listener=listener)
    except EtymonError as error:
        if "neither an alias nor a path" in error.problem and (near := difflib.get_close_matches(text, trained, n=3)):
            raise EtymonError(error.problem, f"Models of this workspace: {', '.join(near)}. {error.remedy}") from None
        raise


def _trained_models(store: Store) -> dict[str, Artifact]:
    """Train artifacts by their own name and by the name their run gives them."""
    models = {artifact.name: artifact for artifact in store.artifacts() if artifact.manifest.stage == train_stage.name}
    for record in runs(store):
        for role, name in record.facts["parts"].items():
            if role.split()[0] == "train" and name in models:
                baseline = role.removeprefix("train").strip()
                called = f"{record.facts['name']}-{baseline}" if baseline else record.facts["name"]
                models[called] = models[name]
    return models


def find_artifact(text: str, store: Store) -> Artifact:
    """An artifact by name, by the beginning of its name, or by the name of a run."""
    artifacts = list(store.artifacts())
    for record in runs(store):
        if record.facts["name"] == text:
            return record
    matches = [artifact for artifact in artifacts if artifact.name == text] or [
        artifact for artifact in artifacts if artifact.name.startswith(text)
    ]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise EtymonError(f"{text} could be {', '.join(each.name for each in matches[:5])}.", "Give more of the name.")
    raise EtymonError(f"The workspace {store.root} has no artifact {text}.", "`etymon runs` lists the runs.")


def evaluate_each(names: list[str], tasks: tuple[str, ...], store: Store, listener: Listener = silent) -> Iterator[StageLine]:
    """Put every task to every model. ``heldout`` takes the corpus of the workspace's newest run."""
    corpora = [artifact for artifact in store.artifacts() if artifact.manifest.stage == corpus_stage.name]
    corpus = max(corpora, key=lambda each: each.manifest.created, default=None)
    plans = [plan_task(task, corpus=corpus if task == "heldout" else None, folder=Path.cwd()) for task in tasks]
    for name in names:
        model = find_model(name, store, listener)
        for plan in plans:
            role = f"{plan.meaning.task} of {model.name}"
            if reason := plan.not_applicable(model):
                yield StageLine(role, f"not measured: {reason}", 0.0, True)
                continue
            made, reused = store.obtain(evaluate_stage, plan.inputs(model), plan.meaning, plan.execution, listener)
            yield StageLine(role, score_line(made), made.manifest.seconds, reused)


def lineages_of(name: str, parent: str | None, store: Store, listener: Listener = silent) -> list[Lineage]:
    """A model against its supposed parent, or against every foundation known to the workspace or the user's cache.

    Several parents are screened at once: the verdicts carry p-values as tested, one a pair.
    """
    model = find_model(name, store, listener)
    parents = [find_model(parent, store, listener)] if parent else _known_foundations(store, listener)
    if not parents:
        raise EtymonError("No foundation is known here yet to compare with.", "Name one: `etymon lineage MODEL PARENT`.")
    found = []
    for each in parents:
        if each.digest == model.digest and not parent:
            continue
        inputs = {"model": model, "parent": each}
        made, _ = store.obtain(lineage_stage, inputs, LineageMeaning(), LineageExecution(), listener)
        found.append(read_lineage(made))
    return sorted(found, key=lambda lineage: -(lineage.effect or 0))


def _known_foundations(store: Store, listener: Listener) -> list[Model]:
    """The foundations of the workspace's runs, once each."""
    sources = {record.manifest.meaning["recipe"]["foundation"]: None for record in runs(store)}
    return list({model.digest: model for model in (open_model(source, listener=listener) for source in sources)}.values())


def training_rows(artifact: Artifact, store: Store, count: int) -> list[str]:
    """The first rows that a training saw, as text, with tokens that are not supervised between ⟦ and ⟧."""
    by_name = {each.name: each for each in store.artifacts()}
    if artifact.manifest.stage == run_stage.name:
        artifact = by_name[artifact.facts["parts"]["train"]]
    if artifact.manifest.stage != train_stage.name:
        raise EtymonError(f"{artifact.name} is not a training.", "Name a run, or an artifact whose name begins with train-.")
    from etymon.train.rows import rendered_rows  # PyTorch and Transformers: only where they are needed

    corpus = by_name[artifact.manifest.inputs["corpus"].label]
    return rendered_rows(trained_model(artifact, artifact.name, store), corpus, artifact, count)


@dataclass(frozen=True)
class Leftover:
    """Something that nothing refers to."""

    name: str
    reason: str
    bytes: int
    artifact: Artifact | None
    folder: Path


def leftovers(store: Store, *, checkpoints: bool = False) -> list[Leftover]:
    """Artifacts that no newest run is built on, and checkpoints of no kept model.

    With ``checkpoints`` also those of kept models, from which their training could be extended.
    """
    artifacts = list(store.artifacts())
    by_name = {artifact.name: artifact for artifact in artifacts}
    kept = {record.name for record in runs(store)}
    for record in runs(store):
        kept |= set(record.facts["parts"].values())
    boards = [artifact for artifact in artifacts if artifact.manifest.stage == board_stage.name]
    if boards:
        kept.add(max(boards, key=lambda each: each.manifest.created).name)
    found = [
        Leftover(artifact.name, "no run refers to it", _size(artifact.folder), artifact, artifact.folder)
        for artifact in artifacts
        if artifact.name not in kept
    ]
    extendable = {_scratch_of(store, by_name[name]) for name in kept if name in by_name and name.startswith("train-")}
    for folder in store.scratch_folders():
        if folder not in extendable:
            found.append(
                Leftover(folder.name, "checkpoints of an unfinished or superseded training", _size(folder), None, folder)
            )
        elif checkpoints:
            found.append(Leftover(folder.name, "checkpoints to extend a finished training from", _size(folder), None, folder))
    return found


def remove(store: Store, leftover: Leftover) -> None:
    """Delete one leftover."""
    if leftover.artifact is not None:
        store.remove(leftover.artifact)
    else:
        shutil.rmtree(leftover.folder)


def _scratch_of(store: Store, trained: Artifact) -> Path:
    digests = {role: record.digest for role, record in trained.manifest.inputs.items()}
    meaning = TrainMeaning.model_validate(trained.manifest.meaning)
    return store.scratch_folder(train_stage.name, checkpoint_key(meaning, digests))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
