"""Licence and parents travel in a model card's front matter."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.errors import EtymonError
from etymon.foundation.card import Card, card_text, read_card
from etymon.foundation.model import DeclaredParent

REPOSITORY = st.from_regex(r"[A-Za-z0-9]{1,8}/[A-Za-z0-9.-]{1,12}", fullmatch=True)


def card(folder: Path, text: str) -> Card:
    (folder / "README.md").write_text(text, "utf-8")
    return read_card(folder)


@given(
    license=st.none() | st.sampled_from(["Apache-2.0", "MIT", "llama3.1", "LicenseRef-own"]),
    names=st.lists(REPOSITORY, max_size=3),
    relation=st.sampled_from(["finetune", "quantized", "merge"]),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, license: str | None, names: list[str], relation: str
) -> None:
    parents = tuple(DeclaredParent(uri=f"hf:{name}", relation=relation) for name in names)
    assert card(tmp_path_factory.getbasetemp(), card_text(license, parents, "A model.")) == Card(license, parents)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no front matter", Card()),
        ("---\nlicense: mit\nnever closed", Card()),
        ("---\n- a list\n---\n", Card()),
        ("---\nlicense: [apache-2.0, mit]\n---\n", Card("Apache-2.0")),
        ("---\nlicense: other\nlicense_name: gemma\n---\n", Card("gemma")),
        ("---\nlicense: 3\nbase_model: 4\n---\n", Card()),
        ("---\nbase_model: a/b\n---\n", Card(None, (DeclaredParent(uri="hf:a/b", relation="finetune"),))),
        ("---\nbase_model: ./here\n---\n", Card(None, (DeclaredParent(uri="./here"),))),
    ],
)
def test_other_cards(tmp_path: Path, text: str, expected: Card) -> None:
    assert card(tmp_path, text) == expected


def test_no_card_declares_nothing(tmp_path: Path) -> None:
    assert read_card(tmp_path) == Card()


@pytest.mark.parametrize("front", ["a: [", "a: !!python/object/apply:os.system [true]", "\x00: b"])
def test_front_matter_that_is_not_plain_yaml_is_refused(tmp_path: Path, front: str) -> None:
    with pytest.raises(EtymonError, match="not YAML"):
        card(tmp_path, f"---\n{front}\n---\n")
