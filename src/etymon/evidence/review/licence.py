"""Under which licence the model is offered, and what the licence of the model that it was made from has to say about that."""

from collections.abc import Iterator, Sequence

from etymon.evidence.licences import find_licences, licence_text, rules
from etymon.evidence.materials import Used
from etymon.evidence.review.claims import Claims
from etymon.evidence.review.records import Finding, Kin
from etymon.text.ngrams import shingles

_ALIKE = 0.75
"""Share of a known text's runs of five words that a file must hold to be taken for it; sister licences share up to 0.9."""
_MIT = "permission is hereby granted, free of charge, to any person obtaining a copy of this software"


def licence_findings(claims: Claims, origins: Sequence[Kin], materials: Sequence[Used]) -> Iterator[Finding]:
    """``materials`` are the measured origins and what they and the card declare themselves made from, with their licences."""
    yield _declared(claims, origins, materials)
    recognised = {name: found for name, text in claims.licence_files.items() if (found := recognise(text))}
    yield from (_file(claims, name, found) for name, found in recognised.items() if claims.license)


def _declared(claims: Claims, origins: Sequence[Kin], materials: Sequence[Used]) -> Finding:
    topic, where = "Licence", claims.card
    binding = {known.name: used for used in materials for known in used.licences or () if known.licence.binding}
    if not claims.license:
        bound = "".join(
            f" {each.name} is under {name}, which stays with what is made from it." for name, each in binding.items()
        )
        measured = f"None, so all rights are reserved until its owner says otherwise.{bound}"
        ask = "Under which licence is the model offered, and by whose right?"
        return Finding(topic=topic, claim="No licence is named.", where=where, status="unknown", measured=measured, ask=ask)
    claim = f"{claims.license}."
    known = find_licences(claims.license)
    declared = {each.name for each in known or ()}
    in_files = {found for text in claims.licence_files.values() if (found := recognise(text))}
    broken = {name: each for name, each in binding.items() if name not in declared | (in_files if known is None else set())}
    copied = [each for each in origins if each.unchanged and each.license and not _names(each.license) & declared]
    if broken and known is not None:
        measured = " ".join(
            f"{_role(each, origins)} is under {name}, whose terms stay with every derivative."
            for name, each in broken.items()
        )
        ask = f"By which right is a model made from {next(iter(broken.values())).name} offered under {claims.license}?"
        return Finding(topic=topic, claim=claim, where=where, status="contradicted", measured=measured, ask=ask)
    if copied and known is not None:
        other = copied[0]
        measured = f"The weights are those of {other.name}, which is under {other.license}: a copy keeps its licence."
        ask = f"Who owns {other.name}, and who allowed it to be offered under {claims.license}?"
        return Finding(topic=topic, claim=claim, where=where, status="contradicted", measured=measured, ask=ask)
    if known is None:
        measured = f"The rules know no licence {claims.license}: read its text, and take all rights as reserved until then."
        measured += "".join(
            f" {each.name} is under {name}, whose terms stay with every derivative." for name, each in broken.items()
        )
        ask = f"Please supply the text of {claims.license}, and the licence of whatever the model was made from."
        return Finding(topic=topic, claim=claim, where=where, status="unknown", measured=measured, ask=ask)
    if not materials:
        measured = "No origin is known whose licence could forbid it, and none that could allow it."
        ask = "Who holds the rights to the weights, and to what they were trained on?"
        return Finding(topic=topic, claim=claim, where=where, status="unknown", measured=measured, ask=ask)
    fits = ", ".join(dict.fromkeys(f"{each.name} ({each.license or 'no licence'})" for each in materials))
    return Finding(
        topic=topic, claim=claim, where=where, status="established", measured=f"Fits what it was made from: {fits}."
    )


def _role(used: Used, origins: Sequence[Kin]) -> str:
    """What a material is to the model, with what the weights leave open."""
    measured = next((each for each in origins if each.name == used.name), None)
    if measured is None:
        return f"{used.name}, from which it is said to be made,"
    turned = " (unless it is the other way round, which the weights leave open)" if measured.direction == "unknown" else ""
    return f"The measured origin {used.name}{turned}"


def _names(license: str) -> set[str]:
    return {each.name for each in find_licences(license) or ()}


def _file(claims: Claims, name: str, found: str) -> Finding:
    fits = found in _names(claims.license or "")
    return Finding(
        topic="Text of the licence",
        claim=f"{name} lies beside a card that says {claims.license}.",
        where=name,
        status="established" if fits else "contradicted",
        measured=f"{name} holds the text of {found}.",
        ask="" if fits else f"Which holds: {claims.license}, as the card says, or {found}, as {name} says?",
    )


def recognise(text: str) -> str | None:
    """Which known licence a text is; None where it is none of those whose texts are shipped, and not MIT."""
    plain = " ".join(text.lower().split())
    if _MIT in plain:
        return "MIT"
    given = shingles(plain, 5)
    best, name = max(((_held(known, given), known) for known in rules().licences), default=(0.0, None))
    return name if best >= _ALIKE else None


def _held(licence: str, given: frozenset[str]) -> float:
    text = licence_text(licence)
    known = shingles(" ".join(text.lower().split()), 5) if text else frozenset()
    return len(known & given) / len(known) if known else 0.0
