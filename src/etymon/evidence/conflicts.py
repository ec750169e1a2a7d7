"""Licences that forbid what a recipe does: found before any work, and stopped unless someone answers for it.

The rules by name, each waived by ``--waive RULE[:SOURCE] --reason TEXT``; the foundation goes by the name ``foundation``.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

from etymon.evidence.licences import Known
from etymon.evidence.materials import Used
from etymon.recipe import LICENCE_RULES, Waiver
from etymon.waivers import Breach, Waived, covers, refuse_unknown, settle

_PLAIN = {
    "non-commercial": "allows no commercial use",
    "no-derivatives": "allows no adaptations to be shared",
}


def refuse_conflicts(used: Sequence[Used], waivers: Sequence[Waiver]) -> list[Waived]:
    """The conflicts that are waived. Raises EtymonError for those that are not, and for a waiver of nothing."""
    refuse_unknown(waivers, LICENCE_RULES, sorted({each.belongs_to for each in used}))
    return settle(find_conflicts(used), waivers, "licences", LICENCE_RULES)


def waivers_of(used: Sequence[Used], waivers: Sequence[Waiver]) -> tuple[Waiver, ...]:
    """Those of the waivers that are for conflicts among these materials."""
    breaches = find_conflicts(used)
    return tuple(waiver for waiver in waivers if any(covers(waiver, breach) for breach in breaches))


def find_conflicts(used: Sequence[Used]) -> list[Breach]:
    """Everything that the licences of these materials forbid, each once."""
    weights = [each for each in used if each.is_weights]
    breaches = [*_unknown(used), *_misdeclared(weights), *_forbidden(used), *_other_models(used, weights)]
    return [*breaches, *_incompatible(weights)]


def _unknown(used: Sequence[Used]) -> Iterator[Breach]:
    for each in used:
        if each.licences is None and each.role != "parent":  # of a parent, the foundation's own licence has to speak
            found = f"its licence {each.license} is unknown" if each.license else "no licence of it is declared or known"
            remedy = "Until someone has read it, all rights are reserved. Declare a licence that the rules know, or read it."
            yield _breach("licence-unknown", each, f"{found}, so all rights are taken as reserved", remedy)


def _misdeclared(weights: Sequence[Used]) -> Iterator[Breach]:
    """A derivative of a model whose licence binds its derivatives cannot have another one."""
    foundation, *parents = weights
    declared = {known.name for known in foundation.licences or ()}
    for parent in parents:
        for known in parent.licences or ():
            if known.licence.binding and foundation.licences is not None and known.name not in declared:
                found = (
                    f"it declares {foundation.license}, but is derived from {parent.name}, whose licence {known.name} "
                    "stays with every derivative"
                )
                remedy = f"Ask its publisher, or open it with the licence {known.name}."
                yield _breach("licence-misdeclared", foundation, found, remedy)


def _forbidden(used: Sequence[Used]) -> Iterator[Breach]:
    for each in used:
        for known in each.licences or ():
            for rule, plain in _PLAIN.items():
                if known.licence.asked(rule) and each.role != "generator":  # such licences say nothing of what a model wrote
                    remedy = "Use something else, or get a permission of its owner."
                    yield _breach(rule, each, f"its licence {known.name} {plain}", remedy)


def _other_models(used: Sequence[Used], weights: Sequence[Used]) -> Iterator[Breach]:
    """Models, and texts they wrote, that may improve only their own family: here, what is under the same licence."""
    family = {known.name for each in weights for known in each.licences or ()}
    parents = [each for each in weights if each.role == "parent"]
    for each in used:
        for known in each.licences or ():
            others = [other for other in parents if other is not each and known not in (other.licences or ())]
            if known.licence.asked("other-models") and ((each in parents and others) or known.name not in family):
                what = "weights" if each in parents else "texts"
                found = f"{known.name} lets its {what} improve no model outside its own family"
                remedy = f"Use other {what}, or a foundation under {known.name}."
                yield _breach("other-models", each, found, remedy)


def _incompatible(weights: Sequence[Used]) -> Iterator[Breach]:
    """Of two parents' licences, one that wants all of the derivative for itself, and another that stays with it too."""
    bound = {known.name: (each, known) for each in weights for known in each.licences or () if known.licence.binding}
    for (first, one), (second, other) in combinations(bound.values(), 2):
        for wants, holder, rest, rest_holder in ((one, first, other, second), (other, second, one, first)):
            if _shares_alike(wants) and rest.name != wants.name:
                found = (
                    f"{wants.name} wants the whole derivative under its own terms, and {rest.name} of {rest_holder.name} too"
                )
                yield _breach("incompatible-parents", holder, found, "No derivative of both can be passed on.")
                break


def _shares_alike(known: Known) -> bool:
    return known.licence.asked("share-alike") is not None


def _breach(rule: str, used: Used, found: str, remedy: str) -> Breach:
    return Breach(rule, used.belongs_to, found, remedy, str(used))
