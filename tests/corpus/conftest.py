"""Small real corpora to build, and a way to build them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from corpus_building import Build, Built, prose
from etymon.corpus.build import GivenFile, build_corpus
from etymon.corpus.sources.find import corpus_inputs
from etymon.progress import Listener, silent
from etymon.recipe import Corpus
from etymon.store import Artifact, Config, Input, Stage, Store, file_digest


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """``build(source, ..., **corpus)``: a corpus of these sources, with paths relative to ``tmp_path``."""

    def build(*sources: dict[str, Any], store: str = "store", listener: Listener = silent, **corpus: Any) -> Built:
        given = {"name": "docs", "kind": "files", "license": "own"}
        asked = Corpus.model_validate({"sources": [given | source for source in sources], **corpus})
        place = Store(tmp_path / store)
        reused, parts = [], {}

        def obtain(
            part: str, stage: Stage[Any, Any], inputs: Mapping[str, Input], meaning: Config, execution: Config
        ) -> Artifact:
            artifact, found = place.obtain(stage, inputs, meaning, execution, listener)
            reused.append(found)
            parts[part] = artifact
            return artifact

        tokenizer = word_tokenizer(tmp_path / "tokenizer") if asked.mix else None
        sources_of = corpus_inputs(asked, tmp_path, place.digests)
        return Built(build_corpus(asked, sources_of, obtain, tmp_path, tokenizer=tokenizer), all(reused), parts)

    return build


def word_tokenizer(folder: Path) -> GivenFile:
    """A tokenizer for which every word and mark is a token."""
    folder.mkdir(exist_ok=True)
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return GivenFile("words", folder, file_digest(folder / "tokenizer.json"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty text files of prose."""
    made = tmp_path / "docs"
    made.mkdir()
    for number in range(20):
        (made / f"note-{number:02}.txt").write_text(prose(number), "utf-8")
    return made
