"""What would go wrong with a recipe: its tasks, and everything up to the first step of its trainings."""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from etymon.corpus.policy.check import check_sources
from etymon.corpus.policy.load import load_policy
from etymon.errors import EtymonError
from etymon.foundation.model import Model
from etymon.foundation.probe import Probe, probe_contamination
from etymon.foundation.ranks import Ranks
from etymon.job.corpora import build_corpora
from etymon.job.items import items_of_tasks
from etymon.job.job import Job
from etymon.job.licences import licence_findings
from etymon.job.summaries import corpus_line
from etymon.job.trainings import Training, train_config
from etymon.progress import clocks
from etymon.recipe import Evaluate
from etymon.run import open_foundation, plan_tasks
from etymon.store import Artifact
from etymon.train.doctor import examine
from etymon.train.finding import Finding
from etymon.train.prepare import Prepared, prepare
from etymon.train.rows import render_example
from etymon.train.step import Trainee
from etymon.train.trainee import make_trainee

_SHOWN = 2
"""Examples that are shown."""
_PROBED, _PROBED_TOKENS = 3, 256
"""Examples that are probed for leaks, and of each so many tokens at its beginning."""
_LAST_BITS = 1e-4
"""Share of its own change up to which what others notice is rounding."""


@dataclass(frozen=True)
class Checked:
    """What was found."""

    findings: tuple[Finding, ...]
    rows: tuple[str, ...]
    """The first examples as the model sees them. Tokens that are not supervised stand between ⟦ and ⟧."""
    probe: Probe | None = None

    @property
    def sound(self) -> bool:
        """Whether a training would begin."""
        return all(finding.state != "fault" for finding in self.findings)


def check(job: Job, *, probe: bool = False) -> Checked:
    """Look at a recipe's rows, tasks, model and first step; foundation and corpora are made if they are not there yet.

    ``probe``: also whether the parts of a packed row notice each other. Raises EtymonError where nothing can be trained on.
    """
    of_sources = _sources(job)
    foundation = open_foundation(job)
    of_licences = _licences(job, foundation)
    corpus, control = build_corpora(_with_tasks_that_load(job))
    of_tasks = _tasks(job, corpus)
    with TemporaryDirectory() as work:
        prepared, trainee, findings = _examined(job, foundation, corpus, Training(), Path(work))
        findings += [of_sources, of_licences, of_tasks, Finding("corpus", corpus_line(corpus))]
        rows = tuple(render_example(prepared, example) for example in prepared.plan.steps[0][:_SHOWN])
        probed = None
        if probe:
            clocks(job.listener, "check")("probing for leaks between packed rows")
            probed = _probe(prepared, trainee)
            findings.append(_leaks(probed))
        del trainee
        if control is not None:
            of_control = _examined(job, foundation, control, Training("control"), Path(work), prepared.plan.tokens)[2]
            findings += [replace(finding, what=f"control: {finding.what}") for finding in of_control]
    return Checked(tuple(findings), rows, probed)


def _with_tasks_that_load(job: Job) -> Job:
    """The job, without its tasks where they have a fault: it is told as a finding, and the corpora are looked at anyhow."""
    try:
        items_of_tasks(job)
    except EtymonError:
        return replace(job, recipe=job.recipe.model_copy(update={"evaluate": Evaluate(tasks=())}))
    return job


def _sources(job: Job) -> Finding:
    """Whether the sources may be used by the data policy. Raises EtymonError for a breach that is not waived."""
    asked = job.recipe.corpus
    policy = load_policy(asked.data_policy, job.folder)
    if waived := check_sources(asked, policy, asked.waivers, job.folder):
        breaches = "; ".join(f"{each.source}: {each.rule}, {each.found} ({each.reason})" for each in waived)
        return Finding("sources", f"waived, and recorded with the corpus: {breaches}", "note")
    return Finding("sources", f"what they declare breaks no rule of the data policy {policy.name}")


def _licences(job: Job, foundation: Model) -> Finding:
    """Whether licences allow the derivative. Raises EtymonError for a conflict that is not waived."""
    _, notes = licence_findings(job, foundation)
    if notes:
        return Finding("licences", "; ".join(notes), "note")
    return Finding("licences", "what foundation and sources are under allows the derivative")


def _tasks(job: Job, corpus: Artifact) -> Finding:
    """Whether every task can be put; where several cannot, all are named."""
    try:
        plans = plan_tasks(job, corpus)
    except EtymonError as error:
        return Finding("tasks", error.problem, "fault", error.remedy)
    return Finding("tasks", ", ".join(plan.meaning.task for plan in plans) or "none is asked for")


def _examined(
    job: Job, foundation: Model, corpus: Artifact, training: Training, work: Path, tokens: int | None = None
) -> tuple[Prepared, Trainee, list[Finding]]:
    """One of the recipe's trainings up to its first step. ``tokens``: see ``train_config``."""
    meaning, execution = train_config(job, training, tokens)
    clock = clocks(job.listener, "check" if training.baseline is None else f"check {training.baseline}")
    prepared = prepare(foundation, corpus, meaning, work, clock)
    clock("loading the model")
    trainee = make_trainee(prepared, execution, Ranks())
    clock("looking at the rows, and trying the largest")
    return prepared, trainee, examine(prepared, trainee, dry_step=True)


def _probe(prepared: Prepared, trainee: Trainee) -> Probe:
    """The probe on the first examples of the training, in the precision of the weights."""
    examples = [example for step in prepared.plan.steps for example in step][:_PROBED]
    if len(examples) < 2:
        raise EtymonError("The probe needs two training examples; there is one.", "Add documents, or leave --probe out.")
    return probe_contamination(
        trainee.network, [prepared.encoded.examples.first_sequence(example)[0][:_PROBED_TOKENS] for example in examples]
    )


def _leaks(probe: Probe) -> Finding:
    own = min(row.own_change for row in probe.rows)
    here, there = probe.largest_logit_change, probe.largest_change_by_default
    found = f"another text in one part of a row moves the logits of the others by {here:.3g} (its own by {own:.3g} or more); "
    found += f"in Transformers' default path by {there:.3g}"
    if probe.clean:
        return Finding("leaks", found)
    if here < _LAST_BITS * own:
        return Finding("leaks", f"{found}; experts do that, whose sums depend on how many tokens they are given", "note")
    return Finding("leaks", found, "fault", "Packing must not leak: please report it with the name of the model.")
