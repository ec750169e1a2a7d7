import json
from dataclasses import replace

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from evidence_run import Run

from etymon.errors import EtymonError
from etymon.evidence.bom import BOM, bill_of_materials, refuse_invalid
from etymon.evidence.materials import sources_used, weights_used
from etymon.evidence.provenance import model_files
from etymon.foundation.model import DeclaredParent
from etymon.store import Artifact


def made_from(run: Run, license: str | None, declared: list[dict[str, object]], name: str = "x") -> str:
    facts = run.foundation.facts.model_copy(
        update={"license": license, "parents": (DeclaredParent(uri="hf:google/gemma-2-2b", relation="quantized"),)}
    )
    foundation = replace(run.foundation, facts=facts)
    corpus = Artifact(
        run.corpus.folder,
        run.corpus.manifest.model_copy(update={"facts": run.corpus.facts | {"sources_declared": declared}}),
    )
    used = [*weights_used(foundation), *sources_used(declared)]
    return bill_of_materials(name, run.derivative, foundation, corpus, used, {"heldout": run.heldout}, run.lineage)


def test_the_validator_of_cyclonedx_takes_it(evidence: Artifact) -> None:
    text = evidence.file(BOM).read_text("utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    refuse_invalid(text, BOM)


def test_it_says_what_the_artifacts_say(run: Run, evidence: Artifact) -> None:
    bill = evidence.read_json(BOM)
    model = bill["metadata"]["component"]
    assert (model["type"], model["name"]) == ("machine-learning-model", "tiny-docs")
    assert {"name": "etymon:root-digest", "value": run.derived_model().digest} in model["properties"]
    assert [each["hashes"][0]["content"] for each in model["components"]] == [
        sha for file, sha in sorted(model_files(run.derivative).items()) if file != "model/README.md"
    ]
    (ancestor,) = model["pedigree"]["ancestors"]
    assert ancestor["purl"] == "pkg:huggingface/someone/tiny-base@0123abc"
    assert ancestor["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    card = model["modelCard"]
    metric = run.heldout.facts["metrics"]["bits_per_byte"]
    (figure,) = card["quantitativeAnalysis"]["performanceMetrics"]
    assert figure["type"] == "bits_per_byte"
    assert float(figure["value"]) == metric["score"]
    assert float(figure["confidenceInterval"]["lowerBound"]) == metric["low"]
    assert [each["ref"] for each in card["modelParameters"]["datasets"]] == [run.corpus.name, "source:texts"]
    corpus, texts = bill["components"]
    assert corpus["bom-ref"] == run.corpus.name
    assert texts["licenses"] == [{"license": {"id": "PSF-2.0"}}]
    refs = {model["bom-ref"], ancestor["bom-ref"], corpus["bom-ref"], texts["bom-ref"]}
    assert {each["ref"] for each in bill["dependencies"]} | {
        to for each in bill["dependencies"] for to in each["dependsOn"]
    } == refs
    attested = [each["url"] for each in model["externalReferences"] if each["type"] == "attestation"]
    assert set(attested) == {name for name in evidence.manifest.files if name.startswith("statements/")}


@pytest.mark.parametrize(
    ("license", "written"),
    [
        ("apache-2.0", [{"license": {"id": "Apache-2.0"}}]),
        ("MIT OR Apache-2.0", [{"expression": "MIT OR Apache-2.0"}]),
        ("My: own [licence]", [{"license": {"name": "My: own [licence]"}}]),
        (None, None),
    ],
)
def test_any_licence_makes_a_valid_bill(run: Run, license: str | None, written: object) -> None:
    text = made_from(
        run, license, [{"source": "a/../b", "license": "x", "collected": {"from": "2024-01-01", "to": "2024-02-01"}}]
    )
    refuse_invalid(text, BOM)
    assert json.loads(text)["metadata"]["component"].get("licenses", []) == (written or [])


def test_models_licences_have_a_name_and_an_address_and_parents_are_ancestors(run: Run) -> None:
    text = made_from(run, "llama3.1", [{"source": "t", "license": "own", "generated_by": {"model": "Some | model"}}])
    refuse_invalid(text, BOM)
    model = json.loads(text)["metadata"]["component"]
    assert model["licenses"][0]["license"]["name"] == "llama-3.1"
    (grandparent,) = model["pedigree"]["ancestors"][0]["pedigree"]["ancestors"]
    assert grandparent["purl"] == "pkg:huggingface/google/gemma-2-2b"
    assert grandparent["licenses"][0]["license"]["name"] == "gemma-2025"
    assert "Some | model (licence unknown)" in text


def test_the_same_artifacts_make_the_same_bill(run: Run) -> None:
    assert made_from(run, "MIT", []) == made_from(run, "MIT", [])
    assert json.loads(made_from(run, "MIT", []))["serialNumber"] != json.loads(made_from(run, "MIT", [], "y"))["serialNumber"]


def test_a_bill_that_is_none_is_refused_with_its_place(run: Run) -> None:
    bill = json.loads(made_from(run, "MIT", []))
    bill["metadata"]["component"]["type"] = "spell"
    with pytest.raises(EtymonError, match=r"bom\.cdx\.json is not a CycloneDX 1\.6 bill.*metadata\.component\.type"):
        refuse_invalid(json.dumps(bill), BOM)
