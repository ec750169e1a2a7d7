"""Text by heart: a model that was made to learn a few texts says them, and not the ones that it never saw."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from etymon.errors import EtymonError
from etymon.evaluate.verbatim import VerbatimExecution, VerbatimMeaning, verbatim_stage
from etymon.foundation.documents import text_ids
from etymon.foundation.sources import open_model
from etymon.store import Artifact, Config, Draft, Stage, Store
from etymon.text.rows import Row

SHORT = VerbatimMeaning(passages=6, prefix=16, continuation=12)


class _Nothing(Config):
    """Neither meaning nor execution."""


def corpus_of(store: Store, sides: dict[str, list[str]], rows: int = 0) -> Artifact:
    """A corpus with these documents, and some conversations on its training side."""

    def build(draft: Draft[_Nothing, _Nothing]) -> None:
        for side, texts in sides.items():
            row = Row(prompt="What is it?", answers=("It is. " * 60,)).to_json()
            lines = [{"id": f"{side}-{number}", "text": text, "row": None} for number, text in enumerate(texts)]
            lines += [{"id": f"row-{number}", "text": "It is. " * 60, "row": row} for number in range(rows)]
            pq.write_table(pa.Table.from_pylist(lines), draft.folder / f"{side}.parquet")

    return store.obtain(Stage("corpus", 1, build, _Nothing, _Nothing), {}, _Nothing(), _Nothing())[0]


@pytest.fixture(scope="module")
def learned(tiny_llama: Path, some_texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A model and the texts that it was shown again and again, from every place on."""
    texts = [text for text in some_texts if len(text) > 400][:6]
    network, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_llama), AutoTokenizer.from_pretrained(tiny_llama)
    ids = text_ids(tokenizer, texts)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    draw = torch.Generator().manual_seed(0)
    for _ in range(250):
        rows = []
        for each in ids:
            begin = int(torch.randint(len(each) - 40, (1,), generator=draw))
            rows.append([0, *each[begin : begin + 40]])
        batch = torch.tensor(rows)
        network(batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("learned")
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder, texts


def test_what_was_learned_by_heart_is_found_and_nothing_else(
    learned: tuple[Path, list[str]], some_texts: list[str], tmp_path: Path
) -> None:
    folder, texts = learned
    others = [text for text in some_texts if len(text) > 400 and text not in texts][:20]
    store = Store(tmp_path)
    corpus = corpus_of(store, {"train": [*texts, "Too short for a passage. "], "heldout": others}, rows=3)
    given = {"model": open_model(str(folder)), "corpus": corpus}
    made, _ = store.obtain(verbatim_stage, given, SHORT, VerbatimExecution(device="cpu"))
    train, heldout = made.facts["train"], made.facts["heldout"]
    assert (train["passages"], heldout["passages"]) == (6, 6)
    assert train["reproduced"] >= 4
    assert train["low"] < train["reproduced"] / 6 <= train["high"]
    assert heldout["reproduced"] == 0
    assert made.facts["left_out"] == {
        "train": {"too short": 1, "conversations": 3},
        "heldout": {"too short": 0, "conversations": 3},
    }
    records = [json.loads(line) for line in made.file("passages.jsonl").read_text("utf-8").splitlines()]
    assert {each["document"].split("-")[0] for each in records} == {"train", "heldout"}  # no conversation
    assert sum(each["matched"] == 12 for each in records if each["side"] == "train") == train["reproduced"]


def test_settings_of_the_model_do_not_hide_what_it_knows(learned: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, texts = learned
    settings = json.loads((folder / "generation_config.json").read_text("utf-8"))
    penal = tmp_path / "penal"
    penal.mkdir()
    for path in folder.iterdir():
        (penal / path.name).write_bytes(path.read_bytes())
    hidden = settings | {"do_sample": True, "repetition_penalty": 5.0, "no_repeat_ngram_size": 1}
    (penal / "generation_config.json").write_text(json.dumps(hidden), "utf-8")
    store = Store(tmp_path / "store")
    corpus = corpus_of(store, {"train": texts, "heldout": texts})
    figures = [
        store.obtain(verbatim_stage, {"model": open_model(str(each)), "corpus": corpus}, SHORT, VerbatimExecution())[0].facts
        for each in (folder, penal)
    ]
    assert figures[0]["train"] == figures[1]["train"]


def test_a_corpus_without_long_texts_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    store = Store(tmp_path)
    corpus = corpus_of(store, {"train": ["Short."], "heldout": ["Short too."]})
    with pytest.raises(EtymonError, match="28 tokens"):
        store.obtain(verbatim_stage, {"model": open_model(str(tiny_llama)), "corpus": corpus}, SHORT, VerbatimExecution())
