"""With whom the weights were compared, and what the origins that showed are made of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from etymon.commands.identify import Identified, identify_model
from etymon.commands.lineage import compare_with, told_apart
from etymon.commands.screening.fingerprints import index_of
from etymon.evidence.licences import find_licences, licence_of_model
from etymon.evidence.materials import FOUNDATION, Used, weights_used
from etymon.evidence.review.records import Kin, Suspect
from etymon.foundation.hub_name import hub_name
from etymon.foundation.model import Model
from etymon.lineage.explain import explanation
from etymon.lineage.verdict import Lineage
from etymon.progress import Listener
from etymon.store import Store
from etymon.text.counted import counted
from etymon.workspace import find_model, runs

_UNCHANGED = 1e-5
"""Relative change below which all that differs is the rounding of values that were put in another order or scale."""


@dataclass(frozen=True)
class Ancestry:
    """What comparing weights gave."""

    kin: tuple[Kin, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    models: tuple[Model, ...] = ()
    """Those compared with, under the names that ``kin`` has."""
    searched: str = ""


def trace(model: Model, parents: Sequence[str], store: Store, listener: Listener) -> Ancestry:
    """Against the parents that were named, else against all that the workspace and its index know."""
    if parents:
        named = told_apart([model, *(find_model(each, store, listener) for each in parents)])
        others = tuple(each for each in named if each.digest != model.digest)
        return _ancestry(model, compare_with(model, others, store, listener), others)
    if not next(runs(store), None) and not index_of(store).weights():
        return Ancestry(
            searched="There was nothing to compare the weights with: fill the index, or name a model with --parent."
        )
    found = identify_model(model, store, listener)
    others = tuple(each for each in found.compared if each.digest != model.digest)
    searched = f"{counted(found.searched, 'fingerprint')} of the index searched." if found.searched else ""
    kept = [each for each in found.lineages if each.parent in {other.name for other in others}]
    return _ancestry(model, kept, others, tuple(_suspects(found)), searched)


def _ancestry(
    model: Model,
    lineages: Sequence[Lineage],
    others: tuple[Model, ...],
    suspects: tuple[Suspect, ...] = (),
    searched: str = "",
) -> Ancestry:
    by_name = {each.name: each for each in others}
    kin = tuple(_kin(model, by_name[each.parent], each) for each in lineages)
    return Ancestry(kin, suspects, others, searched)


def _kin(model: Model, other: Model, lineage: Lineage) -> Kin:
    change = _change(lineage)
    whole = lineage.verdict == "related" and lineage.same_architecture and change is not None and change <= _UNCHANGED
    return Kin(
        name=other.name,
        source=other.facts.source,
        digest=other.digest,
        weights=other.weights,
        license=other.facts.license or licence_of_model(other.facts.source),
        verdict=lineage.verdict,
        direction=lineage.direction,
        unchanged=lineage.identical or whole,
        change=0.0 if lineage.identical else change,
        says=_sentence(lineage),
        lattice=tuple(dict.fromkeys(each.format for each in lineage.attribution.quantised if each.side == "model")),
        same_vocabulary=lineage.same_vocabulary,
        quantised_from=tuple(each.uri for each in other.facts.parents if each.relation in ("quantized", "dequantized")),
        declares_this=any(hub_name(each.uri) == hub_name(model.facts.source) for each in other.facts.parents),
    )


def _change(lineage: Lineage) -> float | None:
    """The root mean square of all tensors' relative changes, weighted by their size."""
    size = sum(each.parameters for each in lineage.changes)
    return float((sum(each.parameters * each.relative**2 for each in lineage.changes) / size) ** 0.5) if size else None


def _sentence(lineage: Lineage) -> str:
    said = explanation(lineage).verdict.partition(": ")[2]
    return said[:1].upper() + said[1:] if said.startswith("the ") else said


def _suspects(found: Identified) -> Iterator[Suspect]:
    for each in found.candidates:
        says = f"{each.effect:.0%} of the neurons in {counted(each.layers, 'layer')} answer to common tokens as those of "
        says += f"{each.candidate} do (p = {each.p_value:.2g})."
        yield Suspect(name=each.candidate, source=each.source, license=each.license, says=says)


def origin_materials(model: Model | None, origins: Sequence[Kin], models: Sequence[Model]) -> list[Used]:
    """The measured origins with what they declare themselves made from, then what the model declares, each once."""
    by_name = {each.name: each for each in models}
    used: list[Used] = []
    for kin in origins:
        own, *parents = weights_used(by_name[kin.name])
        used += [Used(own.name, "foundation", kin.license, find_licences(kin.license), FOUNDATION, own.origin), *parents]
    used += weights_used(model)[1:] if model else []
    return list({(each.name, each.license): each for each in used}.values())
