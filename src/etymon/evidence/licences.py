"""What the licences of the foundation and of the sources ask of a derivative, and what of it is done.

The rules are data (``licences.yaml``). An obligation is *met* or *unmet* where the files show it, otherwise it is *to do*:
for a person to see to. A licence that the rules do not know is *unknown* and has to be read; it is never taken for harmless.
This is not legal advice.
"""

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

from etymon.evidence.provenance import MODEL_FOLDER
from etymon.foundation.card import read_card
from etymon.foundation.model import Model
from etymon.store import Artifact

Status = Literal["met", "unmet", "to do"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Ask(_Part):
    """One thing that a licence asks."""

    ask: str
    says: str
    value: str = ""


class Licence(_Part):
    """What the rules know about a licence; the fields are explained at the top of ``licences.yaml``."""

    text: str
    asks: tuple[Ask, ...]
    names: tuple[str, ...] = ()
    hub: str = ""
    note: str = ""
    like: str = ""
    read: bool = True


class Obligation(_Part):
    """One obligation and what was seen of it."""

    says: str
    status: Status
    evidence: str


class Material(_Part):
    """One thing that went into the derivative, with what its licence asks."""

    material: str
    role: Literal["foundation", "corpus"]
    license: str
    known: bool
    text: str = ""
    notes: tuple[str, ...] = ()
    obligations: tuple[Obligation, ...] = ()


class Obligations(_Part):
    """The content of ``obligations.json``."""

    notice: str = "Not legal advice. The texts of the licences decide, and these rules may be incomplete."
    rules_version: int
    materials: tuple[Material, ...]

    def count(self, status: Status) -> int:
        return sum(each.status == status for material in self.materials for each in material.obligations)

    @property
    def unknown(self) -> list[str]:
        """Licences that have to be read, for the rules do not know them."""
        return sorted({material.license for material in self.materials if not material.known})


@cache
def rules() -> tuple[int, dict[str, Licence]]:
    """Version of the rules, and the licences by identifier."""
    content = yaml.safe_load(files("etymon.evidence").joinpath("licences.yaml").read_text("utf-8"))
    licences = {name: Licence.model_validate(fields) for name, fields in content["licences"].items()}
    for name, licence in licences.items():
        if licence.like:
            own = {ask.ask: ask for ask in licence.asks}
            asks = tuple(own.get(ask.ask, ask) for ask in licences[licence.like].asks)
            licences[name] = licence.model_copy(update={"asks": asks})
    return content["version"], licences


def find_licence(license: str | None) -> tuple[str, Licence] | None:
    """The identifier in the rules and the licence, for an SPDX or hub identifier; None where the rules do not know it."""
    wanted = (license or "").strip().lower()
    for name, licence in rules()[1].items():
        if wanted in (name.lower(), *(other.lower() for other in licence.names)):
            return name, licence
    return None


def derive_obligations(name: str, derivative: Artifact, foundation: Model, corpus: Artifact) -> Obligations:
    """What is asked of the derivative that will be called ``name``, and what its files show."""
    materials = [_foundation(name, derivative, foundation)]
    materials += [_source(corpus, license) for license in corpus.facts.get("licenses", [])]
    return Obligations(rules_version=rules()[0], materials=tuple(materials))


def _foundation(name: str, derivative: Artifact, foundation: Model) -> Material:
    licence = find_licence(foundation.facts.license)
    if licence is None:
        return _unknown(foundation.name, "foundation", foundation.facts.license)
    seen = _Seen(name, derivative, foundation)
    return _material(foundation.name, "foundation", *licence, [seen.judge(ask) for ask in licence[1].asks])


def _source(corpus: Artifact, license: str) -> Material:
    """Obligations of text that was trained on. Whether they reach the model is a question of law, so all are left to do."""
    licence = find_licence(license)
    if licence is None:
        return _unknown(corpus.name, "corpus", license)
    evidence = "Asked of copies and adaptations of the texts; whether the model is one is a question of law, not settled."
    asked = [Obligation(says=ask.says, status="to do", evidence=evidence) for ask in licence[1].asks]
    return _material(corpus.name, "corpus", *licence, asked)


def _material(
    name: str, role: Literal["foundation", "corpus"], identifier: str, licence: Licence, obligations: list[Obligation]
) -> Material:
    unread = "These rules were written without opening the licence's own text: read it."
    notes = [note for note in (licence.note, "" if licence.read else unread) if note]
    return Material(
        material=name,
        role=role,
        license=identifier,
        known=True,
        text=licence.text,
        notes=tuple(notes),
        obligations=tuple(obligations),
    )


def _unknown(name: str, role: Literal["foundation", "corpus"], license: str | None) -> Material:
    if not license:
        notes = ("No licence is declared: all rights are reserved until its owner says otherwise.",)
    else:
        notes = ("unknown: read its text. Take all rights as reserved until then.",)
    return Material(material=name, role=role, license=license or "not declared", known=False, notes=notes)


class _Seen:
    """What the derivative's files show about the obligations that its foundation's licence puts on it."""

    def __init__(self, name: str, derivative: Artifact, foundation: Model) -> None:
        self._name, self._derivative, self._foundation = name, derivative, foundation
        self._files = {
            file.removeprefix(MODEL_FOLDER): record.sha256
            for file, record in derivative.manifest.files.items()
            if file.startswith(MODEL_FOLDER)
        }

    def judge(self, ask: Ask) -> Obligation:
        checks: dict[str, Callable[[Ask], tuple[Status, str]]] = {
            "licence-copy": self._licence_copy,
            "notice-file": self._notice_file,
            "notice-line": self._notice_line,
            "name-prefix": self._name_prefix,
            "changes-stated": self._changes_stated,
        }
        check = checks.get(ask.ask)
        status, evidence = check(ask) if check else ("to do", "No file shows this; a person has to see to it.")
        return Obligation(says=ask.says, status=status, evidence=evidence)

    def _licence_copy(self, ask: Ask) -> tuple[Status, str]:
        mine, theirs = _named(self._files, "LICEN", "COPYING"), _named(self._foundation.facts.files, "LICEN", "COPYING")
        if not mine:
            return "unmet", "The model's folder holds no licence file: put the text beside the weights."
        if same := sorted(set(mine.values()) & set(theirs.values())):
            return "met", f"The foundation's licence file is in the model's folder (SHA-256 {same[0][:16]}…)."
        return "to do", f"The model's folder holds {min(mine)}; see that it is the right text."

    def _notice_file(self, ask: Ask) -> tuple[Status, str]:
        mine, theirs = _named(self._files, "NOTICE"), _named(self._foundation.facts.files, "NOTICE")
        if not theirs:
            return "to do", "The foundation as it was opened has no NOTICE file; see whether the original has one."
        if set(theirs.values()) <= set(mine.values()):
            return "met", "The foundation's NOTICE file is in the model's folder."
        return "unmet", "The foundation has a NOTICE file that is not in the model's folder: copy it there."

    def _notice_line(self, ask: Ask) -> tuple[Status, str]:
        for file in _named(self._files, "NOTICE"):
            text = self._derivative.file(MODEL_FOLDER + file).read_text("utf-8", errors="replace")
            if " ".join(ask.value.split()) in " ".join(text.split()):
                return "met", f"{file} has the line."
        return "unmet", f"No NOTICE file in the model's folder has the line: {ask.value}"

    def _name_prefix(self, ask: Ask) -> tuple[Status, str]:
        if self._name.startswith(ask.value):
            return "met", f"The name is {self._name}."
        return "unmet", f"The name is {self._name}: give the recipe a name that begins with {ask.value}."

    def _changes_stated(self, ask: Ask) -> tuple[Status, str]:
        """The card in the model's folder declares its parent and how it differs from it."""
        parents = read_card(self._derivative.folder / MODEL_FOLDER).parents if "README.md" in self._files else ()
        if parents:
            return "met", f"The card in the model's folder declares it a {parents[0].relation} of {parents[0].uri}."
        return "unmet", "No card in the model's folder says that the weights were changed."


def _named(digests: dict[str, Any], *beginnings: str) -> dict[str, str]:
    """Files, with their digests, whose name begins so, in any case."""
    return {name: sha for name, sha in digests.items() if name.rsplit("/", 1)[-1].upper().startswith(beginnings)}
