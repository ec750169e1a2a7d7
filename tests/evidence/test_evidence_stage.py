import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from evidence_run import Run, evaluate_heldout
from google.protobuf import json_format
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.predicates.test_result.v0.test_result_pb2 import TestResult as TheirResult
from in_toto_attestation.v1 import statement as library
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor

from etymon.errors import EtymonError
from etymon.evidence.card_metadata import metadata
from etymon.evidence.predicates import DerivationStatement, read_statement
from etymon.evidence.provenance import foundation_resource
from etymon.evidence.statements import (
    CORPUS,
    DERIVATION,
    FOLDER,
    LINEAGE,
    TRAINING,
    derivation_statement,
    evaluation_file,
)
from etymon.foundation.facts import describe_model
from etymon.store import Artifact, file_digest, root_digest

KINDS = (TRAINING, DERIVATION, CORPUS, LINEAGE)


def test_the_statement_names_what_was_made_and_from_what(run: Run, evidence: Artifact) -> None:
    statement = evidence.read_json(TRAINING)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    whole, *parts = statement["subject"]
    folder = run.derivative.folder
    on_disk = {path.relative_to(folder).as_posix(): file_digest(path) for path in (folder / "model").rglob("*")}
    assert {part["name"]: part["digest"]["sha256"] for part in parts} == on_disk
    assert whole["name"] == "tiny-docs"
    assert whole["digest"] == {"sha256": root_digest(on_disk)} == {"sha256": run.derived_model().digest}
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["settings"]["budget"]["tokens"] == 1500
    foundation, corpus = definition["resolvedDependencies"]
    assert foundation["uri"] == "pkg:huggingface/someone/tiny-base@0123abc"
    assert foundation["digest"] == {"sha256": run.foundation.digest}
    assert corpus["digest"] == {"sha256": run.corpus.digest}
    details = statement["predicate"]["runDetails"]
    assert {each["name"] for each in details["byproducts"]} == {"metrics.jsonl", "loss.svg", "rows.parquet"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", details["metadata"]["finishedOn"])


@pytest.mark.parametrize("file", [*KINDS, "statements/evaluation-heldout.json"])
def test_a_statement_survives_reading_and_is_one_to_an_in_toto_library(evidence: Artifact, file: str) -> None:
    text = evidence.file(file).read_text("utf-8")
    assert read_statement(text.encode(), file).to_json() == text
    theirs = json_format.Parse(text, statement_pb2.Statement())
    library.Statement.copy_from_pb(theirs).validate()
    for each in theirs.subject:
        ResourceDescriptor.copy_from_pb(each).validate()
    predicate = json_format.MessageToJson(theirs.predicate)
    kinds = {TRAINING: provenance_pb2.Provenance, LINEAGE: TheirResult, "statements/evaluation-heldout.json": TheirResult}
    if file in kinds:
        assert json_format.Parse(predicate, kinds[file](), ignore_unknown_fields=True).ByteSize()


def test_every_statement_about_the_model_has_the_same_subject(run: Run, evidence: Artifact) -> None:
    files = [name for name in evidence.manifest.files if name.startswith(FOLDER)]
    assert len(files) == evidence.facts["statements"] == 5
    subjects = {name: evidence.read_json(name)["subject"][0]["digest"]["sha256"] for name in files}
    assert subjects.pop(CORPUS) == run.corpus.digest
    assert set(subjects.values()) == {run.derived_model().digest}


def test_what_the_statements_say_is_in_the_artifacts(run: Run, evidence: Artifact) -> None:
    derivation = evidence.read_json(DERIVATION)["predicate"]
    assert derivation["relation"] == "cpt"
    assert derivation["parents"][0]["digest"] == {"sha256": run.foundation.digest}
    assert derivation["tensorMap"]["tensors"] == run.lineage.facts["tensors"]
    claims = evidence.read_json(LINEAGE)["predicate"]["etymon_claims"]
    assert claims["verdict"] == run.lineage.facts["verdict"]
    claims = evidence.read_json("statements/evaluation-heldout.json")["predicate"]["etymon_claims"]
    assert claims["metrics"]["bits_per_byte"]["score"] == run.heldout.facts["metrics"]["bits_per_byte"]["score"]
    assert claims["records"]["digest"]["sha256"] == run.heldout.manifest.files["records.parquet"].sha256
    corpus = evidence.read_json(CORPUS)["predicate"]
    assert corpus["documentsTrain"] == run.corpus.facts["documents_train"]
    assert [each["annotations"]["role"] for each in corpus["madeFrom"]] == sorted(run.corpus.manifest.inputs)


@given(st.text())
def test_a_task_never_becomes_a_path(task: str) -> None:
    file = evaluation_file(task)
    assert re.fullmatch(r"statements/evaluation-[A-Za-z0-9_-]*\.json", file)
    assert len(file) < 150


def test_two_tasks_have_two_files() -> None:
    assert len({evaluation_file(task) for task in ("a/b", "a_b", "a:b", "a" * 100, "a" * 101)}) == 5


def test_the_facts_count_the_obligations(evidence: Artifact) -> None:
    content = evidence.read_json("obligations.json")
    statuses = [each["status"] for material in content["materials"] for each in material["obligations"]]
    facts = evidence.facts
    assert facts["obligations_met"] == statuses.count("met") == 2
    assert facts["obligations_unmet"] == statuses.count("unmet") == 0
    assert facts["obligations_to_do"] == statuses.count("to do") == 4
    assert facts["licences_unknown"] == []


def test_the_card_is_one_that_the_hub_reads(run: Run, evidence: Artifact) -> None:
    card = ModelCard.load(evidence.file("README.md"))
    assert card.data.base_model == ["someone/tiny-base"]
    assert card.data.license == "apache-2.0"
    assert card.data.to_dict()["base_model_relation"] == "finetune"
    assert card.data.library_name == "transformers"
    headings = ("Inherited and earned", "Trained on", "Scores", "Lineage", "What the licences ask", "Limits", "How to verify")
    for heading in headings:
        assert f"## {heading}" in card.text


def test_the_card_gives_the_figures_of_the_artifacts(run: Run, evidence: Artifact) -> None:
    text = evidence.file("README.md").read_text("utf-8")
    metric = run.heldout.read_json("task.json")["metrics"]["bits_per_byte"]
    assert f"| heldout | bits_per_byte | {metric['score']:.4f} | {metric['low']:.4f} to {metric['high']:.4f} |" in text
    assert f"{run.corpus.facts['documents_train']} documents for training" in text
    assert f"{run.derivative.facts['tokens']:,} tokens were seen in {run.derivative.facts['steps']} optimizer steps" in text
    assert "learning rate 0.0002" in text
    assert f"**{run.lineage.facts['verdict']}**" in text


def test_what_was_not_measured_is_not_claimed(run: Run) -> None:
    text = run.evidence(**{"evaluation/heldout": None, "lineage": None}).file("README.md").read_text("utf-8")
    assert "None was measured." in text
    assert "Declared, not measured" in text


def test_every_drop_is_on_the_card(run: Run, tmp_path: Path) -> None:
    dropped = Artifact(run.corpus.folder, run.corpus.manifest.model_copy(update={"facts": {"drops": {"too-short": 3}}}))
    assert "by reason: too-short 3." in run.evidence(name="drops", corpus=dropped).file("README.md").read_text("utf-8")


@pytest.mark.parametrize("role", ["foundation", "corpus"])
def test_evidence_of_another_foundation_or_corpus_is_refused(run: Run, make_llama: Callable[..., Path], role: str) -> None:
    other = describe_model(make_llama(seed=9), name="other", source="other", digests=run.store.digests)
    with pytest.raises(EtymonError, match=f"was not made from the {role} other: its manifest records"):
        run.evidence(**{role: other, "lineage": None})


def test_a_score_of_another_model_is_refused(run: Run) -> None:
    of_the_base = evaluate_heldout(run.store, run.foundation, run.corpus)
    with pytest.raises(EtymonError, match=f"{of_the_base.name} was not measured on {run.derivative.name}"):
        run.evidence(**{"evaluation/heldout": of_the_base})


def test_front_matter_is_yaml_whatever_the_licence_is_called(run: Run) -> None:
    facts = run.foundation.facts.model_copy(update={"license": "My: own [licence]"})
    fields = yaml.safe_load(yaml.safe_dump(metadata("x", replace(run.foundation, facts=facts), run.corpus, {})))
    assert fields["license"] == "other"
    assert fields["license_name"] == "My: own [licence]"


def test_a_model_that_was_given_new_tokens_is_called_extended(run: Run) -> None:
    manifest = run.derivative.manifest
    settings = manifest.meaning["settings"] | {"vocabulary": {"tokens": 64}}
    extended = replace(run.derivative, manifest=manifest.model_copy(update={"meaning": {"settings": settings}}))
    statement = derivation_statement("x", extended, foundation_resource(run.foundation), None)
    assert isinstance(statement, DerivationStatement)
    assert statement.predicate.relation == "vocab-extend"
