import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from evidence_run import Run
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.repocard import metadata_load

from etymon.evidence.card_metadata import metadata
from etymon.evidence.inherited import inherited_table
from etymon.evidence.licences import rules
from etymon.recipe import Waiver
from etymon.store import Artifact

DIGEST = "ab" * 32


def test_the_hub_reads_the_results(run: Run, evidence: Artifact) -> None:
    card = ModelCard.load(evidence.file("README.md"), ignore_metadata_errors=False)
    assert card.data.model_name == "tiny-docs"
    (result,) = card.data.eval_results
    assert (result.dataset_name, result.metric_type) == ("heldout", "bits_per_byte")
    assert result.metric_value == run.heldout.facts["metrics"]["bits_per_byte"]["score"]
    assert card.data.pipeline_tag == "text-generation"


def test_the_hubs_own_writer_changes_nothing(evidence: Artifact, tmp_path: Path) -> None:
    """What huggingface_hub reads and writes again is the same metadata: no field is lost or of another form."""
    again = tmp_path / "README.md"
    ModelCard.load(evidence.file("README.md")).save(again)
    before, after = metadata_load(evidence.file("README.md")), metadata_load(again)
    assert before is not None
    assert after is not None
    assert json.dumps(before.pop("model-index"), sort_keys=True) == json.dumps(after.pop("model-index"), sort_keys=True)
    assert before == after


@pytest.mark.parametrize("license", [*(each for each in rules().licences), "My: own", None])
def test_metadata_of_any_licence_is_metadata(run: Run, license: str | None) -> None:
    facts = run.foundation.facts.model_copy(update={"license": license})
    fields = metadata("x", replace(run.foundation, facts=facts), run.corpus, {})
    data = ModelCardData(**yaml.safe_load(yaml.safe_dump(fields)), ignore_metadata_errors=False)
    assert data.license != "other" or data.license_name
    assert yaml.safe_load(data.to_yaml()) == fields


def test_a_licence_of_its_own_is_linked(run: Run) -> None:
    facts = run.foundation.facts.model_copy(update={"license": "qwen"})
    fields = metadata("x", replace(run.foundation, facts=facts), run.corpus, {})
    assert fields["license_name"] == "qwen-2024"
    assert fields["license_link"].startswith("https://")
    with_file = facts.model_copy(update={"files": {"LICENSE": DIGEST}})
    assert metadata("x", replace(run.foundation, facts=with_file), run.corpus, {})["license_link"] == "LICENSE"


def test_data_sets_of_the_hub_are_named(run: Run) -> None:
    declared = [
        {"origin": "hf:org/poems@abc"},
        {"origin": "https://huggingface.co/datasets/org/prose/tree/main"},
        {"origin": "us"},
    ]
    corpus = Artifact(run.corpus.folder, run.corpus.manifest.model_copy(update={"facts": {"sources_declared": declared}}))
    assert metadata("x", run.foundation, corpus, {})["datasets"] == ["org/poems", "org/prose"]


def test_the_data_summary_says_what_is_declared_and_what_not(evidence: Artifact) -> None:
    text = evidence.file("README.md").read_text("utf-8")
    assert "| texts | " in text
    assert "| PSF-2.0 | not declared | not declared | not declared | no model, as declared |" in text


def test_waived_conflicts_stand_on_the_card_for_good(run: Run, make_llama: Callable[..., Path]) -> None:
    facts = run.corpus.facts | {"sources_declared": [{"source": "texts", "license": "CC-BY-NC-4.0"}]}
    corpus = Artifact(run.corpus.folder, run.corpus.manifest.model_copy(update={"facts": facts}))
    waiver = Waiver(rule="non-commercial", source="texts", reason="a study, not for sale")
    made = run.evidence(name="waived", waivers=(waiver,), corpus=corpus)
    text = made.file("README.md").read_text("utf-8")
    assert (
        "texts: non-commercial, its licence CC-BY-NC-4.0 allows no commercial use. Reason given: a study, not for sale"
        in text
    )
    assert made.read_json("obligations.json")["waived"][0]["reason"] == "a study, not for sale"
    assert made.facts["licence_conflicts_waived"][0]["rule"] == "non-commercial"


def standings(**cell: object) -> dict[str, object]:
    """Those of one derivative, as far as the card reads them."""
    score = {"value": 0.25, "stderr": 0.01, "low": 0.2, "high": 0.3}
    change = {"base": "b", "inherited": 0.2, "difference": score, "kept": 4, "gained": 2, "lost": None}
    full = {"score": score, "change": change, "earned": None, "earned_lacks": "a control"} | cell
    column = {"key": "k", "task": "quiz", "metric": "acc", "main": True}
    return {"columns": [column], "rows": [{"digest": DIGEST, "cells": {"k": full}}]}


def test_what_was_inherited_and_what_earned_is_the_boards_row() -> None:
    row = "| quiz | acc | 0.2000 | 0.2500 | +0.2500 (+0.2000 to +0.3000) | 4 | 2 |  | not measured: it takes a control |"
    assert row in inherited_table(standings(), DIGEST).splitlines()


def test_earned_is_shown_where_it_was_measured() -> None:
    earned = {"difference": {"value": 0.1, "low": None, "high": None}}
    assert "|  | +0.1000 |" in inherited_table(standings(earned=earned), DIGEST)


def test_no_figure_stands_in_for_what_was_not_measured() -> None:
    assert inherited_table(None, DIGEST).startswith("Not measured")
    assert inherited_table(standings(), "cd" * 32).startswith("Not measured")
    assert inherited_table(standings(change=None), DIGEST).startswith("Not measured")
