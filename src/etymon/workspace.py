"""A workspace over many runs: its records, its board, its models by name, and what can be cleaned away."""

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from etymon.board.entries import BoardMeaning, Entry
from etymon.board.stage import BoardExecution, board_stage
from etymon.errors import EtymonError
from etymon.evaluate.budget import MEMORY_MB
from etymon.evaluate.harness.imported import find_results
from etymon.evaluate.imported import ImportExecution, import_plans, import_stage
from etymon.evaluate.plan import Engine, Setting, plan_evaluation
from etymon.evaluate.stage import evaluate_stage
from etymon.evidence.register.chain import STAGE as DECISION
from etymon.evidence.register.pins import Holdings
from etymon.evidence.run_record import RunRecord, part_names, read_run, run_name
from etymon.foundation.adapter import describe_adapter, is_adapter
from etymon.foundation.model import Model
from etymon.foundation.sources import open_model
from etymon.job.job import StageLine
from etymon.job.record import RunMeaning, run_stage
from etymon.job.summaries import score_line, suite_line
from etymon.lineage.attribute.records import MergeRecord
from etymon.lineage.family import Family, family_of
from etymon.lineage.merged import find_merge
from etymon.lineage.screened import adjust
from etymon.lineage.stage import Execution as LineageExecution
from etymon.lineage.stage import Meaning as LineageMeaning
from etymon.lineage.stage import lineage_stage
from etymon.lineage.verdict import Lineage
from etymon.progress import Listener, silent
from etymon.recipe import Evaluate, Heldout
from etymon.run import read_lineage, trained_model
from etymon.store import Artifact, Store
from etymon.store.store import Pointer
from etymon.train.stage import TrainMeaning, checkpoint_key, train_stage


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


def run_results(record: Artifact, store: Store) -> dict[str, str]:
    """What a run is looked up for: the folder of its model, and every score that it took, by what it is."""
    parts = read_run(record, store.artifacts()).parts
    model = {"model": str(parts["train"].folder / "model")} if "train" in parts else {}
    return model | {role: score_line(part) for role, part in parts.items() if part.manifest.stage == evaluate_stage.name}


def evaluate_each(
    names: list[str],
    wanted: Evaluate,
    store: Store,
    listener: Listener = silent,
    *,
    engine: Engine = "etymon",
    url: str | None = None,
    served_as: str | None = None,
    memory_mb: int = MEMORY_MB,
) -> Iterator[StageLine]:
    """Put every task to every model, and sum up a suite. ``heldout`` takes the corpus of the run that finished last.

    ``url`` and ``served_as``: for the engine ``openai``, where the models are served and under which name.
    """
    corpus, characters = None, Heldout().characters
    for record in list(runs(store))[-1:]:
        corpus = read_run(record, store.artifacts()).part("corpus")
        characters = record.manifest.meaning["recipe"]["corpus"]["heldout"]["characters"]
    if served_as is not None and (engine != "openai" or len(names) > 1):
        raise EtymonError("--served-as is the name of one model at the --url of the engine openai.", "Leave it out.")
    setting = Setting(corpus, characters, Path.cwd(), url=url, served_as=served_as, engine=engine, memory_mb=memory_mb)
    plans = plan_evaluation(wanted, setting)
    for name in names:
        model = find_model(name, store, listener)
        scores = {}
        for plan in plans:
            role = f"{plan.meaning.task} of {model.name}"
            if reason := plan.not_applicable(model):
                yield StageLine(role, f"not measured: {reason}")
                continue
            made, reused = store.obtain(evaluate_stage, plan.inputs(model), plan.meaning, plan.execution, listener)
            scores[plan.meaning.task] = made
            yield StageLine(role, score_line(made), made.manifest.seconds, reused)
        if wanted.suite and (line := suite_line(wanted.suite, scores)):
            yield StageLine(f"{wanted.suite} of {model.name}", line, sum(s.manifest.seconds for s in scores.values()), True)


def import_results(
    results: Path, name: str, store: Store, listener: Listener = silent, *, parameters: int | None = None
) -> list[StageLine]:
    """Take over the result files of lm-eval of one model; what cannot be taken over is named too."""
    files = find_results(results)
    pointed = f"{_IMPORTED}{name}"
    lines = []
    for given, meaning in import_plans(files, name, parameters):
        made, reused = store.obtain(import_stage, {"results": given}, meaning, ImportExecution(), listener)
        known = store.pointers().get(pointed)
        store.point(pointed, {**(known.parts if known else {}), meaning.task: made.name})
        lines.append(StageLine(f"{meaning.task} of {name}, imported", score_line(made), made.manifest.seconds, reused))
    return lines + [StageLine(task, "not imported: it has no samples") for task in files.without_samples]


_IMPORTED = "imported-"


def imported_entries(store: Store, artifacts: dict[str, Artifact]) -> list[Entry]:
    """Models whose scores were measured elsewhere, marked as such."""
    entries = []
    for pointed, pointer in store.pointers().items():
        if pointed.startswith(_IMPORTED) and (made := [artifacts[n] for n in pointer.parts.values() if n in artifacts]):
            if any(each.manifest.stage != import_stage.name for each in made):
                continue  # a recipe's own name
            facts = made[-1].facts
            evaluations = tuple(each.name for each in made)
            name = f"{facts['model']} (imported)"
            digest, size = facts["model_digest"], facts["parameters"]
            entries.append(Entry(name=name, digest=digest, parameters=size, evaluations=evaluations))
    return entries


def lineages_of(name: str, parents: Sequence[str], store: Store, listener: Listener = silent) -> list[Lineage]:
    """A model against its supposed parents. The p-values of several are adjusted for their number."""
    if is_adapter(Path(name)):
        return _lineages_of_adapter(Path(name), parents, store, listener)
    model = find_model(name, store, listener)
    return compare_with(model, [find_model(each, store, listener) for each in parents], store, listener)


def merge_of(
    name: str, parents: Sequence[str], base: str | None, store: Store, listener: Listener = silent
) -> tuple[list[Lineage], MergeRecord | None]:
    """A model against several supposed parents, or one and a base, and the weights with which it was merged from them.

    No weights where one of them is not related to the model.
    """
    model, *others = (find_model(each, store, listener) for each in (name, *parents, *([base] if base else [])))
    found = compare_with(model, others, store, listener)
    if any(each.verdict != "related" for each in found):
        return found, None
    folders = [each.folder for each in others]
    names = [each.name for each in (model, *others)]
    merge = find_merge(model.folder, folders[: len(parents)], folders[-1] if base else None, listener, names=names)
    return found, merge


def compare_with(
    model: Model, parents: Sequence[Model], store: Store, listener: Listener = silent, *, others: int = 0
) -> list[Lineage]:
    """A model against several that are at hand, the most alike first, with p-values adjusted for their number.

    ``others`` were looked at too, and ruled out without their weights.
    """
    found = []
    for each in parents:
        inputs = {"model": model, "parent": each}
        made, _ = store.obtain(lineage_stage, inputs, LineageMeaning(), LineageExecution(), listener)
        found.append(read_lineage(made, model, each))
    return sorted(
        adjust(found, others), key=lambda each: (not each.identical, each.verdict != "related", -(each.effect or 0))
    )


def family_of_models(names: Sequence[str], store: Store, listener: Listener = silent) -> Family:
    """The family tree of models that are found by name: every pair is compared, once whichever way round.

    Raises EtymonError for adapters, which have no weights of their own, and for fewer than two models.
    """
    if adapters := [name for name in names if is_adapter(Path(name))]:
        raise EtymonError(f"{adapters[0]} is an adapter, no model by itself.", "Merge it into its base, and give that.")
    models = told_apart([find_model(name, store, listener) for name in names])
    if len(models) < 2:
        raise EtymonError("A family takes two models or more.", "Name them: `etymon family MODEL MODEL…`.")
    found = []
    for one, other in combinations(models, 2):
        turned = {"model": one, "parent": other}
        known = store.find(lineage_stage.name, lineage_stage.address(turned, LineageMeaning()))
        inputs = turned if known else {"model": other, "parent": one}
        made, _ = store.obtain(lineage_stage, inputs, LineageMeaning(), LineageExecution(), listener)
        found.append(read_lineage(made, inputs["model"], inputs["parent"]))
    return family_of(found, [model.name for model in models])


def told_apart(models: Sequence[Model]) -> list[Model]:
    """Each once; models that share a name also by their digest."""
    once = list({(model.name, model.digest): model for model in models}.values())
    often = Counter(model.name for model in once)
    return [replace(model, name=f"{model.name} ({model.digest[:8]})") if often[model.name] > 1 else model for model in once]


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


def _lineages_of_adapter(folder: Path, parents: Sequence[str], store: Store, listener: Listener) -> list[Lineage]:
    """An adapter against its supposed parents: alone, or laid over the base it declares where that is a folder here.

    A parent that is the base itself is compared with the adapter alone: the sum would be related to it by our own doing.
    """
    adapter = describe_adapter(folder, digests=store.digests)
    declared = next((each.uri for each in adapter.facts.parents), "")
    base = find_model(declared, store, listener) if declared and (Path(declared) / "config.json").is_file() else None
    found = []
    for parent in [find_model(each, store, listener) for each in parents]:
        inputs = {"model": adapter, "parent": parent}
        if base and base.weights != parent.weights:
            inputs["base"] = base
        made, _ = store.obtain(lineage_stage, inputs, LineageMeaning(), LineageExecution(), listener)
        found.append(read_lineage(made, adapter, parent))
    return adjust(found)


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
