"""What drops documents before the split: refused addresses, the policy's rules, evaluation items, what is there already.

Shapes: N documents, in the order of positions.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from etymon.corpus.decide import Decisions, broken_rules, exact_copies
from etymon.corpus.duplicates.existing import Existing, copies_of_existing, write_existing
from etymon.corpus.duplicates.near import near_duplicates
from etymon.corpus.policy.origins import urls_from
from etymon.corpus.reasons import EVALUATION_ITEM, EXACT, EXISTING, NEAR, ORIGIN_REFUSED
from etymon.corpus.stages.meaning import CorpusMeaning
from etymon.corpus.stages.overlaps import OVERLAPS
from etymon.corpus.stages.signals import BANDS, SignalsExecution
from etymon.store import Artifact, Draft


def drop_documents(
    draft: Draft[CorpusMeaning, SignalsExecution], table: pa.Table, documents: Path
) -> tuple[Decisions, NDArray[np.int64]]:
    """What is dropped of the ``documents`` (the table of signals; ``table``: columns of it, ``url`` among them) and why.

    Also returns [N] the component of what resembles each other, -1 for what resembles nothing.
    """
    policy, decisions = draft.meaning.policy, Decisions(len(table))
    tick = draft.clock("deciding", total=len(table), unit="documents")
    if policy.origins.refuse:
        decisions.drop(urls_from(table["url"].to_pylist(), policy.origins.refuse), ORIGIN_REFUSED)
    _drop_broken(decisions, broken_rules(documents, policy))
    if "overlaps" in draft.inputs:
        _drop_overlapping(decisions, draft.inputs["overlaps"])
    tick(len(table))
    return decisions, _drop_duplicates(draft, documents, decisions)


def _drop_broken(decisions: Decisions, broken: pa.Array) -> None:
    encoded = broken.dictionary_encode()
    code_N = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    for code, reason in enumerate(encoded.dictionary.to_pylist()):
        decisions.drop(code_N == code, reason)


def _drop_overlapping(decisions: Decisions, overlaps: Artifact) -> None:
    found = parquet.read_table(overlaps.file(OVERLAPS), columns=["position", "item"])
    positions = found["position"].to_numpy()
    decisions.details |= dict(zip(positions.tolist(), found["item"].to_pylist(), strict=True))
    decisions.drop(positions, EVALUATION_ITEM)


def _drop_duplicates(
    draft: Draft[CorpusMeaning, SignalsExecution], documents: Path, decisions: Decisions
) -> NDArray[np.int64]:
    """Drop what is there already, in this corpus or in another; returns [N] the component of what resembles each other."""
    near, bands = draft.meaning.policy.near_duplicates, draft.inputs["signals"].file(BANDS)
    tick = draft.clock("comparing", total=len(decisions.kept), unit="documents")
    with TemporaryDirectory(dir=draft.folder, prefix="comparing-") as work:
        files = [given.folder for role, given in sorted(draft.inputs.items()) if role.startswith("against/")]
        mask = draft.meaning.policy.personal_data.masked
        existing = write_existing(files, Path(work), near, mask) if files else None
        unread = existing.unread if existing else {}
        if existing:
            _drop_existing(decisions, existing, copies_of_existing(documents, existing))
        _drop_for(decisions, exact_copies(documents, decisions.kept_N), EXACT)
        tables = (existing.documents, existing.bands) if existing else None
        found = near_duplicates(documents, bands, decisions.kept, near, existing=tables, scratch=Path(work), tick=tick)
        if near.drop:
            if existing:
                _drop_existing(decisions, existing, found.existing_N)
            _drop_for(decisions, found.survivor_N, NEAR)
    draft.facts["against_unread"] = unread
    return found.component_N


def _drop_existing(decisions: Decisions, existing: Existing, existing_N: NDArray[np.int64]) -> None:
    """Drop documents that stand in another corpus, at these positions of it (-1: not there)."""
    there = np.flatnonzero(decisions.kept_N & (existing_N >= 0))
    ids = parquet.read_table(existing.documents, columns=["id"])["id"].combine_chunks().take(pa.array(existing_N[there]))
    decisions.details |= dict(zip(there.tolist(), ids.to_pylist(), strict=True))
    decisions.drop(there, EXISTING)


def _drop_for(decisions: Decisions, survivor_N: NDArray[np.int64], reason: str) -> None:
    """Drop documents for the sake of others."""
    gone = decisions.kept_N & (survivor_N != np.arange(decisions.count))
    decisions.because_N[gone] = survivor_N[gone]
    decisions.drop(gone, reason)
