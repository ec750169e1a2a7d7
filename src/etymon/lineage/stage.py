"""The lineage of a model and its supposed parent as an artifact: ``lineage.json``."""

from etymon.lineage.compare import compare
from etymon.lineage.explain import explain
from etymon.lineage.verdict import Lineage
from etymon.store import Config, Draft, Stage

__all__ = ["Execution", "Meaning", "compare", "explain", "lineage_stage"]


class Meaning(Config):
    """Nothing to choose: the thresholds are constants of ``verdict``, changed only with the stage's version."""


class Execution(Config):
    """Nothing to choose."""


def _build(draft: Draft[Meaning, Execution]) -> None:
    """Inputs: ``model`` and ``parent``, both ``etymon.foundation.model.Model``; ``base`` of a model that is an adapter."""
    model, parent, base = draft.inputs["model"], draft.inputs["parent"], draft.inputs.get("base")
    names = {"model_name": model.digest[:16], "parent_name": parent.digest[:16]}
    lineage = compare(model.folder, parent.folder, draft.listener, base=base.folder if base else None, **names)
    (draft.folder / "lineage.json").write_text(lineage.model_dump_json(indent=1), "utf-8")
    draft.facts.update(lineage_facts(lineage))


def lineage_facts(lineage: Lineage) -> dict[str, object]:
    """What the catalog indexes of a lineage."""
    return {
        "model": lineage.model,
        "parent": lineage.parent,
        "verdict": lineage.verdict,
        "identical": lineage.identical,
        "direction": lineage.direction,
        "p_value": lineage.p_value,
        "effect": lineage.effect,
        "power": lineage.power,
        "changed_share": lineage.changed_share,
        "identical_tensors": len(lineage.identical_tensors),
        "tensors": lineage.tensors,
        "change_by_role": lineage.change_by_role,
        "same_architecture": lineage.same_architecture,
        "same_vocabulary": lineage.same_vocabulary,
    }


COMPARISON_VERSION = 9
"""For every stage that stores what a comparison said: raised whenever a verdict, a figure or a direction may change."""

lineage_stage = Stage(name="lineage", version=COMPARISON_VERSION, build=_build, meaning=Meaning, execution=Execution)
