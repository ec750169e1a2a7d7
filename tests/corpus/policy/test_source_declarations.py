"""What a source may declare in a recipe, and the places that a policy names."""

from pathlib import Path
from typing import Any

import pytest

from etymon.corpus.policy.origins import domain_of, is_from, urls_from
from etymon.errors import EtymonError
from etymon.recipe import Recipe, load_recipe

RECIPE = """\
name: x
foundation: nowhere
corpus: {{sources: [{{name: a, kind: files, path: docs, license: MIT, {fields}}}]}}
train: {{budget: {{tokens: 1000}}}}
"""


def recipe(folder: Path, fields: str) -> Recipe:
    (folder / "r.yaml").write_text(RECIPE.format(fields=fields), "utf-8")
    return load_recipe(folder / "r.yaml")


def test_declarations_survive_a_record_of_the_recipe(tmp_path: Path) -> None:
    evidence = f"evidence: {{path: c.pdf, sha256: {'a' * 64}}}"
    read = recipe(tmp_path, f"origin: o, {evidence}, collected: {{from: 2024-01-01, to: 2024-01-01}}, language: zh-Hant")
    stored = read.model_dump(mode="json")
    assert stored["corpus"]["sources"][0]["collected"] == {"from": "2024-01-01", "to": "2024-01-01"}
    assert Recipe.model_validate(stored) == read


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("collected: {from: 2024-02-01, to: 2024-01-01}", "`from` is later than `to`"),
        ("collected: {from: 2024-02-30, to: 2024-03-01}", "`corpus.sources.0.collected.from`"),
        ("collected: {from: 2024-02-01}", "`corpus.sources.0.collected.to` is missing"),
        ("collected: {form: 2024-02-01}", "did you mean `from`?"),
        ("evidence: {sha256: " + "a" * 64 + "}", "give `path` or `url`, one of them"),
        ("evidence: {path: c.pdf, sha256: abc}", "`corpus.sources.0.evidence.sha256`"),
        ("evidence: {path: c.pdf, sha: abc}", "did you mean `sha256`?"),
        ("personal_data: yes please", "`corpus.sources.0.personal_data`"),
        ("language: English language", "`corpus.sources.0.language`"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, fields: str, said: str) -> None:
    with pytest.raises(EtymonError) as caught:
        recipe(tmp_path, fields)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://www.Example.org:80/a?b", "example.org"),
        ("http://user@host.example.org", "host.example.org"),
        ("https://[2001:db8::1]/x", "2001:db8::1"),
        ("https://[broken", None),
        ("www.Example.org/a?b", "example.org"),
        ("//example.org:80/a", "example.org"),
        ("example.org.", "example.org"),
        ("a letter from example.org", None),
        ("hf:example.org/set", None),
        ("our wiki", None),
        ("", None),
        (None, None),
    ],
)
def test_domains(url: str | None, domain: str | None) -> None:
    assert domain_of(url) == domain


@pytest.mark.parametrize(
    ("origin", "patterns", "found"),
    [
        ("https://a.example.org/x", ["example.org"], True),
        ("https://example.org.evil.net/x", ["example.org"], False),
        ("https://a.example.org/x", ["www.example.org"], True),
        ("example.org", ["example.org"], True),
        ("https://a.gov/x", ["https://*.gov/*"], True),
        ("a.example.org/x", ["example.org"], True),
        ("WWW.example.org/x", ["example.org"], True),
        ("b.net/example.org", ["example.org"], False),
        ("a.gov/x", ["https://*.gov/*"], True),
        ("a.net/forum/1", ["http://*/forum/*"], True),
        ("hf:Good/set", ["hf:good/*"], True),
        ("anything", ["any"], True),
        ("anything", [], False),
    ],
)
def test_places(origin: str, patterns: list[str], found: bool) -> None:
    assert is_from(origin, patterns) == found


@pytest.mark.parametrize("patterns", [["example.org"], ["https://example.org/*", "b.net"], []])
def test_addresses_of_documents(patterns: list[str]) -> None:
    urls: Any = ["https://example.org/a", None, "https://b.net/x", "example.org/b", "https://other.org/"]
    assert urls_from(urls, patterns).tolist() == [url is not None and is_from(url, patterns) for url in urls]
