"""Small real corpora to build, and a way to build them."""

from pathlib import Path
from typing import Any

import pytest
from corpus_building import Build, Built, prose

from etymon.corpus.stages.corpus import CorpusExecution, corpus_inputs, corpus_meaning, corpus_stage
from etymon.progress import Listener, silent
from etymon.recipe import Corpus
from etymon.store import Store


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """``build(source, ..., **corpus)``: a corpus of these sources, with paths relative to ``tmp_path``."""

    def build(*sources: dict[str, Any], store: str = "store", listener: Listener = silent, **corpus: Any) -> Built:
        given = {"name": "docs", "kind": "files", "license": "own"}
        asked = Corpus.model_validate({"sources": [given | source for source in sources], **corpus})
        place = Store(tmp_path / store)
        inputs = corpus_inputs(asked, tmp_path, place.digests)
        return Built(*place.obtain(corpus_stage, inputs, corpus_meaning(asked), CorpusExecution(), listener))

    return build


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty text files of prose."""
    made = tmp_path / "docs"
    made.mkdir()
    for number in range(20):
        (made / f"note-{number:02}.txt").write_text(prose(number), "utf-8")
    return made
