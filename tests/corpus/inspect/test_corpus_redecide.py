"""Deciding again over stored signals, against corpora that are built by the other policy."""

from collections.abc import Callable
from pathlib import Path

import pytest

from etymon.corpus.inspect.opened import OpenCorpus
from etymon.corpus.inspect.redecide import redecide
from etymon.corpus.policy.load import load_policy
from etymon.corpus.policy.rules import Rule
from etymon.errors import EtymonError


@pytest.fixture
def other(made: Path) -> Callable[[str], str]:
    """Writes a policy beside the sources, and gives its name."""

    def write(content: str) -> str:
        (made / "other.yaml").write_text(f"name: other\n{content}", "utf-8")
        return "other.yaml"

    return write


def test_the_same_policy_changes_nothing(opened: OpenCorpus) -> None:
    found = redecide(opened, opened.policy)
    assert found.kept == found.kept_before
    assert found.not_compared.documents == 0
    assert all((rule.gained.documents, rule.lost.documents) == (0, 0) for rule in found.rules)
    assert not found.notes


@pytest.mark.parametrize(
    "content",
    [
        "rules:\n - {reason: brief, signal: characters, below: 1160}\n",
        "rules:\n - {reason: brief, signal: words, below: 5}\n - {reason: lengthy, signal: characters, above: 1800}\n",
        "rules:\n - {reason: brief, signal: characters, below: 50, languages: {en: 1100, zh: null}}\n",
        "evaluation_items: keep\n",
        "origins: {refuse: [site1.org]}\n",
        "near_duplicates: {similarity: 0.7, ngram: 5, bands: 28, rows: 4, drop: false}\n",
    ],
    ids=["stricter", "looser", "languages", "items", "origins", "near"],
)
def test_a_build_by_the_other_policy_decides_the_same(
    opened: OpenCorpus, build_inspected: Callable[..., OpenCorpus], made: Path, other: Callable[[str], str], content: str
) -> None:
    name = other(content)
    found = redecide(opened, load_policy(name, made))
    rebuilt = build_inspected(data_policy=name)
    reasons = rebuilt.decisions("reason", "side").to_pylist()
    dropped = {rule.reason for rule in rebuilt.policy.all_rules} | {"origin-refused"}
    assert found.passing.documents == sum(row["reason"] not in dropped for row in reasons)
    kept = sum(row["reason"] in (None, "not-in-mixture") for row in reasons)
    assert found.kept.documents - found.not_compared.documents <= kept <= found.kept.documents
    for rule in found.rules:
        assert rule.after.documents == sum(row["reason"] == rule.reason for row in reasons)


def test_gains_and_losses_are_shown(opened: OpenCorpus, made: Path, other: Callable[[str], str]) -> None:
    policy = load_policy(other("rules:\n - {reason: brief, signal: words, below: 3}\n"), made)
    found = {rule.reason: rule for rule in redecide(opened, policy).rules}
    assert found["too-few-words"].gained.documents == found["too-few-words"].before.documents - found["brief"].after.documents
    assert "hostile short.txt" in {sample.unit for sample in found["too-few-words"].gained_samples}
    assert found["brief"].lost.documents == 0


def test_what_only_a_build_can_tell_is_said(opened: OpenCorpus, made: Path, other: Callable[[str], str]) -> None:
    content = "personal_data: {action: keep}\nrefused_terms: {terms: [lamp]}\nlicenses: {allow: [own]}\n"
    notes = " ".join(redecide(opened, load_policy(other(content), made)).notes)
    assert "Other personal data is masked" in notes
    assert "Other terms are refused" in notes
    assert "asked of sources" in notes


def test_a_signal_that_an_older_corpus_did_not_measure_is_named(opened: OpenCorpus) -> None:
    policy = opened.policy.model_copy(update={"rules": (Rule(reason="dull", signal="dullness", above=1),)})
    with pytest.raises(EtymonError, match="'dullness', which was not measured"):
        redecide(opened, policy)
