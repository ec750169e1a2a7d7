"""Compute of a modification beside its base, and filing or registration."""

from typing import Any

import pytest

from etymon.evidence.filings.compute import SHARE, compute_facts, recorded_base, training_flop
from etymon.evidence.filings.known import Known
from etymon.evidence.filings.obligation import decide_obligation, decision_facts


def trained(
    tokens: int = 1_000_000, parameters: int = 135_000_000, start: str = "foundation", **more: Any
) -> dict[str, Known]:
    values = {"model.parameters": parameters, "training.tokens_seen": tokens, "training.start": start} | more
    return {name: Known(value=value, origin="train-0") for name, value in values.items()}


BASE = recorded_base(
    {"base_pretraining_flop": 1.6e24, "base_pretraining_tokens": 2e12, "base_pretraining_source": "a card"}, "train-0"
)


def test_compute_is_six_times_parameters_times_tokens() -> None:
    found = compute_facts(trained() | BASE)
    assert found["eu.modification_flop"].value == 6 * 135_000_000 * 1_000_000
    assert found["eu.compute_ratio"].value == pytest.approx(8.1e14 / 1.6e24)
    assert found["eu.provider"].value is False
    assert "a card" in found["eu.base"].value
    assert {found[name].kind for name in ("eu.base_flop", "eu.total_flop", "eu.compute_ratio")} == {"declared"}


def test_an_unknown_base_leaves_ratio_and_decision_open() -> None:
    found = compute_facts(trained())
    assert "eu.compute_ratio" not in found
    assert found["eu.provider"].value is None
    assert found["eu.base"].value == "unknown"
    assert "unknown" in found["eu.provider_reason"].value


def test_more_than_a_third_makes_a_provider_of_a_large_model() -> None:
    just = int(1.6e24 * SHARE / 6 / 135_000_000)
    assert compute_facts(trained(just - 10) | BASE)["eu.provider"].value is False
    assert compute_facts(trained(just + 10**6) | BASE)["eu.provider"].value is True


def test_a_small_base_is_no_general_purpose_model_whatever_the_share() -> None:
    small = {"training.base_flop": BASE["training.base_flop"].model_copy(update={"value": 1e20})}
    found = compute_facts(trained(10**12) | small)
    assert found["eu.compute_ratio"].value > 1
    assert found["eu.provider"].value is False
    assert "indicative" in found["eu.provider"].note


@pytest.mark.parametrize(("systemic", "provider"), [(False, True), (True, False)])
def test_where_the_base_cannot_be_known_a_fixed_line_takes_its_place(systemic: bool, provider: bool) -> None:
    said = {"organisation.foundation.compute_cannot_be_known": True, "organisation.foundation.systemic_risk": systemic}
    found = compute_facts(trained(10**12, 10**11, **said))  # 6e23 FLOP
    assert found["eu.provider"].value is provider


def test_the_organisation_may_declare_the_base_and_the_decision() -> None:
    said = {
        "organisation.foundation.pretraining_flop": 3e24,
        "organisation.foundation.pretraining_flop_source": "our estimate",
    }
    assert "our estimate" in compute_facts(trained(**said))["eu.base"].value
    decided = compute_facts(trained(**{"organisation.eu.general_purpose_provider": True}))
    assert (decided["eu.provider"].value, decided["eu.provider"].kind) == (True, "declared")


def test_a_random_start_has_no_base() -> None:
    found = compute_facts(trained(10**12, 10**11, start="random"))
    assert "eu.compute_ratio" not in found
    assert found["eu.provider"].value is True
    assert found["eu.total_flop"].value == training_flop(10**11, 10**12)


PUBLIC = {"organisation.china.offered_to_public": True, "organisation.china.public_opinion": True}


def test_who_trains_files() -> None:
    decision = decide_obligation(trained(**PUBLIC))
    assert decision.obligation == "filing"
    assert "legal review" in decision.to_review[0]
    assert decision_facts(decision)["china.service"].value is True


def test_who_calls_a_filed_model_registers() -> None:
    said = {name: Known(value=True, origin="file") for name in (*PUBLIC, "organisation.china.calls_filed_model_only")}
    assert decide_obligation(said).obligation == "registration"
    contradicted = decide_obligation(trained() | said)
    assert contradicted.obligation == "filing"
    assert "this run trained one" in contradicted.to_review[-1]


@pytest.mark.parametrize("name", list(PUBLIC))
def test_what_is_not_offered_or_moves_nobody_asks_for_neither(name: str) -> None:
    assert decide_obligation(trained(**PUBLIC | {name: False})).obligation == "none"


@pytest.mark.parametrize("name", list(PUBLIC))
def test_without_an_answer_nothing_is_decided(name: str) -> None:
    decision = decide_obligation(trained(**{each: True for each in PUBLIC if each != name}))
    assert decision.obligation == "undecided"
    said = decision_facts(decision)["china.service"]
    assert said.value is None
    assert name.removeprefix("organisation.") in said.note
