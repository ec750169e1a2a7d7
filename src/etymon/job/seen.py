"""What a run's models have seen of their tasks: overlap with the corpus each was trained on, and familiarity."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from etymon.board.entries import Contamination, Entry
from etymon.evaluate.contamination import familiarity_stage, overlap_stage, summarise_seen
from etymon.evaluate.plan import TaskPlan
from etymon.evaluate.stage import EvaluateExecution, EvaluateMeaning
from etymon.foundation.model import Model
from etymon.job.job import Job, StageLine
from etymon.job.trainings import Training
from etymon.progress import Listener
from etymon.store import Artifact, Input, Stage, Store
from etymon.text.counted import counted

Scores = Mapping[str, list[Artifact]]


def look_for_items(
    job: Job,
    foundation: Model,
    models: Mapping[Training, Model],
    corpora: tuple[Artifact, Artifact | None],
    plans: Sequence[TaskPlan],
    scores: Scores,
) -> dict[str, tuple[Contamination, ...]]:
    """By the model's name, one value for each task that it was put to; of several seeds the first is looked at.

    Held-out documents are left out: the corpus holds them out with their near duplicates.
    """
    corpus, control = corpora
    tasks = [plan for plan in plans if plan.documents is None]
    firsts = {training: model for training, model in models.items() if training.further_seed is None}
    own = {training: control if control and training.baseline == "control" else corpus for training in firsts}
    overlaps = {
        (plan.meaning.identity, given.name): job.obtain(
            f"{plan.meaning.task} in {'control' if given is control else 'corpus'}",
            overlap_stage, {"corpus": given}, plan.meaning, plan.execution, _overlap_line,
        )
        for plan in tasks
        for given in ((corpus, control) if control else (corpus,))
    }  # fmt: skip
    base: dict[tuple[str, str], Artifact] = {}
    found: dict[str, list[Contamination]] = {}
    pairs = [(None, foundation), *firsts.items()]
    for training, model in pairs:
        for plan in tasks:
            if plan.not_applicable(model):
                continue
            identity, given = plan.meaning.identity, own[training] if training else corpus
            overlap = overlaps[identity, given.name]
            of_model = _familiarity(job, plan, model, overlap)
            of_base = None
            if training is None:
                base[identity, given.name] = of_model
            elif training.baseline != "scratch" and overlap.facts["overlapping"]:
                of_base = base.get((identity, given.name)) or _familiarity(job, plan, foundation, overlap)
            score = next((each for each in scores[model.name] if each.facts["identity"] == identity), None)
            seen = summarise_seen(overlap, score, of_model, of_base, trained=training is not None)
            found.setdefault(model.name, []).append(Contamination(**asdict(seen)))
    return {name: tuple(each) for name, each in found.items()}


def seen_by(
    model: Model,
    base: Model | None,
    corpus: Artifact,
    scores: Sequence[tuple[TaskPlan, Artifact]],
    store: Store,
    listener: Listener,
) -> Iterator[tuple[Contamination, StageLine]]:
    """For each task that a model was put to, what it has seen of it: ``corpus`` is its training data, ``base`` its parent."""
    for plan, score in scores:
        if plan.documents is not None:
            continue

        def made(stage: Stage[EvaluateMeaning, EvaluateExecution], plan: TaskPlan = plan, **inputs: Input) -> Artifact:
            return store.obtain(stage, inputs, plan.meaning, plan.execution, listener)[0]

        overlap = made(overlap_stage, corpus=corpus)
        of_model = made(familiarity_stage, model=model, overlap=overlap)
        of_base = made(familiarity_stage, model=base, overlap=overlap) if base and overlap.facts["overlapping"] else None
        seen = Contamination(**asdict(summarise_seen(overlap, score, of_model, of_base)))
        yield seen, StageLine(f"{plan.meaning.task} in the corpus of {model.name}", _overlap_line(overlap))


def with_seen(entries: Sequence[Entry], seen: Mapping[str, tuple[Contamination, ...]]) -> tuple[Entry, ...]:
    """The entries with what their models have seen."""
    return tuple(entry.model_copy(update={"contamination": seen.get(entry.name, ())}) for entry in entries)


def _familiarity(job: Job, plan: TaskPlan, model: Model, overlap: Artifact) -> Artifact:
    corpus = "control's items" if overlap is job.made.get(f"{plan.meaning.task} in control") else "items"
    role, inputs = f"{plan.meaning.task} {corpus} read by {model.name}", dict[str, Input](model=model, overlap=overlap)
    return job.obtain(role, familiarity_stage, inputs, plan.meaning, plan.execution, _familiarity_line)


def _overlap_line(overlap: Artifact) -> str:
    facts = overlap.facts
    return f"{facts['overlapping']:,} of {counted(facts['items'], 'item')} share 13 words in a row with it"


def _familiarity_line(familiarity: Artifact) -> str:
    return f"Min-K%++ of {counted(familiarity.facts['items'], 'item')}"
