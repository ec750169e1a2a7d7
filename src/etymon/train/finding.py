"""One thing that the doctor looked at."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was found, and for a fault what to do about it."""

    what: str
    found: str
    state: Literal["good", "note", "fault"] = "good"
    """A training with a fault does not begin; a note is worth knowing."""
    remedy: str = ""
