"""The tests of a pair: which can be made, what they count, and the p-value over all of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from etymon.lineage.align.correspond import Correspondence
from etymon.lineage.test.agreement import Agreement
from etymon.lineage.test.attention import count_planes
from etymon.lineage.test.decoys import after_the_first, decoy_p_value, decoys_of, map_p_floor, map_p_value
from etymon.lineage.test.layers import choose_map, repeats, without_repeats
from etymon.lineage.test.neurons import count_neurons
from etymon.lineage.test.records import AgreementTest, Decoys, Kind, LayerEvidence
from etymon.progress import Clock, Listener

SECOND_WEIGHT = 0.1
"""Share of the error that is spent on coordinates as they stand, where the embeddings show no more than a rotation. It is
small so that a rotated copy of few layers is still found."""

Pairs = tuple[tuple[int, int], ...]
"""Layers of the parent and of the model."""


def agreements_of(found: Correspondence, listener: Listener) -> tuple[dict[Kind, Agreement], str]:
    """What each test counts, and why none could be made."""
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


@dataclass(frozen=True)
class Tested:
    """The tests of a pair, under the layer map that the first of them shows."""

    forward: Mapping[int, int] = field(default_factory=dict)
    repeated: Pairs = ()
    tests: tuple[AgreementTest, ...] = ()
    p_value: float | None = None
    p_floor: float | None = None
    besides: tuple[AgreementTest, ...] = ()
    """Those under another alignment, which showed less."""


def tested_under(candidates: Sequence[Correspondence], listener: Listener) -> tuple[Correspondence, Tested, str]:
    """The candidate under which most agrees, with its layer map; its tests; and why none could be made.

    The smaller of two p-values is not one, so each is divided by its weight first (weighted Bonferroni).
    """
    made: list[tuple[Correspondence, Tested]] = []
    weights = (1.0,) if len(candidates) == 1 else (1 - SECOND_WEIGHT, SECOND_WEIGHT)
    for found, weight in zip(candidates, weights, strict=True):
        agreements, obstacle = agreements_of(found, listener)
        if not agreements:
            return candidates[0], Tested(), obstacle
        done = _weighed(tested(found, agreements), weight)
        made.append((replace(found, layer_map=done.forward), done))
    found, best = min(made, key=lambda each: 1.0 if each[1].p_value is None else each[1].p_value)
    besides = tuple(test for _, done in made if done is not best for test in done.tests)
    return found, replace(best, besides=besides), ""


def _weighed(done: Tested, weight: float) -> Tested:
    def raised(value: float | None) -> float | None:
        return None if value is None else min(1.0, value / weight)

    tests = tuple(
        test.model_copy(update={"p_value": raised(test.p_value), "p_floor": raised(test.p_floor)}) for test in done.tests
    )
    return replace(done, tests=tests, p_value=raised(done.p_value), p_floor=raised(done.p_floor))


def tested(found: Correspondence, agreements: Mapping[Kind, Agreement]) -> Tested:
    """One p-value for all: the same maps are drawn for every count, so whatever depends on what is kept."""
    first = next(iter(agreements))
    chosen = choose_map(found.layer_map, agreements[first])
    repeated = repeats(agreements[first], chosen.forward)
    used = {kind: chosen.evidence if kind == first else each for kind, each in agreements.items()}
    counts = {kind: without_repeats(each.counts_PM, repeated) for kind, each in used.items()}
    scale = math.lcm(*(each.sampled for each in used.values()))
    together = np.sum([counts[kind] * (scale // each.sampled) for kind, each in used.items()], axis=0)
    inner, inner_map = after_the_first(together, chosen.forward)
    return Tested(
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
        sampled=whole.sampled,
    )
