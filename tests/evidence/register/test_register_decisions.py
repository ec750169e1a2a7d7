"""The life of models in the register: who may decide what, when, and what has no effect."""

import datetime
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from register_office import LATER, Office, digest_of

from etymon.commands.clean import leftovers
from etymon.commands.register import add_model, approve_model, impact_of, withdraw_anything
from etymon.errors import EtymonError
from etymon.evidence.register import act
from etymon.evidence.register.books import line_of
from etymon.evidence.register.chain import append
from etymon.evidence.register.decision import (
    Added,
    Approved,
    Decision,
    Details,
    Flagged,
    Pins,
    Published,
    Submitted,
    Waived,
    decision_in,
    payload_of,
)
from etymon.evidence.register.gate import unanswered
from etymon.store import Store


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(Store(tmp_path / "workspace"))


def test_a_model_goes_from_draft_to_withdrawn_with_who_when_and_why(office: Office) -> None:
    office.add("lamp")
    act.submit(office.desk("Ada"), "lamp", None, "Ready")
    assert office.status("lamp") == "submitted"
    office.approve("lamp", conditions=("Inside the house",), text="Tried it\nfor a week")
    act.publish(office.desk("Ada"), "lamp", "1", "https://example.org/lamp")
    assert office.status("lamp") == "published"
    act.withdraw(office.desk("Grace"), "lamp", None, "It lies")
    entry = office.books().register.find("lamp", "1")
    assert entry.status == "withdrawn"
    assert [(each.decision.kind, each.signer.name) for each in entry.history] == [
        ("add", "Ada"), ("submit", "Ada"), ("waive", "Grace"), ("approve", "Grace"),
        ("publish", "Ada"), ("withdraw", "Grace"),
    ]  # fmt: skip
    assert entry.history[3].decision.text == "Tried it for a week"
    assert entry.terms
    assert entry.terms.conditions == ("Inside the house",)
    assert [each.decision.when for each in entry.history] == sorted(each.decision.when for each in entry.history)


@pytest.mark.parametrize(
    ("decide", "says"),
    [
        (lambda office: act.publish(office.desk("Ada"), "lamp", None), "is draft, so it cannot be published"),
        (lambda office: act.approve(office.desk("Grace"), "lamp", None, (), LATER), "is draft, so it cannot be approved"),
        (lambda office: act.approve(office.desk("Ada"), "lamp", None, (), LATER), "Ada may not approve"),
        (lambda office: act.submit(office.desk("Grace"), "lamp", None), "Grace may not submit"),
        (lambda office: act.waive(office.desk("Ada"), "lamp", None, "evidence-missing", "No"), "Ada may not waive"),
        (lambda office: act.waive(office.desk("Grace"), "lamp", None, "moonlight", "No"), "stands no moonlight"),
        (lambda office: act.flag(office.desk("Grace"), "lamp", None, "  "), "A flag has a reason"),
        (lambda office: act.submit(office.desk("Ada"), "torch", None), "no torch; it has lamp"),
        (lambda office: act.submit(office.desk("Ada"), "lamp", "2"), "no lamp 2"),
        (lambda office: act.reply(office.desk("Grace"), "lamp", None, "upheld", "Yes"), "has 0 such flags"),
        (lambda office: office.add("lamp"), "in the register already"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    office: Office, decide: Callable[[Office], object], says: str
) -> None:
    office.add("lamp")
    with pytest.raises(EtymonError, match=says):
        decide(office)
    assert len(office.decisions()) == 1


def test_nobody_answers_for_a_model_of_their_own(office: Office) -> None:
    """Neither with the same key nor with another one, whatever the file of signers allows."""
    key = office.hire("Eve", "submit", "approve")
    act.add(office.desk("Eve"), act.about("model", "lamp", "1", digest_of("lamp")), Added(source="x", license="MIT"))
    act.submit(office.desk("Eve"), "lamp", None)
    flag = act.flag(office.desk("Grace"), "lamp", None, "It lies")
    for kind in (
        lambda: act.waive(office.desk("Eve"), "lamp", None, "evidence-missing", "Mine"),
        lambda: act.approve(office.desk("Eve"), "lamp", None, (), LATER),
        lambda: act.reply(office.desk("Eve"), "lamp", None, "dismissed", "No", flag.digest),
    ):
        for other in (key, None):
            office.hire("Eve", "submit", "approve", key=other)
            with pytest.raises(EtymonError, match=r"of a model of their own|for a model of their own|flag of their own"):
                kind()
    act.reply(office.desk("Alan"), "lamp", None, "dismissed", "It does not")
    office.approve("lamp")
    assert office.status("lamp") == "approved"


def test_a_flag_stops_approval_until_somebody_else_settles_it(office: Office) -> None:
    office.add("lamp")
    act.submit(office.desk("Ada"), "lamp", None)
    office.approve("lamp")
    raised = act.flag(office.desk("Alan"), "lamp", None, "It lies")
    with pytest.raises(EtymonError, match=r"It is flagged \(open\): It lies"):
        act.publish(office.desk("Ada"), "lamp", None)
    act.reply(office.desk("Ada"), "lamp", None, "contested", "It does not", raised.digest[:8])
    with pytest.raises(EtymonError, match="Ada may contest a flag, not settle it"):
        act.reply(office.desk("Ada"), "lamp", None, "dismissed", "It does not")
    with pytest.raises(EtymonError, match=r"flagged \(contested\)"):
        act.publish(office.desk("Ada"), "lamp", None)
    act.reply(office.desk("Grace"), "lamp", None, "dismissed", "Tried it")
    act.publish(office.desk("Ada"), "lamp", None)
    act.reply(office.desk("Grace"), "lamp", None, "upheld", "Tried it again")
    assert office.books().lapses(office.books().register.find("lamp")) == ["It is flagged (upheld): It lies"]


def test_an_approval_ends(office: Office) -> None:
    office.add("lamp")
    act.submit(office.desk("Ada"), "lamp", None)
    today = datetime.datetime.now(datetime.UTC).date()
    with pytest.raises(EtymonError, match="before it begins"):
        office.approve("lamp", until=today - datetime.timedelta(1))
    office.approve("lamp", until=today)
    entry = office.books().register.find("lamp")
    assert office.books(today).lapses(entry) == []
    assert office.books(today + datetime.timedelta(1)).lapses(entry) == [f"It ended on {today}."]


def test_a_key_signs_until_its_last_day(office: Office) -> None:
    office.add("lamp")
    office.hire("Ada", "submit", until=datetime.date(2020, 1, 1), key=office.keys["Ada"])
    assert office.books().register.entries == {}, "what was signed after that day has no effect"
    with pytest.raises(EtymonError, match="The key of Ada was good until 2020-01-01"):
        office.add("torch")


def test_unknown_signers(office: Office) -> None:
    stranger = Office(office.store)
    with pytest.raises(EtymonError, match="belongs to none of the register's signers"):
        act.add(
            act.Desk(office.store, office.signers, stranger.keys["Ada"]),
            act.about("model", "lamp", "1", digest_of("lamp")),
            Added(source="x", license=None),
        )
    stranger.add("lamp")
    with pytest.raises(EtymonError, match=r"signed by .* whose public key was not given"):
        office.books()


def signed_without_asking(
    office: Office, name: str, about: str, details: Details, when: datetime.datetime | None = None
) -> None:
    """A decision as somebody with a key could write it, past all checks."""
    books = office.books()
    decision = Decision(
        about=act.about("model", about, "1", digest_of(about)),
        details=details,
        when=when or datetime.datetime.now(datetime.UTC),
        previous=books.register.chain[-1].digest if books.register.chain else None,
    )
    key = office.keys[name]
    inputs = act._inputs(act.Plan(decision.about, details), books)
    append(office.store, decision, key, office.signers[key.public.id], inputs)


def test_decisions_past_all_checks_are_kept_shown_and_have_no_effect(office: Office) -> None:
    office.add("lamp")
    long_ago = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    pins = Pins(digests={"model": digest_of("lamp")}, licences={}, verdicts={})
    own = pins.model_copy(update={"signed_by": (office.keys["Grace"].public.id,)})
    signed_without_asking(office, "Ada", "lamp", Approved(until=LATER, pins=pins))
    signed_without_asking(office, "Grace", "lamp", Submitted())
    signed_without_asking(office, "Ada", "lamp", Published())
    signed_without_asking(office, "Ada", "lamp", Waived(objection="evidence-missing"))
    signed_without_asking(office, "Ada", "torch", Flagged())
    signed_without_asking(office, "Ada", "lamp", Submitted(), long_ago)
    signed_without_asking(office, "Ada", "lamp", Submitted())
    signed_without_asking(office, "Grace", "lamp", Approved(until=LATER, pins=own))
    signed_without_asking(office, "Grace", "lamp", Approved(until=LATER, pins=Pins(digests={}, licences={}, verdicts={})))
    register = office.books().register
    assert register.find("lamp").status == "submitted"
    assert [problem.split(":")[0].split(",")[0] for _, problem in register.without_effect] == [
        "Ada may not approve", "Grace may not submit", "lamp 1 is draft", "Ada may not waive",
        "torch 1 is not in the register", "It is dated 2020-01-01 00", "Grace signed the run of lamp 1",
        "It approves other weights.",
    ]  # fmt: skip


def test_a_decision_of_the_future_that_has_no_effect_stops_nobody(office: Office) -> None:
    office.add("lamp")
    future = datetime.datetime(2090, 1, 1, tzinfo=datetime.UTC)
    pins = Pins(digests={"model": digest_of("lamp")}, licences={}, verdicts={})
    signed_without_asking(office, "Ada", "lamp", Approved(until=LATER, pins=pins), future)
    act.submit(office.desk("Ada"), "lamp", None)
    office.approve("lamp")
    assert office.status("lamp") == "approved"


def test_a_wrong_clock_is_named_and_undone_by_the_last_decision_that_counts(office: Office) -> None:
    before = office.add("lamp")
    signed_without_asking(office, "Ada", "lamp", Submitted(), datetime.datetime(2090, 1, 1, tzinfo=datetime.UTC))
    with pytest.raises(EtymonError, match=r"before the decision that it follows, [0-9a-f]{12} of Ada on 2090-01-01"):
        act.withdraw(office.desk("Grace"), "lamp", None, "Why not")
    ended = office.signers[office.keys["Ada"].public.id]
    office.signers[ended.key.id] = replace(ended, last=before.digest[:12])
    office.hire("Ada", "submit")
    assert office.status("lamp") == "draft"
    act.submit(office.desk("Ada"), "lamp", None)
    assert office.status("lamp") == "submitted"


def test_a_stolen_key_does_nothing_after_the_last_decision_that_counts(office: Office) -> None:
    """An earlier date does not help it, as it does past ``until``; and where that decision is gone, that is told."""
    last = office.add("lamp")
    ended = office.signers[office.keys["Ada"].public.id]
    office.signers[ended.key.id] = replace(ended, last=last.digest)
    signed_without_asking(office, "Ada", "lamp", Submitted(), last.decision.when)
    register = office.books().register
    assert register.find("lamp").status == "draft"
    assert [problem for _, problem in register.without_effect] == [
        f"Of what this key of Ada signed nothing counts after the decision {last.digest[:12]}."
    ]
    office.signers[ended.key.id] = replace(ended, last="0" * 12)
    with pytest.raises(EtymonError, match="has no decision 000000000000, after which nothing counts"):
        office.books()


def test_what_is_published_or_approved_by_hand_in_spite_of_its_end_or_a_flag(office: Office) -> None:
    office.add("lamp")
    act.submit(office.desk("Ada"), "lamp", None)
    now = datetime.datetime.now(datetime.UTC)
    office.approve("lamp", until=now.date())
    raised = act.flag(office.desk("Alan"), "lamp", None, "It lies")
    pins = Pins(digests={"model": digest_of("lamp")}, licences={}, verdicts={})
    code = f"flag:{raised.digest[:12]}"
    with pytest.raises(EtymonError, match=f"stands no {code} that can be waived"):
        act.waive(office.desk("Grace"), "lamp", None, code, "Never mind")
    signed_without_asking(office, "Grace", "lamp", Waived(objection=code))
    signed_without_asking(office, "Ada", "lamp", Published())
    signed_without_asking(office, "Grace", "lamp", Approved(until=LATER, pins=pins))
    act.reply(office.desk("Grace"), "lamp", None, "dismissed", "Tried it")
    signed_without_asking(office, "Ada", "lamp", Published(), now + datetime.timedelta(400))
    assert office.status("lamp") == "approved"
    assert [problem for _, problem in office.books().register.without_effect] == [
        f"{code} cannot be waived.", *["lamp 1 is flagged (open): It lies"] * 2,
        f"The approval of lamp 1 ended on {now.date()}.",
    ]  # fmt: skip


def test_a_waiver_is_of_what_was_said_then(office: Office) -> None:
    office.add("lamp", license="Homemade-1.0")
    act.submit(office.desk("Ada"), "lamp", None)
    office.approve("lamp")
    books = office.books()
    entry = books.register.find("lamp")
    (said,) = [each for each in books.objections(entry) if each.code == "licence-unknown:model"]
    assert unanswered([said], entry) == []
    assert unanswered([replace(said, says="Its licence is unknown: Homemade-2.0.")], entry) != []


def test_a_decision_as_it_was_written_before_waivers_said_what_they_waive(office: Office) -> None:
    office.add("lamp")
    payload = payload_of(Decision(about=act.about("model", "lamp", "1", digest_of("lamp")), details=Waived(objection="x"),
        when=datetime.datetime.now(datetime.UTC), previous=None))  # fmt: skip
    older = payload.replace(b',"says":[],"run_signed_by":[]', b"")
    assert older != payload
    assert decision_in(older, "it") == decision_in(payload, "it")


def test_withdrawn_weights_do_not_come_back_under_another_version(office: Office) -> None:
    office.add("lamp")
    act.submit(office.desk("Ada"), "lamp", None)
    office.approve("lamp")
    again = act.about("model", "lantern", "2", digest_of("lamp"))
    act.withdraw(office.desk("Grace"), "lamp", None, "It lies")
    act.add(office.desk("Ada"), again, Added(source="x", license="MIT"))
    act.submit(office.desk("Ada"), "lantern", None)
    with pytest.raises(EtymonError, match="has the weights of the model lamp 1, which was withdrawn: It lies"):
        act.approve(office.desk("Grace"), "lantern", None, (), LATER)
    books = office.books()
    assert books.grounds(books.register.find("lamp")).gone == (), "its own withdrawal is its status"
    with pytest.raises(EtymonError, match="no lamp 3; it has lamp 1"):
        books.register.find("lamp", "3")


def test_an_approval_that_is_given_again_keeps_its_conditions_and_who_published(office: Office) -> None:
    office.add("lamp")
    act.submit(office.desk("Ada"), "lamp", None)
    office.approve("lamp", conditions=("Inside the house", "In English"))
    act.publish(office.desk("Ada"), "lamp", None)
    again = approve_model(office.desk("Alan"), "lamp", None, None, LATER)
    assert (again.conditions, again.dropped, again.published) == (("Inside the house", "In English"), (), True)
    changed = approve_model(office.desk("Alan"), "lamp", None, ["In English"], LATER)
    assert (changed.conditions, changed.dropped) == (("In English",), ("Inside the house",))
    line = line_of(office.books().register.find("lamp"), office.books())
    assert (line.status, line.by) == ("published", "Ada")


def test_withdrawals_of_what_is_not_in_the_register(office: Office, tiny_llama: Path) -> None:
    added = add_model(str(tiny_llama), "1", "tiny", office.desk("Ada"))
    assert added.decision.about.name == "tiny"
    act.add(
        office.desk("Ada"),
        act.about("model", "child", "1", digest_of("child")),
        Added.model_validate(
            {
                "source": "x",
                "license": "MIT",
                "parents": [{"of": digest_of("child"), "name": "hf:org/old-base@main", "relation": "finetune"}],
            }
        ),
    )
    assert impact_of("org/old-base", office.store, None).what == "model", "known by what a card says alone"
    withdraw_anything("org/old-base", None, "Its data was stolen", office.desk("Grace"))
    register = office.books().register
    assert [str(each) for each in office.books().grounds(register.find("child")).gone] == [
        "It rests on the model org/old-base, which was withdrawn: Its data was stolen."
    ]
    assert office.books().grounds(register.find("tiny")).gone == ()
    with pytest.raises(EtymonError, match="was withdrawn already"):
        withdraw_anything("org/old-base", None, "Again", office.desk("Grace"))
    withdraw_anything("tiny", None, "Too small", office.desk("Ada"))
    assert office.status("tiny") == "withdrawn"
    with pytest.raises(EtymonError, match="knows no source nothing"):
        withdraw_anything("nothing", None, "Why", office.desk("Ada"), "source")


def test_decisions_are_never_cleaned_away_and_a_lost_catalog_has_them_again(office: Office) -> None:
    office.add("lamp")
    act.submit(office.desk("Ada"), "lamp", None)
    assert leftovers(office.store) == []
    names = {row.name: office.store.catalog.facts(row.name) for row in office.store.catalog.rows("decision")}
    (office.store.root / "catalog.db").unlink()
    again = Store(office.store.root)
    assert again.catalog.rebuild(again.artifacts()) == 2
    assert {row.name: again.catalog.facts(row.name) for row in again.catalog.rows("decision")} == names
    assert [facts["kind"] for facts in names.values()] == ["add", "submit"]


@pytest.mark.parametrize("name", ["", "two\nlines", "\x1b[31mred", "a\u202eb", "x" * 501])
def test_names_that_would_steer_a_terminal_are_not_signed(office: Office, name: str) -> None:
    with pytest.raises(EtymonError, match="cannot be signed"):
        office.add(name)


def test_names_never_become_paths(office: Office) -> None:
    office.add("../../../../tmp/lamp")
    act.submit(office.desk("Ada"), "../../../../tmp/lamp", None, "../reason")
    names = {path.parent.name for path in office.store.root.rglob("decision.dsse.json")}
    assert all(name.startswith("decision-") for name in names)
    assert len(names) == 2
    assert office.status("../../../../tmp/lamp") == "submitted"
