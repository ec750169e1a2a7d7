"""Filing, registration or neither: what the Chinese Interim Measures of 2023 ask for a service.

Filing, where the model was trained or fine-tuned by its provider; registration, where a filed model of another is only
called; neither, where nothing is offered to the public in mainland China or public opinion cannot be moved by it. From
secondary sources; authorities decide, and practice differs between provinces.
"""

from typing import Literal

from etymon.evidence.filings.known import Facts, Known, value_of
from etymon.store import Config

Obligation = Literal["filing", "registration", "none", "undecided"]


class Decision(Config):
    """What seems to be asked, why, and what a person must look at."""

    obligation: Obligation
    because: tuple[str, ...]
    to_review: tuple[str, ...]


def decide_obligation(facts: Facts) -> Decision:
    """By what the run did and the organisation says."""
    public = value_of(facts, "organisation.china.offered_to_public")
    moving = value_of(facts, "organisation.china.public_opinion")
    review = _base_to_review(facts)
    if public is False:
        return _decision("none", "It is not offered to the public in mainland China (organisation's file).", review)
    if moving is False:
        return _decision("none", "It can neither shape public opinion nor mobilise people (organisation's file).", review)
    if public is None or moving is None:
        unknown = "china.offered_to_public" if public is None else "china.public_opinion"
        return _decision("undecided", f"The organisation's file does not say {unknown}.", review)
    trained = value_of(facts, "training.tokens_seen")
    if trained:
        how = "from a random start" if value_of(facts, "training.start") == "random" else "further, from an open base"
        because = f"The run trained the model {how}: {trained:,} tokens ({facts['training.tokens_seen'].origin})."
        if value_of(facts, "organisation.china.calls_filed_model_only"):
            review = (*review, "The organisation's file says that a filed model is only called, but this run trained one.")
        return _decision("filing", because, review)
    if value_of(facts, "organisation.china.calls_filed_model_only"):
        return _decision("registration", "A model that another has filed is only called (organisation's file).", review)
    return _decision(
        "undecided", "No training is on record, and the file does not say whether a filed model is called.", review
    )


def decision_facts(decision: Decision) -> dict[str, Known]:
    """``china.obligation`` and ``china.service``: known only where it is decided, else the note says what is to be said."""
    if decision.obligation == "undecided":
        why = " ".join(decision.because)
        return {"china.service": Known(value=None, origin="the organisation's file", kind=None, note=f"china.service: {why}")}
    origin, note = "decided from the run and the organisation's file", " ".join(decision.because)
    return {
        "china.obligation": Known(value=decision.obligation, origin=origin, note=note),
        "china.service": Known(value=decision.obligation != "none", origin=origin, note=note),
    }


def _base_to_review(facts: Facts) -> tuple[str, ...]:
    if value_of(facts, "training.start") == "random" or value_of(facts, "organisation.foundation.china_filing_number"):
        return ()
    seen = value_of(facts, "organisation.foundation.legal_review")
    if seen:
        return (f"No filing number of the base {value_of(facts, 'foundation.name')} is known; review on record: {seen}.",)
    return (
        f"No filing number of the base {value_of(facts, 'foundation.name')} is known. The use of a base that is not filed, a "
        "foreign one above all, needs legal review.",
    )


def _decision(obligation: Obligation, because: str, review: tuple[str, ...]) -> Decision:
    return Decision(obligation=obligation, because=(because,), to_review=review if obligation != "none" else ())
