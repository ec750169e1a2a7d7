"""The models of a run as its board shows them."""

from collections.abc import Mapping

from etymon.board.entries import Entry, LineageLine, Parent, Scored
from etymon.foundation.model import Model
from etymon.job.job import Job
from etymon.job.trainings import Training
from etymon.lineage.explain import explain
from etymon.lineage.verdict import Lineage
from etymon.store import Artifact

Scores = Mapping[str, list[Artifact]]
"""Evaluations by the model's name."""


def board_entries(
    job: Job, foundation: Model, models: Mapping[Training, Model], scores: Scores, lineages: Mapping[Training, Lineage]
) -> tuple[Entry, ...]:
    """The derivative, its baselines, the foundation; trainings that differ in their seed alone are one entry."""
    entries = [
        _trained(job, foundation, training, models, scores, lineages[training])
        for training in models
        if training.further_seed is None
    ]
    return (*entries, _foundation(foundation, scores))


def _trained(
    job: Job,
    foundation: Model,
    training: Training,
    models: Mapping[Training, Model],
    scores: Scores,
    lineage: Lineage,
) -> Entry:
    model, recipe = models[training], job.recipe
    has_control = training.baseline is None and "control" in recipe.baselines
    repeats = [(each.further_seed, models[each]) for each in models if each.baseline == training.baseline]
    return Entry(
        name=model.name,
        digest=model.digest,
        derived_from=None if training.baseline == "scratch" else foundation.name,
        relation=None if training.baseline == "scratch" else "finetune",
        weights=model.weights,
        parents=() if training.baseline == "scratch" else (Parent(name=foundation.name, weights=foundation.weights),),
        is_baseline=training.baseline is not None,
        control=Training("control").name(recipe) if has_control else None,
        seed=recipe.train.seed,
        repeats=tuple(
            Scored(name=other.name, digest=other.digest, seed=seed, evaluations=_names(scores[other.name]))
            for seed, other in repeats
            if seed is not None
        ),
        parameters=model.facts.parameters,
        tokens_trained=job.made[training.role].facts["tokens"],
        training_flop=job.made[training.role].facts.get("training_flop"),
        training=job.made[training.role].name,
        method="full" if training.baseline == "scratch" else recipe.train.method,
        license=model.facts.license,
        lineage=_lineage_line(lineage),
        evaluations=_names(scores[model.name]),
    )


def _foundation(model: Model, scores: Scores) -> Entry:
    declared = model.facts.parents[0] if model.facts.parents else None
    return Entry(
        name=model.name,
        digest=model.digest,
        derived_from=declared.uri if declared else None,
        relation=declared.relation if declared else None,
        weights=model.weights,
        parents=tuple(Parent(name=each.uri, relation=each.relation) for each in model.facts.parents),
        parameters=model.facts.parameters,
        license=model.facts.license,
        evaluations=_names(scores[model.name]),
    )


def _lineage_line(lineage: Lineage) -> LineageLine:
    headline, *reasons = explain(lineage)
    return LineageLine(
        verdict=lineage.verdict,
        parent=lineage.parent,
        p_value=lineage.p_value,
        effect=lineage.effect,
        summary=headline,
        reasons=tuple(reason.strip() for reason in reasons),
    )


def _names(evaluations: list[Artifact]) -> tuple[str, ...]:
    return tuple(evaluation.name for evaluation in evaluations)
