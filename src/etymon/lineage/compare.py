"""Two models in, a lineage out: the whole comparison on one page."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from etymon.foundation.adapter import is_adapter
from etymon.foundation.weights import open_weights
from etymon.lineage.adapter import ON_BASE, compare_adapter, opened_on_base
from etymon.lineage.align.correspond import Correspondence, Side, align, correspondences
from etymon.lineage.align.residual import Alignment
from etymon.lineage.attribute.attribution import attribute
from etymon.lineage.attribute.change import Change, same_sizes
from etymon.lineage.attribute.changes import change_by_role, changes_of, every_value_equal, unchanged_tensors
from etymon.lineage.attribute.direction import Direction, decide_direction
from etymon.lineage.attribute.records import Attribution
from etymon.lineage.read.shared import find_shared, learnt_matrices, share_of
from etymon.lineage.read.structure import Structure, read_structure
from etymon.lineage.read.tokens import SharedTokens, read_vocabulary, shared_tokens
from etymon.lineage.test.pair import Tested, tested_under
from etymon.lineage.test.records import AgreementTest
from etymon.lineage.verdict import AlignmentRecord, Evidence, Finding, Lineage, Sizes, TensorChange, Verdict, decide
from etymon.progress import Clock, Listener, silent


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
    ours = opened_on_base(model, base, names[0]) if is_adapter(model) and base else opened(model, names[0])
    lineage = compare_sides(ours, opened(parent, names[1]), listener)
    if not is_adapter(model):
        return lineage
    return lineage.model_copy(update={"limits": (*lineage.limits, ON_BASE)})


def opened(model: Path, name: str) -> Side:
    """A model ready to be compared with several others. Raises EtymonError for files that cannot be read."""
    weights = open_weights(model)
    return Side(name, weights, read_vocabulary(model), read_structure(weights))


def compare_sides(model: Side, parent: Side, listener: Listener = silent) -> Lineage:
    """The comparison, over weights that are open."""
    Clock(listener, "lineage", "looking for identical tensors")
    shared = find_shared(model.tensors, model.digests, parent.digests)
    tokens = shared_tokens(model.vocabulary, parent.vocabulary, model.structure.vocabulary, parent.structure.vocabulary)

    Clock(listener, "lineage", "aligning the two models")
    alignment = align(model, parent, tokens)
    candidates = correspondences(model, parent, alignment) if alignment and _have_layers(model, parent) else ()
    found = candidates[0] if candidates else None
    obstacle, done = _obstacle(model, parent, found), Tested()
    if found and not obstacle:
        found, done, obstacle = tested_under(candidates, listener)

    ours, theirs = (found.model.structure, found.parent.structure) if found else (model.structure, parent.structure)
    matrices = learnt_matrices(model.tensors, shared, ours)
    evidence = Evidence(
        p_value=done.p_value,
        findings=_findings(done.tests),
        identical=shared.all_equal,
        shared_matrices=len(matrices),
        shared_share=share_of(model.tensors, matrices),
        obstacle=obstacle,
        besides=_findings(done.besides),
        aligned=found is None or found.alignment.keeps_axes or len(candidates) > 1 or _shown(found.alignment, tokens),
    )
    verdict, reasons = decide(evidence)
    changes: list[Change] = []
    attribution = Attribution()
    way: tuple[Direction, str] = ("unknown", "it is looked for only between related models that differ")
    if found and verdict == "related":
        changes = changes_of(found, tokens, shared, listener)
        evidence = replace(evidence, identical=evidence.identical or every_value_equal(found, changes))
        verdict, reasons = decide(evidence)
        if not evidence.identical:
            attribution = attribute(found, changes, (*found.layer_map.items(), *done.repeated))
            way = decide_direction(attribution.traces)

    deciding = evidence.deciding
    unchanged = tuple(model.tensors.names) if evidence.identical else unchanged_tensors(model.tensors, shared, changes)
    return Lineage(
        model=model.name,
        parent=parent.name,
        verdict=verdict,
        identical=evidence.identical,
        direction=way[0],
        direction_reason=way[1],
        p_value=evidence.p_value,
        p_floor=done.p_floor,
        deciding=deciding.kind if deciding else None,
        effect=deciding.effect if deciding else None,
        power=deciding.power if deciding else None,
        tests=done.tests,
        layer_map=tuple(sorted((*found.layer_map.items(), *done.repeated))) if found else (),
        alignment=_alignment_record(found.alignment, tokens, candidates) if found else None,
        identical_tensors=shared.names,
        unchanged_tensors=unchanged,
        shared_matrices=evidence.shared_matrices,
        shared_share=evidence.shared_share,
        tensors=len(model.tensors.names),
        changed_share=1 - share_of(model.tensors, unchanged),
        changes=tuple(TensorChange(**asdict(change)) for change in changes),
        change_by_role=change_by_role(changes),
        attribution=attribution,
        model_sizes=_sizes(ours),
        parent_sizes=_sizes(theirs),
        same_architecture=same_sizes(ours, theirs),
        same_vocabulary=tokens.same_vocabulary,
        shared_tokens=len(tokens.model_rows),
        reasons=reasons,
        limits=_limits(verdict, tokens, ours, theirs, candidates),
    )


def _findings(tests: Sequence[AgreementTest]) -> tuple[Finding, ...]:
    return tuple(Finding(each.kind, each.p_value, each.effect, each.power) for each in tests)


def _shown(alignment: Alignment, tokens: SharedTokens) -> bool:
    """Whether the embeddings of tokens with the same strings show which coordinates correspond."""
    return tokens.basis == "strings" and alignment.shown


def _have_layers(model: Side, parent: Side) -> bool:
    return bool(model.structure.layers or parent.structure.layers)


def _obstacle(model: Side, parent: Side, found: Correspondence | None) -> str:
    """Why nothing can be tested; empty if something may be."""
    if not _have_layers(model, parent):
        return "; ".join(f"{side.name}: {', '.join(side.structure.notes)}" for side in (model, parent))
    if found is None:
        return "the widths differ and no embeddings of shared tokens show which coordinates correspond"
    if not found.model.structure.layers or not found.parent.structure.layers:
        return "the names of one model show no layers, and its embeddings do not line up with the other's"
    return ""


def _alignment_record(alignment: Alignment, tokens: SharedTokens, candidates: Sequence[Correspondence]) -> AlignmentRecord:
    return AlignmentRecord(
        kind=alignment.kind,
        similarity=alignment.similarity,
        tokens=len(tokens.model_rows),
        basis=tokens.basis,
        tried=tuple(each.alignment.kind for each in candidates),
    )


def _sizes(structure: Structure) -> Sizes:
    return Sizes(
        layers=len(structure.layers),
        width=structure.width,
        neurons=structure.neurons,
        key_width=structure.key_width,
        vocabulary=structure.vocabulary,
    )


def _limits(
    verdict: Verdict, tokens: SharedTokens, ours: Structure, theirs: Structure, candidates: Sequence[Correspondence]
) -> tuple[str, ...]:
    limits = []
    if verdict == "related":
        limits.append("A common random start or early checkpoint counts as a relation; the test cannot tell them apart.")
    else:
        limits.append("Distillation leaves no trace in the weights, and enough retraining removes the trace of a copy.")
        turned = any(not each.alignment.keeps_axes for each in candidates)
        untouched = candidates and not candidates[0].alignment.similarity
        if len(candidates) > 1 or untouched:
            limits.append(
                "A copy whose vocabulary was replaced and whose coordinates were reordered or rotated does not show."
            )
        elif turned:
            limits.append("A copy of another width whose vocabulary was replaced does not show.")
    if tokens.basis == "row numbers":
        limits.append("A vocabulary is missing, so row i of both embeddings was taken for the same token.")
    if ours.width != theirs.width:
        limits.append("The widths differ; only the coordinates that correspond best were compared.")
    return tuple(limits)
