"""Breaches of rules, of a data policy or of licences: refused with the rule's name, unless someone answers for them."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from etymon.errors import EtymonError
from etymon.recipe import Waiver
from etymon.store import Config


@dataclass(frozen=True)
class Breach:
    """A source, or what else a model is made of, breaks a rule."""

    rule: str
    source: str
    found: str
    """What was found, as a clause: ``its licence is CC-BY-NC-4.0``."""
    remedy: str
    subject: str = ""
    """What to call it; without it, it is the source of that name."""


class Waived(Config):
    """A breach that was accepted; it is recorded with the corpus for good."""

    rule: str
    source: str
    found: str
    reason: str


def settle(breaches: Sequence[Breach], waivers: Iterable[Waiver], whose: str, rules: Sequence[str]) -> list[Waived]:
    """The breaches that are waived. ``rules`` are those that were looked at; waivers of other rules are not considered.
    ``whose`` says whose rules they are, such as ``the data policy strict``.

    Raises EtymonError for the breaches that are not waived, and for a waiver to which no breach corresponds.
    """
    considered = [waiver for waiver in waivers if waiver.rule in rules]
    waived, open_breaches, used = [], [], set()
    for breach in breaches:
        if waiver := next((each for each in considered if covers(each, breach)), None):
            used.add(waiver)
            waived.append(Waived(rule=breach.rule, source=breach.source, found=breach.found, reason=waiver.reason))
        else:
            open_breaches.append(breach)
    if open_breaches:
        raise _refused(open_breaches, whose)
    if vain := next((waiver for waiver in considered if waiver not in used), None):
        of_source = f" for {vain.source!r}" if vain.source else ""
        raise EtymonError(
            f"The waiver of {vain.rule}{of_source} is for nothing: nothing breaks that rule of {whose}.",
            "Take it out, so that it covers nothing that comes later.",
        )
    return waived


def refuse_unknown(waivers: Iterable[Waiver], rules: Sequence[str], sources: Sequence[str]) -> None:
    """Raise EtymonError for a waiver of a rule or for a source that there is not."""
    for waiver in waivers:
        for what, name, names in (("rule", waiver.rule, rules), ("source", waiver.source or sources[0], sources)):
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1)
                hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(names)}."
                raise EtymonError(f"A waiver names the {what} {name!r}, which there is not.", hint)


def covers(waiver: Waiver, breach: Breach) -> bool:
    """Whether someone answers for this breach by that waiver."""
    return waiver.rule == breach.rule and waiver.source in (None, breach.source)


def _refused(breaches: Sequence[Breach], whose: str) -> EtymonError:
    lines = [
        f"{breach.subject or f'Source {breach.source!r}'} breaks the rule {breach.rule} of {whose}: {breach.found}."
        for breach in breaches
    ]
    remedies = list(dict.fromkeys(breach.remedy for breach in breaches))
    named = " ".join(f"--waive {breach.rule}:{breach.source}" for breach in breaches)
    waive = f"To go on all the same, and have it recorded: {named} --reason '...'"
    return EtymonError("\n".join(lines), "\n".join([*remedies, waive]))
