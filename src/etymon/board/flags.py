"""Flags: two models on one board whose weights are related though no declaration says so, and what became of the finding.

A flag is an accusation with figures, not a judgement: it is open until somebody decides. The submitter may contest it; the
operator upholds or withdraws it. Every step stays in the board's file with its date.
"""

import datetime
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from etymon.errors import EtymonError
from etymon.store import Config

State = Literal["open", "contested", "upheld", "withdrawn"]
LARGEST_P = 0.01
"""Of the p-value adjusted for every pair of the board: at most one board in a hundred shows any false flag."""
_AFTER: dict[State, tuple[State, ...]] = {
    "open": ("contested", "upheld", "withdrawn"),
    "contested": ("contested", "upheld", "withdrawn"),
    "upheld": ("contested", "withdrawn"),
    "withdrawn": ("contested", "upheld"),
}


class Step(Config):
    """What was done about a flag, when, and in whose words."""

    date: datetime.date
    state: State
    text: str = ""
    """The submitter's reply, or the operator's reason."""


class Flag(Config):
    """A model of the board that is related to another one without saying so."""

    model: str
    """The one that should have declared it: released later where both dates are known, else listed later. The weights alone
    name nobody."""
    other: str
    ground: Literal["neurons", "matrices"]
    """``matrices``: some are the same bit for bit, which no independent training produces, so no p-value is needed."""
    effect: float | None = Field(None, ge=0, le=1)
    """Share of sampled neurons that agree; None where they could not be tested."""
    p_value: float | None = Field(None, ge=0, le=1)
    p_adjusted: float | None = Field(None, ge=0, le=1)
    """Holm's, over ``pairs``."""
    pairs: int = Field(ge=1)
    """Pairs of the board that were screened when the flag was opened."""
    shared_matrices: int = Field(0, ge=0)
    """Of the model listed later, in the other one bit for bit."""
    shared_share: float = Field(0, ge=0, le=1)
    """Share of its scalars in them."""
    direction: str = "unknown"
    """What the weights say of which came first; the model stands for ``model``, the other for ``parent``."""
    released: datetime.date | None = None
    other_released: datetime.date | None = None
    steps: tuple[Step, ...] = Field(min_length=1)
    """From its opening on."""

    @property
    def state(self) -> State:
        return self.steps[-1].state

    @property
    def order_disputed(self) -> bool:
        """Whether the weights say that the other came from the model, against their dates: for the operator to decide."""
        return self.direction == "parent from model"

    @property
    def opened(self) -> datetime.date:
        return self.steps[0].date


def taken(flags: Sequence[Flag], model: str, other: str | None, step: Step) -> tuple[Flag, ...]:
    """The flags with one more step on the model's flag. Raises EtymonError where there is none, several, or no such way."""
    own = [flag for flag in flags if flag.model == model and other in (None, flag.other)]
    if not own:
        raise EtymonError(f"{model} has no flag{f' for {other}' if other else ''} on this board.", _known(flags))
    if len(own) > 1:
        others = ", ".join(flag.other for flag in own)
        raise EtymonError(f"{model} has {len(own)} flags: for {others}.", "Say which: `--other NAME`.")
    (flag,) = own
    if step.state not in _AFTER[flag.state]:
        raise EtymonError(f"The flag of {model} for {flag.other} is {flag.state} already.", "Nothing to do.")
    if step.date < flag.steps[-1].date:
        raise EtymonError(
            f"The flag of {model} was last changed on {flag.steps[-1].date}, after {step.date}.", "Check the clock."
        )
    return tuple(each.model_copy(update={"steps": (*each.steps, step)}) if each is flag else each for each in flags)


def _known(flags: Sequence[Flag]) -> str:
    return f"Flagged: {', '.join(dict.fromkeys(flag.model for flag in flags))}." if flags else "No model is flagged."
