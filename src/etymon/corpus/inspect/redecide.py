"""What another policy would decide about the same documents, over their stored signals: nothing is measured again.

Rules, evaluation items and exact duplicates are decided as a build decides them. Near duplicates are known only among the
documents that were compared when the corpus was built, so what comes new is counted as not compared.

Shapes: N documents, in the order of positions.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
from numpy.typing import NDArray

from etymon.corpus.decide import exact_copies, roots
from etymon.corpus.inspect.funnel import Count, Sample, samples_of
from etymon.corpus.inspect.opened import OpenCorpus, drawn
from etymon.corpus.inspect.signals import first_reasons, read_signals
from etymon.corpus.policy.policy import Policy
from etymon.corpus.reasons import EXISTING, NEAR, NOT_MIXED
from etymon.store import Config

_SAMPLES = 3
_NONE = -1


class RuleChange(Config):
    """What becomes of the documents that a rule is about."""

    reason: str
    before: Count
    """Dropped for it, by the policy that the corpus was built by."""
    after: Count
    """Dropped for it, by the other policy."""
    gained: Count
    """Of ``before``, what breaks no rule of the other policy."""
    lost: Count
    """Of ``after``, what broke no rule before."""
    gained_samples: tuple[Sample, ...]
    lost_samples: tuple[Sample, ...]


class Redecision(Config):
    """Two policies over the same documents."""

    policy: str
    built_by: str
    rules: tuple[RuleChange, ...]
    """Rules by which anything is dropped by either policy."""
    passing_before: Count
    """Documents that break no rule."""
    passing: Count
    kept_before: Count
    kept: Count
    """After evaluation items and duplicates too, as far as they are known; a mixture is not looked at."""
    not_compared: Count
    """Of ``kept``, what was never compared for near duplicates, or whose survivor would go."""
    notes: tuple[str, ...]
    """What differs between the policies and does not show here."""


def redecide(opened: OpenCorpus, policy: Policy) -> Redecision:
    """What changes under another policy. Raises EtymonError where it is about a signal that was not measured."""
    signals = read_signals(opened, [opened.policy, policy])
    table = opened.decisions("characters", "reason")
    weight_N = table["characters"].to_numpy()
    names, (before_N, after_N) = _coded(*(first_reasons(opened, signals, each) for each in (opened.policy, policy)))
    changes = []
    for code, name in enumerate(names):
        gained_N, lost_N = (before_N == code) & (after_N == _NONE), (after_N == code) & (before_N == _NONE)
        changes.append(
            RuleChange(
                reason=name,
                before=_count(before_N == code, weight_N),
                after=_count(after_N == code, weight_N),
                gained=_count(gained_N, weight_N),
                lost=_count(lost_N, weight_N),
                gained_samples=_samples(opened, gained_N, name, opened.policy),
                lost_samples=_samples(opened, lost_N, name, policy),
            )
        )
    passing_before_N, passing_N = before_N == _NONE, after_N == _NONE
    reasons = table["reason"].combine_chunks()
    kept_before_N = _has(reasons, None, NOT_MIXED)
    kept_N, not_compared_N = _after_duplicates(opened, policy, passing_N, reasons)
    found = Redecision(
        policy=policy.name,
        built_by=opened.policy.name,
        rules=tuple(changes),
        passing_before=_count(passing_before_N, weight_N),
        passing=_count(passing_N, weight_N),
        kept_before=_count(kept_before_N, weight_N),
        kept=_count(kept_N, weight_N),
        not_compared=_count(not_compared_N, weight_N),
        notes=tuple(_notes(opened, policy, passing_N & ~passing_before_N)),
    )
    gained, lost = (sum(getattr(each, side).documents for each in changes) for side in ("gained", "lost"))
    assert found.passing.documents == found.passing_before.documents + gained - lost
    return found


def _coded(*decided: pa.Array) -> tuple[list[str], list[NDArray[np.int64]]]:
    """The names of all reasons, in order, and the number of each document's, -1 for none."""
    names = list(dict.fromkeys(name for each in decided for name in each.unique().drop_null().to_pylist()))
    known = pa.array(names, pa.string())
    codes = [compute.index_in(each, value_set=known, skip_nulls=True).fill_null(_NONE).to_numpy() for each in decided]
    return names, codes


def _count(chosen_N: NDArray[np.bool_], weight_N: NDArray[np.int64]) -> Count:
    return Count(documents=int(chosen_N.sum()), characters=int(weight_N[chosen_N].sum()))


def _samples(opened: OpenCorpus, chosen_N: NDArray[np.bool_], reason: str, policy: Policy) -> tuple[Sample, ...]:
    positions = drawn(opened.table, chosen_N, _SAMPLES).tolist()
    return samples_of(opened, positions, reason, policy.all_rules)


def _has(reasons: pa.Array, *wanted: str | None) -> NDArray[np.bool_]:
    """[N] which documents have one of these reasons; None is to be kept."""
    found: NDArray[np.bool_] = compute.is_in(reasons, value_set=pa.array(wanted, pa.string())).to_numpy(zero_copy_only=False)
    return found


def _after_duplicates(
    opened: OpenCorpus, policy: Policy, passing_N: NDArray[np.bool_], reasons: pa.Array
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of documents that break no rule, those that are still kept, and of these what is to be compared by a build."""
    kept_N = passing_N.copy()
    if policy.evaluation_items == "drop":
        kept_N[opened.shared()["position"].to_numpy()] = False
    kept_N &= exact_copies(opened.measured, kept_N) == np.arange(len(kept_N))
    kept_N &= ~_has(reasons, EXISTING)  # after exact copies, whose first may nearly stand in an existing corpus
    known_N, survivor_N = _has(reasons, NEAR), roots(opened.survivors())
    if policy.near_duplicates.drop:
        kept_N &= ~(known_N & kept_N[survivor_N])
        was_compared_N = _has(reasons, None, NOT_MIXED) | (known_N & kept_N[survivor_N])
        return kept_N, kept_N & ~was_compared_N
    return kept_N, np.zeros(len(kept_N), np.bool_)


def _notes(opened: OpenCorpus, policy: Policy, gained_N: NDArray[np.bool_]) -> Iterator[str]:
    built_by = opened.policy
    compared = any(role.startswith("against/") for role in opened.corpus.manifest.inputs)
    if compared and (gained_N.any() or policy.near_duplicates.drop != built_by.near_duplicates.drop):
        yield "Only a build compares again with the corpora that corpus.against names."
    if policy.near_duplicates.model_dump(exclude={"drop"}) != built_by.near_duplicates.model_dump(exclude={"drop"}):
        yield "Near duplicates are found in another way: only a build can tell which."
    if policy.personal_data.masked != built_by.personal_data.masked:
        yield "Other personal data is masked: the texts were measured as they are masked now."
    if policy.refused_terms and (
        built_by.refused_terms is None or policy.refused_terms.terms != built_by.refused_terms.terms
    ):
        yield "Other terms are refused: only a build counts them."
    if _of_sources(policy) != _of_sources(built_by):
        yield "Other licences, origins, declarations or contents are asked of sources: `etymon corpus build` checks that."
    if policy.evaluation_items == "drop" and built_by.evaluation_items == "keep":
        yield "Evaluation items are kept out: only a build looks for them."


def _of_sources(policy: Policy) -> tuple[object, ...]:
    """What a policy says of whole sources."""
    return policy.licenses, policy.origins.allow, policy.required, policy.illegal_content
