"""What attribution found, in a few plain lines."""

from etymon.lineage.attribute.records import Attribution, Depth, MergeRecord, Tokens

_NAMES = {"unclear": "in no way that shows", "one parent": "from one of them alone"}


def attribution_lines(found: Attribution, roles: dict[str, str]) -> list[str]:
    """At most one line for each kind of change. ``roles`` are the words for roles."""
    lines = []
    for each in found.low_rank:
        named = ", ".join(roles.get(role, role) for role in each.roles)
        lines.append(f"Low-rank change of rank {each.rank} on {named} ({each.matrices} matrices): a merged adapter.")
    for side in ("model", "parent"):
        formats = {quantised.format: quantised for quantised in found.quantised if quantised.side == side}
        if formats:
            named = " and ".join(formats)
            lines.append(f"The {side}'s values lie on the lattice of {named}: it was quantised, and changed little since.")
    if found.depth:
        lines.append(f"Layers: {_depth(found.depth)}.")
    if found.tokens:
        lines.append(f"Tokens: {_tokens(found.tokens)}.")
    if found.experts:
        copied = f"{found.experts.copied:.0%} of their neurons are found again in it"
        many = f"The {found.experts.side}'s {found.experts.experts} experts a layer"
        lines.append(f"{many} were copied from one dense MLP: {copied}.")
    return lines


def merge_lines(merge: MergeRecord) -> list[str]:
    """The weights of a merge; the first line can stand alone."""
    weights = ", ".join(
        f"{weight:.3f} ± {error:.3f} of {parent}"
        for parent, weight, error in zip(merge.parents, merge.weights, merge.errors, strict=True)
    )
    way = _NAMES.get(merge.method, f"by {merge.method}" if merge.method.isupper() else f"as {_article(merge.method)}")
    base = f" over the base {merge.base}" if merge.base else ""
    lines = [f"merge: {merge.model} is made{base} {way}: {weights}."]
    lines.append(f"  {merge.left_over:.2%} of the change is left over, of which rounding explains {merge.rounding:.2%}.")
    if merge.density is not None:
        lines.append(f"  Of each parent's values {merge.density:.0%} were kept.")
    if max(merge.varies, default=0.0) > 0.05:
        spread = ", ".join(f"{each:.2f}" for each in merge.varies)
        lines.append(f"  The weights differ between tensors (standard deviation {spread}).")
    return lines


def _article(method: str) -> str:
    return {"linear": "a linear merge", "whole tensors": "whole tensors of one or the other"}.get(method, method)


def _depth(depth: Depth) -> str:
    parts = []
    if depth.pruned:
        parts.append(f"the model lacks the parent's {_numbers(depth.pruned)}")
    if depth.inserted:
        parts.append(f"the parent lacks the model's {_numbers(depth.inserted)}")
    if depth.repeated:
        parts.append(f"the model repeats the parent's {_numbers(tuple(layer for layer, _ in depth.repeated))}")
    if depth.merged:
        parts.append(f"the parent repeats the model's {_numbers(tuple(layer for layer, _ in depth.merged))}")
    if depth.moved:
        parts.append("the order differs")
    return ", ".join(parts)


def _numbers(layers: tuple[int, ...]) -> str:
    """Layers counted from 0, runs joined."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and runs[-1][-1] == layer - 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ", ".join(f"{run[0]}" if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _tokens(tokens: Tokens) -> str:
    parts = [f"{tokens.shared:,} shared"]
    if tokens.new:
        untrained = f" ({tokens.untrained:,} hardly trained)" if tokens.untrained else ""
        parts.append(f"{tokens.new:,} new in the model{untrained}")
    if tokens.lost:
        parts.append(f"{tokens.lost:,} of the parent's missing")
    if tokens.moved:
        parts.append(f"{tokens.moved:,} at another row")
    return ", ".join(parts)
