"""Real corpora of conversations and preferences for the tests of the train package."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from etymon.corpus.build import build_corpus, obtain_in
from etymon.corpus.sources.find import corpus_inputs
from etymon.recipe import Corpus
from etymon.store import Artifact, Store


def corpus_of(rows: Sequence[dict[str, Any]], kind: str, folder: Path, heldout: float = 0.1) -> Artifact:
    """The rows, through the corpus stage, in a workspace under ``folder``; their names are ``rows/KIND.jsonl#LINE``."""
    (folder / f"{kind}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return _built({"name": "rows", "kind": kind, "license": "own", "path": f"{kind}.jsonl"}, folder, heldout)


def corpus_of_documents(texts: Sequence[str], folder: Path) -> Artifact:
    """The texts, a file each, through the corpus stage."""
    (folder / "docs").mkdir()
    for number, text in enumerate(texts):
        (folder / "docs" / f"{number:03}.txt").write_text(text, "utf-8")
    return _built({"name": "docs", "kind": "files", "license": "own", "path": "docs"}, folder, 0.1)


def _built(source: dict[str, Any], folder: Path, heldout: float) -> Artifact:
    corpus = Corpus.model_validate({"sources": [source], "heldout": {"share": heldout}})
    store = Store(folder / "corpora")
    inputs = corpus_inputs(corpus, folder, store.digests)
    return build_corpus(corpus, inputs, obtain_in(store), Path())


def turns(*contents: str, system: str | None = None) -> dict[str, Any]:
    """A ``messages`` row of user and assistant in turn."""
    messages = [{"role": "assistant" if place % 2 else "user", "content": said} for place, said in enumerate(contents)]
    return {"messages": messages if system is None else [{"role": "system", "content": system}, *messages]}
