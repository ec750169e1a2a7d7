"""Models against their supposed parents, or all against all, by what a user calls them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from etymon.errors import EtymonError
from etymon.foundation.adapter import describe_adapter, is_adapter
from etymon.foundation.model import Model
from etymon.lineage.attribute.records import MergeRecord
from etymon.lineage.family import Family, family_of
from etymon.lineage.merged import find_merge
from etymon.lineage.screened import adjust
from etymon.lineage.stage import Execution as LineageExecution
from etymon.lineage.stage import Meaning as LineageMeaning
from etymon.lineage.stage import lineage_stage
from etymon.lineage.verdict import Lineage
from etymon.progress import Listener, silent
from etymon.run import read_lineage
from etymon.store import Store
from etymon.workspace import find_model


def lineages_of(name: str, parents: Sequence[str], store: Store, listener: Listener = silent) -> list[Lineage]:
    """A model against its supposed parents. The p-values of several are adjusted for their number."""
    if is_adapter(Path(name)):
        return _lineages_of_adapter(Path(name), parents, store, listener)
    model = find_model(name, store, listener)
    return compare_with(model, [find_model(each, store, listener) for each in parents], store, listener)


def merge_of(
    name: str, parents: Sequence[str], base: str | None, store: Store, listener: Listener = silent
) -> tuple[list[Lineage], MergeRecord | None]:
    """A model against several supposed parents, or one and a base, and the weights with which it was merged from them.

    No weights where one of them is not related to the model.
    """
    model, *others = (find_model(each, store, listener) for each in (name, *parents, *([base] if base else [])))
    found = compare_with(model, others, store, listener)
    if any(each.verdict != "related" for each in found):
        return found, None
    folders = [each.folder for each in others]
    names = [each.name for each in (model, *others)]
    merge = find_merge(model.folder, folders[: len(parents)], folders[-1] if base else None, listener, names=names)
    return found, merge


def compare_with(
    model: Model, parents: Sequence[Model], store: Store, listener: Listener = silent, *, others: int = 0
) -> list[Lineage]:
    """A model against several that are at hand, the most alike first, with p-values adjusted for their number.

    ``others`` were looked at too, and ruled out without their weights.
    """
    found = []
    for each in parents:
        inputs = {"model": model, "parent": each}
        made, _ = store.obtain(lineage_stage, inputs, LineageMeaning(), LineageExecution(), listener)
        found.append(read_lineage(made, model, each))
    return sorted(
        adjust(found, others), key=lambda each: (not each.identical, each.verdict != "related", -(each.effect or 0))
    )


def family_of_models(names: Sequence[str], store: Store, listener: Listener = silent) -> Family:
    """The family tree of models that are found by name: every pair is compared, once whichever way round.

    Raises EtymonError for adapters, which have no weights of their own, and for fewer than two models.
    """
    if adapters := [name for name in names if is_adapter(Path(name))]:
        raise EtymonError(f"{adapters[0]} is an adapter, no model by itself.", "Merge it into its base, and give that.")
    models = told_apart([find_model(name, store, listener) for name in names])
    if len(models) < 2:
        raise EtymonError("A family takes two models or more.", "Name them: `etymon family MODEL MODEL…`.")
    found = []
    for one, other in combinations(models, 2):
        turned = {"model": one, "parent": other}
        known = store.find(lineage_stage.name, lineage_stage.address(turned, LineageMeaning()))
        inputs = turned if known else {"model": other, "parent": one}
        made, _ = store.obtain(lineage_stage, inputs, LineageMeaning(), LineageExecution(), listener)
        found.append(read_lineage(made, inputs["model"], inputs["parent"]))
    return family_of(found, [model.name for model in models])


def told_apart(models: Sequence[Model]) -> list[Model]:
    """Each once; models that share a name also by their digest."""
    once = list({(model.name, model.digest): model for model in models}.values())
    often = Counter(model.name for model in once)
    return [replace(model, name=f"{model.name} ({model.digest[:8]})") if often[model.name] > 1 else model for model in once]


def _lineages_of_adapter(folder: Path, parents: Sequence[str], store: Store, listener: Listener) -> list[Lineage]:
    """An adapter against its supposed parents: alone, or laid over the base it declares where that is a folder here.

    A parent that is the base itself is compared with the adapter alone: the sum would be related to it by our own doing.
    """
    adapter = describe_adapter(folder, digests=store.digests)
    declared = next((each.uri for each in adapter.facts.parents), "")
    base = find_model(declared, store, listener) if declared and (Path(declared) / "config.json").is_file() else None
    found = []
    for parent in [find_model(each, store, listener) for each in parents]:
        inputs = {"model": adapter, "parent": parent}
        if base and base.weights != parent.weights:
            inputs["base"] = base
        made, _ = store.obtain(lineage_stage, inputs, LineageMeaning(), LineageExecution(), listener)
        found.append(read_lineage(made, adapter, parent))
    return adjust(found)
