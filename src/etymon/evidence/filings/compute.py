"""What the training took beside what the base's pretraining took: whether who modified a model becomes its provider.

The Commission's guidelines on general-purpose models (C(2025) 7719, points 17 and 57 to 63) set training compute of the
modification against a third of the original's; where the original's can be neither known nor estimated, against a third of
the figure by which models are told to be general-purpose, or of systemic risk. Compute is 6 × parameters × tokens (Kaplan et
al., arXiv 2001.08361). These figures are indicative; the Act's definitions decide.
"""

from collections.abc import Mapping
from typing import Any

from etymon.evidence.filings.known import Facts, Known, value_of

SHARE = 1 / 3
GENERAL_PURPOSE_FLOP = 1e23
SYSTEMIC_RISK_FLOP = 1e25
_THREE = "6 × parameters × tokens"


def training_flop(parameters: int, tokens: int) -> float:
    """Floating-point operations of training on so many tokens: 6ND."""
    return 6.0 * parameters * tokens


def compute_facts(facts: Facts) -> dict[str, Known]:
    """``eu.modification_flop``, ``eu.base_flop``, ``eu.compute_ratio``, ``eu.total_flop`` and ``eu.provider``.

    Only what is known is there: an unknown base leaves ratio and total out, and says so in the note of ``eu.base``.
    """
    found: dict[str, Known] = {}
    parameters, tokens = value_of(facts, "model.parameters"), value_of(facts, "training.tokens_seen")
    if parameters is None or tokens is None:
        return found
    own = training_flop(parameters, tokens)
    origin = facts["training.tokens_seen"].origin
    found["eu.modification_flop"] = Known(
        value=own, origin=origin, note=f"{_THREE}: 6 × {parameters:,} × {tokens:,}; attention is not in it"
    )
    base = _base(facts)
    found["eu.base"] = Known(value=base.note, origin=base.origin, kind=base.kind)
    if base.value is not None:
        found["eu.base_flop"] = base
        found["eu.total_flop"] = Known(
            value=base.value + own, origin=f"{origin}; {base.origin}", kind=base.kind, note=base.note
        )
    if base.value:
        found["eu.compute_ratio"] = Known(
            value=own / base.value, origin=f"{origin}; {base.origin}", kind=base.kind, note=f"the base: {base.note}"
        )
    decided, why = decide_provider(facts, own, base.value)
    if decided is None:
        found["eu.provider"] = Known(value=None, origin="compute and declarations", kind=None, note=f"eu.provider: {why}")
    else:
        kind = "declared" if "organisation.eu.general_purpose_provider" in facts else base.kind
        found["eu.provider"] = Known(value=decided, origin="decided from compute and declarations", kind=kind, note=why)
    found["eu.provider_reason"] = Known(value=why, origin="decided from compute and declarations", kind=base.kind)
    return found


def decide_provider(facts: Facts, own: float, base: float | None) -> tuple[bool | None, str]:
    """Whether a provider's duties for a general-purpose model fall on who trained this one, and why; None is undecided."""
    declared = value_of(facts, "organisation.eu.general_purpose_provider")
    if declared is not None:
        return declared, "Decided by the organisation."
    if base is not None and own + base <= GENERAL_PURPOSE_FLOP:
        return False, (
            f"Base and training together took {own + base:.3g} FLOP; models of up to {GENERAL_PURPOSE_FLOP:.0e} are not "
            "taken for general-purpose ones. The figure is indicative, and the definition of Article 3(63) decides."
        )
    if value_of(facts, "training.start") == "random":
        return True, f"Trained from a random start with {own:.3g} FLOP, more than {GENERAL_PURPOSE_FLOP:.0e}."
    if base is not None:
        return (
            own > base * SHARE,
            f"The training took {own / base:.3g} of what the base's pretraining took; a third is the line.",
        )
    if value_of(facts, "organisation.foundation.compute_cannot_be_known"):
        systemic = bool(value_of(facts, "organisation.foundation.systemic_risk"))
        line = SHARE * (SYSTEMIC_RISK_FLOP if systemic else GENERAL_PURPOSE_FLOP)
        return own > line, (
            f"What the base's pretraining took cannot be known, so the line is {line:.3g} FLOP in its place; "
            f"the training took {own:.3g}."
        )
    return None, (
        f"What the base's pretraining took is unknown; the training took {own:.3g} FLOP. Give foundation.pretraining_flop "
        "with its source, or say foundation.compute_cannot_be_known."
    )


def _base(facts: Facts) -> Known:
    """The base's pretraining compute: 0 for a random start, None where it is unknown; the note says whence."""
    if value_of(facts, "training.start") == "random":
        return Known(value=0.0, origin=facts["training.start"].origin, note="none: trained from a random start")
    declared = facts.get("organisation.foundation.pretraining_flop")
    if declared:
        source = value_of(facts, "organisation.foundation.pretraining_flop_source") or "no source given"
        return declared.model_copy(update={"note": f"{declared.value:.3g} FLOP, declared by the organisation ({source})"})
    known = facts.get("training.base_flop")
    if known:
        return known.model_copy(update={"note": f"{known.value:.3g} FLOP ({known.note})"})
    return Known(value=None, origin="nothing states it", kind=None, note="unknown")


def recorded_base(train: Mapping[str, Any], origin: str) -> dict[str, Known]:
    """What the training's account noted of the base's pretraining."""
    flop = train.get("base_pretraining_flop")
    if not flop:
        return {}
    note = f"{_THREE}, {train['base_pretraining_tokens']:.3g} tokens by {train['base_pretraining_source']}"
    whence = f"{train['base_pretraining_source']}, noted in {origin}"
    return {"training.base_flop": Known(value=flop, origin=whence, kind="declared", note=note)}
