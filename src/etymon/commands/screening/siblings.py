"""Listed models that declare one origin and not each other: not tested for being related, for they are, but measured.

A sibling may still have been made from the other and declare only where that came from. How much two share bit for bit, and
how far apart their layers are, shows it to whoever compares it with other pairs of the same origin. It raises no flag, for
siblings may have frozen the same matrices.
"""

import json
from collections.abc import Callable, Sequence

from etymon.board.entries import Screening, Siblings
from etymon.board.file import ListedModel
from etymon.commands.screening.screen import declared_siblings
from etymon.errors import EtymonError
from etymon.foundation.model import Model
from etymon.lineage.align.correspond import Side
from etymon.lineage.attribute.change import relative_of
from etymon.lineage.compare import opened
from etymon.lineage.read.profile import read_finite
from etymon.lineage.read.shared import find_shared, learnt_matrices, share_of
from etymon.lineage.read.structure import MATRIX_ROLES
from etymon.lineage.stage import COMPARISON_VERSION
from etymon.progress import Listener, silent
from etymon.store import Config, Draft, Stage, Store


class Meaning(Config):
    """Nothing to choose."""


class Execution(Config):
    """Nothing to choose."""


def _measure(draft: Draft[Meaning, Execution]) -> None:
    """Inputs: ``model`` and ``other``. Writes ``siblings.json``."""
    model, other = draft.inputs["model"], draft.inputs["other"]
    side = opened(model.folder, model.name)
    beside = opened(other.folder, other.name)
    shared = find_shared(side.tensors, side.digests, beside.digests)
    matrices = learnt_matrices(side.tensors, shared, side.structure)
    measured = {
        "shared_matrices": len(matrices),
        "shared_share": share_of(side.tensors, matrices),
        "distance": distance(side, beside),
    }
    (draft.folder / "siblings.json").write_text(json.dumps(measured, indent=1), "utf-8")
    draft.facts.update(measured)


siblings_stage = Stage("siblings", COMPARISON_VERSION, _measure, Meaning, Execution)


def distance(model: Side, other: Side) -> float | None:
    """‖Δ‖ / ‖W‖ over the matrices of two layers as they are stored; None where their shapes differ.

    Raises EtymonError for weights that are not finite.
    """
    ours, theirs = model.structure.layers, other.structure.layers
    if not ours or len(ours) != len(theirs):
        return None
    pairs = [
        (read_finite(model.tensors, ours[place][role]), read_finite(other.tensors, theirs[place][role]))
        for place in sorted({len(ours) // 3, 2 * len(ours) // 3})
        for role in MATRIX_ROLES
        if role in ours[place] and role in theirs[place]
    ]
    if not pairs or any(one.shape != another.shape for one, another in pairs):
        return None
    return relative_of(pairs)


def measure_siblings(
    models: Sequence[ListedModel], opener: Callable[[ListedModel], Model], store: Store, listener: Listener = silent
) -> None:
    """Measure the pairs that were not, but for those of a model that is gone: ``opener`` raises EtymonError for it."""
    measured = {(each.model, each.other) for each in read_siblings(models, store)}
    at_hand: dict[str, Model | None] = {}
    for i, j in declared_siblings(models):
        if (models[j].model, models[i].model) in measured:
            continue
        for listed in (models[j], models[i]):
            if listed.model not in at_hand:
                at_hand[listed.model] = _opened(listed, opener)
        model, other = at_hand[models[j].model], at_hand[models[i].model]
        if model and other:
            store.obtain(siblings_stage, {"model": model, "other": other}, Meaning(), Execution(), listener)


def read_siblings(models: Sequence[ListedModel], store: Store) -> tuple[Siblings, ...]:
    """What was measured of these, the nearest first: by the share that is the same bit for bit, then by distance."""
    manifests = [artifact.manifest for artifact in store.artifacts() if artifact.manifest.stage == siblings_stage.name]
    known = {
        (manifest.inputs["model"].digest, manifest.inputs["other"].digest): manifest.facts
        for manifest in manifests
        if manifest.stage_version == siblings_stage.version
    }
    found = [
        Siblings(model=models[j].model, other=models[i].model, **known[models[j].digest, models[i].digest])
        for i, j in declared_siblings(models)
        if (models[j].digest, models[i].digest) in known
    ]
    return tuple(sorted(found, key=lambda each: (-each.shared_share, each.distance is None, each.distance or 0.0)))


def with_siblings(screening: Screening, models: Sequence[ListedModel], store: Store) -> Screening:
    """The same with what was measured, and with how many pairs were not."""
    found = read_siblings(models, store)
    unmeasured = len(declared_siblings(models)) - len(found)
    return screening.model_copy(update={"siblings": found, "unmeasured": unmeasured})


def _opened(listed: ListedModel, opener: Callable[[ListedModel], Model]) -> Model | None:
    try:
        return opener(listed)
    except EtymonError:
        return None
