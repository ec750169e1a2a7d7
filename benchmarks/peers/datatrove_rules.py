"""datatrove's filters with the thresholds of their papers, or of FineWeb2 for Chinese."""

from collections.abc import Callable
from typing import Any

from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter

QUALITY, REPETITION, FINEWEB = "gopher-quality", "gopher-repetition", "fineweb"


def filters(language: str, writer: Callable[[str], Any]) -> list[Any]:
    """The three filters in the order of FineWeb's pipeline, with their defaults."""
    return [
        GopherRepetitionFilter(exclusion_writer=writer(REPETITION), language=language),
        GopherQualityFilter(exclusion_writer=writer(QUALITY), language=language),
        FineWebQualityFilter(exclusion_writer=writer(FINEWEB), language=language),
    ]
