import json
from dataclasses import replace
from typing import Any

import pytest
from evidence_run import Run
from spdx_python_model import v3_0_1 as spdx

from etymon.evidence.materials import sources_used, weights_used
from etymon.evidence.provenance import model_files
from etymon.evidence.spdx import SPDX, spdx_document
from etymon.foundation.model import DeclaredParent
from etymon.store import Artifact


def read(text: str) -> spdx.SHACLObjectSet:
    """By the SPDX project's own reader, which refuses what the model's shapes do not allow."""
    objects = spdx.SHACLObjectSet()
    spdx.JSONLDDeserializer().deserialize_data(json.loads(text), objects)
    assert spdx.JSONLDSerializer().serialize_data(objects)  # required properties are there
    return objects


def related(objects: spdx.SHACLObjectSet, one: Any, how: str) -> list[Any]:
    kind = getattr(spdx.RelationshipType, how)
    found = [each for each in objects.foreach_type(spdx.Relationship) if each.from_._id == one._id]
    return [to for each in found if each.relationshipType == kind for to in each.to]


def named(objects: spdx.SHACLObjectSet, kind: Any, name: str) -> Any:
    (found,) = [each for each in objects.foreach_type(kind) if each.name == name]
    return found


def test_the_reader_of_spdx_takes_it(run: Run, evidence: Artifact) -> None:
    objects = read(evidence.file(SPDX).read_text("utf-8"))
    model = named(objects, spdx.ai_AIPackage, "tiny-docs")
    assert run.derived_model().digest in model.comment
    files = {each.name: each.verifiedUsing[0].hashValue for each in related(objects, model, "contains")}
    assert files == {name.removeprefix("model/"): sha for name, sha in model_files(run.derivative).items()}
    (base,) = related(objects, model, "descendantOf")
    assert base.software_packageUrl == "pkg:huggingface/someone/tiny-base@0123abc"
    (corpus,) = related(objects, model, "trainedOn")
    (texts,) = related(objects, corpus, "descendantOf")
    (license,) = related(objects, texts, "hasDeclaredLicense")
    assert license.simplelicensing_licenseExpression == "PSF-2.0"
    metric = run.heldout.facts["metrics"]["bits_per_byte"]["score"]
    assert any(each.key == "heldout: bits_per_byte" and each.value.startswith(repr(metric)) for each in model.ai_metric)


def test_it_conforms_to_the_profiles_that_it_names(evidence: Artifact) -> None:
    """https://spdx.github.io/spdx-spec/v3.0.1/model/AI/AI: one declared and one concluded licence for every package."""
    objects = read(evidence.file(SPDX).read_text("utf-8"))
    packages = list(objects.foreach_type(spdx.software_Package))
    assert len(packages) >= 4
    for package in packages:
        for how in ("hasDeclaredLicense", "hasConcludedLicense"):
            assert len(related(objects, package, how)) == 1


@pytest.mark.parametrize("license", ["llama3.1", "My: own [licence]", "MIT OR Apache-2.0", None, "../../etc/passwd"])
def test_any_licence_and_any_name_make_a_document(run: Run, license: str | None) -> None:
    parents = (DeclaredParent(uri="hf:google/gemma-2-2b"), DeclaredParent(uri="a <b>\n\u2028c"))
    facts = run.foundation.facts.model_copy(update={"license": license, "parents": parents})
    foundation = replace(run.foundation, facts=facts)
    declared = [{"source": "a/../b", "license": "x", "origin": "here", "generated_by": {"model": "Some | model"}}]
    earlier = sources_used([{"source": "old", "license": "CC0-1.0"}], through=foundation.name)
    used = [*weights_used(foundation), *earlier, *sources_used(declared)]
    text = spdx_document("x", run.derivative, foundation, run.corpus, used, {})
    assert text == spdx_document("x", run.derivative, foundation, run.corpus, used, {})
    objects = read(text)
    base = named(objects, spdx.ai_AIPackage, foundation.name)
    assert [each.name for each in related(objects, base, "trainedOn")] == ["old"]
    assert {each.name for each in related(objects, base, "descendantOf")} == {each.uri for each in parents}
    assert (
        "Written by the model Some | model."
        in named(objects, spdx.dataset_DatasetPackage, "a/../b").dataset_dataCollectionProcess
    )
