"""Sources against a policy: what is refused before any work, and what is waived."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from etymon.corpus.policy.check import check_sources, declarations
from etymon.corpus.policy.load import load_policy
from etymon.corpus.policy.policy import Origins, Policy
from etymon.errors import EtymonError
from etymon.recipe import Corpus, Waiver

DECLARED = {
    "origin": "https://example.org/poems",
    "personal_data": "none",
    "collected": {"from": "2024-01-01", "to": "2024-02-01"},
}


def corpus(**fields: Any) -> Corpus:
    return Corpus.model_validate({"sources": [{"name": "poems", "kind": "files", "path": "x", "license": "MIT"} | fields]})


def refused(asked: Corpus, policy: Policy, base: Path, *waivers: Waiver) -> str:
    with pytest.raises(EtymonError) as caught:
        check_sources(asked, policy, waivers, base)
    return str(caught.value)


def test_the_default_takes_any_source(tmp_path: Path) -> None:
    assert check_sources(corpus(license="CC-BY-NC-4.0"), load_policy("default", tmp_path), (), tmp_path) == []


def test_a_licence_that_is_not_allowed_names_rule_source_value_and_remedy(tmp_path: Path) -> None:
    permissive = load_policy("permissive-only", tmp_path)
    said = refused(corpus(license="CC-BY-NC-4.0"), permissive, tmp_path)
    assert said.splitlines() == [
        "Source 'poems' breaks the rule license-not-allowed of the data policy permissive-only: its licence is CC-BY-NC-4.0.",
        "Use another source or data policy.",
        "To go on all the same, and have it recorded: --waive license-not-allowed:poems --reason '...'",
    ]
    assert "Did you mean Apache-2.0?" in refused(corpus(license="Apache 2.0"), permissive, tmp_path)


def test_strict_asks_for_declarations_and_names_every_one_that_is_missing(tmp_path: Path) -> None:
    said = refused(corpus(), load_policy("strict", tmp_path), tmp_path)
    for rule in ("origin-missing", "evidence-missing", "personal-data-missing", "collected-missing"):
        assert f"breaks the rule {rule} " in said
        assert f" --waive {rule}:poems" in said.splitlines()[-1], "one command waives all"
    assert "`collected: {from: 2024-01-01, to: 2024-03-31}`" in said


def test_evidence_is_compared_with_its_file(tmp_path: Path) -> None:
    strict, contract = load_policy("strict", tmp_path), tmp_path / "contract.txt"
    contract.write_bytes(b"You may.")
    evidence = {"path": "contract.txt", "sha256": sha256(b"You may.").hexdigest().upper()}
    asked = corpus(evidence=evidence, **DECLARED)
    assert check_sources(asked, strict, (), tmp_path) == []
    contract.write_bytes(b"You may not.")
    assert "evidence-changed" in refused(asked, strict, tmp_path)
    contract.unlink()
    assert "evidence-not-found" in refused(asked, load_policy("default", tmp_path), tmp_path), "whatever the policy"


def test_evidence_at_an_address_is_noted_and_not_fetched(tmp_path: Path) -> None:
    asked = corpus(evidence={"url": "https://nowhere.invalid/contract.pdf", "sha256": "a" * 64}, **DECLARED)
    assert check_sources(asked, load_policy("strict", tmp_path), (), tmp_path) == []
    assert declarations(asked)[0].evidence == {"url": "https://nowhere.invalid/contract.pdf", "sha256": "a" * 64}
    assert declarations(asked)[0].collected == {"from": "2024-01-01", "to": "2024-02-01"}


@pytest.mark.parametrize(
    ("allow", "refuse", "fields", "rule"),
    [
        (("any",), ("example.org",), {"origin": "https://data.example.org/x"}, "origin-refused"),
        (("any",), ("hf:bad/*",), {"path": "hf:bad/set"}, "origin-refused"),
        (("example.org",), (), {"origin": "https://notexample.org/x"}, "origin-not-allowed"),
        (("example.org",), (), {}, "origin-not-allowed"),
        (("example.org",), (), {"origin": "https://EXAMPLE.org"}, None),
        (("our wiki*",), (), {"origin": "Our wiki, exported in March"}, None),
        (("hf:good/*",), (), {"path": "hf:good/set"}, None),
        (("hf:good/*", "example.com"), (), {"path": "hf:good/set", "origin": "https://example.com"}, None),
        (("hf:good/*",), (), {"path": "hf:good/set", "origin": "https://example.com"}, "origin-not-allowed"),
        (("good.org",), (), {"path": "https://evil.com/x", "origin": "https://good.org"}, "origin-not-allowed"),
    ],
)
def test_origins(tmp_path: Path, allow: Any, refuse: Any, fields: Any, rule: str | None) -> None:
    origins = Origins(allow=allow, refuse=refuse)
    policy = load_policy("default", tmp_path).model_copy(update={"origins": origins})
    if rule is None:
        assert check_sources(corpus(**fields), policy, (), tmp_path) == []
    else:
        assert f"breaks the rule {rule} " in refused(corpus(**fields), policy, tmp_path)


def test_a_waiver_lets_one_source_pass_and_is_recorded(tmp_path: Path) -> None:
    waiver = Waiver(rule="license-not-allowed", source="poems", reason="permission by letter of 3 May")
    asked, policy = corpus(license="CC-BY-NC-4.0"), load_policy("permissive-only", tmp_path)
    [waived] = check_sources(asked, policy, (waiver,), tmp_path)
    assert waived.model_dump() == {
        "rule": "license-not-allowed",
        "source": "poems",
        "found": "its licence is CC-BY-NC-4.0",
        "reason": "permission by letter of 3 May",
    }
    for_all = Waiver(rule="license-not-allowed", reason="for all")
    assert [each.reason for each in check_sources(asked, policy, (for_all,), tmp_path)] == ["for all"]


@pytest.mark.parametrize(
    ("rule", "source", "said"),
    [
        ("license-not-allowed", None, "is for nothing: nothing breaks that rule"),
        ("license-not-alowed", None, "Did you mean license-not-allowed?"),
        ("license-not-allowed", "poem", "names the source 'poem', which there is not.\nDid you mean poems?"),
        ("illegal-content", None, "the data policy permissive-only has no such rule"),
    ],
)
def test_a_waiver_for_nothing_is_refused(tmp_path: Path, rule: str, source: str | None, said: str) -> None:
    waiver = Waiver(rule=rule, source=source, reason="because")
    assert said in refused(corpus(), load_policy("permissive-only", tmp_path), tmp_path, waiver)


def test_a_waiver_of_one_rule_leaves_the_others(tmp_path: Path) -> None:
    waiver = Waiver(rule="origin-missing", reason="lost")
    said = refused(corpus(), load_policy("strict", tmp_path), tmp_path, waiver)
    assert "origin-missing" not in said
    assert "evidence-missing" in said
