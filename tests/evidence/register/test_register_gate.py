"""What stands against a real run, and what makes its approval lapse."""

import json
import shutil
from pathlib import Path

import pytest
from evidence_run import Run
from register_office import LATER, Office
from signing_run import PASSWORD, record_run

from etymon import recipe
from etymon.errors import EtymonError
from etymon.evidence.keys import load_key, new_key
from etymon.evidence.register import act
from etymon.lineage.stage import COMPARISON_VERSION, Execution, Meaning
from etymon.register import add_model, show_model
from etymon.signing import sign
from etymon.store import Artifact, Draft, Stage, Store

CODES = ["unsigned", "obligation:tiny-base:changes-stated", "lineage-inconclusive"]


@pytest.fixture
def office(run: Run, evidence: Artifact, copied: Store, tmp_path: Path) -> Office:
    """The run is recorded, registered and submitted; Ada's key also lies in a file, for signing."""
    new_key(tmp_path / "ada.pem", PASSWORD)
    record_run(run, evidence, store=copied)
    office = Office(copied)
    office.hire("Ada", "submit", key=load_key(tmp_path / "ada.pem", PASSWORD))
    add_model("tiny-docs", "1", None, office.desk("Ada"))
    act.submit(office.desk("Ada"), "tiny-docs", None)
    return office


def codes(office: Office) -> list[str]:
    books = office.books()
    return [each.code for each in books.objections(books.register.find("tiny-docs"))]


def lapses(office: Office) -> list[str]:
    books = office.books()
    return books.lapses(books.register.find("tiny-docs"))


def test_what_stands_against_a_run_is_listed_and_refuses_it_until_it_is_waived(office: Office) -> None:
    found = codes(office)
    assert found[0] == "unsigned"
    assert set(found) <= {*CODES, "obligation:tiny-base:name-prefix"}
    with pytest.raises(EtymonError, match=r"(?s)is not approved:\n  unsigned: No signer .* an approver waives it"):
        act.approve(office.desk("Grace"), "tiny-docs", None, (), LATER)
    office.approve("tiny-docs")
    assert show_model(office.books(), "tiny-docs", None).objections == ()
    decision = office.books().register.chain[-1].decision
    assert {each.name.partition("-")[0] for each in decision.evidence} == {"evidence", "lineage"}
    act.publish(office.desk("Ada"), "tiny-docs", None)
    assert office.status("tiny-docs") == "published"


def test_the_signature_of_the_run_counts_and_its_signer_does_not_approve(office: Office, tmp_path: Path) -> None:
    sign("tiny-docs", office.store, tmp_path / "ada.pem", PASSWORD)
    assert "unsigned" not in codes(office)
    entry = office.books().register.find("tiny-docs")
    assert office.books().grounds(entry).pins.signed_by == (office.keys["Ada"].public.id,)
    for each in codes(office):
        act.waive(office.desk("Grace"), "tiny-docs", None, each, "Seen")
    office.hire("Ada", "submit", "approve", key=office.keys["Ada"])
    with pytest.raises(EtymonError, match="nobody answers for a model of their own"):
        act.approve(office.desk("Ada"), "tiny-docs", None, (), LATER)
    act.approve(office.desk("Grace"), "tiny-docs", None, (), LATER)


def test_who_signed_the_run_does_not_approve_it_with_another_key(office: Office, tmp_path: Path) -> None:
    new_key(tmp_path / "grace.pem", PASSWORD)
    sign("tiny-docs", office.store, tmp_path / "grace.pem", PASSWORD)
    office.hire("Grace", "approve", key=load_key(tmp_path / "grace.pem", PASSWORD))
    office.hire("Grace", "approve")
    with pytest.raises(EtymonError, match="Grace signed the evidence of tiny-docs 1"):
        office.approve("tiny-docs")


@pytest.mark.parametrize("file", ["obligations.json", "statements/training.json", "README.md"])
def test_nothing_is_approved_or_published_with_broken_evidence(office: Office, file: str) -> None:
    office.approve("tiny-docs")
    evidence = office.books().holdings.evidence_of(office.books().register.find("tiny-docs").about.digest)
    assert evidence
    with (evidence.folder / file).open("ab") as damaged:
        damaged.write(b"\n")
    for decide in (
        lambda: act.publish(office.desk("Ada"), "tiny-docs", None),
        lambda: act.approve(office.desk("Grace"), "tiny-docs", None, (), LATER),
        lambda: act.waive(office.desk("Grace"), "tiny-docs", None, "evidence-broken", "Never mind"),
    ):
        with pytest.raises(EtymonError, match=r"evidence-broken|has other content than was recorded"):
            decide()


def test_weights_that_changed_are_not_published(office: Office, run: Run) -> None:
    office.approve("tiny-docs")
    weights = office.store.root / "artifacts" / run.derivative.name / "model" / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(EtymonError, match=r"model.safetensors: has other content .*\nPut it right: this cannot be waived"):
        act.publish(office.desk("Ada"), "tiny-docs", None)


def test_a_part_that_is_gone_breaks_the_evidence(office: Office, run: Run) -> None:
    office.approve("tiny-docs")
    shutil.rmtree(office.store.root / "artifacts" / run.heldout.name)
    with pytest.raises(EtymonError, match="evidence-broken"):
        act.publish(office.desk("Ada"), "tiny-docs", None)


def test_a_signature_that_does_not_hold_breaks_the_evidence(office: Office, tmp_path: Path) -> None:
    folder, _ = sign("tiny-docs", office.store, tmp_path / "ada.pem", PASSWORD)
    office.approve("tiny-docs")
    (folder / "training.dsse.json").unlink()
    with pytest.raises(EtymonError, match=r"evidence-broken: signed-.*training.dsse.json: is missing"):
        act.publish(office.desk("Ada"), "tiny-docs", None)


def test_an_approval_lapses_with_new_evidence_and_another_licence(office: Office, run: Run) -> None:
    office.approve("tiny-docs")
    assert lapses(office) == []
    path = run.foundation.folder / "README.md"
    card = path.read_text("utf-8")
    try:
        waiver = recipe.Waiver(rule="licence-unknown", source="foundation", reason="Let us see")
        changed = run.foundation.__class__(
            run.foundation.name,
            run.foundation.folder,
            run.foundation.digest,
            run.foundation.facts.model_copy(update={"license": "Homemade-1.0"}),
        )
        run.evidence(store=office.store, waivers=(waiver,), foundation=changed)
    finally:
        path.write_text(card, "utf-8")
    found = lapses(office)
    assert found[0].startswith("The digest of the evidence was ")
    assert "The licence of the foundation tiny-base was Apache-2.0 and is Homemade-1.0." in found
    assert "Waived since: licence-unknown:foundation." in found
    with pytest.raises(EtymonError, match="its approval has lapsed"):
        act.publish(office.desk("Ada"), "tiny-docs", None)
    with pytest.raises(EtymonError, match="licence-unknown:tiny-base"):
        act.approve(office.desk("Grace"), "tiny-docs", None, (), LATER)
    office.approve("tiny-docs")
    assert lapses(office) == []


@pytest.mark.parametrize("verdict", ["related", "independent"])
def test_an_approval_lapses_with_another_verdict(office: Office, run: Run, verdict: str) -> None:
    """Lineage is tested anew, by a later version of the comparison that says otherwise."""
    office.approve("tiny-docs")

    def compare(draft: Draft[Meaning, Execution]) -> None:
        (draft.folder / "lineage.json").write_text(json.dumps({"verdict": verdict}), "utf-8")

    later = Stage("lineage", COMPARISON_VERSION + 1, compare, Meaning, Execution)
    pair = {"model": run.derived_model(), "parent": run.foundation}
    made, _ = office.store.obtain(later, pair, Meaning(), Execution())
    (said,) = lapses(office)
    assert said.endswith(f"was inconclusive and is {verdict}.")
    (made.folder / "lineage.json").write_text(json.dumps({"verdict": "inconclusive"}), "utf-8")
    with pytest.raises(EtymonError, match="has other content than was recorded"):
        lapses(office)


def test_a_newly_found_relation_lapses_and_a_found_independence_does_not(office: Office, run: Run, tiny_llama: Path) -> None:
    from etymon.foundation.facts import describe_model

    office.approve("tiny-docs")
    other = describe_model(tiny_llama, name="other", source="other", digests=office.store.digests)
    for verdict, said in (("independent", 0), ("related", 1)):

        def compare(draft: Draft[Meaning, Execution], verdict: str = verdict) -> None:
            (draft.folder / "lineage.json").write_text(json.dumps({"verdict": verdict}), "utf-8")

        later = Stage("lineage", COMPARISON_VERSION + 1 + said, compare, Meaning, Execution)
        office.store.obtain(later, {"model": run.derived_model(), "parent": other}, Meaning(), Execution())
        assert len(lapses(office)) == said


def test_a_withdrawn_foundation_lapses_it_until_somebody_answers_for_that(office: Office, run: Run) -> None:
    office.approve("tiny-docs")
    about = act.about("model", "tiny-base", "", run.foundation.digest)
    act.withdraw_other(office.desk("Grace"), about, "Its licence was withdrawn")
    (said,) = lapses(office)
    assert said == "It rests on the model tiny-base, which was withdrawn: Its licence was withdrawn."
    code = codes(office)[0]
    assert code.startswith("withdrawn:")
    act.waive(office.desk("Alan"), "tiny-docs", None, code, "We have it in writing")
    assert lapses(office) == []


def test_a_model_without_evidence_of_unknown_licence(office: Office) -> None:
    office.add("lamp", license="Homemade-1.0")
    office.add("torch", license=None)
    books = office.books()
    for name, says in (("lamp", "Homemade-1.0"), ("torch", "none is declared")):
        missing, unknown = books.objections(books.register.find(name))
        assert missing.code == "evidence-missing"
        assert unknown.code == "licence-unknown:model"
        assert says in unknown.says
