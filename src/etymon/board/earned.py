"""What the seeds of a training say: how far they spread, and what the new data earned beyond a control."""

import numpy as np

from etymon.board.benches import Bench
from etymon.board.entries import Entry
from etymon.board.standings import Earned, SeedScore, Training, defined, score
from etymon.statistics.seeds import compare_trainings, training_deviation

SEEDS_NEEDED = 3
"""Two seeds leave one degree of freedom: an interval of ± 12.7 standard errors."""


def training_of(entry: Entry, bench: Bench) -> Training | None:
    """The score of every seed that has records here, and their spread; None where there is one."""
    models = [(model, bench.seeds[entry.name].get(model.name)) for model in entry.models]
    scores = tuple(
        SeedScore(name=model.name, digest=model.digest, seed=model.seed, value=records.score)
        for model, records in models
        if records
    )
    if len(scores) < 2:
        return None
    return Training(deviation=training_deviation([each.value for each in scores]), scores=scores)


def earned_by(entry: Entry, bench: Bench, level: float) -> tuple[Earned | None, str | None]:
    """The mean over seeds minus the control's, or what it would take to measure it. Neither for a baseline."""
    if entry.is_baseline:
        return None, None
    own, control = bench.seeds[entry.name], bench.seeds.get(entry.control or "", {})
    seeds = min(len(own), len(control) or len(own))
    lacking = [] if control else ["a control"]
    lacking += [f"three seeds, {seeds} so far"] if seeds < SEEDS_NEEDED else []
    if entry.control is None or lacking:
        return None, " and ".join(lacking)
    records = bench.records[entry.name]
    own_SI, control_SI = (np.stack([records.value_I for records in side.values()]) for side in (own, control))
    found = compare_trainings(own_SI, control_SI, records.weight_I, records.cluster_names, level=level)
    earned = Earned(
        control=entry.control,
        control_score=bench.records[entry.control].score,
        difference=score(found.value, found.stderr, found.low, found.high),
        sampling_stderr=defined(found.sampling_stderr),
        training_stderr=found.training_stderr,
    )
    return earned, None
