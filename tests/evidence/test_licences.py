from dataclasses import replace

import pytest
from evidence_run import Run

from etymon.evidence.licences import Material, derive_obligations, find_licence, rules
from etymon.store import Artifact
from etymon.store.artifact import FileRecord


def obligations_under(run: Run, license: str | None, name: str = "tiny-docs", **files: str) -> dict[str, str]:
    """Status of each obligation by its words, were the foundation under this licence and had the model these files."""
    material = foundation_under(run, license, name, **files)
    return {each.says: each.status for each in material.obligations}


def foundation_under(run: Run, license: str | None, name: str = "tiny-docs", **files: str) -> Material:
    facts = run.foundation.facts.model_copy(
        update={"license": license, "files": run.foundation.facts.files | {"LICENSE": "11" * 32, "NOTICE": "22" * 32}}
    )
    manifest = run.derivative.manifest
    added = {f"model/{file}": FileRecord(sha256=sha, bytes=1) for file, sha in files.items()}
    derivative = Artifact(run.derivative.folder, manifest.model_copy(update={"files": manifest.files | added}))
    return derive_obligations(name, derivative, replace(run.foundation, facts=facts), run.corpus).materials[0]


def status(statuses: dict[str, str], word: str) -> str:
    return next(status for says, status in statuses.items() if word in says)


def test_a_copy_of_the_licence_is_looked_for(run: Run) -> None:
    assert status(obligations_under(run, "Apache-2.0"), "copy of the licence") == "unmet"
    assert status(obligations_under(run, "Apache-2.0", LICENSE="11" * 32), "copy of the licence") == "met"
    assert status(obligations_under(run, "Apache-2.0", LICENSE="33" * 32), "copy of the licence") == "to do"


def test_a_notice_file_is_passed_on_or_missed(run: Run) -> None:
    assert status(obligations_under(run, "apache-2.0"), "NOTICE") == "unmet"
    assert status(obligations_under(run, "apache-2.0", NOTICE="22" * 32), "NOTICE") == "met"


def test_changes_are_stated_by_the_card_of_the_model(run: Run) -> None:
    assert status(obligations_under(run, "Apache-2.0"), "changed") == "met"
    bare = {name: record for name, record in run.derivative.manifest.files.items() if name != "model/README.md"}
    derivative = Artifact(run.derivative.folder, run.derivative.manifest.model_copy(update={"files": bare}))
    asked = derive_obligations("x", derivative, run.foundation, run.corpus).materials[0].obligations
    assert next(each.status for each in asked if "changed" in each.says) == "unmet"


@pytest.mark.parametrize(
    ("license", "good", "bad"), [("llama3.1", "Llama-tiny", "tiny-llama"), ("Llama-3", "Llama 3 x", "Llama")]
)
def test_a_required_beginning_of_the_name_is_checked(run: Run, license: str, good: str, bad: str) -> None:
    assert status(obligations_under(run, license, good), "Begin the model's name") == "met"
    assert status(obligations_under(run, license, bad), "Begin the model's name") == "unmet"


def test_what_no_file_can_show_is_left_to_a_person(run: Run) -> None:
    statuses = obligations_under(run, "llama2")
    assert status(statuses, "700 million") == "to do"
    assert status(statuses, "improve another language model") == "to do"


@pytest.mark.parametrize("license", ["other", "Llama", "Apache-2.0 OR MIT", "cc-by-nc-4.0", ""])
def test_an_unknown_licence_is_never_harmless(run: Run, license: str) -> None:
    material = foundation_under(run, license)
    assert not material.known
    assert material.obligations == ()
    assert "read its text" in material.notes[0] or "all rights are reserved" in material.notes[0]


def test_an_undeclared_licence_is_unknown(run: Run) -> None:
    assert foundation_under(run, None).license == "not declared"
    assert not foundation_under(run, None).known


def test_licences_of_sources_are_left_to_a_person(run: Run) -> None:
    facts = run.corpus.facts | {"licenses": ["PSF-2.0", "own", "secret"]}
    corpus = Artifact(run.corpus.folder, run.corpus.manifest.model_copy(update={"facts": facts}))
    obligations = derive_obligations("x", run.derivative, run.foundation, corpus)
    python, own, secret = obligations.materials[1:]
    assert {each.status for each in python.obligations} == {"to do"}
    assert own.known
    assert own.obligations == ()
    assert "Nobody checked" in own.notes[0]
    assert not secret.known
    assert obligations.unknown == ["secret"]


def test_a_licence_like_another_shares_its_obligations_but_its_own_line() -> None:
    first, third = rules()[1]["llama-3.1"], rules()[1]["llama-3.3"]
    assert [ask.ask for ask in first.asks] == [ask.ask for ask in third.asks]
    lines = [next(ask.value for ask in each.asks if ask.ask == "notice-line") for each in (first, third)]
    assert "Llama 3.1 Community" in lines[0]
    assert "Llama 3.3 Community" in lines[1]


def test_the_rules_are_sound() -> None:
    version, licences = rules()
    assert version >= 1
    spellings = [each.lower() for name, licence in licences.items() for each in (name, *licence.names)]
    assert len(spellings) == len(set(spellings))
    assert all(ask.says.strip() for licence in licences.values() for ask in licence.asks)
    assert all(
        ask.value for licence in licences.values() for ask in licence.asks if ask.ask in ("notice-line", "name-prefix")
    )
    assert find_licence("GEMMA") == ("gemma-2025", licences["gemma-2025"])


def test_compliant_is_never_said(run: Run) -> None:
    for license in (None, "Apache-2.0", "llama-2", "whatever"):
        assert "complian" not in foundation_under(run, license).model_dump_json().lower()
