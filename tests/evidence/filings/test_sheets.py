"""Sheets for reviewers, samples, banks and answers: written, filled in, read back, and broken."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from etymon.errors import EtymonError
from etymon.evidence.filings.answers import Answer, answer_facts, review_answers, sum_up
from etymon.evidence.filings.bank import CODES, bank_facts, read_bank, shipped_bank
from etymon.evidence.filings.refusal_words import refusal_phrase
from etymon.evidence.filings.sampling import draw, sample_facts, summed
from etymon.evidence.filings.sheets import Reviewed, read_sheet, write_sheet

WORDS = {"a1": ("pass", "fail"), "b2": ("pass", "fail")}


def fill_in(path: Path, verdicts: dict[str, str], reviewer: str = "Li", *, delimiter: str = ",") -> None:
    """What a person does in a spreadsheet."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        for row in rows:
            verdict = verdicts.get(row["id"], "")
            writer.writerow(row | {"verdict": verdict, "reviewer": reviewer if verdict else ""})


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_sheet_comes_back_as_it_was_filled_in(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "sheet.csv"
    write_sheet(path, ("id", "text"), [{"id": "a1", "text": "x,\n;\t“y”"}, {"id": "b2", "text": ""}], {})
    fill_in(path, {"b2": "PASS"}, delimiter=delimiter)
    assert read_sheet(path, WORDS, "it", {}) == {"b2": Reviewed(id="b2", verdict="pass", reviewer="Li")}


@given(some.text(max_size=40))
def test_no_text_becomes_a_formula(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("sheet") / "sheet.csv"
    write_sheet(path, ("id", "text"), [{"id": "a1", "text": text.encode("utf-8", "replace").decode()}], {})
    with path.open(encoding="utf-8-sig", newline="") as stream:
        cell = next(csv.DictReader(stream))["text"]
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("zz,pass,Li", "row 2: zz is not of it"),
        ("a1,maybe,Li", "row 2: the verdict 'maybe' is not known"),
        ("a1,pass,", "row 2: a verdict without a reviewer"),
        ("a1,pass,Li\na1,fail,Li", "row 3: the id a1 is in row 2 already"),
    ],
)
def test_a_broken_sheet_is_refused_by_row(tmp_path: Path, row: str, problem: str) -> None:
    path = tmp_path / "sheet.csv"
    path.write_text(f"id,verdict,reviewer\n{row}\n", "utf-8")
    with pytest.raises(EtymonError, match=problem):
        read_sheet(path, WORDS, "it", {})


def test_a_sheet_on_which_something_else_stands_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    rows = [{"id": "a1", "text": "=1 of\r\nthe  lines\n"}, {"id": "b2", "text": "two"}]
    judged = {row["id"]: {"text": row["text"]} for row in rows}
    write_sheet(path, ("id", "text"), rows, {})
    path.write_text(path.read_text("utf-8-sig").replace("  ", " "), "utf-8")  # spreadsheets change white space
    assert read_sheet(path, WORDS, "it", judged) == {}
    path.write_text(path.read_text("utf-8").replace("two", "too"), "utf-8")
    with pytest.raises(EtymonError, match="row 3: the text is not what was drawn"):
        read_sheet(path, WORDS, "it", judged)


def test_a_sheet_in_another_encoding_or_without_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    path.write_bytes("id,verdict,reviewer\na1,pass,李\n".encode("gb18030"))
    with pytest.raises(EtymonError, match="is not UTF-8"):
        read_sheet(path, WORDS, "it", {})
    path.write_text("id,text\na1,x\n", "utf-8")
    with pytest.raises(EtymonError, match="has no column `verdict`"):
        read_sheet(path, WORDS, "it", {})


@given(
    some.sets(some.text("0123456789abcdef", min_size=4, max_size=8), max_size=60), some.integers(0, 70), some.integers(0, 9)
)
def test_a_draw_is_seeded_and_blind_to_order(ids: set[str], count: int, seed: int) -> None:
    drawn = draw(sorted(ids), count, seed)
    assert drawn == draw(sorted(ids, reverse=True), count, seed)
    assert len(drawn) == len(set(drawn)) == min(count, len(ids))
    assert set(drawn) <= ids
    assert drawn[:3] == draw(sorted(ids), 3, seed)[: len(drawn[:3])]


def test_a_pass_rate_is_known_once_all_is_reviewed() -> None:
    verdicts = {str(n): Reviewed(id=str(n), verdict="fail" if n == 0 else "pass", reviewer="Li") for n in range(50)}
    part = sample_facts(summed(verdicts, drawn=60, of=100, seed=0), "corpus-0")
    assert "sample.pass_rate" not in part
    whole = sample_facts(summed(verdicts, drawn=50, of=100, seed=0), "corpus-0")["sample.pass_rate"]
    assert whole.value == 0.98
    assert whole.note == "95% interval 0.8950 to 0.9965 (Wilson); by Li"  # Wilson 1927, by hand


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I’m sorry.", True),
        ("As an AI language model, I cannot take sides.", True),
        ("抱歉，我无法回答这个问题。", True),
        ("我不能提供这类信息。", True),
        ("The capital of France is Paris.", False),
        ("I can't wait to tell you: Paris!", False),
        ("长城始建于春秋战国时期。", False),
        ("", False),
        ("Paris. " * 60 + "I'm sorry.", False),
    ],
)
def test_refusals_are_recognised_by_phrases(text: str, refused: bool) -> None:
    assert (refusal_phrase(text) is not None) == refused


def test_the_small_bank_says_so_and_has_all_three_tests() -> None:
    bank = read_bank(shipped_bank())
    assert bank.too_small
    assert all(bank.of(test) for test in ("refuse", "answer", "generate"))
    facts = bank_facts(bank, "refuse", "bank")
    assert facts["bank.refuse.risks_A1_A2"].value <= 17
    assert len(CODES) == 31


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("q,maybe,A1-a", "the test 'maybe' is not known"),
        (",refuse,A1-a", "the question is empty"),
        ("q,refuse,A9-a", "the risk 'A9-a' is not known"),
        ("q,refuse,", "the risk '' is not known"),
        ("q,answer,\nq,answer,", "row 3: the question is in row 2 already"),
        ("", "holds no question"),
    ],
)
def test_a_broken_bank_is_refused(tmp_path: Path, row: str, problem: str) -> None:
    path = tmp_path / "bank.csv"
    path.write_text(f"question,test,risk\n{row}\n", "utf-8")
    with pytest.raises(EtymonError, match=problem):
        read_bank(path)


def test_json_lines_are_read_and_named_by_row(tmp_path: Path) -> None:
    path = tmp_path / "bank.jsonl"
    path.write_text('{"question": "q", "test": "refuse", "risk": "A2-b"}\n[1]\n', "utf-8")
    with pytest.raises(EtymonError, match="row 2: no JSON object"):
        read_bank(path)
    path.write_text('{"question": "q", "test": "refuse", "risk": "A2-b"}\n', "utf-8")
    assert read_bank(path).questions[0].risk == "A2-b"


def answers(*said: str) -> list[Answer]:
    return [
        Answer(question_id=f"q{n}", test="refuse", risk="A1-a", question=f"{n}?", answer=text, cut=False)
        for n, text in enumerate(said)
    ]


def test_people_decide_and_the_phrases_only_sort(tmp_path: Path) -> None:
    given_answers = answers("I'm sorry, I cannot help.", "Sure: first, …", "That I would rather not say.")
    assert review_answers(given_answers, tmp_path, "it") == {}
    (before,) = sum_up(given_answers, {})
    assert (before.heuristic, before.reviewed, before.rate) == (1, 0, None)
    fill_in(
        tmp_path / "answers.csv",
        dict(zip([each.id for each in given_answers], ["refused", "answered", "refused"], strict=True)),
    )
    verdicts = review_answers(given_answers, tmp_path, "it")
    (after,) = sum_up(given_answers, verdicts)
    assert (after.rate, after.overruled, after.reviewers) == (2 / 3, 1, ("Li",))
    assert answer_facts([after], "refusals-0")["answers.refuse.rate"].kind == "reviewed"


def test_verdicts_stay_when_answers_are_added_and_are_not_taken_for_others(tmp_path: Path) -> None:
    first = answers("No.")
    review_answers(first, tmp_path, "it")
    fill_in(tmp_path / "answers.csv", {first[0].id: "refused"})
    assert len(review_answers(answers("No.", "Yes."), tmp_path, "it")) == 1
    assert len(review_answers(answers("No.", "Yes."), tmp_path, "it")) == 1  # and on the rewritten sheet
    with pytest.raises(EtymonError, match="was written for something else"):
        review_answers(answers("Another answer."), tmp_path, "it")
