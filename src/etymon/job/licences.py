"""The licences of what a recipe joins, looked at before any work."""

from etymon.corpus.policy.check import declarations
from etymon.evidence.conflicts import refuse_conflicts
from etymon.evidence.licences import Ask
from etymon.evidence.materials import FOUNDATION, Used, sources_used, weights_used
from etymon.evidence.obligations import prefix_fits
from etymon.foundation.model import Model
from etymon.job.job import Job, StageLine
from etymon.waivers import Waived


def check_licences(job: Job, foundation: Model) -> list[Waived]:
    """The conflicts between the licences of foundation and sources that are waived; what to know beforehand is told.

    Raises EtymonError for a conflict that is not waived, before a corpus is read or a model trained.
    """
    used = licences_used(job, foundation)
    waived = refuse_conflicts(used, job.recipe.waivers)
    for line in licence_notes(job.recipe.name, used, waived):
        job.on_line(StageLine("licences", line, 0.0, True, caution=True))
    return waived


def licences_used(job: Job, foundation: Model) -> list[Used]:
    """What the recipe's derivative will be made of."""
    declared = [each.model_dump(mode="json") for each in declarations(job.recipe.corpus)]
    return [*weights_used(foundation), *sources_used(declared)]


def licence_notes(name: str, used: list[Used], waived: list[Waived]) -> list[str]:
    """What someone should know before training: waived conflicts, a name that will not do, who may not use the model."""
    notes = [f"waived, and recorded with the evidence: {each.source}: {each.rule}, {each.found}" for each in waived]
    for each in used:
        for known in each.licences or ():
            for ask in known.licence.asks:
                if each.belongs_to == FOUNDATION or ask.outputs:
                    notes += [f"{known.name}: {told}" for told in _told(name, ask)]
    return list(dict.fromkeys(notes))


def _told(name: str, ask: Ask) -> list[str]:
    if ask.ask == "name-prefix" and not prefix_fits(name, ask.value):
        return [f"the name {name} does not begin with {ask.value}, as it has to where the model is passed on"]
    return [ask.says] if ask.ask in ("user-gate", "use-policy") else []
