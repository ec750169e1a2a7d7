"""The board of a workspace: every model of every run, and those whose scores were measured elsewhere."""

from etymon.board.entries import BoardMeaning, Entry
from etymon.board.stage import BoardExecution, board_stage
from etymon.errors import EtymonError
from etymon.evaluate.imported import import_stage
from etymon.job.record import RunMeaning
from etymon.progress import Listener, silent
from etymon.store import Artifact, Store
from etymon.workspace import runs

IMPORTED = "imported-"
"""How the pointer of a model begins whose scores were measured elsewhere."""


def workspace_board(store: Store, listener: Listener = silent) -> Artifact:
    """The board of every run. Raises EtymonError where there is none yet, or an evaluation is gone."""
    entries: dict[str, Entry] = {}
    names: dict[str, str] = {}
    artifacts = {artifact.name: artifact for artifact in store.artifacts()}
    for record in runs(store):
        shown = RunMeaning.model_validate(record.manifest.meaning).entries
        called = {entry.name: names.get(entry.digest) or _free_name(entry, entries) for entry in shown}
        for entry in shown:
            names[entry.digest] = called[entry.name]
            entries[called[entry.name]] = _joined(entries.get(called[entry.name]), entry, called, artifacts)
    for entry in imported_entries(store, artifacts):
        entries[entry.name] = entry
    if not entries:
        raise EtymonError(f"The workspace {store.root} has no finished run.", "`etymon run RECIPE` makes one.")
    roles = [role for entry in entries.values() for model in entry.models for role in model.evaluations]
    roles += [entry.training for entry in entries.values() if entry.training in artifacts]
    inputs = {role: artifacts[role] for role in roles}
    meaning = BoardMeaning(title="Every model of this workspace", entries=tuple(entries.values()))
    board, _ = store.obtain(board_stage, inputs, meaning, BoardExecution(), listener)
    return board


def _free_name(entry: Entry, taken: dict[str, Entry]) -> str:
    """The entry's name, with its digest where another model has that name already."""
    other = taken.get(entry.name)
    return entry.name if other is None or other.digest == entry.digest else f"{entry.name} ({entry.digest[:8]})"


def _joined(before: Entry | None, entry: Entry, called: dict[str, str], artifacts: dict[str, Artifact]) -> Entry:
    """An entry under the names of this board, with what earlier runs know of the same model."""
    known = before or entry
    repeats = {repeat.seed: repeat for repeat in known.repeats}
    for repeat in entry.repeats:
        other = repeats.get(repeat.seed)
        earlier = other.evaluations if other and other.digest == repeat.digest else ()
        evaluations = _one_each((*earlier, *repeat.evaluations), artifacts)
        repeats[repeat.seed] = repeat.model_copy(update={"evaluations": evaluations})
    return entry.model_copy(
        update={
            "name": called[entry.name],
            "derived_from": called.get(entry.derived_from or "", entry.derived_from),
            "control": called.get(entry.control or "", known.control),
            "repeats": tuple(repeats.values()),
            "evaluations": _one_each((*known.evaluations, *entry.evaluations), artifacts),
        }
    )


def _one_each(evaluations: tuple[str, ...], artifacts: dict[str, Artifact]) -> tuple[str, ...]:
    """One evaluation of each task identity, in order."""
    by_identity: dict[str, str] = {}
    for name in evaluations:
        if name not in artifacts:
            raise EtymonError(f"The evaluation {name} is gone from the workspace.", "Run its recipe again.")
        by_identity.setdefault(artifacts[name].facts["identity"], name)
    return tuple(by_identity.values())


def imported_entries(store: Store, artifacts: dict[str, Artifact]) -> list[Entry]:
    """Models whose scores were measured elsewhere, marked as such."""
    entries = []
    for pointed, pointer in store.pointers().items():
        if pointed.startswith(IMPORTED) and (made := [artifacts[n] for n in pointer.parts.values() if n in artifacts]):
            if any(each.manifest.stage != import_stage.name for each in made):
                continue  # a recipe's own name
            facts = made[-1].facts
            evaluations = tuple(each.name for each in made)
            name = f"{facts['model']} (imported)"
            digest, size = facts["model_digest"], facts["parameters"]
            entries.append(Entry(name=name, digest=digest, parameters=size, evaluations=evaluations))
    return entries
