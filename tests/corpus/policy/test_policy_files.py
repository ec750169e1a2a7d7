"""Reading data policies: the shipped ones, and files that extend them."""

from pathlib import Path

import pytest

from etymon.corpus.policy.licenses import license_classes
from etymon.corpus.policy.load import SHIPPED, load_policy
from etymon.corpus.policy.policy import IllegalContent, RefusedTerms
from etymon.errors import EtymonError
from etymon.store import value_digest


def written(folder: Path, text: str) -> str:
    (folder / "ours.yaml").write_text(text, "utf-8")
    return "ours.yaml"


def test_the_default_holds_its_numbers(tmp_path: Path) -> None:
    policy = load_policy("default", tmp_path)
    assert [str(rule) for rule in policy.rules] == [
        "characters below 1",
        "words below 12",
        "words_with_a_letter below 0.5",
        "mean_word_length above 25",
        "duplicate_lines above 0.5, from 50 words on",
        "duplicate_fivegrams above 0.5, from 50 words on",
    ]
    assert [rule.reason for rule in policy.rules if rule.rows_too] == ["empty"]
    near = policy.near_duplicates
    assert (near.similarity, near.ngram, near.bands, near.rows, near.drop) == (0.7, 5, 28, 4, True)


def test_shipped_policies_are_read_and_differ(tmp_path: Path) -> None:
    policies = [load_policy(name, tmp_path) for name in SHIPPED]
    assert [policy.name for policy in policies] == list(SHIPPED)
    assert len({value_digest(policy.model_dump(mode="json")) for policy in policies}) == len(SHIPPED)
    assert policies[2].required == ("origin", "evidence", "personal_data", "collected")
    assert "MIT" in policies[2].licenses.allow, "strict extends permissive-only"


def test_what_a_file_leaves_out_is_as_in_the_default(tmp_path: Path) -> None:
    ours = load_policy(written(tmp_path, "name: ours\nrequired: [origin]\n"), tmp_path)
    default = load_policy("default", tmp_path)
    assert ours == default.model_copy(update={"name": "ours", "description": "", "required": ("origin",)})


def test_a_file_extends_another_beside_it(tmp_path: Path) -> None:
    (tmp_path / "firm").mkdir()
    (tmp_path / "firm" / "base.yaml").write_text("name: firm\nextends: strict\npersonal_data: {action: drop}\n", "utf-8")
    policy = load_policy(written(tmp_path, "name: ours\nextends: firm/base.yaml\nevaluation_items: keep\n"), tmp_path)
    assert policy.personal_data.action == "drop"
    assert policy.evaluation_items == "keep"
    assert policy.required


def test_terms_come_from_files_and_become_part_of_the_policy(tmp_path: Path) -> None:
    (tmp_path / "terms.txt").write_text("\ufeff# ours\nforbidden words\n禁語\n\nforbidden words\n", "utf-8")
    text = "name: ours\nrefused_terms: {terms: [one more], files: [terms.txt]}\n"
    policy = load_policy(written(tmp_path, text), tmp_path)
    assert policy.refused_terms
    assert policy.refused_terms.terms == ("forbidden words", "one more", "禁語")
    assert [rule.reason for rule in policy.all_rules][:2] == ["refused-term", "empty"]


def test_personal_data_may_be_dropped(tmp_path: Path) -> None:
    policy = load_policy(written(tmp_path, "name: ours\npersonal_data: {action: drop, kinds: [email, ip]}\n"), tmp_path)
    assert [(rule.reason, rule.signal) for rule in policy.all_rules[:2]] == [
        ("personal-data", "emails"),
        ("personal-data", "ips"),
    ]
    assert policy.personal_data.masked == ()


def test_classes_of_licences_become_identifiers(tmp_path: Path) -> None:
    policy = load_policy(written(tmp_path, "name: ours\nlicenses: {allow: any, refuse: [non-commercial, GPL-*]}\n"), tmp_path)
    assert policy.licenses.allow == ("any",)
    assert policy.licenses.refuse == (*license_classes()["non-commercial"], "GPL-*")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\nlicences: {}\n", "unknown key `licences`; did you mean `licenses`?"),
        ("name: x\nlicenses: {alow: any}\n", "unknown key `licenses.alow`; did you mean `allow`?"),
        ("name: x\nrefused_terms: {file: a}\n", "unknown key `refused_terms.file`; did you mean `files`?"),
        ("name: x\nlicenses: {allow: [permisive]}\n", "did you mean 'permissive'?"),
        ("name: x\nextends: ours.yaml\n", "extends itself"),
        ("name: x\nextends: strikt\n", "ours.yaml extends.\nDid you mean strict?"),
        ("name: x\nextends: other.yaml\n", "There is no data policy"),
        ("name: x\nillegal_content: {sample: 3, limit: 0.05}\n", "nothing illegal could be found"),
        ("name: x\nillegal_content: {sample: 3, limit: 0.05, patterns: ['(']}\n", "'(' is no regular expression"),
        ("name: x\nillegal_content: {sample: 3, limit: 5, terms: [a]}\n", "`illegal_content.limit`"),
        ("name: x\nrefused_terms: {}\n", "`refused_terms` lists no terms"),
        ("name: x\nrefused_terms: {files: [gone.txt]}\n", "gone.txt, which cannot be read"),
        ("name: x\nrules: [{reason: a, signal: words}]\n", "`rules.0`: a rule has one bound"),
        ("name: x\nrequired: [orgin]\n", "`required.0`"),
        ("name: x\nrules: [{reason: short, signal: wrods, below: 5}]\n", "'short' is about 'wrods'"),
        ("name: x\nrules: [{reason: short, signal: wrods, below: 5}]\n", "Did you mean words?"),
        ("name: x\nrules: [{reason: english, signal: language, below: 5}]\n", "'language', which is no signal that has a"),
        ("name: x\nrules: [{reason: short, signal: words, below: .nan}]\n", "`rules.0.below`: Input should be a finite"),
        ("name: x\nrules: [{reason: a, signal: words, above: 1, languages: {de: .inf}}]\n", "`rules.0.languages.de`"),
        ("name: x\nname: y\n", "the key `name` is there twice"),
        ("description: x\n", "`name` is missing"),
        ("- x\n", "holds no data policy"),
    ],
)  # fmt: skip
def test_mistakes_name_file_key_and_remedy(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(EtymonError) as caught:
        load_policy(written(tmp_path, text), tmp_path)
    assert said in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_policy_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EtymonError, match="Did you mean permissive-only"):
        load_policy("permissive", tmp_path)


def test_a_section_written_in_part_keeps_the_rest_of_the_extended_policy(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nextends: strict\npersonal_data: {kinds: [email]}\n"
        "licenses: {refuse: [GPL-3.0-only]}\nnear_duplicates: {similarity: 0.9}\n",
        "utf-8",
    )
    mine, strict = load_policy("mine.yaml", tmp_path), load_policy("strict", tmp_path)
    assert mine.personal_data.action == strict.personal_data.action != "keep"
    assert mine.licenses.allow == strict.licenses.allow != "any"
    assert mine.near_duplicates == strict.near_duplicates.model_copy(update={"similarity": 0.9})


def test_what_is_refused_is_added_to_what_the_extended_policy_refuses(tmp_path: Path) -> None:
    (tmp_path / "house.yaml").write_text(
        "name: house\nlicenses: {refuse: [GPL-3.0-only]}\norigins: {refuse: [a.org]}\n"
        "refused_terms: {terms: [bluebird], action: refuse-source}\n"
        "illegal_content: {sample: 40, limit: 0.1, terms: [stolen], patterns: [gun]}\n",
        "utf-8",
    )
    (tmp_path / "list.txt").write_text("blackbird\n", "utf-8")
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nextends: house.yaml\nlicenses: {refuse: [MIT]}\norigins: {refuse: b.org}\n"
        "refused_terms: {files: [list.txt]}\nillegal_content: {patterns: [bomb]}\n",
        "utf-8",
    )
    mine = load_policy("mine.yaml", tmp_path)
    assert set(mine.licenses.refuse) == {"MIT", "GPL-3.0-only"}
    assert mine.origins.refuse == ("b.org", "a.org")
    assert mine.refused_terms == RefusedTerms(terms=("blackbird", "bluebird"), action="refuse-source")
    assert mine.illegal_content == IllegalContent(sample=40, limit=0.1, terms=("stolen",), patterns=("bomb", "gun"))
