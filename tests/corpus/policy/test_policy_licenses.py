"""Licences of a policy: expressions, patterns, classes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from etymon.corpus.policy.licenses import close_license, expand_classes, is_taken, license_classes

PERMISSIVE = expand_classes(["permissive", "public-domain", "attribution", "own"])
NOT_SPDX = {"public-domain", *license_classes()["undeclared"]}


@pytest.mark.parametrize(
    "license",
    ["MIT", "mit", "apache-2.0", "own", "CC-BY-4.0", "CC-BY-3.0-US", "CC0-1.0", "MIT OR GPL-3.0-only", "MIT AND BSD-3-Clause",
     "(MIT OR GPL-2.0-only) AND ISC", "Apache-2.0 WITH LLVM-exception", "GPL-2.0-only AND MIT OR ISC", "Python-2.0+"],
)  # fmt: skip
def test_permissive_licences_are_taken(license: str) -> None:
    assert is_taken(license, PERMISSIVE, ())


@pytest.mark.parametrize(
    "license",
    ["CC-BY-NC-4.0", "CC-BY-SA-4.0", "CC-BY-ND-4.0", "GPL-3.0-only", "MIT AND GPL-3.0-only", "unknown", "", "OR", "(MIT",
     "MIT OR", "MIT and nothing else", "GPL-2.0-only AND (MIT OR ISC)",
     "GPL-2.0-only WITH Classpath-exception-2.0", "(" * 100_000],
)  # fmt: skip
def test_others_are_not(license: str) -> None:
    assert not is_taken(license, PERMISSIVE, ())


def test_what_is_refused_is_refused_though_allowed() -> None:
    refuse = expand_classes(["non-commercial", "no-derivatives"])
    assert is_taken("CC-BY-SA-4.0", ["any"], refuse)
    assert not is_taken("cc-by-nc-nd-4.0", ["any"], refuse)
    assert is_taken("CC-BY-NC-4.0 OR CC-BY-4.0", ["any"], refuse), "one may choose the other"


@pytest.mark.parametrize(
    ("license", "refuse"),
    [("CC-BY-NC", "non-commercial"), ("cc by-nc 4.0", "non-commercial"), ("CC_BY_NC_SA", "non-commercial"),
     ("CC-BY-NC-ND", "no-derivatives"), ("CC-BY-NC AND MIT", "non-commercial"), ("CC-NC-1.0", "non-commercial"),
     ("LicenseRef-non-commercial-use", "non-commercial"), ("GPL", "copyleft"), ("GPL-3.0", "GPL-3.0-only"),
     ("GPL", "GPL-3.0-only"), ("CC-BY-SA", "share-alike"), ("Apache", "Apache-2.0"), ("CC-BY-NC", "CC-BY-NC-4.0")],
)  # fmt: skip
def test_a_licence_without_its_version_is_refused_with_its_family(license: str, refuse: str) -> None:
    assert not is_taken(license, ["any"], expand_classes([refuse]))
    assert is_taken(f"{license} OR MIT", ["any"], expand_classes([refuse])) or " " in license


@pytest.mark.parametrize(
    ("license", "refuse"),
    [("MIT", "MIT-0"), ("CC-BY-4.0", "CC-BY-NC-*"), ("CC-BY", "CC-BY-NC-*"), ("GPL-2.0-only", "GPL-3.0-only"),
     ("BSD-2-Clause", "BSD-3-Clause"), ("CC-BY-SA-4.0", "non-commercial"), ("LGPL-3.0-only", "GPL-*")],
)  # fmt: skip
def test_another_family_is_not_refused_with_it(license: str, refuse: str) -> None:
    assert is_taken(license, ["any"], expand_classes([refuse]))


@given(
    st.recursive(
        st.sampled_from(["MIT", "GPL-3.0-only"]), lambda inner: st.tuples(inner, st.sampled_from(["AND", "OR"]), inner)
    )
)
def test_expressions_mean_what_they_say(tree: object) -> None:
    def text(node: object) -> str:
        return node if isinstance(node, str) else f"({text(node[0])} {node[1]} {text(node[2])})"  # type: ignore[index]

    def truth(node: object) -> bool:
        if isinstance(node, str):
            return node == "MIT"
        sides = [truth(node[0]), truth(node[2])]  # type: ignore[index]
        return all(sides) if node[1] == "AND" else any(sides)  # type: ignore[index]

    assert is_taken(text(tree), ["MIT"], ()) == truth(tree)


def test_members_of_classes_are_on_the_spdx_list() -> None:
    for members in license_classes().values():
        for member in members:
            if "*" not in member and member not in NOT_SPDX:
                try:
                    assert canonicalize_license_expression(member) == member
                except InvalidLicenseExpression:
                    pytest.fail(f"{member} is no SPDX identifier")


def test_a_misspelled_name_is_refused_and_an_unknown_one_is_kept() -> None:
    with pytest.raises(ValueError, match="did you mean 'non-commercial'"):
        expand_classes(["noncommercial"])
    assert expand_classes(["LicenseRef-ours", "gemma"]) == ("LicenseRef-ours", "gemma")
    assert close_license("Apache 2.0") == "Apache-2.0"
    assert close_license("MIT") is None
