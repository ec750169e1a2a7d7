"""Several comparisons at once: with many models to find a relation to, one p-value of a hundredth is no longer rare.

So p-values are adjusted by Holm for every model that was looked at, also for those whose weights could not be tested: they
count with a p-value of 1. A relation that rests on the test alone and does not survive that is not called one.
"""

from collections.abc import Sequence

from etymon.lineage.verdict import LARGEST_P, Lineage
from etymon.statistics.multiplicity import holm
from etymon.text.counted import counted


class Screened(Lineage):
    """A lineage that is one of several."""

    screened: int
    """How many pairs of models were looked at."""
    p_adjusted: float | None
    """Holm's, over all of them; None where no test could be made."""


def adjust(found: Sequence[Lineage], others: int = 0) -> list[Lineage]:
    """The same with p-values adjusted, in the given order; unchanged where there is only one to adjust.

    ``others`` were looked at in another way and left out: they count with a p-value of 1.
    """
    pairs = len(found) + others
    if pairs < 2:
        return list(found)
    adjusted = holm([*(1.0 if each.p_value is None else each.p_value for each in found), *[1.0] * others]).tolist()
    return [_screened(each, pairs, p_adjusted) for each, p_adjusted in zip(found, adjusted, strict=False)]


def _screened(lineage: Lineage, pairs: int, p_adjusted: float) -> Screened:
    values = {name: getattr(lineage, name) for name in Lineage.model_fields}
    made = Screened(**values, screened=pairs, p_adjusted=None if lineage.p_value is None else p_adjusted)
    by_test_alone = lineage.verdict == "related" and not lineage.identical and not lineage.related_by_shared
    if not by_test_alone or p_adjusted <= LARGEST_P:
        return made
    doubt = (
        f"Among {counted(pairs, 'pair')} of models a p-value this small is not rare: adjusted for their number it is "
        f"{p_adjusted:.2g}. The test of this pair alone says related."
    )
    return made.model_copy(update={"verdict": "inconclusive", "direction": "unknown", "reasons": (*lineage.reasons, doubt)})
