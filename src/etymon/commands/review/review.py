"""The review of a model that was made elsewhere: opened safely, its publisher's claims set beside what can be measured.

Nothing of the model is executed but its network, and that only where someone asks for what it does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from etymon.commands.review.ancestry import Ancestry, origin_materials, trace
from etymon.commands.review.behaviour import find_corpus, recite, refuse
from etymon.commands.review.subject import Subject, open_subject
from etymon.evaluate.stage import evaluate_stage
from etymon.evidence.bundle import SIGNATURE
from etymon.evidence.folder import verify_folder
from etymon.evidence.keys import PublicKey
from etymon.evidence.review.behaviour import not_measured
from etymon.evidence.review.claims import Claims, read_claims
from etymon.evidence.review.licence import licence_findings
from etymon.evidence.review.origin import likely_origins, origin_findings
from etymon.evidence.review.owed import Folder, folder_obligations
from etymon.evidence.review.records import Finding, Kin, Review, Risk
from etymon.evidence.review.survey import Survey, survey_folder
from etymon.evidence.review.technical import (
    Score,
    Shape,
    Signature,
    declared_findings,
    precision_finding,
    score_findings,
    signature_finding,
    size_findings,
)
from etymon.foundation.model import Model
from etymon.foundation.weights import open_weights
from etymon.lineage.read.structure import read_structure
from etymon.progress import Listener, silent
from etymon.store import Artifact, Store, root_digest


@dataclass(frozen=True)
class Wish:
    """What is looked at besides the files."""

    parents: tuple[str, ...] = ()
    """Compared with; without any, those of the workspace and of its index."""
    corpus: str | None = None
    passages: int = 100
    """Of each side of the corpus."""
    bank: Path | None = None
    keys: tuple[PublicKey, ...] = ()


def review_model(name: str, wish: Wish, store: Store, on: date, listener: Listener = silent) -> Review:
    """Review a model. Raises EtymonError where there is none, or where a parent, corpus, bank or key cannot be had."""
    corpus = find_corpus(wish.corpus, store) if wish.corpus else None
    subject = open_subject(name, store, listener)
    survey = survey_folder(subject.folder)
    files = {each: store.digests.file(subject.folder / each) for each in survey.files}
    claims = read_claims(subject.folder, survey.files, subject.name, subject.source)
    ancestry = trace(subject.model, wish.parents, store, listener) if subject.model else Ancestry()
    origins = likely_origins(ancestry.kin)
    materials = origin_materials(subject.model, origins, ancestry.models)
    theirs = {each.name: each.facts.files for each in ancestry.models}
    base = _beside(origins, ancestry, wish)
    signature = _signature(subject, files, wish.keys)
    findings = [
        *origin_findings(claims, ancestry.kin, ancestry.suspects, ancestry.searched),
        *licence_findings(claims, origins, materials),
        *(_of_weights(subject.model, claims, origins, ancestry.models, store) if subject.model else ()),
        signature_finding(signature, root_digest(files)),
        *_behaviour(subject, base, wish, corpus, store, listener),
        *declared_findings(claims, files),
    ]
    return Review(
        model=subject.name,
        source=subject.source,
        on=on,
        digest=root_digest(files),
        weights=subject.model.weights if subject.model else None,
        parameters=subject.model.facts.parameters if subject.model else None,
        files=files,
        unopened="" if subject.model else subject.refused,
        kin=ancestry.kin,
        suspects=ancestry.suspects,
        findings=tuple(findings),
        risks=tuple(_risks(survey, subject, claims)),
        obligations=folder_obligations(Folder(subject.name, claims, files), materials, theirs),
    )


def _signature(subject: Subject, files: dict[str, str], keys: Sequence[PublicKey]) -> Signature:
    if SIGNATURE not in files or not keys:
        return Signature(SIGNATURE in files, None, looked_for=not subject.source.startswith("hf:"))
    checked = verify_folder(subject.folder, keys)
    problems = tuple(str(each) for each in checked.findings if not each.signer)
    by_key = [each for each in checked.findings if each.signer]
    named = [each for each in by_key if each.file != SIGNATURE] or by_key  # envelopes have the name that `keys new` told
    strangers = () if problems else tuple(sorted({each.signer for each in named}))
    return Signature(True, problems, checked.key_id, strangers)


def _of_weights(
    model: Model, claims: Claims, origins: Sequence[Kin], models: Sequence[Model], store: Store
) -> Iterator[Finding]:
    found = read_structure(open_weights(model.folder))
    yield from size_findings(claims, model.facts, Shape(len(found.layers), found.width, found.vocabulary))
    yield precision_finding(claims, model.facts, origins)
    yield from score_findings(claims.scores, list(_scores(model, models, store)) if claims.scores else [])


def _scores(model: Model, models: Sequence[Model], store: Store) -> Iterator[Score]:
    """Evaluations of the workspace of this model, under whatever name it was put to a task."""
    same = {each.digest for each in (model, *models) if _computes_the_same(each, model)}
    for artifact in store.artifacts():
        if artifact.manifest.stage == evaluate_stage.name and artifact.facts["model_digest"] in same:
            for metric, figure in artifact.facts["metrics"].items():
                yield Score(artifact.facts["task"], metric, figure["score"], figure["low"], figure["high"], artifact.name)


def _computes_the_same(one: Model, other: Model) -> bool:
    return one.weights == other.weights and all(
        one.facts.files.get(each) == other.facts.files.get(each)
        for each in ("config.json", "tokenizer.json", "tokenizer_config.json")
    )


def _beside(origins: Sequence[Kin], ancestry: Ancestry, wish: Wish) -> Model | None:
    """Whose behaviour is set beside the model's: the nearest origin's, else that of the first parent that was named."""
    by_name = {each.name: each for each in ancestry.models}
    if origins:
        return by_name[origins[0].name]
    return ancestry.models[0] if wish.parents and ancestry.models else None


def _behaviour(
    subject: Subject, base: Model | None, wish: Wish, corpus: Artifact | None, store: Store, listener: Listener
) -> list[Finding]:
    """What the model does, where that is asked for."""
    model = subject.model
    if model is None or subject.refused:
        return [not_measured(each, f"The model cannot be run here: {subject.refused}") for each in ("--corpus", "--bank")]
    by_heart = recite(model, base, corpus, wish.passages, store, listener) if corpus else [not_measured("--corpus")]
    return by_heart + (refuse(model, base, wish.bank, store, listener) if wish.bank else [not_measured("--bank")])


def _risks(survey: Survey, subject: Subject, claims: Claims) -> Iterator[Risk]:
    if subject.refused:
        yield Risk(file="", what=f"Not opened as a model: {subject.refused}")
    elif claims.broken:
        yield Risk(file="README.md", what=f"Its fields cannot be read: {claims.broken}")
    yield from survey.risks
