"""etymon register and impact, as typed: from keys to a withdrawn document."""

import hashlib
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from etymon import cli
from etymon.cli.app import app
from etymon.errors import EtymonError


def etymon(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


@pytest.fixture
def place(tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with two keys, a file of signers, and a model in the register."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ETYMON_KEY_PASSWORD", "correct horse")
    for name in ("ada", "grace"):
        etymon("keys", "new", f"{name}.pem")
    assert (
        "Written: signers.yaml" in etymon("register", "init", "--submit", "ada.pem.pub", "--approve", "grace.pem.pub").output
    )
    added = etymon("register", "add", tiny_llama, "--name", "lamp", "--version", "1.0", "--key", "ada.pem")
    assert "✓ lamp 1.0 is in the register, as a draft, says ada." in added.output
    return tmp_path


def test_a_model_from_draft_to_withdrawn(place: Path) -> None:
    ada, grace = ("--key", "ada.pem"), ("--key", "grace.pem")
    etymon("register", "submit", "lamp", *ada, "--reason", "Ready")
    shown = etymon("register", "show", "lamp").output
    assert "✗ evidence-missing: The workspace holds no evidence of it" in shown
    waived = etymon("register", "waive", "lamp", "evidence-missing", *grace, "--reason", "Somebody else made it").output
    assert "may be approved in spite of evidence-missing" in waived
    until = ("--until", "2099-12-31")
    approved = etymon("register", "approve", "lamp", *grace, *until, "--condition", "Inside the house").output
    assert "is approved until 2099-12-31, says grace.\n  on condition: Inside the house" in approved
    etymon("register", "publish", "lamp", *ada, "--reason", "https://example.org/lamp")
    line = etymon("register", "show").output
    assert line.startswith("lamp 1.0  published until 2099-12-31  since ")
    flagged = etymon("register", "flag", "lamp", *ada, "--reason", "It lies").output
    assert "is flagged (" in flagged
    assert "published, lapsed" in etymon("register", "show").output
    etymon("register", "reply", "lamp", "dismissed", *grace, "--reason", "It does not")
    assert "  flag dismissed: It lies\n" in etymon("register", "show").output
    again = etymon("register", "approve", "lamp", *grace, *until, "--no-condition").output
    assert "and still published, says grace.\n  ! no longer a condition: Inside the house\n" in again
    etymon("register", "approve", "lamp", *grace, *until, "--condition", "Inside the house")
    impact = etymon("impact", "lamp").output
    assert "\n  lamp 1.0  by grace  declared  holds\n" in impact
    assert "What rests on it: etymon impact lamp" in etymon("register", "withdraw", "lamp", *grace, "--reason", "Old").output
    shown = etymon("register", "show", "lamp").output
    assert "  ✗ withdrawn: Old\n" in shown
    assert "nothing stands against it" not in shown
    (found,) = json.loads(etymon("register", "show", "--json").output)
    assert (found["status"], found["text"], found["conditions"]) == ("withdrawn", "Old", ["Inside the house"])
    states = [each["state"] for each in json.loads(etymon("impact", "lamp", "--json").output)["approvals"]]
    assert sorted(states) == ["the model is withdrawn", "was followed by another", "was followed by another"]
    log = etymon("register", "log").output.splitlines()
    assert [line.split()[4] for line in log[:-1]] == [
        "add", "submit", "waive", "approve", "publish", "flag", "reply", "approve", "approve", "withdraw",
    ]  # fmt: skip
    assert log[-1].startswith("10 decisions, the last one ")
    last = log[-2].split()[2]
    assert etymon("register", "log", "--since", last).output.splitlines() == log[-1:]


def test_without_signers_nothing_is_believed(place: Path) -> None:
    (place / "signers.yaml").rename(place / "elsewhere.yaml")
    with pytest.raises(EtymonError, match=r"no file of signers signers.yaml"):
        etymon("register", "show")
    assert "lamp 1.0" in etymon("register", "show", "--signers", "elsewhere.yaml").output
    assert "Nothing in this workspace is downstream of it." in etymon("impact", "lamp").output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("submit lamp --key lost.pem", "The private key lost.pem cannot be read"),
        ("submit lamp --key ada.pem.pub", "is no private key"),
        ("submit torch --key ada.pem", "The register has no torch; it has lamp."),
        (
            "approve lamp --until 2099-12-31 --key ada.pem",
            "ada may not approve: that takes the right to approve. Who may: grace.",
        ),
        ("submit lamb --key ada.pem", "The register has no lamb; it has lamp."),
        ("add nowhere/model --key ada.pem", "nowhere/model"),
        ("withdraw nothing --reason why --key ada.pem", "knows no model, source or document nothing"),
        ("log --since 0123456789", "no decisions 0123456789"),
    ],
)
def test_mistakes_end_with_one_message_and_exit_code_2(
    place: Path, arguments: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["etymon", "register", *arguments.split()])
    with pytest.raises(SystemExit) as done:
        cli.main()
    assert done.value.code == 2
    assert says in " ".join(capsys.readouterr().err.split())


def test_a_changed_decision_is_named_as_the_log_does(place: Path) -> None:
    etymon("register", "submit", "lamp", "--key", "ada.pem")
    first, second = [line.split()[2] for line in etymon("register", "log").output.splitlines()[:2]]
    (path,) = [
        each for each in place.rglob("decision.dsse.json") if hashlib.sha256(each.read_bytes()).hexdigest()[:12] == second
    ]
    path.write_bytes(path.read_bytes().replace(b"A", b"B"))
    with pytest.raises(
        EtymonError, match=rf"number 2 of 2: .*  {second}  ada  submit lamp 1.0. As they were signed: 1; not: 1"
    ) as error:
        etymon("register", "log")
    assert first not in str(error.value)


def test_a_wrong_password(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETYMON_KEY_PASSWORD", "wrong")
    with pytest.raises(EtymonError, match=r"The password in ETYMON_KEY_PASSWORD does not open ada.pem"):
        etymon("register", "submit", "lamp", "--key", "ada.pem")
