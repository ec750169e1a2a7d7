"""The example of Classical Chinese: its recipe loads, and makes a corpus of poems as collections keep them."""

import json
from pathlib import Path

import pyarrow.parquet
import pytest

from etymon.corpus.build import build_corpus, obtain_in
from etymon.corpus.sources.find import corpus_inputs
from etymon.errors import EtymonError
from etymon.recipe import load_recipe
from etymon.store import Store

EXAMPLE = Path(__file__).parents[2] / "examples" / "classical-chinese.yaml"

# Quatrains and one longer poem of the eighth and ninth centuries, and one of them in simplified characters.
QUATRAINS = [
    ["白日依山盡，黃河入海流。", "欲窮千里目，更上一層樓。"],
    ["春眠不覺曉，處處聞啼鳥。", "夜來風雨聲，花落知多少。"],
    ["空山不見人，但聞人語響。", "返景入深林，復照青苔上。"],
    ["千山鳥飛絕，萬逕人蹤滅。", "孤舟簑笠翁，獨釣寒江雪。"],
    ["紅豆生南國，春來發幾枝。", "願君多采擷，此物最相思。"],
    ["床前看月光，疑是地上霜。", "舉頭望山月，低頭思故鄉。"],
    ["松下问童子，言师采药去。", "只在此山中，云深不知处。"],
]
SPRING_VIEW = ["國破山河在，城春草木深。", "感時花濺淚，恨別鳥驚心。", "烽火連三月，家書抵萬金。", "白頭搔更短，渾欲不勝簪。"]


def as_rows(poems: list[list[str]]) -> str:
    rows = [{"author": "", "paragraphs": lines, "title": f"poem {number}"} for number, lines in enumerate(poems)]
    return json.dumps(rows, ensure_ascii=False, indent=1)


def test_a_folder_of_poems_becomes_a_corpus(tmp_path: Path) -> None:
    variant = [*SPRING_VIEW[:3], "白頭搔更短，渾欲不勝簮。"]
    folder = tmp_path / "poems"
    folder.mkdir()
    (folder / "poet.0.json").write_text(as_rows([*QUATRAINS, SPRING_VIEW]), "utf-8")
    (folder / "poet.1000.json").write_text(as_rows([variant, QUATRAINS[0], ["楓落吳江冷。"], []]), "utf-8")
    recipe = load_recipe(EXAMPLE, (f"corpus.sources.0.path={folder}",))
    assert recipe.train.vocabulary is not None

    store = Store(tmp_path / "store")
    inputs = corpus_inputs(recipe.corpus, EXAMPLE.parent, store.digests)
    corpus = build_corpus(recipe.corpus, inputs, obtain_in(store), EXAMPLE.parent)
    kept = [
        row["text"]
        for name in ("train", "heldout")
        for row in pyarrow.parquet.read_table(corpus.file(f"{name}.parquet")).to_pylist()
    ]
    assert sorted(kept) == sorted("\n".join(lines) for lines in [*QUATRAINS, SPRING_VIEW])
    assert corpus.facts["drops"] == {"empty": 1, "exact-duplicate": 1, "near-duplicate": 1, "too-few-words": 1}
    decisions = pyarrow.parquet.read_table(corpus.file("decisions.parquet")).to_pylist()
    assert {row["language"] for row in decisions if row["reason"] is None} == {"zh"}


def test_the_folder_has_to_be_named(tmp_path: Path) -> None:
    recipe = load_recipe(EXAMPLE)
    with pytest.raises(EtymonError, match="There is no file or folder"):
        corpus_inputs(recipe.corpus, tmp_path, Store(tmp_path / "store").digests)
