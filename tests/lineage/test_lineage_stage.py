"""The stage: an artifact with lineage.json, and the words for it."""

import json
from pathlib import Path

from lineage_transforms import Tensors, noise, write_weights

from etymon.foundation.model import Model, ModelFacts
from etymon.lineage.compare import compare
from etymon.lineage.explain import explain
from etymon.lineage.stage import Execution, Meaning, lineage_stage
from etymon.lineage.verdict import Lineage
from etymon.progress import Report
from etymon.store import Store, file_digest


def as_model(folder: Path, name: str) -> Model:
    digest = file_digest(folder / "model.safetensors")
    facts = ModelFacts(
        architecture="LlamaForCausalLM", model_type="llama", parameters=1, embedding_parameters=1, layers=6, width=64,
        context_length=64, vocabulary=512, dtype="float32", license=None, source="a test", files={}, has_chat_template=False,
    )  # fmt: skip
    return Model(name, folder, digest, facts)


def test_the_artifact_holds_the_record_and_its_facts(tmp_path: Path, base: Tensors, tokenizer: str) -> None:
    inputs = {
        "model": as_model(write_weights(tmp_path / "a", noise(base, 0.1), tokenizer), "pydocs"),
        "parent": as_model(write_weights(tmp_path / "b", base, tokenizer), "smollm"),
    }
    reports: list[Report] = []
    store = Store(tmp_path / "store")
    artifact, was_there = store.obtain(lineage_stage, inputs, Meaning(), Execution(), reports.append)
    assert not was_there
    lineage = Lineage.model_validate(artifact.read_json("lineage.json"))
    assert lineage.verdict == artifact.facts["verdict"] == "related"
    assert artifact.facts["identical_tensors"] == 0
    assert artifact.facts["changed_share"] == 1
    assert artifact.facts["p_value"] == lineage.p_value
    assert any(report.doing == "matching neurons" and report.done == report.total for report in reports)
    assert store.obtain(lineage_stage, inputs, Meaning(), Execution())[1]
    assert lineage.model == inputs["model"].digest[:16]  # a name given elsewhere is no part of the artifact
    lines = explain(lineage.model_copy(update={"model": "pydocs", "parent": "smollm"}))
    assert lines[0].startswith("related: pydocs derives from or shares its origin with smollm (p ≤ 0.00")
    assert any("MLP gate 10." in line for line in lines)
    json.dumps(artifact.facts, allow_nan=False)


def test_the_words_for_an_independent_model(tmp_path: Path, base: Tensors, scratch: Tensors, tokenizer: str) -> None:
    lineage = compare(
        write_weights(tmp_path / "a", scratch, tokenizer),
        write_weights(tmp_path / "b", base, tokenizer),
        model_name="scratch",
    )
    lines = explain(lineage)
    assert lines[0].startswith("independent: the weights of scratch show no trace of b")
    assert any(line.startswith("  Architecture: the same shapes in both") for line in lines)
    assert any(line.startswith("  Tokenizer: the same vocabulary in both") for line in lines)
    assert any("Distillation" in line for line in lines)
