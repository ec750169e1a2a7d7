"""Near duplicates: which documents are removed for which others, and which of those that stay belong together.

Documents that share a MinHash band are compared exactly, by the Jaccard similarity of their distinct runs of words. One is
removed where an earlier one that stays is similar enough to it, so each has a similar survivor: a chain of near duplicates
does not remove what is unlike the one that stays. Conversations and preferences are neither removed nor do they remove
documents, and where the policy keeps near duplicates nothing is; those of them that resemble each other are linked. Hashes
and shingles lie on disk; memory holds a few numbers a document and the groups found. The result does not depend on how the
work was divided, and later documents change nothing for the survivors of earlier ones.

Shapes: N documents of the table, D documents compared: existing ones, then those that the rules kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from etymon.corpus.batches import batches_of
from etymon.corpus.duplicates.candidates import Numbers, candidate_groups
from etymon.corpus.duplicates.links import link_staying
from etymon.corpus.duplicates.similarity import ShingleSets
from etymon.corpus.duplicates.survivors import find_survivors
from etymon.corpus.policy.policy import NearDuplicates

Tables = tuple[Path, Path]
"""Parquet files of documents (``text``, ``row``) and of their bands (``position``, ``bands``), in the order of positions."""


@dataclass(frozen=True)
class NearDuplicatesFound:
    """What was found; figures about documents that were not compared are those of documents without near duplicates."""

    survivor_N: Numbers
    """Position of the document that stays in this one's place: the first that is similar to it; its own where it stays."""
    existing_N: Numbers
    """Position of the existing document for which this one is removed, -1 where there is none. Its survivor is itself."""
    component_N: Numbers
    """First position of the documents that must be on one side of a split, -1 where there is but one."""
    compared: int
    """Pairs compared exactly."""


def near_duplicates(
    documents: Path,
    bands: Path,
    kept: Numbers,
    near: NearDuplicates,
    *,
    existing: Tables | None = None,
    scratch: Path | None = None,
    tick: Callable[[float], None] = lambda done: None,
) -> NearDuplicatesFound:
    """Near duplicates among the documents at the ``kept`` positions (ascending), and of ``existing`` documents.

    ``scratch`` is a folder for temporary files (8 bytes a document and band, and 8 a shingle of documents that share a band);
    ``tick`` is told how many documents are done.
    """
    count = parquet.read_metadata(documents).num_rows
    before = parquet.read_metadata(existing[0]).num_rows if existing else 0
    tables = [(existing, np.arange(before))] if existing else []
    tables.append(((documents, bands), kept))
    stay_D = np.concatenate([_are_rows(table)[positions] for (table, _), positions in tables])
    if not near.drop:
        stay_D[before:] = True
    with TemporaryDirectory(dir=scratch, prefix="near-duplicates-") as folder:
        groups = candidate_groups([(hashes, positions) for (_, hashes), positions in tables], near.rows, Path(folder))
        alike_D = np.zeros(before + len(kept), np.bool_)
        alike_D[groups.member_E] = True
        tick(float(np.count_nonzero(~alike_D[before:])))
        texts = [(table, positions) for (table, _), positions in tables]
        sets = ShingleSets.read(texts, alike_D, near.ngram, Path(folder))
        survivor_D = find_survivors(groups.of(~stay_D), sets, near.similarity, before)
        unlike_D = survivor_D == np.arange(len(stay_D))
        unlike_D[:before] = False
        linked = link_staying(groups.of(unlike_D), stay_D, sets, near.similarity)
        tick(float(len(kept)))
        compared = sets.compared
        del sets
    number = np.arange(before, before + len(kept))
    survivor_K = survivor_D[number]
    removed_here = survivor_K >= before
    survivor_N, existing_N = np.arange(count), np.full(count, -1)
    survivor_N[kept[removed_here]] = kept[survivor_K[removed_here] - before]
    existing_N[kept[~removed_here]] = survivor_K[~removed_here]
    component_N = np.full(count, -1)
    component_K = linked.of(np.where(removed_here, survivor_K, number)) - before
    times_K = np.bincount(component_K, minlength=len(kept))
    several = times_K[component_K] > 1
    component_N[kept[several]] = kept[component_K[several]]
    return NearDuplicatesFound(survivor_N, existing_N, component_N, compared)


def _are_rows(documents: Path) -> NDArray[np.bool_]:
    """[N] which documents are conversations or preferences."""
    batches = batches_of(documents, ["row"], 4096)
    parts = [batch["row"].is_valid().to_numpy(zero_copy_only=False) for batch in batches]
    return np.concatenate([np.zeros(0, np.bool_), *parts])
