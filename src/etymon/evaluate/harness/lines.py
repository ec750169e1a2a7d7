"""A data file with one question a row as a task, without YAML: multiple choice where rows have choices, else free text.

Multiple choice has ARC's form: the text of each choice is scored as the answer (``acc``, and ``acc_norm`` by its length).
Free text is generated to the end of the line and compared exactly, apart from case, width, spaces, quotes and a final stop.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from etymon.errors import EtymonError
from etymon.evaluate.question_task import QuestionTask
from etymon.text.normalise import folded

_COLUMNS = {
    "question": ("question", "prompt", "input"),
    "choices": ("choices", "options"),
    "answer": ("answer", "label", "target", "answers", "answerKey"),
    "passage": ("passage", "context"),
}
"""What a column may be called; of several the first counts."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LONGEST_FIELD = 10_000_000
_PROMPT = "{{passage}}Question: {{question}}\nAnswer:"
_CHOICE: dict[str, Any] = {
    "output_type": "multiple_choice",
    "doc_to_text": _PROMPT,
    "doc_to_choice": "choices",
    "doc_to_target": "answer",
    "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")],
}


def load_lines(path: Path) -> QuestionTask:
    """The task of a data file, named like it. Raises EtymonError naming file, line and key of the first row that is wrong."""
    rows, places = [], []
    for place, given in _read(path):
        rows.append(_row(given, f"{path}, {_said(place)}"))
        places.append(place)
    if not rows:
        raise EtymonError(f"{path} has no rows.", "One question a line: question, answer and, if there are any, choices.")
    with_choices = ["choices" in row for row in rows]
    if len(set(with_choices)) > 1:
        odd = places[with_choices.index(not with_choices[0])]
        found, others = ("choices", "none") if with_choices[places.index(odd)] else ("no choices", "some")
        raise EtymonError(
            f"{path}, {_said(odd)}: the row has {found}; those before it have {others}.", "Put the two kinds into two files."
        )
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in path.stem)
    _refuse_contradictions(path, rows, places)
    common = {"task": name, "test_split": "test", "fewshot_split": "test"}
    passages = [str(row["passage"]) for row in rows]
    return QuestionTask(
        name,
        rows,
        tuple(places),
        common | (_CHOICE if with_choices[0] else _TEXT),
        clusters=tuple(passage or place for passage, place in zip(passages, places, strict=True)) if any(passages) else None,
    )


def _read(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where a row stands, and what it holds."""
    try:
        if path.suffix == ".parquet":
            for number, row in enumerate(pq.read_table(path).to_pylist(), start=1):
                yield f"row {number:06d}", row
        elif path.suffix == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                csv.field_size_limit(_LONGEST_FIELD)
                reader = csv.DictReader(file, strict=True)
                for row in reader:
                    if None in row or None in row.values():
                        raise EtymonError(f"{path}, line {reader.line_num}: the row has not as many fields as the header.")
                    yield f"line {reader.line_num:06d}", _lettered_choices(row)
        else:
            for number, line in enumerate(path.read_text("utf-8-sig").split("\n"), start=1):
                if line.strip():
                    yield f"line {number:06d}", _json_row(line, f"{path}, line {number}")
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise EtymonError(f"{path} cannot be read: {str(error).splitlines()[0]}.", "Data files are UTF-8.") from None


def _said(place: str) -> str:
    """``line 000012``, which items are named by so that they sort, as ``line 12``."""
    kind, number = place.split()
    return f"{kind} {int(number)}"


def _json_row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise EtymonError(f"{where} is not JSON: {error}.", "A .jsonl file has one JSON object a line.") from None
    if not isinstance(row, dict):
        raise EtymonError(f"{where} is no JSON object.", 'One question a line, such as {"question": …, "answer": …}.')
    return row


def _lettered_choices(row: dict[str, Any]) -> dict[str, Any]:
    """Of CSV: choices as a JSON list in one field, or in columns A, B, C …"""
    lettered = [row[letter] for letter in _LETTERS if letter in row]
    while lettered and not lettered[-1].strip():  # fewer choices than columns
        lettered.pop()
    if len(lettered) > 1:
        return row | {"choices": lettered}
    for column in _COLUMNS["choices"]:
        if row.get(column, "").lstrip().startswith("["):
            try:
                row[column] = json.loads(row[column])
            except ValueError:
                continue  # said below: no list
    return row


def _row(given: dict[str, Any], where: str) -> dict[str, Any]:
    """A row under our names: question, passage, answer, and choices or accepted answers."""
    found = {key: next(((n, given[n]) for n in names if given.get(n) is not None), None) for key, names in _COLUMNS.items()}
    if (question := found["question"]) is None or (answer := found["answer"]) is None:
        missing = "question" if question is None else "answer"
        raise EtymonError(
            f"{where}: there is no `{missing}`; the row has {', '.join(map(str, given)) or 'nothing'}.",
            f"It may be called {', '.join(_COLUMNS[missing])}.",
        )
    passage = _text(*found["passage"], where) + "\n\n" if found["passage"] else ""
    row: dict[str, Any] = {"question": _text(*question, where), "passage": passage}
    if found["choices"] is None:
        accepted = answer[1] if isinstance(answer[1], list) else [answer[1]]
        texts = [_text(answer[0], each, where) for each in accepted]
        if not texts or any("\n" in text for text in texts):
            raise EtymonError(
                f"{where}: `{answer[0]}` is {'of several lines' if texts else 'empty'}; free answers are compared exactly.",
                "Give the final answer alone; for worked answers write a task file, such as lm-eval's gsm8k.",
            )
        return row | {"answer": texts[0], "accepted": texts}
    key = found["choices"][0]
    choices: Any = found["choices"][1]
    labels = None
    if isinstance(choices, dict):  # ARC's layout
        choices, labels = choices.get("text"), choices.get("label")
    if not isinstance(choices, list) or len(choices) < 2:
        size = f"has {len(choices)} choice" if isinstance(choices, list) else "is no list"
        raise EtymonError(f"{where}: `{key}` {size}; two or more are needed.", "Give a list of texts, or leave the row out.")
    texts = [_text(key, each, where) for each in choices]
    if twice := [text for index, text in enumerate(texts) if text in texts[:index]]:
        raise EtymonError(f"{where}: `{key}` has {twice[0]!r} twice.", "Every choice must be another text.")
    return row | {"choices": texts, "answer": _index(*answer, texts, labels, where)}


def _text(key: str, value: Any, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        found = "empty" if value == "" or isinstance(value, str) else f"{type(value).__name__}, not a text"
        raise EtymonError(f"{where}: `{key}` is {found}.", "Mend the row, or leave it out.")
    return str(value).strip()


def _index(key: str, answer: Any, choices: list[str], labels: Any, where: str) -> int:
    """Which choice is right: an index from 0, a letter, or the text of a choice."""
    meant: set[int] = set()
    if isinstance(answer, int) and not isinstance(answer, bool):
        meant = {answer}
    elif isinstance(answer, str) and (text := answer.strip()):
        if isinstance(labels, list) and text in map(str, labels):
            meant = {list(map(str, labels)).index(text)}
        else:
            meant = {choices.index(text)} if text in choices else set()
            if len(text) == 1 and text.upper() in _LETTERS[: len(choices)]:
                meant.add(_LETTERS.index(text.upper()))
            if not meant and text.isascii() and text.isdigit():
                meant = {int(text)}
    if len(meant) != 1 or not 0 <= min(meant) < len(choices):
        what = "could be two of the choices" if len(meant) > 1 else f"is none of the {len(choices)} choices"
        raise EtymonError(
            f"{where}: `{key}` is {answer!r}, which {what}.",
            f"Give an index from 0 to {len(choices) - 1}, a letter from A to {_LETTERS[len(choices) - 1]}, or a text.",
        )
    return meant.pop()


def _refuse_contradictions(path: Path, rows: list[dict[str, Any]], places: list[str]) -> None:
    """Rows that are there twice are counted by the judge; here they must say the same."""
    first: dict[str, int] = {}
    for number, row in enumerate(rows):
        asked = json.dumps([row["passage"], row["question"], row.get("choices")])
        earlier = first.setdefault(asked, number)
        if row != rows[earlier]:
            raise EtymonError(
                f"{path}: {_said(places[earlier])} and {_said(places[number])} ask the same and give different answers.",
                "Mend one of them.",
            )


FORM = "exact text, folded/2"
"""Of the judge; raised whenever it, or what it calls, judges otherwise."""


def judge_text(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Whether a generated answer is one of those accepted."""

    def bare(text: str) -> str:
        return folded(text).strip(" \"'“”‘’").removesuffix(".").strip(" \"'“”‘’")

    return {"exact_match": float(bare(results[0]) in map(bare, doc["accepted"]))}


_TEXT: dict[str, Any] = {
    "output_type": "generate_until",
    "doc_to_text": _PROMPT,
    "doc_to_target": "answer",
    "process_results": judge_text,
    "generation_kwargs": {"until": ["\n"], "do_sample": False, "temperature": 0.0, "max_gen_toks": 64},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}
