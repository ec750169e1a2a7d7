"""64-bit hashes of words and of runs of words, for many texts at once.

Shapes: N texts, B bytes, W words, S runs. The words or runs of text i are ``values[begins[i]:begins[i + 1]]``.

Words are hashed eight bytes at a time, each mixed into the next; runs as Σ factorₖ·hash(wordₖ) mod 2⁶⁴, mixed at the end: two
that differ agree with a probability of about 2⁻⁶⁴. The constants are fixed, so hashes may be stored.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Begins = NDArray[np.int64]

_SPACE, _NEWLINE = ord(" "), ord("\n")
_MASKS = np.array([(1 << 8 * length) - 1 for length in range(9)], np.uint64)
"""The first bytes of eight, by how many."""
_SEED = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio, odd
_LONG = 64
"""Bytes; a longer word, which is hardly one, is hashed by itself."""
_BLOCK = 1 << 16
"""Bytes hashed at a time: what is made on the way stays in the processor's cache."""


def word_hashes(comparable_texts: Sequence[str]) -> tuple[Hashes, Begins]:
    """The hash [W] of every word of texts in their comparable form (``normalise.comparable``), and where texts begin [N + 1].

    Raises ValueError for a text of several lines, which is not in that form.
    """
    joined = np.frombuffer("\n".join(comparable_texts).encode("utf-8", "surrogatepass"), np.uint8)
    ends = np.flatnonzero(joined == _NEWLINE)
    if len(ends) != max(0, len(comparable_texts) - 1):
        raise ValueError("a text in its comparable form has a single line")
    hashes, starts = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for begin, end in _blocks(joined):
        of_block, places = _hashed(joined[begin:end])
        hashes.append(of_block)
        starts.append(places + begin)
    text_starts = np.concatenate([[0], ends + 1, [len(joined)]])[: len(comparable_texts) + 1]
    return np.concatenate(hashes), np.searchsorted(np.concatenate(starts), text_starts).astype(np.int64)


def run_hashes(comparable_texts: Sequence[str], n: int, *, whole_if_short: bool = False) -> tuple[Hashes, Begins]:
    """The hash [S] of every run of ``n`` words, in order, and where texts begin [N + 1].

    A text of fewer words has none; with ``whole_if_short`` it has one, itself, and only an empty text has none.
    """
    word_W, begins = word_hashes(comparable_texts)
    count_N = np.diff(begins)
    factors = random_hashes(n) | np.uint64(1)
    run_W = np.zeros(len(word_W), np.uint64)
    for place in range(min(n, len(word_W))):
        run_W[: len(word_W) - place] += word_W[place:] * factors[place]
    run_N = np.maximum(count_N - n + 1, 0)
    if whole_if_short:
        short = np.flatnonzero((count_N > 0) & (count_N < n))
        first = begins[short]
        run_W[first] = 0
        for place in range(n - 1):
            own = count_N[short] > place
            run_W[first[own]] += word_W[first[own] + place] * factors[place]
        run_N[short] = 1
    return _mixed(run_W[ranges(begins[:-1], run_N)]), offsets(run_N)


def shingle_hashes(comparable_texts: Sequence[str], n: int) -> tuple[Hashes, Begins]:
    """The distinct runs of ``n`` words of each text, their hashes in ascending order (``ngrams.shingles``, hashed)."""
    run_S, begins = run_hashes(comparable_texts, n, whole_if_short=True)
    text_S = np.repeat(np.arange(len(comparable_texts)), np.diff(begins))
    order = np.lexsort((run_S, text_S))
    run_S = run_S[order]  # texts keep their places
    distinct = np.ones(len(run_S), np.bool_)
    distinct[1:] = (run_S[1:] != run_S[:-1]) | (text_S[1:] != text_S[:-1])
    return run_S[distinct], offsets(np.bincount(text_S[distinct], minlength=len(comparable_texts)))


def random_hashes(count: int) -> Hashes:
    """The first of a fixed sequence of random numbers (SplitMix64's form: a mixed counter)."""
    return _mixed(np.arange(1, count + 1, dtype=np.uint64) * _SEED)


def ranges(begins: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """begin, begin + 1, …, begin + count - 1 for each, one after another."""
    total = np.cumsum(counts)
    shift = begins - total + counts
    return np.repeat(shift, counts) + np.arange(total[-1] if len(total) else 0)


def offsets(counts: NDArray[np.int64]) -> Begins:
    """Where each begins when they lie one after another, and where the last ends."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])


def _blocks(joined: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Parts of the bytes that end where a word does."""
    begin = 0
    while begin < len(joined):
        end = min(begin + _BLOCK, len(joined))
        while end < len(joined) and joined[end] not in (_SPACE, _NEWLINE):
            end += 1
        yield begin, end
        begin = end


def _hashed(block_B: NDArray[np.uint8]) -> tuple[Hashes, NDArray[np.int64]]:
    """Hash and place of each word of a block."""
    gap_B = np.ones(len(block_B) + 1, np.bool_)
    gap_B[1:] = (block_B == _SPACE) | (block_B == _NEWLINE)
    edges = np.flatnonzero(gap_B[1:] != gap_B[:-1])
    starts = edges[::2]
    length_W = np.append(edges[1::2], len(block_B))[: len(starts)] - starts
    padded = np.zeros(len(block_B) // 8 + 2, np.uint64)
    padded.view(np.uint8)[: len(block_B)] = block_B
    hash_W = np.full(len(starts), _SEED)
    mine = np.flatnonzero(length_W <= _LONG)
    done = 0
    while len(mine):
        at = starts[mine] + done
        shift = ((at & 7) << 3).astype(np.uint64)
        eight = (padded[at >> 3] >> shift) | (padded[(at >> 3) + 1] << (np.uint64(64) - shift))
        eight &= _MASKS[np.minimum(length_W[mine] - done, 8)]
        hash_W[mine] = _mixed(hash_W[mine] ^ eight)
        done += 8
        mine = mine[length_W[mine] > done]
    for word in np.flatnonzero(length_W > _LONG).tolist():
        content = block_B[starts[word] : starts[word] + length_W[word]].tobytes()
        hash_W[word] = int.from_bytes(blake2b(content, digest_size=8).digest(), "little")
    return hash_W, starts


def _mixed(hashes: Hashes) -> Hashes:
    """A bijection after which every bit depends on every other (the finaliser of MurmurHash3)."""
    hashes = (hashes ^ (hashes >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    hashes = (hashes ^ (hashes >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return np.asarray(hashes ^ (hashes >> np.uint64(33)), np.uint64)
