"""What names in a workspace stand for: its runs, its models, its artifacts."""

import difflib
from collections.abc import Iterable, Iterator, Mapping

from etymon.errors import EtymonError
from etymon.evidence.run_record import RunRecord, read_run, run_name
from etymon.foundation.model import Model
from etymon.foundation.sources import open_model
from etymon.job.record import run_stage
from etymon.progress import Listener, silent
from etymon.run import trained_model
from etymon.store import Artifact, Store
from etymon.store.store import Pointer
from etymon.train.stage import train_stage


def runs(store: Store) -> Iterator[Artifact]:
    """The record that each run's name stands for now, the one finished last at the end."""
    yield from runs_among(store.artifacts(), store.pointers())


def runs_among(artifacts: Iterable[Artifact], pointers: Mapping[str, Pointer]) -> list[Artifact]:
    """``runs`` of artifacts that were read, with the store's pointers."""
    records = {artifact.name: artifact for artifact in artifacts if artifact.manifest.stage == run_stage.name}
    newest: dict[str, Artifact] = {}
    for artifact in sorted(records.values(), key=lambda each: each.manifest.created):
        newest.pop(run_name(artifact), None)
        newest[run_name(artifact)] = artifact
    for name, pointer in pointers.items():  # a record that was found again is older than it is current
        if pointer.finished in records:
            newest.pop(name, None)
            newest[name] = records[pointer.finished]
    return list(newest.values())


def find_run(name: str, store: Store) -> RunRecord:
    """A run with its parts. Raises EtymonError where there is none, or it is another artifact."""
    return read_run(find_artifact(name, store), store.artifacts())


def find_model(text: str, store: Store, listener: Listener = silent) -> Model:
    """A model by what a user calls it: a run or its baseline, a train artifact, or anything ``open_model`` takes."""
    trained = _trained_models(store)
    if text in trained:
        return trained_model(trained[text], text, store)
    try:
        return open_model(text, listener=listener)
    except EtymonError as error:
        own = sorted(map(run_name, runs(store)))
        if "neither an alias nor a path" in error.problem and own:
            near = difflib.get_close_matches(text, trained, n=3) or own[:5]
            raise EtymonError(error.problem, f"Models of this workspace: {', '.join(near)}. {error.remedy}") from None
        raise


def _trained_models(store: Store) -> dict[str, Artifact]:
    """Train artifacts by their own name and by the name their run gives them (``Training.name``)."""
    artifacts = list(store.artifacts())
    models = {artifact.name: artifact for artifact in artifacts if artifact.manifest.stage == train_stage.name}
    for run in (read_run(record, artifacts) for record in runs_among(artifacts, store.pointers())):
        for role, part in run.parts.items():
            if role.split()[0] == "train" and part.name in models:
                models["-".join([run.name, *role.split()[1:]])] = part
    return models


def find_artifact(text: str, store: Store) -> Artifact:
    """An artifact by name, by the beginning of its name, or by the name of a run."""
    artifacts = list(store.artifacts())
    for record in runs(store):
        if run_name(record) == text:
            return record
    matches = [artifact for artifact in artifacts if artifact.name == text] or [
        artifact for artifact in artifacts if artifact.name.startswith(text)
    ]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise EtymonError(f"{text} could be {', '.join(each.name for each in matches[:5])}.", "Give more of the name.")
    raise EtymonError(f"The workspace {store.root} has no artifact {text}.", "`etymon runs` lists the runs.")


def known_foundations(store: Store, listener: Listener) -> tuple[list[Model], dict[str, str]]:
    """The foundations of the workspace's runs, once each; and by source, why others cannot be opened."""
    sources = {record.manifest.meaning["recipe"]["foundation"]: None for record in runs(store)}
    found: dict[str, Model] = {}
    unopened: dict[str, str] = {}
    for source in sources:
        try:
            model = open_model(source, listener=listener)
            found[model.digest] = model
        except EtymonError as error:
            unopened[source] = error.problem
    return list(found.values()), unopened
