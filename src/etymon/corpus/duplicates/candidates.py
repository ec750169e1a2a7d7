"""Groups of documents that share a MinHash band: only these need to be compared.

Work goes band by band over a file that holds each band's hashes together, so memory holds one band of all documents and the
groups found.

Shapes: D documents (numbered 0, 1, 2 … in the order in which they are to survive), G groups, E members of all groups.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from etymon.corpus.duplicates.signatures import no_bands
from etymon.text.shingles import offsets, ranges

Numbers = NDArray[np.int64]
_BATCH = 16_384  # documents


@dataclass(frozen=True)
class Groups:
    """Members of groups, each group ascending, one after another."""

    member_E: Numbers
    size_G: Numbers

    @property
    def group_E(self) -> Numbers:
        """The group of each member."""
        return np.repeat(np.arange(len(self.size_G)), self.size_G)

    def of(self, chosen_D: NDArray[np.bool_]) -> "Groups":
        """The same groups with the chosen documents alone; those left with fewer than two go."""
        return regrouped(self.member_E, self.group_E, chosen_D[self.member_E])


def regrouped(member_E: Numbers, group_E: Numbers, keep_E: NDArray[np.bool_]) -> Groups:
    """Groups of two and more among the members that are kept; ``group_E`` ascends and is numbered anew."""
    member_E, group_E = member_E[keep_E], group_E[keep_E]
    first_E = np.ones(len(group_E), np.bool_)
    first_E[1:] = group_E[1:] != group_E[:-1]
    size_G = np.diff(np.flatnonzero(first_E), append=len(group_E))
    several = size_G > 1
    return Groups(member_E[np.repeat(several, size_G)], size_G[several])


def candidate_groups(tables: Iterable[tuple[Path, Numbers]], rows: int, scratch: Path) -> Groups:
    """Documents that share a band, each set of documents once.

    ``tables`` are parquet files of ``position`` and ``bands``, in the order of positions, each with the positions to be taken
    from it; documents are numbered in that order. ``rows`` are the hashes of a band; ``scratch`` takes a file of 8 bytes a
    document and band.
    """
    tables = list(tables)
    count = sum(len(positions) for _, positions in tables)
    band_BD, has_D = _bands_together(tables, count, scratch / "bands")
    if band_BD is None:
        return Groups(np.zeros(0, np.int64), np.zeros(0, np.int64))
    of_nothing = no_bands(len(band_BD), rows)
    with_bands = np.flatnonzero(has_D)
    members, sizes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    known = np.zeros(0, np.uint64)
    for band, nothing in zip(band_BD, of_nothing, strict=True):
        hash_D = band[with_bands]
        shared = _maybe_shared(hash_D)
        order = shared[np.argsort(hash_D[shared], kind="stable")]
        hash_D = hash_D[order]
        starts = np.flatnonzero(np.append(np.ones(min(1, len(order)), np.bool_), hash_D[1:] != hash_D[:-1]))
        size_G = np.diff(starts, append=len(hash_D))
        real = (size_G > 1) & (hash_D[starts] != nothing)
        starts, size_G = starts[real], size_G[real]
        member_E = with_bands[order[ranges(starts, size_G)]]
        name_G = _names(member_E, size_G)
        _, new = np.unique(name_G, return_index=True)
        new = np.sort(new[~_in_sorted(name_G[new], known)])
        known = np.sort(np.concatenate([known, name_G[new]]))
        members.append(member_E[ranges(offsets(size_G)[new], size_G[new])])
        sizes.append(size_G[new])
    return Groups(np.concatenate(members), np.concatenate(sizes))


def _maybe_shared(hash_D: NDArray[np.uint64]) -> Numbers:
    """Places of the hashes, ascending, that others agree with, and of a few more.

    Numbers are sorted ten times as fast as their order is found, so each hash gives its lower bits away for its place.
    """
    bits = np.uint64(len(hash_D).bit_length())
    low = (np.uint64(1) << bits) - np.uint64(1)
    packed = (hash_D & ~low) | np.arange(len(hash_D), dtype=np.uint64)
    packed.sort()
    agrees = (packed[1:] >> bits) == (packed[:-1] >> bits)
    shared = np.zeros(len(packed), np.bool_)
    shared[1:] = agrees
    shared[:-1] |= agrees
    return np.sort((packed[shared] & low).astype(np.int64))


def _in_sorted(values: NDArray[np.uint64], known: NDArray[np.uint64]) -> NDArray[np.bool_]:
    if not len(known):
        return np.zeros(len(values), np.bool_)
    place = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return np.asarray(known[place] == values)


def _bands_together(
    tables: list[tuple[Path, Numbers]], count: int, path: Path
) -> tuple[NDArray[np.uint64] | None, NDArray[np.bool_]]:
    """[B, D] hashes on disk, band after band, and [D] which documents have any; None where none has."""
    has_D = np.zeros(count, np.bool_)
    band_BD: NDArray[np.uint64] | None = None
    first = 0
    for table, positions in tables:
        if not len(positions):
            continue
        for batch in parquet.ParquetFile(table).iter_batches(batch_size=_BATCH, columns=["position", "bands"]):
            lists = batch["bands"]
            bands_R = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
            position_R = batch["position"].to_numpy()
            number_R = np.minimum(np.searchsorted(positions, position_R), len(positions) - 1)
            wanted_R = (bands_R > 0) & (positions[number_R] == position_R)
            if not wanted_R.any():
                continue
            hashes = lists.flatten().to_numpy(zero_copy_only=False).reshape(np.count_nonzero(bands_R), -1)
            if band_BD is None:
                band_BD = np.memmap(path, np.uint64, "w+", shape=(hashes.shape[1], count))
            number = first + number_R[wanted_R]
            band_BD[:, number] = hashes[wanted_R[bands_R > 0]].T
            has_D[number] = True
        first += len(positions)
    return band_BD, has_D


def _names(member_E: Numbers, size_G: Numbers) -> NDArray[np.uint64]:
    """[G] a hash of each group's set of members: the sum of theirs."""
    if not len(size_G):
        return np.zeros(0, np.uint64)
    mixed = member_E.astype(np.uint64) + np.uint64(1)
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        mixed = (mixed ^ (mixed >> np.uint64(33))) * np.uint64(factor)
    return np.add.reduceat(mixed ^ (mixed >> np.uint64(33)), offsets(size_G)[:-1])
