"""Counting by name, and what is said of a corpus in which nothing is left."""

from collections import Counter
from collections.abc import Iterable, Mapping

from etymon.errors import EtymonError


def counted_by(names: Iterable[str]) -> dict[str, int]:
    """How often each name occurs, the most frequent first."""
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


def empty_corpus(drops: Mapping[str, int]) -> EtymonError:
    """Nothing was kept; ``drops`` says why, by reason."""
    counted = ", ".join(f"{reason} {count}" for reason, count in drops.items())
    return EtymonError(
        f"The corpus is empty: no document was kept ({counted or 'none was found'}).",
        "Add documents to which none of these reasons applies: longer, readable ones that are not there yet.",
    )
