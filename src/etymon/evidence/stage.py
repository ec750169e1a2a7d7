"""The evidence stage: what a finished derivative is made of, written from the artifacts of the run.

Files: ``statements/`` (in-toto Statements v1, unsigned: ``etymon.evidence.sign`` signs them), ``obligations.json``, and
``README.md``, the model card.
"""

from etymon.errors import EtymonError
from etymon.evidence.card import CardContent, card_text
from etymon.evidence.licences import derive_obligations
from etymon.evidence.provenance import model_digest
from etymon.evidence.statements import FOLDER, statements
from etymon.store import Artifact, Config, Draft, Stage

OBLIGATIONS, CARD = "obligations.json", "README.md"
EVALUATION = "evaluation/"


class EvidenceMeaning(Config):
    """What decides the evidence besides its inputs."""

    name: str
    """What the derivative is called; a licence may ask for a beginning of it."""


class EvidenceExecution(Config):
    """Nothing but the artifacts decides how evidence is written."""


def build_evidence(draft: Draft[EvidenceMeaning, EvidenceExecution]) -> None:
    """Write them all.

    Inputs: ``derivative`` (train Artifact), ``foundation`` (Model), ``corpus`` (corpus Artifact); optionally
    ``evaluation/<task>`` (evaluation Artifacts of the derivative) and ``lineage`` (Artifact).
    Raises EtymonError where the derivative was not made from these, or an evaluation or lineage is of another model.
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
    obligations = derive_obligations(name, derivative, foundation, corpus)
    card = card_text(CardContent(name, derivative, foundation, corpus, evaluations, lineage, obligations))
    (draft.folder / FOLDER).mkdir()
    for file, statement in written.items():
        (draft.folder / file).write_text(statement.to_json(), "utf-8")
    (draft.folder / OBLIGATIONS).write_text(obligations.model_dump_json(indent=1) + "\n", "utf-8")
    (draft.folder / CARD).write_text(card, "utf-8")
    draft.facts |= {
        "name": name,
        "subject": model_digest(derivative),
        "statements": len(written),
        "obligations_met": obligations.count("met"),
        "obligations_unmet": obligations.count("unmet"),
        "obligations_to_do": obligations.count("to do"),
        "licences_unknown": obligations.unknown,
    }
    clock(1)


def _refuse_another_model(measured: Artifact, name: str, digests: set[str]) -> None:
    """A score or verdict belongs in the evidence only if the models it was taken of are these."""
    if not digests & {given.digest for given in measured.manifest.inputs.values()}:
        raise EtymonError(
            f"{measured.name} was not measured on {name}: none of its inputs has that model's digest.",
            "Measure this model; a figure of another one cannot stand in its evidence.",
        )


evidence_stage = Stage("evidence", 2, build_evidence, EvidenceMeaning, EvidenceExecution)
