"""A corpus built by the stages, in which every kind of thing happens to a document."""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from transformers import PreTrainedTokenizerFast

from corpus_building import prose
from etymon.corpus.build import build_corpus
from etymon.corpus.inspect.opened import OpenCorpus, open_corpus
from etymon.corpus.sources.find import corpus_inputs
from etymon.recipe import Corpus
from etymon.store import Config, Input, Stage, Store

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script> \u202egnp.exe \x1b[31mred"
ITEM = "Which of the seven lamps of the northern lighthouse was lit first when the old keeper came back from the sea?"
CORPUS: dict[str, Any] = {
    "sources": [
        {"name": "notes", "kind": "files", "license": "CC-BY-4.0", "path": "notes"},
        {"name": "pages", "kind": "files", "license": "own", "path": "pages.jsonl"},
        {"name": "talk", "kind": "chat", "license": "MIT", "path": "talk.jsonl"},
    ],
    "mix": {"tokens": 30_000, "weights": {"notes": 1.0, "pages": 0.2, "talk": 1.0}},
}


@dataclass(frozen=True)
class GivenFolder:
    """A folder as a stage's input."""

    folder: Path
    digest: str
    name: str


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: PreTrainedTokenizerFast) -> Path:
    """The folder with the sources."""
    folder = tmp_path_factory.mktemp("inspected")
    notes = folder / "notes"
    (notes / "deep").mkdir(parents=True)
    for number in range(30):
        (notes / f"note-{number:02}.txt").write_text(prose(number), "utf-8")
    (notes / "again.txt").write_text(prose(3), "utf-8")
    for number in range(3):
        (notes / "deep" / f"nearly-{number}.txt").write_text(prose(4, 40) + f"\n\nAnd note {number} ends so.", "utf-8")
    (notes / "short.txt").write_text("Too short.", "utf-8")
    (notes / "broken.pdf").write_bytes(b"%PDF-1.4 and no more")
    (notes / "mended.txt").write_text(f"It costs â‚¬5 at the cafÃ© now. {prose(50)}", "utf-8")
    (notes / "letter.txt").write_text(f"{prose(51)} Write to jane.doe@harbour-office.org about it.", "utf-8")
    (notes / "leak.txt").write_text(f"{prose(52)} {ITEM} {prose(53)}", "utf-8")
    (notes / "hostile.txt").write_text(f"{HOSTILE} {prose(54)}", "utf-8")
    (notes / "hostile short.txt").write_text("<script>owned()</script> \u202egnp.exe", "utf-8")
    pages = [{"text": prose(100 + number), "url": f"https://www.site{number % 3}.org/{number}"} for number in range(30)]
    (folder / "pages.jsonl").write_text("\n".join(map(json.dumps, pages)) + "\nno json\n", "utf-8")
    draw = random.Random(0)
    talk = []
    for number in range(20):
        question, answer = prose(200 + number, 2), draw.choice(["Yes.", "No.", "Perhaps."])
        talk.append({"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]})
    talk[0]["messages"].append({"role": "user", "content": "And then?"})
    (folder / "talk.jsonl").write_text("\n".join(map(json.dumps, talk)), "utf-8")
    (folder / "items").mkdir()
    items = pyarrow.table({"item": ["1"], "text": [ITEM]})
    pyarrow.parquet.write_table(items, folder / "items" / "items.parquet")
    tiny_tokenizer.save_pretrained(folder / "tokenizer")
    return folder


@pytest.fixture(scope="session")
def inspected_store(made: Path) -> Store:
    return Store(made / "store")


@pytest.fixture(scope="session")
def build_inspected(made: Path, inspected_store: Store) -> Callable[..., OpenCorpus]:
    """Builds the corpus, with other values of its section if wanted."""

    def obtain(part: str, stage: Stage[Any, Any], inputs: Mapping[str, Input], meaning: Config, execution: Config) -> Any:
        return inspected_store.obtain(stage, inputs, meaning, execution)[0]

    def build(**other: Any) -> OpenCorpus:
        asked = Corpus.model_validate(CORPUS | other)
        built = build_corpus(
            asked,
            corpus_inputs(asked, made, inspected_store.digests),
            obtain,
            made,
            items={"lamps": GivenFolder(made / "items", "1" * 64, "lamps")},
            tokenizer=GivenFolder(made / "tokenizer", "2" * 64, "tokenizer"),
        )
        return open_corpus(built.name, inspected_store)

    return build


@pytest.fixture(scope="session")
def opened(build_inspected: Callable[..., OpenCorpus]) -> OpenCorpus:
    return build_inspected()
