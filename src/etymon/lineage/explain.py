"""A lineage in the words of someone who must decide something: the verdict first, the reasons under it."""

from etymon.lineage.attribute.words import attribution_lines
from etymon.lineage.test.decoys import LEAST_DRAWN
from etymon.lineage.verdict import LARGEST_P, Lineage, Sizes

_ROLES = {
    "embedding": "embedding", "q": "attention q", "k": "attention k", "v": "attention v", "o": "attention o",
    "gate": "MLP gate", "up": "MLP up", "down": "MLP down", "attention norm": "attention norms", "mlp norm": "MLP norms",
    "final norm": "final norm", "embedding or head": "embedding and head", "router": "MoE router",
    "other": "other tensors",
}  # fmt: skip


def explain(lineage: Lineage) -> list[str]:
    """Lines of plain text; the first is the verdict and can stand alone."""
    lines = [_headline(lineage)]
    lines += [f"  {reason}" for reason in lineage.reasons]
    if lineage.verdict == "related" and not lineage.identical:
        lines.append(f"  Direction: {_direction(lineage)}.")
        lines += _changes(lineage)
        lines += [f"  {line}" for line in attribution_lines(lineage.attribution, _ROLES)]
    lines.append(f"  Architecture: {_architecture(lineage)}. It decides nothing.")
    lines.append(f"  Tokenizer: {_tokenizer(lineage)}. It decides nothing.")
    lines += [f"  Limit: {limit}" for limit in lineage.limits]
    return lines


def _headline(lineage: Lineage) -> str:
    model, parent = lineage.model, lineage.parent
    if lineage.identical:
        return f"related: {model} holds the same weights as {parent}, value for value."
    tested = ""
    if lineage.p_value is not None and lineage.effect is not None:
        test = next(each for each in lineage.tests if each.effect == lineage.effect)
        least = 1 / (test.decoys.count + 1) if test.decoys else 1.0
        agreeing = sum(layer.p_value <= max(LARGEST_P, least) < 1 for layer in test.layers)
        sign = "≤" if lineage.p_value <= max(LEAST_DRAWN, 1.01 * (lineage.p_floor or 0)) else "="
        tested = (
            f" (p {sign} {lineage.p_value:.2g}, {lineage.effect:.0%} of {test.kind} agree; "
            f"beyond chance in {agreeing} of {len(test.layers)} layers)"
        )
    if lineage.verdict == "related":
        if lineage.direction == "model from parent":
            return f"related: {model} derives from {parent}{tested}."
        if lineage.direction == "parent from model":
            return f"related: {parent} derives from {model}{tested}."
        return f"related: {model} derives from or shares its origin with {parent}{tested}."
    if lineage.verdict == "independent":
        return f"independent: the weights of {model} show no trace of {parent}{tested}."
    return f"inconclusive: the weights do not settle whether {model} is related to {parent}{tested}."


def _direction(lineage: Lineage) -> str:
    words = {
        "model from parent": f"{lineage.model} came from {lineage.parent}",
        "parent from model": f"{lineage.parent} came from {lineage.model}",
        "common origin": "neither came from the other",
        "unknown": "unknown",
    }
    return f"{words[lineage.direction]}; {lineage.direction_reason}"


def _changes(lineage: Lineage) -> list[str]:
    lines = [f"  Unchanged bit for bit: {len(lineage.identical_tensors)} of {lineage.tensors} tensors."]
    if lineage.change_by_role:
        named = [f"{_ROLES[role]} {change:.2%}" for role, change in lineage.change_by_role.items()]
        lines.append(f"  Relative change by role: {', '.join(named)}.")
    if any(change.canonical for change in lineage.changes):
        lines.append(
            "  Some layers are stored in another arrangement (order, scale, folded gains), which was undone to compare them."
        )
    return lines


def _architecture(lineage: Lineage) -> str:
    if lineage.same_architecture:
        return f"the same shapes in both ({_sizes(lineage.model_sizes)})"
    return f"different ({_sizes(lineage.model_sizes)} against {_sizes(lineage.parent_sizes)})"


def _sizes(sizes: Sizes) -> str:
    return f"{sizes.layers} layers, width {sizes.width}, {sizes.neurons} neurons a layer, vocabulary {sizes.vocabulary:,}"


def _tokenizer(lineage: Lineage) -> str:
    if lineage.same_vocabulary is None:
        return "not compared, for a vocabulary is missing; row i of both embeddings was taken for the same token"
    if lineage.same_vocabulary:
        return "the same vocabulary in both"
    return f"different vocabularies that share {lineage.shared_tokens:,} tokens"
