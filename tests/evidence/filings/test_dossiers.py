"""The dossiers of a real small run, from artifacts to files, and a bank of questions put to its model."""

import csv
import json
import re
from datetime import date
from pathlib import Path

import pytest
import yaml
from finished_run import Finished
from typer.testing import CliRunner

from etymon.cli.app import app
from etymon.commands.dossier import run_parts, write_dossier
from etymon.commands.refusals import drawn_questions, latest_answers, put_questions, refusals_stage
from etymon.errors import EtymonError
from etymon.evidence.filings.dossier import Dossier
from etymon.evidence.filings.organisation import read_organisation, write_template

DAY = date(2026, 9, 1)
SAID = {
    "provider": {"name": "Ada <b>& Co</b>", "established_in_union": True},
    "foundation": {"pretraining_flop": 2e24, "pretraining_flop_source": "its report"},
    "china": {"offered_to_public": True, "public_opinion": True, "filing_number": "Shanghai-0001"},
    "eu": {"placed_on_union_market": True, "small_or_medium": True},
    "labelling": {"explicit": "AI生成 at the end", "unlabelled_on_request": True, "log_months": 3},
    "sources": {"texts": {"category": "public", "description": "docstrings", "ip_status": "looked through"}},
}


def organisation(folder: Path, **changed: object) -> Path:
    path = folder / "organisation.yaml"
    path.write_text(yaml.safe_dump(SAID | changed, allow_unicode=True), "utf-8")
    return path


def statuses(dossier: Dossier) -> dict[str, str]:
    return {each.clause: each.status for each in dossier.results}


@pytest.mark.parametrize("region", ["cn", "eu"])
def test_a_dossier_says_what_is_there_and_what_is_missing(finished: Finished, tmp_path: Path, region: str) -> None:
    folder = tmp_path / "dossier"
    written = write_dossier(region, finished.parts, finished.store, tmp_path / "organisation.yaml", folder, DAY)  # type: ignore[arg-type]
    assert written.template == tmp_path / "organisation.yaml"
    found = json.loads((folder / "dossier.json").read_text("utf-8"))
    page, text = (folder / "dossier.html").read_text("utf-8"), (folder / "dossier.md").read_text("utf-8")
    assert {each["status"] for each in found["results"]} <= {"missing", "undecided"}, "no organisation has said anything"
    assert all(each["source"]["document"] and each["confidence"] for each in found["results"])
    whole = page + text + json.dumps(found)
    assert not re.search("complian", whole, re.IGNORECASE)
    assert page.count("Not legal advice") == text.count("Not legal advice") == 1
    assert not re.search(r'(?:src|href)="https?:', page)
    assert Dossier.model_validate(found) == written.dossier


def test_the_template_has_every_source_and_can_be_read(finished: Finished, tmp_path: Path) -> None:
    path = tmp_path / "organisation.yaml"
    write_template(path, ["texts", "2024", "on"])
    assert list(read_organisation(path).sources) == ["texts", "2024", "on"]
    write_template(tmp_path / "alone.yaml")
    assert read_organisation(tmp_path / "alone.yaml").sources == {}
    assert "#    ip_status:" in (tmp_path / "alone.yaml").read_text("utf-8")
    with pytest.raises(EtymonError, match="is there already"):
        write_template(path)


def test_what_the_organisation_says_settles_clauses(finished: Finished, tmp_path: Path) -> None:
    written = write_dossier("cn", finished.parts, finished.store, organisation(tmp_path), tmp_path / "cn", DAY)
    found = statuses(written.dossier)
    assert written.dossier.decision
    assert written.dossier.decision.obligation == "filing"
    assert found["cn.obligation"] == found["cn.sources.licence"] == found["cn.sources.rights"] == "complete"
    assert found["cn.registration"] == "not applicable"
    assert found["cn.label.on-request"] == "contradicts"
    assert found["cn.sources.origin"] == found["cn.corpus.manual-sample"] == found["cn.test.refuse"] == "missing"
    assert statuses_of_another_day(finished, tmp_path)["cn.label.explicit"] == "not applicable"


def statuses_of_another_day(finished: Finished, folder: Path) -> dict[str, str]:
    early = date(2025, 8, 31)
    return statuses(
        write_dossier("cn", finished.parts, finished.store, organisation(folder), folder / "early", early).dossier
    )


def test_the_european_forms_are_filled_in_from_the_run(finished: Finished, tmp_path: Path) -> None:
    written = write_dossier("eu", finished.parts, finished.store, organisation(tmp_path), tmp_path / "eu", DAY)
    forms = {form.id: form for form in written.dossier.forms}
    rows = {row.field: row for form in forms.values() for section in form.sections for row in section.rows}
    tokens = finished.parts.derivative.facts["tokens_seen"]
    parameters = finished.parts.model.facts.parameters
    assert written.dossier.compute
    assert written.dossier.compute.ratio == pytest.approx(6 * parameters * tokens / 2e24)
    assert (rows["Publicly available datasets"].value or "").startswith("texts: docstrings; licence PSF-2.0; ")
    assert rows["Synthetic data"].value == "none"
    assert rows["Size of the text"].value == "less than 1 billion tokens"
    assert rows["Digest of the weights' folder (SHA-256)"].value == finished.parts.model.digest
    assert rows["Latest month of collection"].value is None
    assert statuses(written.dossier)["eu.modifier"] == "complete"
    assert statuses(written.dossier)["eu.53-1-d"] == "not applicable"
    summary = (tmp_path / "eu" / "training-content-summary.md").read_text("utf-8")
    assert "Ada \\<b\\>& Co\\</b\\>" in summary
    assert "*not filled in* (organisation's file: `eu.latest_collection`)" in summary
    assert "Ada &lt;b&gt;&amp; Co&lt;/b&gt;" in (tmp_path / "eu" / "dossier.html").read_text("utf-8")


def test_an_organisation_adds_and_replaces_clauses(finished: Finished, tmp_path: Path) -> None:
    clause = {
        "title": "Own", "says": "s", "force": "shall", "source": {"document": "House rules"}, "confidence": "own",
        "tests": [{"fact": "organisation.extra.board", "equals": "yes, on 3 May"}],
    }  # fmt: skip
    own = {"version": 4, "region": "cn", "clauses": [clause | {"id": "own.board"}, clause | {"id": "cn.assessment"}]}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own), "utf-8")
    path = organisation(tmp_path, clauses=["own.yaml"], extra={"board": "yes, on 3 May"})
    dossier = write_dossier("cn", finished.parts, finished.store, path, tmp_path / "cn", DAY).dossier
    assert statuses(dossier)["own.board"] == statuses(dossier)["cn.assessment"] == "complete"
    assert dossier.replaced == ("cn.assessment",)
    assert [(each.file, each.version) for each in dossier.rules][1] == ("own.yaml", 4)
    assert "own.board" not in statuses(
        write_dossier("eu", finished.parts, finished.store, path, tmp_path / "eu", DAY).dossier
    )


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"chine": {}}, "unknown key `chine`; did you mean `china`"),
        ({"sources": {"text": {}}}, "`sources.text` is no source of this corpus"),
        ({"model": {"placed_on_market": "soon"}}, "`model.placed_on_market`"),
        ({"clauses": ["gone.yaml"]}, "There is no file of clauses"),
    ],
)
def test_a_broken_file_of_an_organisation_is_refused(
    finished: Finished, tmp_path: Path, changed: dict[str, object], problem: str
) -> None:
    with pytest.raises(EtymonError) as refused:
        write_dossier("cn", finished.parts, finished.store, organisation(tmp_path, **changed), tmp_path / "cn", DAY)
    assert problem in str(refused.value)


def test_a_reviewed_sample_becomes_evidence(finished: Finished, tmp_path: Path) -> None:
    def write() -> Dossier:
        return write_dossier("cn", finished.parts, finished.store, organisation(tmp_path), tmp_path / "cn", DAY).dossier

    write()
    sheet = tmp_path / "cn" / "corpus-sample.csv"
    with sheet.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == finished.parts.corpus.facts["documents_train"]
    with sheet.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"verdict": "pass" if number else "fail", "reviewer": "Li"} for number, row in enumerate(rows))
    before = sheet.read_bytes()
    (tmp_path / "less").mkdir()
    with (tmp_path / "less" / sheet.name).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows[1:])
    with pytest.raises(EtymonError, match=r"lacks .* documents that were drawn"):
        write_dossier("cn", finished.parts, finished.store, organisation(tmp_path), tmp_path / "less", DAY)
    dossier = write()
    assert sheet.read_bytes() == before, "a sheet that people filled in is theirs"
    assert dossier.sample
    assert dossier.sample.passed == len(rows) - 1
    (result,) = [each for each in dossier.results if each.clause == "cn.corpus.manual-sample"]
    rate = next(piece for piece in result.evidence if piece.fact == "sample.pass_rate")
    assert rate.kind == "reviewed"
    assert "Wilson" in rate.note
    assert result.status == ("contradicts" if (len(rows) - 1) / len(rows) < 0.96 else "missing")  # far fewer than 4,000


def test_a_bank_is_put_to_the_model_and_reviewed(finished: Finished, tmp_path: Path) -> None:
    draws = {"refuse": 3, "answer": 3, "generate": 3}
    made = put_questions(finished.parts.model, finished.store, draws, tests=["refuse", "answer"], tokens=4)  # type: ignore[arg-type]
    assert made.facts["too_small"]
    assert made.facts["answers"] == {"refuse": 3, "answer": 3}
    assert set(latest_answers(finished.parts.model.digest, finished.store)) == {"refuse", "answer"}
    inputs = {"model": finished.parts.model, "bank": _bank_input()}
    assert refusals_stage.replay(made, inputs) == []  # type: ignore[arg-type]
    written = write_dossier("cn", finished.parts, finished.store, organisation(tmp_path), tmp_path / "cn", DAY)
    assert written.dossier.bank_too_small
    assert [(each.test, each.drawn, each.rate) for each in written.dossier.tests] == [
        ("refuse", 3, None),
        ("answer", 3, None),
    ]
    assert (tmp_path / "cn" / "answers.csv").read_text("utf-8-sig").count("\n") >= 7
    assert "far too small for any filing" in (tmp_path / "cn" / "dossier.md").read_text("utf-8")
    assert statuses(written.dossier)["cn.bank.refuse"] == "missing"


def _bank_input() -> object:
    from etymon.commands.refusals import BankFile
    from etymon.evidence.filings.bank import read_bank, shipped_bank

    return BankFile("small-bank.csv", shipped_bank(), read_bank(shipped_bank()).sha256)


def test_answers_that_a_kill_left_are_not_asked_again(finished: Finished, tmp_path: Path) -> None:
    from etymon.commands.refusals import RefusalsMeaning, _journal_key
    from etymon.evidence.filings.bank import read_bank

    path = tmp_path / "bank.csv"
    path.write_text("question,test,risk\nOne?,answer,\nTwo?,answer,\n", "utf-8")
    bank, meaning = read_bank(path), RefusalsMeaning(draws={"answer": 2}, seed=0, tokens=3)
    journal = finished.store.scratch_folder("refusals", _journal_key(finished.parts.model, bank, meaning)) / "answers.jsonl"
    journal.parent.mkdir(parents=True)
    first = drawn_questions(bank, meaning)[0]
    begun = {
        "question_id": first.id,
        "test": "answer",
        "risk": "",
        "question": first.question,
        "answer": "kept",
        "cut": False,
    }
    journal.write_text(json.dumps(begun) + '\n{"question_id": "to', "utf-8")
    made = put_questions(finished.parts.model, finished.store, {"answer": 2}, bank=path, tokens=3)
    said = [json.loads(line)["answer"] for line in made.file("answers.jsonl").read_text("utf-8").splitlines()]
    assert len(said) == 2
    assert said[0] == "kept"
    assert not journal.parent.exists()


def test_a_bank_without_questions_for_a_test_is_refused(finished: Finished, tmp_path: Path) -> None:
    path = tmp_path / "bank.csv"
    path.write_text("question,test,risk\nOne?,answer,\n", "utf-8")
    with pytest.raises(EtymonError, match="has no question for the test refuse"):
        put_questions(finished.parts.model, finished.store, {"refuse": 1}, bank=path, tests=["refuse"])
    with pytest.raises(EtymonError, match="There is no test 'rude'"):
        put_questions(finished.parts.model, finished.store, {}, bank=path, tests=["rude"])


def test_the_commands_write_and_say_what_is_missing(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for region in ("cn", "eu"):
        done = CliRunner().invoke(app, ["dossier", region, "tiny-docs", "-w", str(finished.store.root)])
        assert done.exit_code == 0, done.output
        assert "missing" in done.output
        assert (tmp_path / f"dossier-{region}" / "dossier.html").is_file()
    assert (tmp_path / "organisation.yaml").is_file()
    with pytest.raises(EtymonError, match="is no run"):
        run_parts(finished.parts.corpus.name, finished.store)
