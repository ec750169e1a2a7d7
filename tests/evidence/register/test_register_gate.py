"""What stands against a real run, and what makes its approval lapse."""

import datetime
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from evidence_run import Run
from register_office import LATER, Office
from signing_run import PASSWORD, record_run

from etymon import recipe
from etymon.commands.register import add_model, show_model
from etymon.commands.signing import sign
from etymon.errors import EtymonError
from etymon.evidence.keys import load_key, new_key
from etymon.evidence.register import act
from etymon.foundation.facts import describe_model
from etymon.foundation.model import Model
from etymon.lineage.stage import COMPARISON_VERSION, Execution, Meaning
from etymon.store import Artifact, Draft, Stage, Store

CODES = ["unsigned", "obligation:tiny-base:changes-stated", "lineage-inconclusive"]
NOW = datetime.datetime.now(datetime.UTC).date()


@dataclass(frozen=True)
class Kept:
    """A workspace in which the run is submitted, and one in which it was then signed by Ada and approved by Grace."""

    submitted: Office
    approved: Office

    def key_file(self, name: str) -> Path:
        """Encrypted; there are ``ada`` and ``mary``, who has decided nothing."""
        return self.submitted.store.root.with_name(f"{name}.pem")


@pytest.fixture(scope="module")
def kept(run: Run, evidence: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    root = tmp_path_factory.mktemp("gate")
    shutil.copytree(run.untouched, root / "submitted" / "artifacts")
    submitted = Office(Store(root / "submitted"))
    for name in ("ada", "mary"):
        new_key(root / f"{name}.pem", PASSWORD)
    submitted.hire("Ada", "submit", key=load_key(root / "ada.pem", PASSWORD))
    record_run(run, evidence, store=submitted.store)
    add_model("tiny-docs", "1", None, submitted.desk("Ada"))
    act.submit(submitted.desk("Ada"), "tiny-docs", None)
    approved = copy_of(submitted, root / "approved")
    sign("tiny-docs", approved.store, root / "ada.pem", PASSWORD)
    approved.approve("tiny-docs")
    return Kept(submitted, approved)


def copy_of(office: Office, root: Path) -> Office:
    shutil.copytree(office.store.root, root)
    return Office(Store(root), dict(office.keys), dict(office.signers))


@pytest.fixture
def office(kept: Kept, tmp_path: Path) -> Office:
    """Where the run is submitted."""
    return copy_of(kept.submitted, tmp_path / "workspace")


@pytest.fixture
def approved(kept: Kept, tmp_path: Path) -> Office:
    """Where it is signed and approved."""
    return copy_of(kept.approved, tmp_path / "workspace")


def codes(office: Office) -> list[str]:
    books = office.books()
    return [each.code for each in books.objections(books.register.find("tiny-docs"))]


def lapses(office: Office) -> list[str]:
    books = office.books()
    return books.lapses(books.register.find("tiny-docs"))


def signature(office: Office) -> Path:
    (folder,) = (office.store.root / "signed").iterdir()
    return folder


def laid(office: Office, model: Model, parent: Model, verdict: str, version: int) -> Artifact:
    """A lineage by a later version of the comparison, as anybody could lay it into the workspace."""

    def compare(draft: Draft[Meaning, Execution]) -> None:
        (draft.folder / "lineage.json").write_text(json.dumps(said | {"verdict": verdict}), "utf-8")

    said = next(each for each in office.store.artifacts() if each.manifest.stage == "lineage").read_json("lineage.json")
    later = Stage("lineage", COMPARISON_VERSION + version, compare, Meaning, Execution)
    return office.store.obtain(later, {"model": model, "parent": parent}, Meaning(), Execution())[0]


def test_what_stands_against_a_run_is_listed_and_refuses_it_until_it_is_waived(office: Office) -> None:
    found = codes(office)
    assert found[0] == "unsigned"
    assert set(found) <= {*CODES, "obligation:tiny-base:name-prefix"}
    with pytest.raises(EtymonError, match=r"(?s)is not approved:\n  unsigned: .* by no signer: .* an approver waives it"):
        act.approve(office.desk("Grace"), "tiny-docs", None, (), LATER)
    office.approve("tiny-docs")
    assert show_model(office.books(), "tiny-docs", None).objections == ()
    decision = office.books().register.chain[-1].decision
    assert {each.name.partition("-")[0] for each in decision.evidence} == {"evidence", "lineage"}
    act.publish(office.desk("Ada"), "tiny-docs", None)
    assert office.status("tiny-docs") == "published"


def test_the_signature_of_the_run_counts_and_its_signer_does_not_approve(approved: Office) -> None:
    assert "unsigned" not in codes(approved)
    entry = approved.books().register.find("tiny-docs")
    assert approved.books().grounds(entry).pins.signed_by == (approved.keys["Ada"].public.id,)
    assert approved.books().lapses(entry) == []
    approved.hire("Ada", "submit", "approve", key=approved.keys["Ada"])
    with pytest.raises(EtymonError, match="nobody answers for a model of their own"):
        act.approve(approved.desk("Ada"), "tiny-docs", None, (), LATER)


def test_who_signed_the_run_neither_approves_nor_waives_nor_dismisses_with_whichever_key(
    kept: Kept, approved: Office
) -> None:
    """Mary's key is Grace's here; the signature counts for that when it holds no more, too."""
    mary = approved.hire("Mary", "submit", key=load_key(kept.key_file("mary"), PASSWORD)).public
    approved.signers[mary.id] = replace(approved.signers[mary.id], name="Grace")
    folder, _ = sign("tiny-docs", approved.store, kept.key_file("mary"), PASSWORD)
    (folder / "training.dsse.json").unlink()
    flag = act.flag(approved.desk("Ada"), "tiny-docs", None, "It lies")
    for decide in (
        lambda: act.waive(approved.desk("Grace"), "tiny-docs", None, "lineage-inconclusive", "Seen"),
        lambda: act.reply(approved.desk("Grace"), "tiny-docs", None, "dismissed", "No", flag.digest),
    ):
        with pytest.raises(EtymonError, match="Grace signed the run of tiny-docs 1"):
            decide()
    act.reply(approved.desk("Alan"), "tiny-docs", None, "dismissed", "No")
    shutil.rmtree(folder)
    sign("tiny-docs", approved.store, kept.key_file("mary"), PASSWORD)
    with pytest.raises(EtymonError, match="Grace signed the run of tiny-docs 1"):
        act.approve(approved.desk("Grace"), "tiny-docs", None, (), LATER)


@pytest.mark.parametrize("file", ["obligations.json", "statements/training.json", "README.md"])
def test_nothing_is_approved_or_published_with_broken_evidence(approved: Office, file: str) -> None:
    evidence = approved.books().holdings.evidence_of(approved.books().register.find("tiny-docs").about.digest)
    assert evidence
    with (evidence.folder / file).open("ab") as damaged:
        damaged.write(b"\n")
    for decide in (
        lambda: act.publish(approved.desk("Ada"), "tiny-docs", None),
        lambda: act.approve(approved.desk("Grace"), "tiny-docs", None, (), LATER),
        lambda: act.waive(approved.desk("Grace"), "tiny-docs", None, "evidence-broken", "Never mind"),
    ):
        with pytest.raises(EtymonError, match=r"evidence-broken|has other content than was recorded"):
            decide()


def test_weights_that_changed_are_not_published(approved: Office, run: Run) -> None:
    weights = approved.store.root / "artifacts" / run.derivative.name / "model" / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(EtymonError, match=r"model.safetensors: has other content .*\nPut it right: this cannot be waived"):
        act.publish(approved.desk("Ada"), "tiny-docs", None)


def test_a_part_that_is_gone_breaks_the_evidence(office: Office, run: Run) -> None:
    office.approve("tiny-docs")
    shutil.rmtree(office.store.root / "artifacts" / run.heldout.name)
    with pytest.raises(EtymonError, match="evidence-broken"):
        act.publish(office.desk("Ada"), "tiny-docs", None)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (
            lambda folder: (folder / "training.dsse.json").unlink(),
            r"counts no more. signed-.*/training.dsse.json: is missing",
        ),
        (shutil.rmtree, "signature of its run is gone"),
    ],
)
def test_an_approval_lapses_when_its_signature_goes(approved: Office, damage: Callable[[Path], None], says: str) -> None:
    damage(signature(approved))
    with pytest.raises(EtymonError, match=says):
        act.publish(approved.desk("Ada"), "tiny-docs", None)
    assert codes(approved)[0] in ("evidence-broken", "unsigned")


def test_an_approval_lapses_when_its_signature_expires(kept: Kept, approved: Office) -> None:
    shutil.rmtree(signature(approved))
    sign("tiny-docs", approved.store, kept.key_file("ada"), PASSWORD, expires=NOW)
    entry = approved.books().register.find("tiny-docs")
    assert approved.books().lapses(entry) == []
    (said,) = approved.books(NOW + datetime.timedelta(1)).lapses(entry)
    assert "has expired" in said


def test_a_key_past_its_last_day_signs_no_run(kept: Kept, approved: Office) -> None:
    shutil.rmtree(signature(approved))
    mary = approved.hire("Mary", "submit", key=load_key(kept.key_file("mary"), PASSWORD)).public
    sign("tiny-docs", approved.store, kept.key_file("mary"), PASSWORD)
    assert "unsigned" not in codes(approved)
    approved.signers[mary.id] = replace(approved.signers[mary.id], until=NOW - datetime.timedelta(1))
    books = approved.books()
    found = books.objections(books.register.find("tiny-docs"))
    assert "signed with a key that had ended" in next(each.says for each in found if each.code == "unsigned")


def test_of_a_stolen_key_what_it_signed_counts_up_to_a_decision_alone(approved: Office) -> None:
    ada = approved.signers[approved.keys["Ada"].public.id]
    chain = approved.books().register.chain
    thief = approved.desk("Ada")
    approved.hire("Ada", "submit")
    approved.signers[ada.key.id] = replace(ada, last=chain[-1].digest[:16])
    assert lapses(approved) == [], "it was approved before"
    with pytest.raises(EtymonError, match="nothing counts after the decision"):
        act.publish(thief, "tiny-docs", None)
    act.publish(approved.desk("Ada"), "tiny-docs", None)
    approved.signers[ada.key.id] = replace(ada, last=chain[1].digest[:16])
    assert "The signature of its run is gone, or counts no more." in lapses(approved)
    assert codes(approved)[0] == "unsigned"


def test_an_approval_lapses_with_new_evidence_and_another_licence(approved: Office, run: Run) -> None:
    for license in ("Homemade-1.0", "Homemade-2.0"):
        waiver = recipe.Waiver(rule="licence-unknown", source="foundation", reason=f"Let us see {license}")
        changed = replace(run.foundation, facts=run.foundation.facts.model_copy(update={"license": license}))
        run.evidence(store=approved.store, waivers=(waiver,), foundation=changed)
        found = lapses(approved)
        assert any(each.startswith("The digest of the evidence was ") for each in found)
        assert any(each.startswith("The licence of the foundation tiny-base was ") for each in found)
        with pytest.raises(EtymonError, match="its approval has lapsed"):
            act.publish(approved.desk("Ada"), "tiny-docs", None)
        with pytest.raises(EtymonError, match="licence-unknown:tiny-base"):  # the second time too: another was waived
            act.approve(approved.desk("Grace"), "tiny-docs", None, (), LATER)
        approved.approve("tiny-docs")
        assert lapses(approved) == []
    assert "licence-unknown:foundation" in approved.books().register.find("tiny-docs").terms.pins.waived  # type: ignore[union-attr]


def test_a_lineage_that_no_evidence_names_counts_against_a_model_alone(approved: Office, run: Run) -> None:
    model = run.derived_model()
    laid(approved, model, run.foundation, "related", 1)
    assert lapses(approved) == []
    assert "lineage-inconclusive" in codes(approved), "the evidence says so, whatever was laid beside it"
    made = laid(approved, model, run.foundation, "independent", 2)
    (said,) = lapses(approved)
    assert said.endswith("was inconclusive and is independent.")
    assert "lineage-independent" in codes(approved)
    (made.folder / "lineage.json").write_text(json.dumps({"verdict": "inconclusive"}), "utf-8")
    with pytest.raises(EtymonError, match="has other content than was recorded"):
        lapses(approved)


def test_two_lineages_that_contradict_each_other(office: Office, run: Run) -> None:
    related = laid(office, run.derived_model(), run.foundation, "related", 1)
    run.evidence(store=office.store, lineage=related)
    assert "lineage-inconclusive" not in codes(office)
    laid(office, run.derived_model(), run.foundation, "independent", 2)
    assert "lineage-contrary" in codes(office)


def test_a_test_against_the_foundation_that_comes_later_counts(office: Office, run: Run) -> None:
    run.evidence(store=office.store, lineage=None)
    assert "lineage-missing" in codes(office)
    office.approve("tiny-docs")
    laid(office, run.derived_model(), run.foundation, "independent", 1)
    (said,) = lapses(office)
    assert said.endswith("was none and is independent.")


def test_a_newly_found_relation_lapses_and_a_found_independence_does_not(
    approved: Office, run: Run, tiny_llama: Path
) -> None:
    other = describe_model(tiny_llama, name="other", source="other", digests=approved.store.digests)
    for verdict, said in (("independent", 0), ("related", 1)):
        laid(approved, run.derived_model(), other, verdict, 1 + said)
        assert len(lapses(approved)) == said


def test_a_withdrawn_foundation_lapses_it_until_somebody_answers_for_that(approved: Office, run: Run) -> None:
    about = act.about("model", "tiny-base", "", run.foundation.digest)
    act.withdraw_other(approved.desk("Grace"), about, "Its licence was withdrawn")
    (said,) = lapses(approved)
    assert said == "It rests on the model tiny-base, which was withdrawn: Its licence was withdrawn."
    code = codes(approved)[0]
    assert code.startswith("withdrawn:")
    act.waive(approved.desk("Alan"), "tiny-docs", None, code, "We have it in writing")
    assert lapses(approved) == []


def test_a_model_without_evidence_of_unknown_licence(office: Office) -> None:
    office.add("lamp", license="Homemade-1.0")
    office.add("torch", license=None)
    books = office.books()
    for name, says in (("lamp", "Homemade-1.0"), ("torch", "none is declared")):
        missing, unknown = books.objections(books.register.find(name))
        assert missing.code == "evidence-missing"
        assert unknown.code == "licence-unknown:model"
        assert says in unknown.says
