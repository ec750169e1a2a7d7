from dataclasses import replace

import pytest
from evidence_run import Run

from etymon.errors import EtymonError
from etymon.evidence.conflicts import find_conflicts, refuse_conflicts
from etymon.evidence.materials import Used, sources_used, weights_used
from etymon.foundation.model import DeclaredParent, Model
from etymon.recipe import LICENCE_RULES, Waiver


def materials(run: Run, license: str | None, *sources: dict[str, object], parents: tuple[str, ...] = ()) -> list[Used]:
    declared = tuple(DeclaredParent(uri=each, relation="merge") for each in parents)
    facts = run.foundation.facts.model_copy(update={"license": license, "parents": declared})
    foundation: Model = replace(run.foundation, facts=facts)
    return [*weights_used(foundation), *sources_used(sources)]


def source(license: str, writer: str | None = None, writers: str | None = None) -> dict[str, object]:
    generated = {"model": writer} | ({"license": writers} if writers else {}) if writer else None
    return {"source": "talk", "license": license, "generated_by": generated}


def rules_broken(used: list[Used]) -> list[tuple[str, str]]:
    return [(each.rule, each.source) for each in find_conflicts(used)]


@pytest.mark.parametrize("license", ["Apache-2.0", "MIT", "llama-2", "gemma", "own", "cc-by-sa-4.0", "qwen"])
def test_a_known_foundation_and_open_data_are_no_conflict(run: Run, license: str) -> None:
    data = ["CC-BY-4.0", "PSF-2.0", "GPL-3.0-only", "own", "BSD-3-Clause OR secret"]
    assert rules_broken(materials(run, license, *map(source, data))) == []


@pytest.mark.parametrize(
    ("license", "data", "expected"),
    [
        (None, "own", [("licence-unknown", "foundation")]),
        ("other", "own", [("licence-unknown", "foundation")]),
        ("MIT", "unknown", [("licence-unknown", "talk")]),
        ("MIT", "CC-BY-NC-4.0", [("non-commercial", "talk")]),
        ("MIT", "CC-BY-NC-ND-2.0", [("non-commercial", "talk"), ("no-derivatives", "talk")]),
        ("cc-by-nc-4.0", "own", [("non-commercial", "foundation")]),
        ("Apache-2.0", "llama2", [("other-models", "talk")]),
        ("llama-2", "llama2", []),
        ("llama-3.1", "llama-3", [("other-models", "talk")]),
        ("Apache-2.0", "llama3.1", []),
    ],
)
def test_what_licences_forbid_is_found(run: Run, license: str | None, data: str, expected: list[tuple[str, str]]) -> None:
    assert rules_broken(materials(run, license, source(data))) == expected


@pytest.mark.parametrize(
    ("writer", "writers", "expected"),
    [
        ("hf:meta-llama/Llama-2-70b-chat-hf", None, [("other-models", "talk")]),
        ("hf:meta-llama/Llama-3.1-8B", None, []),
        ("a model of ours", "own", []),
        ("some service", None, [("licence-unknown", "talk")]),
        ("c4ai", "CC-BY-NC-4.0", []),
    ],
)
def test_texts_that_a_model_wrote(run: Run, writer: str, writers: str | None, expected: list[tuple[str, str]]) -> None:
    assert rules_broken(materials(run, "Apache-2.0", source("own", writer, writers))) == expected


def test_a_licence_that_a_parent_contradicts_is_no_licence(run: Run) -> None:
    used = materials(run, "apache-2.0", parents=("hf:meta-llama/Llama-3.1-8B",))
    (breach,) = find_conflicts(used)
    assert breach.rule == "licence-misdeclared"
    assert "declares apache-2.0, but is derived from hf:meta-llama/Llama-3.1-8B" in breach.found
    assert rules_broken(materials(run, "llama3.1", parents=("hf:meta-llama/Llama-3.1-8B",))) == []


def test_parents_of_a_merge_that_exclude_each_other(run: Run) -> None:
    llama, gemma, mistral = "hf:meta-llama/Llama-2-7b-hf", "hf:google/gemma-2-2b", "hf:mistralai/Mistral-7B-v0.1"
    assert ("other-models", "foundation") in rules_broken(materials(run, "llama-2", parents=(llama, mistral)))
    assert ("other-models", "foundation") in rules_broken(materials(run, "llama-2", parents=(llama, "hf:someone/unlisted")))
    assert rules_broken(materials(run, "llama-2", parents=(llama, "hf:meta-llama/Llama-2-7b-chat-hf"))) == []
    assert rules_broken(materials(run, "CC-BY-SA-4.0 AND gemma", parents=(gemma, mistral))) == [
        ("incompatible-parents", "foundation")
    ]
    assert rules_broken(materials(run, "gemma", parents=(gemma, mistral))) == []


def test_a_conflict_stops_the_run_and_says_how_to_go_on(run: Run) -> None:
    with pytest.raises(EtymonError) as caught:
        refuse_conflicts(materials(run, None, source("CC-BY-NC-4.0")), [])
    said = str(caught.value)
    assert "The foundation tiny-base breaks the rule licence-unknown of licences: no licence of it is declared" in said
    assert "Source 'talk' breaks the rule non-commercial of licences: its licence CC-BY-NC-4.0 allows no commercial" in said
    assert "--waive licence-unknown:foundation " in said


def test_someone_may_answer_for_it_and_that_is_recorded(run: Run) -> None:
    used = materials(run, "MIT", source("CC-BY-NC-4.0"))
    (waived,) = refuse_conflicts(used, [Waiver(rule="non-commercial", source="talk", reason="for research only")])
    assert (waived.rule, waived.source, waived.reason) == ("non-commercial", "talk", "for research only")
    assert "CC-BY-NC-4.0" in waived.found


@pytest.mark.parametrize(
    ("waiver", "said"),
    [
        (Waiver(rule="non-commercial", reason="x"), "is for nothing"),
        (Waiver(rule="non-comercial", reason="x"), "Did you mean non-commercial"),
        (Waiver(rule="non-commercial", source="tolk", reason="x"), "Did you mean talk"),
    ],
)
def test_a_waiver_of_nothing_is_refused(run: Run, waiver: Waiver, said: str) -> None:
    with pytest.raises(EtymonError) as caught:
        refuse_conflicts(materials(run, "MIT", source("own")), [waiver])
    assert said in str(caught.value)


def test_every_rule_is_one_that_can_be_broken(run: Run) -> None:
    merged = ("hf:meta-llama/Llama-2-7b-hf", "hf:google/gemma-2-2b")
    broken = materials(run, "CC-BY-SA-4.0", source("CC-BY-NC-ND-4.0"), source("secret"), parents=merged)
    assert {rule for rule, _ in rules_broken(broken)} == set(LICENCE_RULES)
