"""Small real corpora to build, and a way to build them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from corpus_building import Build, Built, prose

from etymon.corpus.build import build_corpus
from etymon.corpus.sources.find import corpus_inputs
from etymon.progress import Listener, silent
from etymon.recipe import Corpus
from etymon.store import Artifact, Config, Input, Stage, Store


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

        return Built(build_corpus(asked, corpus_inputs(asked, tmp_path, place.digests), obtain, tmp_path), all(reused), parts)

    return build


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty text files of prose."""
    made = tmp_path / "docs"
    made.mkdir()
    for number in range(20):
        (made / f"note-{number:02}.txt").write_text(prose(number), "utf-8")
    return made
