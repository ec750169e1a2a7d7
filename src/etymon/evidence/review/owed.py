"""What the licences of its origins ask of whoever passes a model on, and what of it the model's folder shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from etymon.evidence.licences import Ask, Known, rules
from etymon.evidence.materials import Used
from etymon.evidence.notice import is_licence_file, is_notice_file
from etymon.evidence.obligations import Material, Obligation, Obligations, Status, prefix_fits
from etymon.evidence.review.claims import Claims
from etymon.evidence.review.licence import recognise

_UNKNOWN = "unknown: read its text. Take all rights as reserved until then."


@dataclass(frozen=True)
class Folder:
    """What the model's files show."""

    name: str
    claims: Claims
    files: Mapping[str, str]
    """SHA-256 by name."""


def folder_obligations(folder: Folder, materials: Sequence[Used], theirs: Mapping[str, Mapping[str, str]]) -> Obligations:
    """``theirs`` are the files of the measured origins, by their name: SHA-256 by file. Each licence is told once."""
    told: dict[str, Material] = {}
    for each in materials:
        if each.licences is None:
            license = each.license or "not declared"
            unknown = Material(material=each.name, role=each.role, license=license, known=False, notes=(_UNKNOWN,))
            told.setdefault(f"{license} of {each.name}", unknown)
        for known in each.licences or ():
            told.setdefault(known.name, _material(each, known, folder, theirs.get(each.name, {})))
    return Obligations(rules_version=rules().version, materials=tuple(told.values()))


def _material(used: Used, known: Known, folder: Folder, theirs: Mapping[str, str]) -> Material:
    judged = []
    for ask in known.licence.asks:
        status, evidence = _judge(ask, known, folder, theirs)
        judged.append(Obligation(ask=ask.ask, says=ask.says, status=status, evidence=evidence))
    return Material(
        material=used.name,
        role=used.role,
        license=known.name,
        known=True,
        text=known.licence.text,
        notes=tuple(filter(None, [known.licence.note])),
        obligations=tuple(judged),
    )


def _judge(ask: Ask, known: Known, folder: Folder, theirs: Mapping[str, str]) -> tuple[Status, str]:
    claims = folder.claims
    match ask.ask:
        case "licence-copy":
            original = {sha for file, sha in theirs.items() if is_licence_file(file)}
            files = claims.licence_files.items()
            copies = [name for name, text in files if recognise(text) == known.name or folder.files[name] in original]
            return ("met", f"{copies[0]} is one.") if copies else ("unmet", f"No file holds the text of {known.name}.")
        case "notice-file":
            original = {sha for file, sha in theirs.items() if is_notice_file(file)}
            if not original:
                return "to do", "The origin as it was opened has no NOTICE file."
            kept = original <= set(folder.files.values())
            return ("met", "It was passed on.") if kept else ("unmet", "The origin's NOTICE file was not passed on.")
        case "notice-line":
            held = ask.value.lower() in claims.notices.lower()
            return ("met", "A NOTICE file has it.") if held else ("unmet", "No NOTICE file has it.")
        case "name-prefix":
            fits = any(prefix_fits(each, ask.value) for each in (folder.name, claims.title) if each)
            return ("met" if fits else "unmet"), f"The name is {claims.title or folder.name}."
        case "display":
            shown = any(line.lower() in claims.body.lower() for line in (ask.value, *ask.also))
            return ("met", "The card shows it.") if shown else ("unmet", "The card does not show it.")
        case "changes-stated" if claims.parents:
            return "met", f"The card says that it was made from {claims.parents[0].uri}."
        case "changes-stated":
            return "unmet", "The card names nothing that was changed."
        case _:
            return "to do", "No file shows this."
