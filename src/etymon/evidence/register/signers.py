"""Whose signatures count in a register: a YAML file that the organisation keeps apart from it, under its own control.

signers:
  - {name: Ada, key: ada.pem.pub, may: [submit]}
  - {name: Grace, key: grace.pem.pub, may: [approve], until: 2027-12-31}
  - {name: Grace, key: stolen.pem.pub, may: [approve], last: 9f06f0a1c2d3}
"""

import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError

from etymon.errors import EtymonError
from etymon.evidence.keys import PublicKey, load_public
from etymon.recipe import explain_invalid, read_mapping
from etymon.store import Config

_REMEDY = "`etymon register init` writes one from the public keys of those who submit and those who approve."

_HEADER = """\
# Whose signatures count in the register, and for what. Keep this file where those who are named in it cannot change it.
# `until: 2027-12-31` is the last day on which a key signs; a line stays here as long as decisions are signed with its key.
# `last: DIGEST` is for a key that is lost or stolen: of what it signed nothing counts after that decision of the register."""


Right = Literal["submit", "approve"]


class _Signer(Config):
    name: str = Field(min_length=1, max_length=200)
    key: str = Field(min_length=1)
    """The file of the public key, relative to this one."""
    may: tuple[Right, ...] = Field(min_length=1)
    until: datetime.date | None = None
    """The last day on which the key signs."""
    last: str | None = Field(None, pattern="^[0-9a-f]{12,64}$")
    """How the digest of a decision begins: of what the key signed nothing counts that comes after it."""


class _SignersFile(Config):
    signers: tuple[_Signer, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Signer:
    """Somebody whose signature counts."""

    name: str
    key: PublicKey
    may: tuple[str, ...]
    until: datetime.date | None
    last: str | None = None

    def expired(self, when: datetime.datetime) -> bool:
        return self.until is not None and when.astimezone(datetime.UTC).date() > self.until


Signers = dict[str, Signer]
"""By the id of the key."""


def write_signers(path: Path, submit: Sequence[Path], approve: Sequence[Path]) -> None:
    """Write the file from public keys; whoever has one goes by the name of its file.

    Raises EtymonError where the file is there, no key of either kind is given, or one is no public key.
    """
    if path.exists():
        raise EtymonError(f"{path} is there already.", "Add a line to it: it is yours to edit.")
    if not submit or not approve:
        raise EtymonError("A register takes somebody who submits and somebody else who approves.", "Give both public keys.")
    path.parent.mkdir(parents=True, exist_ok=True)
    people = [_signer(path, each, "submit") for each in submit] + [_signer(path, each, "approve") for each in approve]
    _known(path, _SignersFile(signers=tuple(people)))
    plain = [each.model_dump(mode="json", exclude_none=True) for each in people]
    lines = [f"  - {yaml.safe_dump(each, default_flow_style=True, sort_keys=False, width=1000).strip()}" for each in plain]
    path.write_text("\n".join([_HEADER, "signers:", *lines, ""]), "utf-8")


def _signer(path: Path, key: Path, right: Right) -> _Signer:
    beside = os.path.relpath(key.absolute(), path.absolute().parent)
    return _Signer(name=key.name.partition(".")[0] or key.name, key=beside, may=(right,))


def read_signers(path: Path) -> Signers:
    """Raises EtymonError for a file that is lost or malformed, a key that is lost or no P-256 key, and a key given twice."""
    try:
        content = _SignersFile.model_validate(read_mapping(path, "file of signers", "`signers`", _REMEDY))
    except ValidationError as error:
        raise explain_invalid(path, error, _SignersFile) from None
    return _known(path, content)


def _known(path: Path, content: _SignersFile) -> Signers:
    signers: Signers = {}
    for each in content.signers:
        key = load_public(path.parent / each.key)
        if key.id in signers:
            raise EtymonError(
                f"{path}: {signers[key.id].name} and {each.name} have the same key.",
                "Nobody can tell who signed then: each makes a key of their own with `etymon keys new`.",
            )
        signers[key.id] = Signer(each.name, key, each.may, each.until, each.last)
    return signers
