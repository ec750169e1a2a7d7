"""The dossiers of a real small run, from artifacts to files, and a bank of questions put to its model."""

import json
import re
from datetime import date
from pathlib import Path

import pytest
from finished_run import Finished

from etymon.dossier import write_dossier
from etymon.evidence.filings.organisation import write_template
from etymon.refusals import latest_answers, put_questions

DAY = date(2026, 9, 1)


@pytest.mark.parametrize("region", ["cn", "eu"])
def test_a_dossier_says_what_is_there_and_what_is_missing(finished: Finished, tmp_path: Path, region: str) -> None:
    folder = tmp_path / "dossier"
    write_dossier(region, finished.parts, finished.store, tmp_path / "organisation.yaml", folder, DAY)
    found = json.loads((folder / "dossier.json").read_text("utf-8"))
    page, text = (folder / "dossier.html").read_text("utf-8"), (folder / "dossier.md").read_text("utf-8")
    assert found["results"]
    assert {each["status"] for each in found["results"]} == {"missing"}, "no organisation has said anything"
    assert all(each["source"] for each in found["results"])
    assert not re.search("complian", page + text + json.dumps(found), re.IGNORECASE)
    assert "Not legal advice" in page
    assert "Not legal advice" in text
    assert not re.search(r'(?:src|href)="https?:', page)


def test_what_the_organisation_says_settles_clauses(finished: Finished, tmp_path: Path) -> None:
    organisation = tmp_path / "organisation.yaml"
    write_template(organisation)
    given = organisation.read_text("utf-8").replace("placed_on_union_market:", "placed_on_union_market: false")
    organisation.write_text(given, "utf-8")
    write_dossier("eu", finished.parts, finished.store, organisation, tmp_path / "eu", DAY)
    found = json.loads((tmp_path / "eu" / "dossier.json").read_text("utf-8"))
    assert "not applicable" in {each["status"] for each in found["results"]}


def test_a_bank_is_put_to_the_model(finished: Finished, tmp_path: Path) -> None:
    made = put_questions(
        finished.parts.model, finished.store, {"refuse": 3, "answer": 3}, tests=["refuse", "answer"], tokens=4
    )
    assert made.facts["too_small"]
    assert sum(made.facts["answers"].values()) == 6
    assert set(latest_answers(finished.parts.model.digest, finished.store)) >= {"refuse", "answer"}
