"""What the licences of the foundation and of the sources ask of a derivative, and what of it is done.

An obligation is *met* or *unmet* where the files show it, otherwise it is *to do*: for a person to see to.
This is not legal advice.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from etymon.evidence.licences import Ask, Known, rules
from etymon.evidence.materials import Role, Used
from etymon.evidence.notice import (
    LICENSE,
    LICENSES,
    NOTICE,
    change_stated,
    is_licence_file,
    is_notice_file,
    text_of,
    where_to_put,
)
from etymon.evidence.provenance import MODEL_FOLDER
from etymon.foundation.card import read_card
from etymon.foundation.model import Model
from etymon.store import Artifact
from etymon.waivers import Waived

OBLIGATIONS = "obligations.json"
Status = Literal["met", "unmet", "to do"]
_UNREAD = "These rules were written without opening the licence's own text: read it."


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Obligation(_Part):
    """One obligation and what was seen of it."""

    ask: str
    """Its kind: those of ``licences.yaml``."""
    says: str
    status: Status
    evidence: str


class Material(_Part):
    """One thing that went into the derivative, with what its licence asks."""

    material: str
    role: Role
    license: str
    known: bool
    text: str = ""
    origin: str | None = None
    through: str = ""
    """See ``Used.through``."""
    notes: tuple[str, ...] = ()
    obligations: tuple[Obligation, ...] = ()


class Obligations(_Part):
    """The content of ``obligations.json``."""

    notice: str = "Not legal advice. The texts of the licences decide, and these rules may be incomplete."
    rules_version: int
    materials: tuple[Material, ...]
    waived: tuple[Waived, ...] = ()
    """Conflicts of licences that someone answers for."""

    def count(self, status: Status) -> int:
        return sum(each.status == status for material in self.materials for each in material.obligations)

    @property
    def unknown(self) -> list[str]:
        """Licences that have to be read, for the rules do not know them."""
        return sorted({material.license for material in self.materials if not material.known})

    @property
    def unmet(self) -> list[tuple[Material, Obligation]]:
        """What the files show not to be done."""
        return [(material, each) for material in self.materials for each in material.obligations if each.status == "unmet"]


def derive_obligations(
    name: str,
    derivative: Artifact,
    foundation: Model,
    used: Sequence[Used],
    placed: Mapping[str, str],
    waived: Sequence[Waived] = (),
    texts: Mapping[str, str] | None = None,
) -> Obligations:
    """What is asked of the derivative that will be called ``name``, and what its files show.

    ``placed`` are the files that go beside the weights, see ``notice.companions`` also of ``texts``; ``waived`` the conflicts
    that were.
    """
    seen = _Seen(name, derivative, foundation, placed, texts or {})
    own = {known.name for each in used if each.role == "foundation" for known in each.licences or ()}
    asking = [each for each in used if each.role != "parent" or not _names(each) or _names(each) - own]  # none is told twice
    materials = [material for each in asking for material in _materials(each, seen)]
    return Obligations(rules_version=rules().version, materials=tuple(materials), waived=tuple(waived))


def _names(used: Used) -> set[str]:
    return {known.name for known in used.licences or ()}


def prefix_fits(name: str, prefix: str) -> bool:
    """Whether a name begins with the words of ``prefix``, however they are joined: names of models have no spaces."""
    plain = str.maketrans("-_.", "   ")
    return name.translate(plain).startswith(prefix.translate(plain))


def _materials(used: Used, seen: "_Seen") -> list[Material]:
    if used.licences is None:
        return [_unknown(used)]
    return [_material(used, known, seen) for known in used.licences]


def _material(used: Used, known: Known, seen: "_Seen") -> Material:
    licence = known.licence
    asks = [ask for ask in licence.asks if ask.outputs] if used.role == "generator" else licence.asks
    return Material(
        material=used.name,
        role=used.role,
        license=known.name,
        known=True,
        text=licence.text,
        origin=used.origin,
        through=used.through,
        notes=tuple(note for note in (licence.note, "" if licence.read else _UNREAD) if note),
        obligations=tuple(seen.judge(ask, known, used) for ask in asks),
    )


def _unknown(used: Used) -> Material:
    if used.license:
        note = "unknown: read its text. Take all rights as reserved until then."
    else:
        note = "No licence is declared: all rights are reserved until its owner says otherwise."
    license = used.license or "not declared"
    return Material(
        material=used.name,
        role=used.role,
        license=license,
        known=False,
        origin=used.origin,
        through=used.through,
        notes=(note,),
    )


class _Seen:
    """What the derivative's files show about the obligations that licences put on it."""

    def __init__(
        self, name: str, derivative: Artifact, foundation: Model, placed: Mapping[str, str], texts: Mapping[str, str]
    ) -> None:
        self._texts, self._foundation = texts, foundation
        self._name, self._derivative, self._theirs, self._placed = name, derivative, foundation.facts.files, placed
        self._mine = {
            file.removeprefix(MODEL_FOLDER): record.sha256
            for file, record in derivative.manifest.files.items()
            if file.startswith(MODEL_FOLDER)
        }

    def judge(self, ask: Ask, known: Known, used: Used) -> Obligation:
        """What was seen of one thing that the licence of a material asks."""
        if used.role in ("source", "generator") and not ask.outputs:
            status, evidence = self._of_source(ask, known)
        else:
            checks: dict[str, Callable[[Ask, Known, Used], tuple[Status, str]]] = {
                "licence-copy": self._licence_copy,
                "notice-file": self._notice_file,
                "notice-line": self._notice_line,
                "name-prefix": self._name_prefix,
                "changes-stated": self._changes_stated,
                "display": self._display,
                "use-policy": self._use_policy,
            }
            check = checks.get(ask.ask)
            status, evidence = (
                check(ask, known, used) if check else ("to do", "No file shows this; a person has to see to it.")
            )
        return Obligation(ask=ask.ask, says=ask.says, status=status, evidence=evidence)

    def _of_source(self, ask: Ask, known: Known) -> tuple[Status, str]:
        """Whether obligations of a text reach the model that read it is a question of law, so all are left to do."""
        evidence = "Asked of copies and adaptations of the texts; whether the model is one is a question of law, not settled."
        if ask.ask == "attribution":
            evidence += f" {NOTICE} names the source, its licence and its origin where that is declared."
        elif ask.ask in ("licence-copy", "keep-notices") and f"{LICENSES}/{known.name}.txt" in self._placed:
            evidence += f" {LICENSES}/{known.name}.txt holds the licence's text."
        return "to do", evidence

    def _licence_copy(self, ask: Ask, known: Known, used: Used) -> tuple[Status, str]:
        mine = {file: sha for file, sha in self._mine.items() if is_licence_file(file) and used.role == "foundation"}
        theirs = {sha for file, sha in self._theirs.items() if is_licence_file(file)}
        if same := sorted(set(mine.values()) & theirs):
            return "met", f"The foundation's licence file is in the model's folder (SHA-256 {same[0][:16]}…)."
        if mine:
            return "to do", f"The model's folder holds {min(mine)}; see that it is the right text."
        for file in (LICENSE, f"{LICENSES}/{known.name}.txt"):
            if file in self._placed and self._placed[file] == text_of(known, self._texts):
                return "met", f"{file} holds the licence's text; `etymon export` puts it beside the weights."
        return "unmet", f"The foundation was opened without its licence file, and none is shipped. {where_to_put(known)}"

    def _notice_file(self, ask: Ask, known: Known, used: Used) -> tuple[Status, str]:
        mine = {sha for file, sha in self._mine.items() if is_notice_file(file)}
        theirs = {sha for file, sha in self._theirs.items() if is_notice_file(file)}
        if not theirs:
            return "to do", "The foundation as it was opened has no NOTICE file; see whether the original has one."
        if theirs <= mine:
            return "met", f"The foundation's NOTICE file is in the model's folder, and its text in {NOTICE}."
        return "unmet", "The foundation has a NOTICE file that is not in the model's folder: copy it there."

    def _notice_line(self, ask: Ask, known: Known, used: Used) -> tuple[Status, str]:
        if ask.value in self._placed.get(NOTICE, ""):
            return "met", f"{NOTICE} has the line; `etymon export` puts it beside the weights."
        return "unmet", f"No NOTICE file has the line: {ask.value}"

    def _name_prefix(self, ask: Ask, known: Known, used: Used) -> tuple[Status, str]:
        if prefix_fits(self._name, ask.value):
            return "met", f"The name is {self._name}."
        return "unmet", f"The name is {self._name}: give the recipe a name that begins with {ask.value}."

    def _changes_stated(self, ask: Ask, known: Known, used: Used) -> tuple[Status, str]:
        """The card in the model's folder declares its parent and how it differs from it, or NOTICE says so."""
        parents = read_card(self._derivative.folder / MODEL_FOLDER).parents if "README.md" in self._mine else ()
        if parents:
            return "met", f"The card in the model's folder declares it a {parents[0].relation} of {parents[0].uri}."
        if change_stated(self._name, self._foundation) in self._placed.get(NOTICE, ""):
            return "met", f"{NOTICE} says so; `etymon export` puts it beside the weights."
        return "unmet", "Neither NOTICE nor a card in the model's folder says that the weights were changed."

    def _display(self, ask: Ask, known: Known, used: Used) -> tuple[Status, str]:
        return "met", f"The model card shows “{ask.value}” at its top. Show it in your own product and pages too."

    def _use_policy(self, ask: Ask, known: Known, used: Used) -> tuple[Status, str]:
        return "to do", f"The model card names the policy ({known.licence.text}); bind those who receive the model to it."
