"""Documents of existing corpora are found again in any form; rows only where they are the same."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from duplicate_tables import NEAR, row_of, write_tables

from etymon.corpus.duplicates.existing import copies_of_existing, existing_files, write_existing
from etymon.corpus.duplicates.near import near_duplicates
from etymon.corpus.signals.compared import content_digest
from etymon.errors import EtymonError
from etymon.text.normalise import folded

TEXT = " ".join(f"word{at}" for at in range(80))


def corpus(folder: Path, texts: list[str], rows: list[str | None]) -> Path:
    folder.mkdir()
    for name, at in (("train", slice(1, None)), ("heldout", slice(0, 1))):
        ids = [f"id-{name}-{number}" for number in range(len(texts[at]))]
        parquet.write_table(
            pa.table({"id": ids, "text": texts[at], "row": pa.array(rows[at], pa.string())}), folder / f"{name}.parquet"
        )
    return folder


def test_a_corpus_is_both_its_sides(tmp_path: Path) -> None:
    row = row_of("A question and its answer.")
    old = corpus(tmp_path / "old", ["held out and short", TEXT, "A question and its answer."], [None, None, row])
    files = existing_files(old)
    assert [file.name for file in files] == ["train.parquet", "heldout.parquet"]
    known = write_existing(files, tmp_path, NEAR)
    assert (known.count, known.unread) == (3, {})
    assert parquet.read_table(known.documents)["id"].to_pylist() == ["id-train-0", "id-train-1", "id-heldout-0"]
    texts = [
        "new",
        TEXT.upper() + " more",
        "Held out, and short!",
        "A question and its answer.",
        "A question and its answer.",
    ]
    rows = [None, None, None, row, row.replace("brief", "long")]
    documents, bands = write_tables(tmp_path / "new", texts)
    table = parquet.read_table(documents).set_column(2, "row", pa.array(rows, pa.large_string()))
    digests = [content_digest(folded(text), each) for text, each in zip(texts, rows, strict=True)]
    parquet.write_table(table.append_column("content", pa.array(digests)), documents)
    found = near_duplicates(documents, bands, np.arange(5), NEAR, existing=(known.documents, known.bands))
    assert found.existing_N.tolist() == [-1, 0, 2, -1, -1]
    assert copies_of_existing(documents, known).tolist() == [-1, -1, -1, 1, -1]


def test_files_of_documents_may_have_other_columns_and_bad_rows(tmp_path: Path) -> None:
    file = tmp_path / "old.jsonl"
    lines = [{"text": TEXT, "row": 7, "id": 3}, {"text": "b", "row": "not ours"}, {"other": 1}, {"text": 5}]
    file.write_text("\n".join(map(json.dumps, lines)) + "\n{", "utf-8")
    known = write_existing(existing_files(file), tmp_path, NEAR)
    assert (known.count, known.unread) == (2, {"no-text-column": 1, "text-not-a-string": 1, "bad-json": 1})
    assert parquet.read_table(known.documents).select(["id", "row"]).to_pylist() == [
        {"id": "3", "row": None},
        {"id": "old.jsonl#2", "row": None},
    ]


def test_what_holds_no_documents_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("a", "utf-8")
    (tmp_path / "a.jsonl").write_text('{"content": "a"}\n', "utf-8")
    for name in ("empty", "text.txt", "gone.parquet"):
        with pytest.raises(EtymonError, match="no corpus and no file of documents"):
            existing_files(tmp_path / name)
    with pytest.raises(EtymonError, match=r"a.jsonl.*no document"):
        write_existing(existing_files(tmp_path / "a.jsonl"), tmp_path, NEAR)


def test_personal_data_of_existing_documents_is_masked_as_in_the_new_ones(tmp_path: Path) -> None:
    file = tmp_path / "old.jsonl"
    file.write_text(json.dumps({"text": "Write to john.smith@gmail.com soon."}) + "\n", "utf-8")
    (text,) = parquet.read_table(write_existing([file], tmp_path, NEAR, ("email",)).documents)["text"].to_pylist()
    assert "john" not in text
