"""What an exported foundation was made of reaches its derivatives."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evidence_run import Run
from signing_run import record_run

from etymon.commands.export.hub import export_for_hub
from etymon.errors import EtymonError
from etymon.evidence.ancestry import all_used
from etymon.evidence.bom import BOM, bill_of_materials, refuse_invalid
from etymon.evidence.conflicts import find_conflicts
from etymon.evidence.notice import NOTICE, companions
from etymon.evidence.obligations import derive_obligations
from etymon.foundation.facts import describe_model
from etymon.foundation.model import Model
from etymon.store import Artifact

MINE = [{"source": "letters", "license": "own"}]


@pytest.fixture
def exported(run: Run, evidence: Artifact, tmp_path: Path) -> Path:
    record_run(run, evidence, "exported")
    return export_for_hub("exported", tmp_path / "exported", run.store).folder


def opened(folder: Path) -> Model:
    return describe_model(folder, name=folder.name, source=str(folder))


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> Model:
    path = folder / "obligations.json"
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content), "utf-8")
    return opened(folder)


def test_sources_and_models_of_the_foundation_are_used_too(exported: Path) -> None:
    used = {(each.role, each.name, each.license, each.through) for each in all_used(opened(exported), MINE)}
    assert ("source", "texts", "PSF-2.0", "exported") in used
    assert ("source", "letters", "own", "") in used
    assert ("parent", "tiny-base", "Apache-2.0", "") in used


def test_papers_tell_them_apart_from_the_derivatives_own(run: Run, exported: Path) -> None:
    foundation = opened(exported)
    used = all_used(foundation, MINE)
    placed = companions("second", foundation, used)
    assert "What it is derived from was trained before on these texts" in placed[NOTICE]
    assert "LICENSES/PSF-2.0.txt" in placed
    materials = derive_obligations("second", run.derivative, foundation, used, placed).materials
    (earlier,) = [each for each in materials if each.through]
    assert (earlier.material, earlier.license, earlier.through) == ("texts", "PSF-2.0", "exported")
    assert earlier.obligations
    text = bill_of_materials("second", run.derivative, foundation, run.corpus, used, {}, None)
    refuse_invalid(text, BOM)
    ancestor = json.loads(text)["metadata"]["component"]["pedigree"]["ancestors"][0]
    (learned,) = ancestor["modelCard"]["modelParameters"]["datasets"]
    assert learned["name"] == "texts"
    assert {"name": "etymon:licence", "value": "PSF-2.0"} in learned["contents"]["properties"]


def test_the_foundation_of_a_foundations_foundation_goes_on(run: Run, exported: Path) -> None:
    """Its obligations were written with those that it had inherited itself."""
    first = opened(exported)
    used = all_used(first, MINE)
    made = derive_obligations("second", run.derivative, first, used, {})
    second = edited(exported, lambda content: content.update(json.loads(made.model_dump_json())))
    third = all_used(replace(second, name="second"), [])
    assert {(each.name, each.through) for each in third if each.role == "source"} == {
        ("texts", "exported"), ("letters", "second"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("license", "known", "rule"),
    [
        ("not declared", False, "licence-unknown"),
        ("secret", False, "licence-unknown"),
        ("CC-BY-NC-4.0", True, "non-commercial"),
    ],
)
def test_what_forbids_the_foundation_forbids_its_derivatives(exported: Path, license: str, known: bool, rule: str) -> None:
    def change(content: dict[str, Any]) -> None:
        source = next(each for each in content["materials"] if each["role"] == "source")
        source |= {"license": license, "known": known}

    (breach,) = find_conflicts(all_used(edited(exported, change), MINE))
    assert (breach.rule, breach.source) == (rule, "foundation")
    assert breach.subject == "Source 'texts', which exported was trained on,"


def test_a_card_that_was_changed_does_not_shake_off_what_binds(exported: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["materials"][0] |= {"license": "llama-3.1", "material": "Llama-base"}

    broken = find_conflicts(all_used(edited(exported, change), []))
    assert [each.rule for each in broken] == ["licence-misdeclared"]
    assert "derived from Llama-base" in broken[0].found


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"materials": 1}',
        b"[" * 100_000,
        b'{"a": ' * 50_000,
        b'{"rules_version": 1, "rules_version": 1}',
        b"\xff",
    ],
)
def test_what_is_no_list_of_obligations_is_refused(exported: Path, content: bytes) -> None:
    (exported / "obligations.json").write_bytes(content)
    with pytest.raises(EtymonError, match=r"obligations\.json does not say what went into exported"):
        all_used(opened(exported), [])


def test_a_file_that_changed_since_the_model_was_opened_is_refused(exported: Path) -> None:
    foundation = opened(exported)
    (exported / "obligations.json").write_text("{}", "utf-8")
    with pytest.raises(EtymonError, match="it was changed"):
        all_used(foundation, [])
