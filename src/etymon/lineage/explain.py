"""A lineage in the words of someone who must decide something: the verdict, what it means, and the reasons under it."""

from dataclasses import dataclass

from etymon.lineage.attribute.words import attribution_lines
from etymon.lineage.screened import Screened
from etymon.lineage.test.decoys import LEAST_DRAWN
from etymon.lineage.verdict import LARGEST_P, Lineage, Sizes
from etymon.text.counted import counted

ROLES = {
    "embedding": "embedding", "q": "attention q", "k": "attention k", "v": "attention v", "o": "attention o",
    "gate": "MLP gate", "up": "MLP up", "down": "MLP down", "attention norm": "attention norms", "mlp norm": "MLP norms",
    "final norm": "final norm", "embedding or head": "embedding and head", "router": "MoE router",
    "other": "other tensors",
}  # fmt: skip
"""The words for the roles of tensors."""
DECIDES_NOTHING = "It decides nothing."


@dataclass(frozen=True)
class Explanation:
    """All that is said of a lineage, sentence by sentence."""

    verdict: str
    """Can stand alone."""
    meaning: str
    reasons: tuple[str, ...]
    changed: tuple[str, ...]
    """Empty unless the two are related and differ."""
    in_common: tuple[tuple[str, str], ...]
    """Architecture and tokenizer: free to take, and no sign of where weights come from."""
    limits: tuple[str, ...]


def explanation(lineage: Lineage) -> Explanation:
    """The words for every part of a lineage."""
    changed: list[str] = []
    if lineage.verdict == "related" and not lineage.identical:
        changed = [f"Direction: {_direction(lineage)}.", *_changes(lineage)]
        changed += attribution_lines(lineage.attribution, ROLES)
    return Explanation(
        verdict=_headline(lineage),
        meaning=_meaning(lineage),
        reasons=lineage.reasons,
        changed=tuple(changed),
        in_common=(("Architecture", f"{_architecture(lineage)}."), ("Tokenizer", f"{_tokenizer(lineage)}.")),
        limits=lineage.limits,
    )


def explain(lineage: Lineage) -> list[str]:
    """The same as lines of plain text; the first is the verdict."""
    told = explanation(lineage)
    return [
        told.verdict,
        f"  What this means: {told.meaning}",
        *(f"  {line}" for line in (*told.reasons, *told.changed)),
        *(f"  {what}: {line} {DECIDES_NOTHING}" for what, line in told.in_common),
        *(f"  Limit: {limit}" for limit in told.limits),
    ]


def _headline(lineage: Lineage) -> str:
    model, parent = lineage.model, lineage.parent
    if lineage.identical:
        return f"related: {model} holds the same weights as {parent}, value for value."
    tested = _tested(lineage)
    if lineage.verdict == "related":
        return f"related: {_relation(lineage)}{tested}."
    if lineage.verdict == "independent":
        return f"independent: the weights of {model} show no trace of {parent}{tested}."
    return f"inconclusive: the weights do not settle whether {model} is related to {parent}{tested}."


def _relation(lineage: Lineage) -> str:
    model, parent = lineage.model, lineage.parent
    return {
        "model from parent": f"{model} derives from {parent}",
        "parent from model": f"{parent} derives from {model}",
        "common origin": f"{model} shares its origin with {parent}",
        "unknown": f"{model} derives from or shares its origin with {parent}",
    }[lineage.direction]


def _tested(lineage: Lineage) -> str:
    """``(p ≤ 3.8e-32, 100% of neurons agree; beyond chance in 30 of 30 layers)``; empty where no test was made.

    Of layers nothing is said where the decoys are so few that no layer's p-value could be .01.
    """
    if lineage.p_value is None or lineage.effect is None:
        return ""
    test = next((each for each in lineage.tests if each.kind == lineage.deciding), lineage.tests[0])
    least = 1 / (test.decoys.count + 1) if test.decoys else 1.0
    agreeing = sum(layer.p_value <= LARGEST_P for layer in test.layers)
    by_layer = f"; beyond chance in {agreeing} of {counted(len(test.layers), 'layer')}" if least <= LARGEST_P else ""
    sign = "≤" if lineage.p_value <= max(LEAST_DRAWN, 1.01 * (lineage.p_floor or 0)) else "="
    p_value, allowing = lineage.p_value, ""
    if isinstance(lineage, Screened) and lineage.p_adjusted is not None:
        p_value, allowing = lineage.p_adjusted, f" after allowing for {counted(lineage.screened, 'pair')}"
    return f" (p {sign} {p_value:.2g}{allowing}, {lineage.effect:.0%} of {test.kind} agree{by_layer})"


def _meaning(lineage: Lineage) -> str:
    """One sentence without a technical word."""
    model, parent = lineage.model, lineage.parent
    if lineage.identical:
        return f"{model} and {parent} are one model under two names."
    if lineage.verdict == "related":
        return {
            "model from parent": f"{model} was made out of {parent}, by further training, merging, compressing or editing, "
            "and was not trained from scratch.",
            "parent from model": f"It is the other way round: {parent} was made out of {model}.",
            "common origin": "Both were made out of the same earlier model, and neither out of the other.",
            "unknown": "The two were not trained separately from scratch: one was made out of the other, or both out of the "
            "same earlier model, and the weights do not show which.",
        }[lineage.direction]
    if lineage.verdict == "independent":
        return (
            f"{model} was not made out of the weights of {parent}: a copy would show even if changed a great deal, but for "
            "what the limits name."
        )
    if lineage.p_value is None:
        return "Nothing could be measured that would settle the question; this is neither a relation nor its absence."
    return "What was measured fits a distant relation and none at all; this is neither a relation nor its absence."


def _direction(lineage: Lineage) -> str:
    words = {
        "model from parent": f"{lineage.model} came from {lineage.parent}",
        "parent from model": f"{lineage.parent} came from {lineage.model}",
        "common origin": "neither came from the other",
        "unknown": "unknown",
    }
    return f"{words[lineage.direction]}; {lineage.direction_reason}"


def _changes(lineage: Lineage) -> list[str]:
    unchanged = len(lineage.unchanged_tensors)
    lines = [f"Unchanged in every value: {unchanged} of {counted(lineage.tensors, 'tensor')}."]
    if lineage.change_by_role:
        named = [f"{ROLES[role]} {percent(change)}" for role, change in lineage.change_by_role.items() if change]
        undone = {change.role for change in lineage.changes if change.canonical}
        same = [ROLES[role] for role, change in lineage.change_by_role.items() if not change and role not in undone]
        lines += [f"Relative change by role: {', '.join(named)}."] if named else []
        lines += [f"No change at all: {', '.join(same)}."] if same else []
    if exchanged := _exchanged(lineage):
        lines.append(f"Under each other's names: {counted(exchanged, 'tensor')}, so the model computes something else.")
    if any(change.canonical for change in lineage.changes):
        lines.append(
            "Some tensors are stored in another arrangement (order, scale, folded gains, other rows for the same tokens), "
            "which was undone to compare them."
        )
    return lines


def _exchanged(lineage: Lineage) -> int:
    """Tensors whose name the parent gives another tensor, where the layers stand in order."""
    if any(there != here for there, here in lineage.layer_map):
        return 0
    names = {change.counterpart for change in lineage.changes}
    return sum(change.tensor in names and change.tensor != change.counterpart for change in lineage.changes)


def percent(change: float) -> str:
    """``5.22%``, ``0.0031%``."""
    return f"{change:.2%}" if change >= 0.001 or not change else f"{100 * change:.2g}%"


def _architecture(lineage: Lineage) -> str:
    if lineage.same_architecture:
        return f"the same shapes in both ({_sizes(lineage.model_sizes)})"
    return f"different ({_sizes(lineage.model_sizes)} against {_sizes(lineage.parent_sizes)})"


def _sizes(sizes: Sizes) -> str:
    return (
        f"{counted(sizes.layers, 'layer')}, width {sizes.width}, {counted(sizes.neurons, 'neuron')} a layer, "
        f"vocabulary {sizes.vocabulary:,}"
    )


def _tokenizer(lineage: Lineage) -> str:
    if lineage.same_vocabulary is None:
        return "not compared, for a vocabulary is missing; row i of both embeddings was taken for the same token"
    if lineage.same_vocabulary:
        return "the same vocabulary in both"
    return f"different vocabularies that share {counted(lineage.shared_tokens, 'token')}"
