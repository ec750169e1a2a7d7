"""datatrove's filters as they are by default, for English."""

from collections.abc import Callable
from typing import Any

from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter

QUALITY, REPETITION, FINEWEB = "gopher-quality", "gopher-repetition", "fineweb"


def filters(writer: Callable[[str], Any]) -> list[Any]:
    """The three filters in the order of FineWeb's pipeline; each is given a writer of what it drops."""
    return [
        GopherRepetitionFilter(exclusion_writer=writer(REPETITION)),
        GopherQualityFilter(exclusion_writer=writer(QUALITY)),
        FineWebQualityFilter(exclusion_writer=writer(FINEWEB)),
    ]
