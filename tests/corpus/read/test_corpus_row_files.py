"""Rows out of each type of file, and the corpus that is built of them."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from corpus_building import Build, Built, prose
from etymon.corpus.read import row_files
from etymon.corpus.read.formats import Document, Unread
from etymon.corpus.read.row_files import read_rows
from etymon.corpus.read.rows import RowKind
from etymon.errors import EtymonError
from etymon.text.rows import Message, Row

ASKED = [{"instruction": f"What does {n} do?", "output": f"It {n}s."} for n in ("pump", "drain", "valve")]
ROWS = [Row((Message("user", each["instruction"]),), (each["output"],)) for each in ASKED]


def write_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The rows in the file type that the name says."""
    match path.suffix:
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        case ".json":
            path.write_text(json.dumps(rows, indent=1), "utf-8")
        case ".parquet":
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        case ".csv":
            with path.open("w", encoding="utf-8", newline="") as lines:
                writer = csv.DictWriter(lines, list(rows[0]))
                writer.writeheader()
                writer.writerows(
                    {key: json.dumps(cell) if isinstance(cell, list) else cell for key, cell in row.items()} for row in rows
                )
    return path


def read(path: Path, kind: RowKind = "chat", **columns: str) -> tuple[list[Document], list[Unread]]:
    found = list(read_rows(path, path.name, kind, columns))
    return [each for each in found if isinstance(each, Document)], [each for each in found if isinstance(each, Unread)]


def test_a_row_beyond_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_files, "LONGEST_DOCUMENT", 40)
    rows = [*ASKED, {"instruction": "What is long?", "output": "This. " * 9}]
    documents, unread = read(write_table(tmp_path / "a.jsonl", rows))
    assert len(documents) == 3
    assert [(each.unit, each.reason) for each in unread] == [("a.jsonl#4", "too-long")]


TYPES = ["jsonl", "json", "csv", "parquet"]


@pytest.mark.parametrize("suffix", TYPES)
def test_every_type_gives_the_same_rows_and_their_places(tmp_path: Path, suffix: str) -> None:
    documents, unread = read(write_table(tmp_path / f"a.{suffix}", ASKED))
    assert [document.row for document in documents] == ROWS
    assert [document.unit for document in documents] == [f"a.{suffix}#{n}" for n in (1, 2, 3)]
    assert documents[0].text == "What does pump do?\n\nIt pumps."
    assert not unread


@pytest.mark.parametrize("suffix", TYPES)
def test_turns_and_labels_in_every_type(tmp_path: Path, suffix: str) -> None:
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "[1, 2]"}]
    rows = [{"messages": turns, "label": label} for label in (True, False)]
    documents, _ = read(write_table(tmp_path / f"a.{suffix}", rows), "preference")
    assert [each.row for each in documents] == [
        Row((Message("user", "Why?"),), ("[1, 2]",), True),
        Row((Message("user", "Why?"),), ("[1, 2]",), False),
    ]


@pytest.mark.parametrize("suffix", TYPES)
def test_columns_are_renamed_in_every_type(tmp_path: Path, suffix: str) -> None:
    rows = [{"question": each["instruction"], "answer": each["output"], "number": 5} for each in ASKED]
    path = write_table(tmp_path / f"a.{suffix}", rows)
    assert [each.row for each in read(path, instruction="question", output="answer")[0]] == ROWS
    with pytest.raises(EtymonError) as raised:
        read(path)
    for part in (path.name, "'question', 'answer', 'number'", "`instruction` and `output`", "columns: {instruction:"):
        assert part in str(raised.value)
    with pytest.raises(EtymonError, match="'questoin', which `columns` names"):
        read(path, instruction="questoin", output="answer")


def test_an_answer_that_is_a_list_stays_text_in_a_csv(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.csv", [{"prompt": "Squares?", "completion": "[1, 4, 9]"}])
    assert read(path)[0][0].row == Row("Squares?", ("[1, 4, 9]",))


def test_a_json_file_of_lines_is_read_as_lines(tmp_path: Path) -> None:
    write_table(tmp_path / "a.jsonl", ASKED).rename(tmp_path / "a.json")
    assert [each.row for each in read(tmp_path / "a.json")[0]] == ROWS


def test_bad_rows_are_told_by_their_place_and_the_others_kept(tmp_path: Path) -> None:
    lines = [json.dumps(ASKED[0]), "{broken", "[1]", '{"text": "a document"}', "", '{"instruction": "Why?", "output": ""}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines), "utf-8")
    documents, unread = read(tmp_path / "a.jsonl")
    assert [each.unit for each in documents] == ["a.jsonl#1"]
    assert [(each.unit, each.reason) for each in unread] == [
        ("a.jsonl#2", "bad-json"),
        ("a.jsonl#3", "bad-row"),
        ("a.jsonl#4", "no-known-format"),
        ("a.jsonl#6", "empty-answer"),
    ]
    assert "a document" in unread[2].detail
    (tmp_path / "a.csv").write_text("instruction,output\nWhy?,So.\nWhy?\nWhy?,So.,more\n", "utf-8")
    documents, unread = read(tmp_path / "a.csv")
    assert len(documents) == 1
    assert [(each.unit, each.reason) for each in unread] == [("a.csv#2", "bad-row"), ("a.csv#3", "bad-row")]


def test_damaged_files_are_told(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.parquet", ASKED)
    path.write_bytes(path.read_bytes()[:-30])
    assert read(path)[1][0].reason == "unreadable-parquet"
    (tmp_path / "empty.jsonl").touch()
    assert read(tmp_path / "empty.jsonl")[1][0].reason == "empty"
    (tmp_path / "latin.json").write_bytes("[{'Größe'}]".encode("latin-1"))
    assert read(tmp_path / "latin.json")[1][0].reason == "not-utf-8"


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("chat", '{"text": "a"}', ["no chat row", "'text'", "Expected: `messages`", "columns:"]),
        ("chat", '{"prompt": "a", "chosen": "b", "rejected": "c"}', ["set `kind: preference`"]),
        ("preference", '{"instruction": "a", "output": "b"}', ["set `kind: chat`"]),
        ("preference", '{"prompt": "a", "better": "b"}', ["'prompt', 'better'", "`chosen` and `rejected`"]),
        ("chat", "not json\n5", ["no row is a JSON object", "not json"]),
    ],
)  # fmt: skip
def test_a_file_without_any_row_of_the_kind_is_refused(tmp_path: Path, kind: RowKind, content: str, said: list[str]) -> None:
    (tmp_path / "a.jsonl").write_text(content, "utf-8")
    with pytest.raises(EtymonError) as raised:
        read(tmp_path / "a.jsonl", kind)
    for part in ["a.jsonl", *said]:
        assert part in str(raised.value)


def test_a_list_that_is_cut_off_is_refused_with_the_place(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(ASKED)[:-5], "utf-8")
    with pytest.raises(EtymonError, match=r"a\.json.*char \d+"):
        read(tmp_path / "a.json")


def conversation(number: int, system: str = "") -> dict[str, Any]:
    return {"instruction": f"Tell of case {number}. {prose(number, 1)}", "output": prose(500 + number, 2), "system": system}


def rows_of(built: Built) -> dict[str, Row]:
    return {each["unit"]: Row.from_json(each["row"]) for each in built.documents if each["row"] is not None}


def test_a_corpus_of_conversations(build: Build, tmp_path: Path) -> None:
    write_table(tmp_path / "chat.jsonl", [conversation(n) for n in range(40)])
    with (tmp_path / "chat.jsonl").open("a") as lines:
        lines.write('{"instruction": "", "output": "x"}\n')
        turns = [{"role": role, "content": f"{role} {n}"} for n in range(2) for role in ("user", "assistant")]
        lines.write(json.dumps({"messages": [*turns, {"role": "user", "content": "and then?"}]}) + "\n")
    built = build({"path": "chat.jsonl", "kind": "chat"})
    facts = built.facts
    assert facts["rows"] == {"conversation": facts["documents_train"], "pair": 0, "judged": 0}
    assert facts["documents_train"] + facts["documents_heldout"] == 41
    assert facts["heldout_units"] == 4
    assert facts["drops"] == {"empty-prompt": 1}
    assert built.dropped("empty-prompt")[0]["unit"] == "chat.jsonl#41"
    assert facts["cut"] == {"after-last-answer": 1}
    (cut,) = built.rows("cut")
    assert (cut["unit"], cut["excerpt"], cut["characters"]) == ("chat.jsonl#42", "and then?", 9)
    assert cut["id"] in {each["id"] for each in built.documents}
    found = rows_of(built)
    assert set(found) == {f"chat.jsonl#{n}" for n in range(1, 43) if n != 41}
    first = conversation(0)
    assert found["chat.jsonl#1"] == Row((Message("user", first["instruction"]),), (first["output"],))
    assert all(each["text"] for each in built.documents)
    assert build({"path": "chat.jsonl", "kind": "chat"}).reused


def test_plain_documents_have_no_row_and_both_go_together(build: Build, folder: Path, tmp_path: Path) -> None:
    write_table(tmp_path / "pairs.parquet", [
        {"prompt": f"{prose(n, 1)} Which?", "chosen": prose(300 + n, 1), "rejected": prose(600 + n, 1)} for n in range(10)
    ])  # fmt: skip
    built = build({"path": "docs"}, {"name": "pairs", "path": "pairs.parquet", "kind": "preference"})
    assert built.facts["sources"] == {"docs": 20, "pairs": 10}
    assert {each["source"] for each in built.documents if each["row"] is None} == {"docs"}
    assert built.facts["rows"]["pair"] == sum(each["row"] is not None for each in built.rows("train"))
    documents = build({"path": "docs"})
    assert {each["row"] for each in documents.documents} == {None}
    assert documents.facts["rows"] == {"conversation": 0, "pair": 0, "judged": 0}


def test_what_was_said_is_kept_to_the_letter(build: Build, tmp_path: Path) -> None:
    answers = {n: f"  schÃ¶n\r\n\tspaced \n\n\n\n\n{n} \ud83d" for n in range(4)}
    rows = [{"instruction": f"Say {n}.\f", "output": answer} for n, answer in answers.items()]
    write_table(tmp_path / "chat.jsonl", rows)
    found = rows_of(build({"path": "chat.jsonl", "kind": "chat"}, heldout={"share": 0.5}))
    for n, answer in answers.items():
        row = found[f"chat.jsonl#{n + 1}"]
        assert row.answers == (answer.replace("\ud83d", "\ufffd"),), "half a surrogate pair cannot be stored"
        assert row.prompt == (Message("user", f"Say {n}.\f"),)


def test_short_answers_and_repetition_are_no_fault(build: Build, tmp_path: Path) -> None:
    rows = [{"instruction": f"{a}+{b}=?", "output": str(a + b)} for a in range(5) for b in range(5)]
    rows += [{"instruction": f"Say number {n} sixty times.", "output": "\n".join([f"number {n}"] * 60)} for n in range(5)]
    write_table(tmp_path / "sums.jsonl", rows)
    built = build({"path": "sums.jsonl", "kind": "chat"})
    assert built.facts["drops"] == {}
    assert len(built.documents) == 30


def test_rows_are_never_cut_into_sections(build: Build, tmp_path: Path) -> None:
    write_table(tmp_path / "few.jsonl", [{"instruction": f"Tell {n}.", "output": prose(n, 60)} for n in range(4)])
    (tmp_path / "book.txt").write_text(prose(99, 200), "utf-8")
    built = build({"path": "few.jsonl", "kind": "chat"}, {"name": "book", "path": "book.txt"})
    assert built.facts["sectioned"]
    assert set(rows_of(built)) == {f"few.jsonl#{n}" for n in (1, 2, 3, 4)}
    assert len({each["unit"] for each in built.documents if each["source"] == "book"}) > 5
    alone = build({"path": "few.jsonl", "kind": "chat"})
    assert not alone.facts["sectioned"]


def test_only_the_same_row_is_a_duplicate(build: Build, tmp_path: Path) -> None:
    prompts = [f"{prose(n, 2)} Is it so?" for n in range(12)]
    judged = [
        {"prompt": prompt, "completion": completion, "label": label}
        for prompt in prompts
        for completion, label in (("Yes.", True), ("No.", False), ("Yes.", False), ("Yes.", True))
    ]
    write_table(tmp_path / "judged.jsonl", judged)
    built = build({"path": "judged.jsonl", "kind": "preference"})
    assert built.facts["drops"] == {"exact-duplicate": 12}
    assert {each["unit"] for each in built.dropped("exact-duplicate")} == {f"judged.jsonl#{4 * n}" for n in range(1, 13)}
    assert len({each["id"] for each in built.documents}) == 36
    side = {each["unit"]: name for name in ("train", "heldout") for each in built.rows(name)}
    for n in range(12):
        assert len({side[f"judged.jsonl#{4 * n + place}"] for place in (1, 2, 3)}) == 1, "near duplicates stay together"


def test_a_system_message_that_all_rows_share_binds_none(build: Build, tmp_path: Path) -> None:
    write_table(tmp_path / "chat.jsonl", [conversation(n, system=prose(7, 40)) for n in range(30)])
    built = build({"path": "chat.jsonl", "kind": "chat"})
    assert (built.facts["linked_units"], built.facts["heldout_units"]) == (0, 3)


def test_the_columns_and_the_kind_are_part_of_the_meaning(build: Build, tmp_path: Path) -> None:
    rows = [{"instruction": prose(n, 1), "output": prose(90 + n, 1), "thought": prose(190 + n, 1)} for n in range(8)]
    write_table(tmp_path / "a.jsonl", rows)
    plain = build({"path": "a.jsonl", "kind": "chat"})
    other = build({"path": "a.jsonl", "kind": "chat", "columns": {"output": "thought"}})
    assert plain.artifact.manifest.address != other.artifact.manifest.address
    assert {row.answers[0] for row in rows_of(other).values()} == {row["thought"] for row in rows}
    with pytest.raises(EtymonError, match=r"`columns` names 'ouput'(.|\n)*Did you mean output"):
        build({"path": "a.jsonl", "kind": "chat", "columns": {"ouput": "thought"}})


def test_files_beside_the_rows_are_counted(build: Build, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_table(tmp_path / "data" / "train.json", [conversation(n) for n in range(10)])
    (tmp_path / "data" / "README.md").write_text("About the data.", "utf-8")
    built = build({"path": "data", "kind": "chat"})
    assert built.facts["drops"] == {"unsupported-type.md": 1}
    assert Counter(each["unit"].partition("#")[0] for each in built.documents) == {"train.json": 10}


def test_a_prompt_is_never_on_both_sides(build: Build, tmp_path: Path) -> None:
    """Each prompt has three answers that do not resemble each other; "Go on." is a form, not a question."""
    rows = [{"prompt": f"What does part {n // 3} do?", "completion": prose(n, 4), "label": n % 2} for n in range(90)]
    rows += [{"prompt": "Go on.", "completion": prose(n, 4), "label": 1} for n in range(100, 130)]
    write_table(tmp_path / "judged.jsonl", rows)
    built = build({"path": "judged.jsonl", "kind": "preference"})
    train, heldout = (
        {Row.from_json(row["row"]).prompt_text for row in built.rows(side)} - {"Go on."} for side in ("train", "heldout")
    )
    assert heldout
    assert not train & heldout
    assert built.facts["linked_units"] == 90
