"""Two models in, a lineage out: the whole comparison on one page."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from etymon.foundation.adapter import is_adapter
from etymon.foundation.weights import open_weights
from etymon.lineage.adapter import ON_BASE, compare_adapter, opened_on_base
from etymon.lineage.align.correspond import Correspondence, Side, align, correspond
from etymon.lineage.align.residual import Alignment
from etymon.lineage.attribute.attribution import attribute
from etymon.lineage.attribute.change import Change, find_shared, same_sizes
from etymon.lineage.attribute.changes import change_by_role, changes_of, every_value_equal
from etymon.lineage.attribute.direction import Direction, decide_direction
from etymon.lineage.attribute.records import Attribution
from etymon.lineage.read.structure import Structure, read_structure
from etymon.lineage.read.tokens import SharedTokens, read_vocabulary, shared_tokens
from etymon.lineage.test.agreement import Agreement
from etymon.lineage.test.attention import count_planes
from etymon.lineage.test.decoys import after_the_first, decoy_p_value, decoys_of, map_p_floor, map_p_value
from etymon.lineage.test.layers import choose_map, repeats, without_repeats
from etymon.lineage.test.neurons import count_neurons
from etymon.lineage.verdict import (
    AgreementTest,
    AlignmentRecord,
    Decoys,
    Evidence,
    Finding,
    Kind,
    LayerEvidence,
    Lineage,
    Sizes,
    TensorChange,
    Verdict,
    decide,
)
from etymon.progress import Clock, Listener, silent

Pairs = tuple[tuple[int, int], ...]
"""Layers of the parent and of the model."""


def compare(
    model: Path,
    parent: Path,
    listener: Listener = silent,
    *,
    base: Path | None = None,
    model_name: str = "",
    parent_name: str = "",
) -> Lineage:
    """Compare two models given as Transformers folders, ``.safetensors`` or ``.gguf`` files.

    The model may be the folder of an adapter, which is laid over ``base``, or, without one, looked at by itself.
    Raises EtymonError for files that cannot be read and for weights that are not finite.
    """
    names = model_name or model.name, parent_name or parent.name
    if is_adapter(model) and base is None:
        return compare_adapter(model, parent, listener, model_name=names[0], parent_name=names[1])
    mine = opened_on_base(model, base, names[0]) if is_adapter(model) and base else opened(model, names[0])
    with mine as ours, opened(parent, names[1]) as theirs:
        lineage = compare_sides(ours, theirs, listener)
    if not is_adapter(model):
        return lineage
    return lineage.model_copy(update={"limits": (*lineage.limits, ON_BASE)})


@contextmanager
def opened(model: Path, name: str) -> Iterator[Side]:
    """A model ready to be compared with several others. Raises EtymonError for files that cannot be read."""
    with open_weights(model) as weights:
        yield Side(name, weights, read_vocabulary(model), read_structure(weights))


def compare_sides(model: Side, parent: Side, listener: Listener = silent) -> Lineage:
    """The comparison, over weights that are open."""
    Clock(listener, "lineage", "looking for identical tensors")
    shared = find_shared(model.tensors, model.digests, parent.digests)
    tokens = shared_tokens(model.vocabulary, parent.vocabulary, model.structure.vocabulary, parent.structure.vocabulary)

    Clock(listener, "lineage", "aligning the two models")
    alignment = align(model, parent, tokens)
    found = correspond(model, parent, alignment) if alignment and _have_layers(model, parent) else None
    agreements, obstacle = _agreements(model, parent, found, listener)
    tested = _tested(found, agreements) if found and agreements else _Tested()
    found = replace(found, layer_map=tested.forward) if found and agreements else found
    tests = tested.tests

    evidence = Evidence(
        p_value=tested.p_value,
        findings=tuple(Finding(each.kind, each.p_value, each.effect, each.power) for each in tests),
        identical=shared.all_equal,
        shared_matrices=sum(len(model.tensors.shape(name)) == 2 for name in shared.names),
        obstacle=obstacle,
    )
    verdict, reasons = decide(evidence)
    changes: list[Change] = []
    attribution = Attribution()
    way: tuple[Direction, str] = ("unknown", "it is looked for only between related models that differ")
    if found and verdict == "related":
        changes = changes_of(found, shared, listener)
        evidence = replace(evidence, identical=evidence.identical or every_value_equal(found, changes))
        verdict, reasons = decide(evidence)
        if not evidence.identical:
            attribution = attribute(found, changes, (*found.layer_map.items(), *tested.repeated))
            way = decide_direction(attribution.traces)

    deciding = evidence.deciding
    ours, theirs = (found.model.structure, found.parent.structure) if found else (model.structure, parent.structure)
    scalars = {name: math.prod(model.tensors.shape(name)) for name in model.tensors.names}
    return Lineage(
        model=model.name,
        parent=parent.name,
        verdict=verdict,
        identical=evidence.identical,
        direction=way[0],
        direction_reason=way[1],
        p_value=evidence.p_value,
        p_floor=tested.p_floor,
        effect=deciding.effect if deciding else None,
        power=deciding.power if deciding else None,
        tests=tests,
        layer_map=tuple(sorted((*found.layer_map.items(), *tested.repeated))) if found else (),
        alignment=_alignment_record(found.alignment, tokens) if found else None,
        identical_tensors=shared.names,
        tensors=len(scalars),
        changed_share=0.0 if evidence.identical else _share_outside(scalars, shared.names),
        changes=tuple(TensorChange(**asdict(change)) for change in changes),
        change_by_role=change_by_role(changes),
        attribution=attribution,
        model_sizes=_sizes(ours),
        parent_sizes=_sizes(theirs),
        same_architecture=same_sizes(ours, theirs),
        same_vocabulary=tokens.same_vocabulary,
        shared_tokens=len(tokens.model_rows),
        reasons=reasons,
        limits=_limits(verdict, tokens, ours, theirs),
    )


def _share_outside(scalars: Mapping[str, int], names: tuple[str, ...]) -> float:
    return 1 - sum(scalars[name] for name in names) / max(1, sum(scalars.values()))


def _have_layers(model: Side, parent: Side) -> bool:
    return bool(model.structure.layers or parent.structure.layers)


def _agreements(
    model: Side, parent: Side, found: Correspondence | None, listener: Listener
) -> tuple[dict[Kind, Agreement], str]:
    """What each test counts, and why none could be made."""
    obstacle = _obstacle(model, parent, found)
    if found is None or obstacle:
        return {}, obstacle
    ours, theirs = found.model, found.parent
    made: dict[Kind, Agreement] = {}
    layers = len(ours.structure.layers) + len(theirs.structure.layers)
    if ours.structure.gated and theirs.structure.gated:
        clock = Clock(listener, "lineage", "matching neurons", total=layers, unit="layers")
        made["neurons"] = count_neurons(
            ours.tensors, ours.structure, theirs.tensors, theirs.structure, found.alignment, clock
        )
    heads = all({"q", "k"} <= layer.keys() for layer in (*ours.structure.layers, *theirs.structure.layers))
    if found.model_rotary and found.parent_rotary and heads:
        clock = Clock(listener, "lineage", "matching attention", total=layers, unit="layers")
        made["attention planes"] = count_planes(
            ours.tensors, ours.structure, found.model_rotary,
            theirs.tensors, theirs.structure, found.parent_rotary, found.alignment, clock,
        )  # fmt: skip
    if made:
        return made, ""
    notes = [f"{side.name}: {'; '.join(side.structure.notes)}" for side in (ours, theirs) if side.structure.notes]
    return {}, "; ".join(notes) or "not every layer has gate, up and down, and no heads with rotary pairs show"


def _obstacle(model: Side, parent: Side, found: Correspondence | None) -> str:
    """Why nothing can be tested; empty if something may be."""
    if not _have_layers(model, parent):
        return "; ".join(f"{side.name}: {', '.join(side.structure.notes)}" for side in (model, parent))
    if found is None:
        return "the widths differ and no embeddings of shared tokens show which coordinates correspond"
    if not found.model.structure.layers or not found.parent.structure.layers:
        return "the names of one model show no layers, and its embeddings do not line up with the other's"
    return ""


@dataclass(frozen=True)
class _Tested:
    """The tests of a pair, under the layer map that the first of them shows."""

    forward: Mapping[int, int] = field(default_factory=dict)
    repeated: Pairs = ()
    tests: tuple[AgreementTest, ...] = ()
    p_value: float | None = None
    p_floor: float | None = None


def _tested(found: Correspondence, agreements: Mapping[Kind, Agreement]) -> _Tested:
    """One p-value for all: the same maps are drawn for every count, so whatever depends on what is kept."""
    first = next(iter(agreements))
    chosen = choose_map(found.layer_map, agreements[first])
    repeated = repeats(agreements[first], chosen.forward)
    used = {kind: chosen.evidence if kind == first else each for kind, each in agreements.items()}
    counts = {kind: without_repeats(each.counts_PM, repeated) for kind, each in used.items()}
    scale = math.lcm(*(each.sampled for each in used.values()))
    together = np.sum([counts[kind] * (scale // each.sampled) for kind, each in used.items()], axis=0)
    inner, inner_map = after_the_first(together, chosen.forward)
    return _Tested(
        forward=chosen.forward,
        repeated=repeated,
        tests=tuple(_test_record(kind, each, agreements[kind], counts[kind], chosen.forward) for kind, each in used.items()),
        p_value=map_p_value(inner, inner_map),
        p_floor=map_p_floor(inner),
    )


def _test_record(
    kind: Kind, evidence: Agreement, whole: Agreement, counts: np.ndarray, layer_map: Mapping[int, int]
) -> AgreementTest:
    inner, inner_map = after_the_first(counts, layer_map)
    decoys = decoys_of(counts, layer_map)
    shares = decoys / evidence.sampled
    joined = [int(counts[there, here]) for there, here in layer_map.items()]
    return AgreementTest(
        kind=kind,
        p_value=map_p_value(inner, inner_map),
        p_floor=map_p_floor(inner),
        effect=float(np.mean(joined)) / evidence.sampled if joined else 0.0,
        power=whole.power,
        layers=tuple(
            LayerEvidence(
                parent_layer=there,
                model_layer=here,
                agreeing=int(counts[there, here]),
                sampled=evidence.sampled,
                p_value=decoy_p_value(counts[there, here], decoys),
            )
            for there, here in sorted(layer_map.items())
        ),
        decoys=Decoys(count=len(decoys), mean_share=float(shares.mean()), largest_share=float(shares.max()))
        if len(decoys)
        else None,
        agreement=tuple(map(tuple, whole.counts_PM.tolist())),
    )


def _alignment_record(alignment: Alignment, tokens: SharedTokens) -> AlignmentRecord:
    return AlignmentRecord(
        kind=alignment.kind, similarity=alignment.similarity, tokens=len(tokens.model_rows), basis=tokens.basis
    )


def _sizes(structure: Structure) -> Sizes:
    return Sizes(
        layers=len(structure.layers),
        width=structure.width,
        neurons=structure.neurons,
        key_width=structure.key_width,
        vocabulary=structure.vocabulary,
    )


def _limits(verdict: Verdict, tokens: SharedTokens, ours: Structure, theirs: Structure) -> tuple[str, ...]:
    limits = []
    if verdict == "related":
        limits.append("A common random start or early checkpoint counts as a relation; the test cannot tell them apart.")
    else:
        limits.append("Distillation leaves no trace in the weights, and enough retraining removes the trace of a copy.")
    if tokens.basis == "row numbers":
        limits.append("A vocabulary is missing, so row i of both embeddings was taken for the same token.")
    if ours.width != theirs.width:
        limits.append("The widths differ; only the coordinates that correspond best were compared.")
    return tuple(limits)
