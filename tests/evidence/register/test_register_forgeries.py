"""Decisions that were edited, removed, reordered, forged, or never were any."""

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from register_office import Office

from etymon.commands.register import decisions_since
from etymon.errors import EtymonError
from etymon.evidence.envelope import seal
from etymon.evidence.predicates import PAYLOAD_TYPE
from etymon.evidence.register import act
from etymon.evidence.register.chain import ENVELOPE
from etymon.evidence.register.decision import decision_in
from etymon.evidence.register.signers import read_signers, write_signers
from etymon.store import Store


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Office:
    office = Office(Store(tmp_path_factory.mktemp("kept") / "workspace"))
    for name in ("lamp", "torch"):
        office.add(name)
        act.submit(office.desk("Ada"), name, None)
        office.approve(name)
    return office


@pytest.fixture
def office(kept: Office, tmp_path: Path) -> Office:
    shutil.copytree(kept.store.root, tmp_path / "workspace")
    return Office(Store(tmp_path / "workspace"), dict(kept.keys), dict(kept.signers))


def sealed(office: Office, number: int) -> Path:
    return office.decisions()[number].folder / ENVELOPE


def test_every_byte_of_every_decision_counts(kept: Office) -> None:
    @given(st.data())
    def check(data: st.DataObject) -> None:
        path = data.draw(st.sampled_from([each.folder / ENVELOPE for each in decisions]))
        content = path.read_bytes()
        place, change = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(1, 255))
        path.write_bytes(content[:place] + bytes([content[place] ^ change]) + content[place + 1 :])
        try:
            with pytest.raises(EtymonError):
                kept.books()
        finally:
            path.write_bytes(content)

    decisions = kept.decisions()
    check()
    assert len(kept.books().register.chain) == 8


@pytest.mark.parametrize("number", range(8))
def test_a_decision_that_was_removed_is_missed(office: Office, number: int) -> None:
    shutil.rmtree(office.decisions()[number].folder)
    with pytest.raises(EtymonError, match=r"(The decision before|The newest decision).* is gone"):
        office.books()


def test_a_cut_register_is_noticed_by_a_digest_noted_elsewhere(office: Office) -> None:
    """Whoever can write the workspace can cut the newest decisions with all traces: no file in it shows that."""
    chain = office.books().register.chain
    assert decisions_since(office.books(), chain[5].digest[:12]) == list(chain[6:])
    for each in office.decisions()[6:]:
        shutil.rmtree(each.folder)
    (office.store.root / "pointers" / ".register.json").unlink()
    assert len(decisions_since(office.books(), "")) == 6
    with pytest.raises(EtymonError, match="decisions were taken out of it"):
        decisions_since(office.books(), chain[7].digest)


def test_decisions_that_changed_places_are_refused(office: Office) -> None:
    first, second = sealed(office, 1), sealed(office, 5)
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    with pytest.raises(EtymonError, match="says other than what was signed"):
        office.books()


def test_a_register_that_was_continued_in_two_places_is_refused(office: Office, tmp_path: Path) -> None:
    elsewhere = Office(Store(tmp_path / "elsewhere"), office.keys, office.signers)
    shutil.copytree(office.store.root, elsewhere.store.root)
    act.flag(office.desk("Grace"), "lamp", None, "It lies")
    act.publish(elsewhere.desk("Ada"), "lamp", None)
    added = next(each for each in elsewhere.decisions() if each not in office.decisions() and "publish" in str(each.facts))
    shutil.copytree(added.folder, office.store.root / "artifacts" / added.name)
    with pytest.raises(EtymonError, match="both follow the same decision"):
        office.books()


def test_a_decision_signed_anew_by_somebody_else_is_refused(office: Office) -> None:
    """The approver's decision with another signature: its own digest, which the next one names, is another then."""
    path = sealed(office, 3)
    payload = base64.b64decode(json.loads(path.read_bytes())["payload"])
    path.write_bytes(seal(payload, PAYLOAD_TYPE, office.keys["Alan"]))
    with pytest.raises(EtymonError, match=r"The decision before .* is gone"):
        office.books()


@pytest.mark.parametrize(
    ("key", "value"),
    [("kind", "flag"), ("about", {"what": "model", "name": "candle", "version": "1", "digest": "0" * 64}), ("when", "2020")],
)
def test_a_manifest_that_says_otherwise_is_refused(office: Office, key: str, value: object) -> None:
    path = office.decisions()[3].folder / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["facts"][key] = value
    path.write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(EtymonError, match=r"The manifest of decision-.* says other than what was signed"):
        office.books()


def test_a_manifest_that_cites_other_evidence_is_refused(office: Office) -> None:
    path = office.decisions()[3].folder / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["inputs"]["model"]["digest"] = "0" * 64
    path.write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(EtymonError, match="says other than what was signed"):
        office.books()


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"{}",
        b"\xff\xfe",
        nested(100_000),
        b'{"_type": ' + nested(500) + b"}",
        b"[" + b"{}," * 300_000 + b"{}]",
        b'{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"https://etymon.dev/decision/v1"}',
        b" " * (2 << 20),
    ],
    ids=["empty", "null", "object", "no text", "deep", "deep inside", "many", "no predicate", "giant"],
)
def test_payloads_that_are_no_decision(office: Office, payload: bytes) -> None:
    sealed(office, 3).write_bytes(seal(payload, PAYLOAD_TYPE, office.keys["Grace"]))
    with pytest.raises(EtymonError, match=r"holds (no decision of a register|[0-9]+ bytes)"):
        office.books()


def with_changes(payload: bytes, **changed: object) -> bytes:
    statement = json.loads(payload)
    statement["predicate"].update(changed)
    return json.dumps(statement, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "changed",
    [
        {"about": {"what": "model", "name": "candle", "version": "1", "digest": "1" * 64}},
        {"about": {"what": "model", "name": "\x1b[2J", "version": "1", "digest": "1" * 64}},
        {"about": {"what": "planet", "name": "Mars", "version": "", "digest": ""}},
        {"previous": "../../etc/passwd"},
        {"previous": None, "more": 1},
        {"text": "x" * 10_001},
        {"details": {"kind": "crown"}},
        {"details": {"kind": "add", "source": "x", "license": None, "parents": None}},
        {"when": "yesterday"},
        {"when": "2026-11-29T10:00:00"},
    ],
)
def test_statements_that_were_written_by_hand(office: Office, changed: dict[str, object]) -> None:
    payload = base64.b64decode(json.loads(sealed(office, 1).read_bytes())["payload"])
    with pytest.raises(EtymonError, match=r"holds (no decision of a register|a decision about something else)"):
        decision_in(with_changes(payload, **changed), "it")
    assert decision_in(payload, "it").kind == "submit"


@pytest.mark.parametrize("content", [b"", b"{}", nested(100_000), b"x" * 100, b'{"payload": 1}'])
def test_files_that_are_no_envelope(office: Office, content: bytes) -> None:
    sealed(office, 0).write_bytes(content)
    with pytest.raises(EtymonError, match="no envelope of one signature"):
        office.books()


def test_an_envelope_that_is_a_link_elsewhere(office: Office, tmp_path: Path) -> None:
    path = sealed(office, 0)
    shutil.move(path, tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EtymonError, match="is a link or no file"):
        office.books()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda path: path.unlink(), "no file of signers .*signers.yaml"),
        (lambda path: path.write_text("signers: []"), "signers"),
        (lambda path: path.write_text("- 1"), "holds no file of signers"),
        (lambda path: path.write_text("signers: [{name: Ada, key: Ada.pub, may: [reign]}]"), "may"),
        (
            lambda path: path.write_text("signers: [{name: Ada, key: lost.pub, may: [submit]}]"),
            "public key .*lost.pub cannot",
        ),
        (lambda path: path.write_text("signers: [{name: Ada, key: signers.yaml, may: [submit]}]"), "no public key"),
        (
            lambda path: path.write_text(
                "signers: [{name: Ada, key: Ada.pub, may: [submit]}, {name: Bob, key: Ada.pub, may: [approve]}]"
            ),
            "Ada and Bob have the same key",
        ),
    ],
)
def test_files_of_signers_that_cannot_be_used(
    office: Office, tmp_path: Path, change: Callable[[Path], object], says: str
) -> None:
    path = office.write_signers(tmp_path)
    assert read_signers(path) == office.signers
    change(path)
    with pytest.raises(EtymonError, match=says):
        read_signers(path)


def test_a_file_of_signers_is_written_once(office: Office, tmp_path: Path) -> None:
    office.write_signers(tmp_path)
    ada, grace, new = tmp_path / "Ada.pub", tmp_path / "Grace.pub", tmp_path / "deeper" / "people.yaml"
    with pytest.raises(EtymonError, match="have the same key"):
        write_signers(new, [ada], [ada])
    with pytest.raises(EtymonError, match="somebody else who approves"):
        write_signers(new, [ada], [])
    write_signers(new, [ada], [grace])
    assert {signer.name: signer.may for signer in read_signers(new).values()} == {"Ada": ("submit",), "Grace": ("approve",)}
    with pytest.raises(EtymonError, match="is there already"):
        write_signers(new, [ada], [grace])


def test_a_lost_right_takes_the_effect_from_decisions(office: Office) -> None:
    """The file of signers says what counts today; who loses a right for the past too is taken off it."""
    office.hire("Grace", "submit", key=office.keys["Grace"])
    assert office.books().register.find("lamp").status == "submitted"
    assert [signed.signer.name for signed, _ in office.books().register.without_effect] == ["Grace"] * 4
