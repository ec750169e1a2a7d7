from dataclasses import replace

import pytest
from evidence_run import Run

from etymon.evidence.licences import Known, find_licence, find_licences, licence_of_model, licence_text, rules
from etymon.evidence.materials import sources_used, weights_used
from etymon.evidence.notice import LICENSE, NOTICE, companions, missing_texts
from etymon.evidence.obligations import Material, Obligations, derive_obligations, prefix_fits
from etymon.foundation.model import DeclaredParent, Model
from etymon.store import Artifact
from etymon.store.artifact import FileRecord

THEIRS = {"LICENSE": "11" * 32, "NOTICE": "22" * 32}


def foundation_under(run: Run, license: str | None, parent: str | None = None, files: dict[str, str] | None = None) -> Model:
    parents = (DeclaredParent(uri=parent),) if parent else ()
    given = run.foundation.facts.files | (files or {})
    return replace(
        run.foundation,
        facts=run.foundation.facts.model_copy(update={"license": license, "parents": parents, "files": given}),
    )


def with_files(run: Run, files: dict[str, str]) -> Artifact:
    manifest = run.derivative.manifest
    added = {f"model/{file}": FileRecord(sha256=sha, bytes=1) for file, sha in files.items()}
    return Artifact(run.derivative.folder, manifest.model_copy(update={"files": manifest.files | added}))


def obligations(
    run: Run,
    foundation: Model,
    *sources: dict[str, object],
    name: str = "tiny-docs",
    mine: dict[str, str] | None = None,
) -> Obligations:
    used = [*weights_used(foundation), *sources_used(sources)]
    return derive_obligations(name, with_files(run, mine or {}), foundation, used, companions(name, foundation, used))


def first(run: Run, license: str | None, name: str = "tiny-docs", **mine: str) -> Material:
    """Of a foundation with LICENSE and NOTICE files, under this licence."""
    foundation = foundation_under(run, license, files=THEIRS)
    return obligations(run, foundation, name=name, mine=mine).materials[0]


def status(material: Material, ask: str) -> str:
    return next(each.status for each in material.obligations if each.ask == ask)


def test_a_copy_of_the_licence_is_looked_for(run: Run) -> None:
    assert status(first(run, "Apache-2.0"), "licence-copy") == "unmet"
    assert status(first(run, "Apache-2.0", LICENSE="11" * 32), "licence-copy") == "met"
    assert status(first(run, "Apache-2.0", LICENSE="33" * 32), "licence-copy") == "to do"


@pytest.mark.parametrize(("license", "seen"), [("Apache-2.0", "met"), ("llama3.1", "met"), ("MIT", "unmet")])
def test_a_text_that_is_shipped_takes_the_place_of_a_missing_one(run: Run, license: str, seen: str) -> None:
    foundation = foundation_under(run, license)
    placed = companions("x", foundation, weights_used(foundation))
    assert (LICENSE in placed) == (seen == "met")
    assert status(obligations(run, foundation).materials[0], "licence-copy") == seen


def test_a_text_that_the_user_gives_is_placed(run: Run) -> None:
    foundation, texts = foundation_under(run, "mit", parent="hf:01-ai/Yi-6B"), {"MIT": "As the original has it."}
    used = weights_used(foundation)
    placed = companions("x", foundation, used, texts)
    assert placed[LICENSE] == "As the original has it."
    made = derive_obligations("x", run.derivative, foundation, used, placed, texts=texts)
    assert status(made.materials[0], "licence-copy") == "met"
    assert missing_texts(foundation, used, texts) == []
    (missing,) = missing_texts(foundation, used, {})
    assert missing.name == "MIT"
    (unmet,) = [each for each in obligations(run, foundation).materials[0].obligations if each.ask == "licence-copy"]
    assert "https://spdx.org/licenses/MIT.html" in unmet.evidence
    assert "license_files: {MIT: FILE}" in unmet.evidence


def test_a_notice_file_is_passed_on_or_missed(run: Run) -> None:
    assert status(first(run, "apache-2.0"), "notice-file") == "unmet"
    assert status(first(run, "apache-2.0", NOTICE="22" * 32), "notice-file") == "met"


def test_the_notice_says_what_licences_want_said_and_where_the_texts_are_from(run: Run) -> None:
    foundation = foundation_under(run, "llama3.1")
    source = {"source": "poems", "license": "CC-BY-4.0", "origin": "https://example.org/poems"}
    used = [*weights_used(foundation), *sources_used([source])]
    placed = companions("Llama-poet", foundation, used)
    assert "\nBuilt with Llama\n" in placed[NOTICE]
    assert "Llama 3.1 is licensed under the Llama 3.1 Community License, Copyright © Meta Platforms" in placed[NOTICE]
    assert "poems, from https://example.org/poems: CC-BY-4.0 (https://creativecommons.org/" in placed[NOTICE]
    assert "its weights were changed" in placed[NOTICE]
    assert placed["LICENSES/CC-BY-4.0.txt"].startswith("Attribution 4.0 International")
    assert placed[LICENSE].startswith("LLAMA 3.1 COMMUNITY LICENSE AGREEMENT")
    made = derive_obligations("Llama-poet", run.derivative, foundation, used, placed).materials[0]
    assert {status(made, ask) for ask in ("notice-line", "display", "name-prefix", "licence-copy")} == {"met"}


def test_the_foundations_own_notice_is_passed_on_whole(run: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("with-notice")
    (folder / "NOTICE.txt").write_text("Made by someone in 2024.\n", "utf-8")
    foundation = replace(foundation_under(run, "Apache-2.0", files={"NOTICE.txt": "44" * 32}), folder=folder)
    assert "Made by someone in 2024." in companions("x", foundation, weights_used(foundation))[NOTICE]


def test_texts_that_came_with_the_foundation_go_on(run: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("exported-before")
    (folder / "LICENSES").mkdir()
    (folder / "LICENSES" / "PSF-2.0.txt").write_text("as it came", "utf-8")
    foundation = replace(foundation_under(run, "Apache-2.0"), folder=folder)
    assert companions("x", foundation, weights_used(foundation))["LICENSES/PSF-2.0.txt"] == "as it came"


def test_changes_are_stated_by_the_card_of_the_model_or_by_notice(run: Run) -> None:
    assert status(first(run, "Apache-2.0"), "changes-stated") == "met"
    bare = {name: record for name, record in run.derivative.manifest.files.items() if name != "model/README.md"}
    derivative = Artifact(run.derivative.folder, run.derivative.manifest.model_copy(update={"files": bare}))
    made = derive_obligations("x", derivative, run.foundation, weights_used(run.foundation), {})
    assert status(made.materials[0], "changes-stated") == "unmet"
    used = weights_used(run.foundation)
    made = derive_obligations("x", derivative, run.foundation, used, companions("x", run.foundation, used))
    assert status(made.materials[0], "changes-stated") == "met"
    assert made.materials[0].obligations[2].evidence.startswith("NOTICE says so")


@pytest.mark.parametrize(
    ("license", "good", "bad"),
    [("llama3.1", "Llama-tiny", "tiny-llama"), ("Llama-3", "Llama-3-x", "Llama-docs"), ("llama-4", "Llama", "llama-x")],
)
def test_a_required_beginning_of_the_name_is_checked(run: Run, license: str, good: str, bad: str) -> None:
    assert status(first(run, license, good), "name-prefix") == "met"
    assert status(first(run, license, bad), "name-prefix") == "unmet"
    assert prefix_fits(good, good[:5])


def test_what_no_file_can_show_is_left_to_a_person(run: Run) -> None:
    made = first(run, "llama2")
    assert {status(made, ask) for ask in ("user-gate", "other-models", "use-policy")} == {"to do"}


@pytest.mark.parametrize("license", ["other", "Llama", "Apache-2.0 AND secret", "", "BSD-../../x", "GPL-/etc"])
def test_an_unknown_licence_is_never_harmless(run: Run, license: str) -> None:
    material = first(run, license)
    assert not material.known
    assert material.obligations == ()
    assert "read its text" in material.notes[0] or "all rights are reserved" in material.notes[0]


def test_an_undeclared_licence_is_unknown(run: Run) -> None:
    assert first(run, None).license == "not declared"
    assert not first(run, None).known


def test_licences_of_sources_are_left_to_a_person(run: Run) -> None:
    sources = [{"source": license, "license": license} for license in ("PSF-2.0", "own", "secret")]
    made = obligations(run, run.foundation, *sources)
    python, own, secret = made.materials[1:]
    assert {each.status for each in python.obligations} == {"to do"}
    assert "LICENSES/PSF-2.0.txt holds" in python.obligations[0].evidence
    assert own.known
    assert own.obligations == ()
    assert "Nobody checked" in own.notes[0]
    assert not secret.known
    assert made.unknown == ["secret"]


def test_what_wrote_the_texts_reaches_the_model_that_learns_from_them(run: Run) -> None:
    source = {"source": "talk", "license": "own", "generated_by": {"model": "hf:meta-llama/Llama-3.1-70B-Instruct"}}
    made = obligations(run, run.foundation, source)
    writer = made.materials[-1]
    assert (writer.role, writer.license) == ("generator", "llama-3.1")
    assert [each.ask for each in writer.obligations] == ["name-prefix"]
    assert made.unmet[0][1].ask == "name-prefix"
    assert not obligations(run, run.foundation, source, name="Llama-docs").unmet


def test_a_parent_that_the_rules_know_is_asked_for_too(run: Run) -> None:
    foundation = foundation_under(run, "Apache-2.0", parent="hf:google/gemma-2-2b@main")
    made = obligations(run, foundation)
    assert [(each.role, each.license) for each in made.materials] == [("foundation", "Apache-2.0"), ("parent", "gemma-2025")]
    assert status(made.materials[1], "notice-line") == "met"
    assert status(made.materials[1], "licence-copy") == "met"


def test_what_foundation_and_parent_both_ask_is_told_once_and_an_unknown_parent_of_a_merge_is_told(run: Run) -> None:
    foundation = foundation_under(run, "gemma", parent="hf:google/gemma-2-2b")
    assert [each.role for each in obligations(run, foundation).materials] == ["foundation"]
    merged = (*foundation.facts.parents, DeclaredParent(uri="hf:someone/unlisted"))
    foundation = replace(foundation, facts=foundation.facts.model_copy(update={"parents": merged}))
    assert obligations(run, foundation).unknown == ["not declared"]


def test_a_licence_like_another_shares_its_obligations_but_its_own_line() -> None:
    licences = rules().licences
    first, third = licences["llama-3.1"], licences["llama-3.3"]
    assert [ask.ask for ask in first.asks] == [ask.ask for ask in third.asks]
    lines = [next(ask.value for ask in each.asks if ask.ask == "notice-line") for each in (first, third)]
    assert "Llama 3.1 Community" in lines[0]
    assert "Llama 3.3 Community" in lines[1]


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("apache-2.0", ["Apache-2.0"]),
        ("BSD-3-Clause", ["BSD-3-Clause"]),
        ("GPL-2.0+", ["GPL-2.0+"]),
        ("MIT OR GPL-3.0-only", ["MIT"]),
        ("Apache-2.0 AND (CC-BY-SA-3.0 OR CC-BY-NC-4.0)", ["Apache-2.0", "CC-BY-SA-3.0"]),
        ("Apache-2.0 WITH LLVM-exception", ["Apache-2.0"]),
        ("secret OR MIT", ["MIT"]),
        ("MIT AND secret", None),
        ("A OR", None),
        ("../../etc/passwd", None),
    ],
)
def test_expressions_leave_a_choice_or_hold_at_once(written: str, names: list[str] | None) -> None:
    found = find_licences(written)
    assert names == (None if found is None else [each.name for each in found])


@pytest.mark.parametrize(
    ("model", "licence"),
    [
        ("hf:meta-llama/Llama-3.1-8B@abc", "llama-3.1"),
        ("meta-llama/meta-llama-3-8b", "llama-3"),
        ("google/gemma-2b-it", "gemma-2025"),
        ("Qwen/Qwen2.5-7B", None),
        ("someone/Llama-3.1-8B", None),
    ],
)
def test_models_are_known_by_their_repository(model: str, licence: str | None) -> None:
    assert licence_of_model(model) == licence


def test_the_rules_are_sound() -> None:
    known = rules()
    assert known.version >= 2
    spellings = [each.lower() for name, licence in known.licences.items() for each in (name, *licence.names)]
    assert len(spellings) == len(set(spellings))
    asks = [ask for licence in known.licences.values() for ask in licence.asks]
    assert all(ask.says.strip() for ask in asks)
    assert all(ask.value for ask in asks if ask.ask in ("notice-line", "name-prefix", "display"))
    assert find_licence("GEMMA") == Known("gemma-2025", known.licences["gemma-2025"])
    assert set(known.models.values()) <= set(known.licences)


def test_texts_are_those_of_their_licences() -> None:
    """The lines that licences want kept stand in their own texts."""
    for name, licence in rules().licences.items():
        text = licence_text(name)
        for ask in licence.asks if text else ():
            if ask.ask in ("notice-line", "display", "name-prefix") and name != "llama-3":
                assert " ".join(ask.value.split()) in " ".join((text or "").split()), (name, ask.value)
    assert licence_text("../licences") is None


def test_compliant_is_never_said(run: Run) -> None:
    for license in (None, "Apache-2.0", "llama-2", "whatever"):
        assert "complian" not in first(run, license).model_dump_json().lower()


@pytest.mark.parametrize("name", ["BSD-3-Clause-NonCommercial", "BSD-Evil-Only", "GPL-nonsense", "CC-BY-SA-99"])
def test_a_name_that_only_begins_like_a_known_licence_is_unknown(name: str) -> None:
    assert find_licences(name) is None


def test_names_on_the_list_of_spdx_are_known_by_their_pattern() -> None:
    for name in ("BSD-2-Clause-Patent", "mpl-2.0+", "GPL-3.0-or-later", "CC-BY-NC-2.5", "OGL-UK-3.0"):
        assert find_licences(name), name


def test_expressions_that_nobody_means_are_unknown_at_once() -> None:
    assert find_licences(" AND ".join(["(MIT OR Apache-2.0)"] * 30)) is None
    assert find_licences("(" * 5000 + "MIT" + ")" * 5000) is None
    assert [known.name for known in find_licences("(MIT OR GPL-2.0-only) AND ISC") or ()] == ["MIT", "permissive"]
