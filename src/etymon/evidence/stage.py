"""The evidence stage: what a finished derivative is made of, written from the artifacts of the run.

Files: ``statements/`` (in-toto Statements v1, unsigned: ``etymon.evidence.signed_run`` signs them), ``README.md``, the model
card, ``bom.cdx.json``, ``bom.spdx.json``, ``obligations.json``, and what goes beside the weights when they are passed on:
``NOTICE``, ``LICENSE`` and ``LICENSES/``.
"""

from pydantic import Field

from etymon.errors import EtymonError
from etymon.evidence.ancestry import INHERITED, all_used
from etymon.evidence.bom import BOM, bill_of_materials
from etymon.evidence.card import CardContent, card_text
from etymon.evidence.conflicts import refuse_conflicts
from etymon.evidence.notice import companions
from etymon.evidence.obligations import OBLIGATIONS, derive_obligations
from etymon.evidence.provenance import model_digest
from etymon.evidence.spdx import SPDX, spdx_document
from etymon.evidence.statements import FOLDER, statements
from etymon.recipe import Waiver
from etymon.store import Artifact, Config, Draft, Stage

CARD = "README.md"
EVALUATION = "evaluation/"


class EvidenceMeaning(Config):
    """What decides the evidence besides its inputs."""

    name: str
    """What the derivative is called; a licence may ask for a beginning of it."""
    waivers: tuple[Waiver, ...] = ()
    """Conflicts of licences that someone answers for."""
    licence_texts: dict[str, str] = Field(default_factory=dict)
    """Texts of licences that are not shipped, whole, by the rules' names."""


class EvidenceExecution(Config):
    """Nothing but the artifacts decides how evidence is written."""


def build_evidence(draft: Draft[EvidenceMeaning, EvidenceExecution]) -> None:
    """Write them all.

    Inputs: ``derivative`` (train Artifact), ``foundation`` (Model), ``corpus`` (corpus Artifact); optionally
    ``evaluation/<task>`` (evaluation Artifacts of the derivative), ``lineage`` and ``board`` (Artifacts), and ``inherited/N``
    (corpus Artifacts of the foundation's own trainings).
    Raises EtymonError where the derivative was not made from these, an evaluation or lineage is of another model, or licences
    forbid it and nobody answers for that.
    """
    clock = draft.clock("writing statements")
    inputs, name = draft.inputs, draft.meaning.name
    derivative, foundation, corpus = inputs["derivative"], inputs["foundation"], inputs["corpus"]
    if derivative.manifest.meaning.get("start", "foundation") != "foundation":
        raise EtymonError(f"{derivative.name} was trained from a random start, so it derives from no foundation.")
    evaluations = {role.removeprefix(EVALUATION): given for role, given in inputs.items() if role.startswith(EVALUATION)}
    lineage = inputs.get("lineage")
    for evaluation in evaluations.values():
        _refuse_another_model(evaluation, derivative.name, {derivative.digest, model_digest(derivative)})
    if lineage:
        _refuse_another_model(lineage, derivative.name, {derivative.digest, model_digest(derivative)})
        _refuse_another_model(lineage, foundation.name, {foundation.digest})
    written = statements(name, derivative, foundation, corpus, evaluations, lineage)
    earlier = [given for role, given in sorted(inputs.items()) if role.startswith(INHERITED)]
    used = all_used(foundation, corpus.facts.get("sources_declared", []), earlier)
    waived, texts = refuse_conflicts(used, draft.meaning.waivers), draft.meaning.licence_texts
    placed = companions(name, foundation, used, texts)
    obligations = derive_obligations(name, derivative, foundation, used, placed, waived, texts)
    standings = inputs["board"].read_json("standings.json") if "board" in inputs else None
    card = card_text(CardContent(name, derivative, foundation, corpus, evaluations, lineage, standings, used, obligations))
    bill = bill_of_materials(name, derivative, foundation, corpus, used, evaluations, lineage, sorted(written))
    spdx = spdx_document(name, derivative, foundation, corpus, used, evaluations)
    (draft.folder / FOLDER).mkdir()
    for file, statement in written.items():
        (draft.folder / file).write_text(statement.to_json(), "utf-8")
    papers = {OBLIGATIONS: obligations.model_dump_json(indent=1) + "\n", CARD: card, BOM: bill, SPDX: spdx, **placed}
    for file, text in papers.items():
        (draft.folder / file).parent.mkdir(exist_ok=True)
        (draft.folder / file).write_text(text, "utf-8")
    draft.facts |= {
        "name": name,
        "subject": model_digest(derivative),
        "statements": len(written),
        "obligations_met": obligations.count("met"),
        "obligations_unmet": obligations.count("unmet"),
        "obligations_to_do": obligations.count("to do"),
        "licences_unknown": obligations.unknown,
        "licence_conflicts_waived": [each.model_dump() for each in waived],
    }
    clock(1)


def _refuse_another_model(measured: Artifact, name: str, digests: set[str]) -> None:
    """A score or verdict belongs in the evidence only if the models it was taken of are these."""
    if not digests & {given.digest for given in measured.manifest.inputs.values()}:
        raise EtymonError(
            f"{measured.name} was not measured on {name}: none of its inputs has that model's digest.",
            "Measure this model; a figure of another one cannot stand in its evidence.",
        )


evidence_stage = Stage("evidence", 5, build_evidence, EvidenceMeaning, EvidenceExecution)
