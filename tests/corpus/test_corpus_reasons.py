"""Reasons are listed in one place, and all of them are explained."""

import ast
import re
from pathlib import Path

from etymon.corpus import reasons
from etymon.corpus.policy.load import load_policy
from etymon.corpus.reasons import ALL, STEPS, meaning_of, step_of
from etymon.evidence.impact import documents

_CORPUS = Path(reasons.__file__).parent
_ONE_OF_THEM = re.compile(r"[a-z]+(-[a-z0-9]+)+")
_NO_REASONS = {
    "python-docs",
    "dist-packages",
    "site-packages",
    "lib-dynload",
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-7",
}


def test_no_reader_gives_a_reason_that_is_not_listed() -> None:
    """What looks like one in the code that reads and finds files is one."""
    said = set()
    for file in [*(_CORPUS / "read").glob("*.py"), *(_CORPUS / "sources").glob("*.py"), _CORPUS / "stages" / "reading.py"]:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _ONE_OF_THEM.fullmatch(node.value):
                said.add(node.value)
    assert said - _NO_REASONS <= set(ALL)
    assert len(said & set(ALL)) > 30


def test_every_reason_is_explained_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "corpus.md").read_text("utf-8")
    of_default = [rule.reason for rule in load_policy("default", Path()).all_rules]
    explained = set(re.findall(r"`([a-z0-9-]+)`", page))
    assert {*ALL, *of_default, "refused-term", "personal-data"} - explained == set()


def test_a_reason_has_a_step_and_words() -> None:
    assert [step_of(each) for each in ("mostly-symbols", "in-existing-corpus", "near-duplicate")] == [
        "rules", "existing corpora", "near duplicates",
    ]  # fmt: skip
    assert {step_of(each) for each in ALL} <= set(STEPS)
    assert meaning_of("unsupported-type.png") == meaning_of("unsupported-type")
    assert meaning_of("mostly-symbols") is None


def test_impact_knows_the_copies_by_the_same_names() -> None:
    assert documents._COPIES == (reasons.EXACT, reasons.NEAR)
