"""The licences of what a recipe joins, looked at before any work."""

from dataclasses import replace
from pathlib import Path

from etymon.corpus.policy.check import declarations
from etymon.errors import EtymonError
from etymon.evidence.ancestry import all_used
from etymon.evidence.conflicts import refuse_conflicts
from etymon.evidence.licences import Ask, find_licence, licence_text
from etymon.evidence.materials import Used, sources_used
from etymon.evidence.notice import missing_texts, where_to_put
from etymon.evidence.obligations import prefix_fits
from etymon.foundation.model import Model
from etymon.job.ancestors import earlier_corpora
from etymon.job.control import control_corpus
from etymon.job.job import Job, StageLine
from etymon.recipe import Corpus
from etymon.waivers import Waived

_CONTROL = "control/"
"""Before the name of a source of the control's corpus."""
_LARGEST_TEXT = 1 << 20


def check_licences(job: Job, foundation: Model) -> list[Waived]:
    """The conflicts between the licences of foundation and sources that are waived; what to know beforehand is told.

    Raises EtymonError for a conflict that is not waived, before a corpus is read or a model trained.
    """
    waived, notes = licence_findings(job, foundation)
    for line in notes:
        job.on_line(StageLine("licences", line, caution=True))
    return waived


def licence_findings(job: Job, foundation: Model) -> tuple[list[Waived], list[str]]:
    """The conflicts that are waived, the control's too, and what someone should know before training.

    Raises EtymonError for a conflict that is not waived, and for a licence's text that cannot be had.
    """
    used, texts = licences_used(job, foundation), licence_texts(job)
    waived = refuse_conflicts([*used, *_control_used(job)], job.recipe.waivers)
    notes = licence_notes(job.recipe.name, used, waived)
    missing = {known.name: where_to_put(known) for known in missing_texts(foundation, used, texts)}
    notes += [
        f"a copy of {name} has to go with the model, and its text is not here. {told}" for name, told in missing.items()
    ]
    return waived, notes


def licences_used(job: Job, foundation: Model) -> list[Used]:
    """What the recipe's derivative will be made of."""
    return all_used(foundation, _declared(job.recipe.corpus), list(earlier_corpora(foundation, job.store).values()))


def _control_used(job: Job) -> list[Used]:
    """The sources of the control's corpus; they train a model too, though one that is only measured."""
    if "control" not in job.recipe.baselines:
        return []
    sources = sources_used(_declared(control_corpus(job.recipe)))
    return [replace(each, name=f"{_CONTROL}{each.name}", belongs_to=f"{_CONTROL}{each.belongs_to}") for each in sources]


def _declared(corpus: Corpus) -> list[dict[str, object]]:
    return [each.model_dump(mode="json") for each in declarations(corpus)]


def licence_texts(job: Job) -> dict[str, str]:
    """The texts that the recipe names, by the rules' names. Raises EtymonError for one that is not there or for nothing."""
    texts = {}
    for name, given in job.recipe.license_files.items():
        known, path = find_licence(name), job.folder / Path(given).expanduser()
        if known is None or licence_text(known.name):
            why = "is not a licence that the rules know" if known is None else "is shipped with its text"
            raise EtymonError(f"`license_files` gives a text of {name}, which {why}.", "Take it out.")
        try:
            with path.open("rb") as file:
                text = file.read(_LARGEST_TEXT + 1).decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise EtymonError(
                f"The text of {name}, {path}, cannot be read: {error}.", "It is a text file in UTF-8."
            ) from None
        if not text.strip() or len(text) > _LARGEST_TEXT:
            raise EtymonError(f"{path} is empty or too large to be the text of {name}.", "Give the licence's text, whole.")
        texts[known.name] = text
    return texts


def licence_notes(name: str, used: list[Used], waived: list[Waived]) -> list[str]:
    """What someone should know before training: waived conflicts, a name that will not do, who may not use the model."""
    notes = [f"waived, and recorded with the evidence: {each.source}: {each.rule}, {each.found}" for each in waived]
    for each in used:
        for known in each.licences or ():
            for ask in known.licence.asks:
                if each.is_weights or ask.outputs:
                    notes += [f"{known.name}: {told}" for told in _told(name, ask)]
    return list(dict.fromkeys(notes))


def _told(name: str, ask: Ask) -> list[str]:
    if ask.ask == "name-prefix" and not prefix_fits(name, ask.value):
        return [f"the name {name} does not begin with {ask.value}, as it has to where the model is passed on"]
    return [ask.says] if ask.ask in ("user-gate", "use-policy") else []
