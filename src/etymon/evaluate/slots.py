"""Keys and values of several sequences that grow side by side, each in a slot: nothing is padded, a prefix is copied.

Shape suffixes: T tokens of a row, S slots, Q queries, K keys, H query heads, G key-value heads, R query heads of each of
these, D width of a head.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from etymon.foundation.held import Block, Held, block_mask
from etymon.foundation.segments import Segments, attend

WORTH_SHARING = 32
"""Shorter beginnings are computed again: attention over what a row continues takes a mask, twice the time of a causal one."""


class Slots(Held):
    """Keys and values of several sequences in every layer, each in a slot of its own."""

    def __init__(self, slots: int, capacity: int) -> None:
        """``capacity``: the most tokens of a sequence."""
        super().__init__(capacity)
        self.known: list[list[int]] = [[] for _ in range(slots)]
        """The tokens of each slot whose keys and values are there."""

    def nearest(self, ids: Sequence[int]) -> tuple[int, int]:
        """The slot that knows the most of the beginning of a sequence, and how many tokens; 0 where it is not worth it.

        The last token always counts as unknown, as what follows it is wanted.
        """
        shared = [shared_tokens(known, ids[:-1]) for known in self.known]
        length = max(shared)
        return shared.index(length), length if length >= WORTH_SHARING else 0

    @torch.inference_mode()
    def take_over(self, slot: int, ids: Sequence[int]) -> None:
        """Begin another sequence in a slot, with as much of it as some slot knows."""
        source, length = self.nearest(ids)
        if length and source != slot:
            for buffers in self._layers.values():
                for buffer in buffers:
                    buffer[slot, :, :length] = buffer[source, :, :length]
        self.known[slot] = list(ids[:length])

    def begin(self, row: Sequence[tuple[int, Sequence[int]]]) -> Segments:
        """Before each row: the slots that it continues, each once, and by which tokens."""
        lengths = tuple(len(ids) for _, ids in row)
        before = tuple(len(self.known[slot]) for slot, _ in row)
        self._segments = Segments(lengths, (-1,) * len(row), before)
        self._row_slots = [slot for slot, _ in row]
        self._masks = {}
        self._done = set()
        for slot, ids in row:
            self.known[slot].extend(ids)
        return self._segments

    def attend(
        self,
        module: nn.Module,
        query_HTD: Tensor,
        key_GTD: Tensor,
        value_GTD: Tensor,
        segments: Segments,
        *,
        scale: float | None = None,
        window: int | None = None,
        softcap: float | None = None,
    ) -> Tensor:
        """Attention of one layer; the row's keys and values join those of their slots.

        A call a slot, though a single one with a mask takes all: equally fast (2.4 and 2.0 ms for 16 slots of about 1,000
        tokens), and nothing is padded. A single query's heads stand in for queries, so that keys need not be repeated.
        """
        assert segments is self._segments, "begin is called for each row"
        layer = self._layer_of(module)
        if layer not in self._layers:
            shape = (len(self.known), key_GTD.shape[0], self._capacity)
            self._layers[layer] = (
                key_GTD.new_empty(*shape, key_GTD.shape[2]),
                value_GTD.new_empty(*shape, value_GTD.shape[2]),
            )
        keys_SGKD, values_SGKD = self._layers[layer]
        heads = query_HTD.shape[0]
        outputs = []
        for place, slot in enumerate(self._row_slots):
            begin, length, before = segments.starts[place], segments.lengths[place], segments.before[place]
            end, whole = begin + length, before + length
            keys_SGKD[slot, :, before:whole] = key_GTD[:, begin:end]
            values_SGKD[slot, :, before:whole] = value_GTD[:, begin:end]
            first = max(0, whole - window) if window is not None and length == 1 else 0
            key_GKD, value_GKD = keys_SGKD[slot, :, first:whole], values_SGKD[slot, :, first:whole]
            query = query_HTD[:, begin:end]
            if length == 1:
                query_GRD = query.reshape(key_GTD.shape[0], -1, query.shape[2])
                out_GRD = attend(query_GRD, key_GKD, value_GKD, None, scale=scale, softcap=softcap)
                outputs.append(out_GRD.reshape(heads, 1, -1))
            else:
                mask_QK, causal = self._masks_of(window, query.device)[place]
                outputs.append(attend(query, key_GKD, value_GKD, mask_QK, causal=causal, scale=scale, softcap=softcap))
        return torch.cat(outputs, dim=1)

    def _masks_of(self, window: int | None, device: torch.device) -> list[tuple[Tensor | None, bool]]:
        """Of each piece of the row, as every layer with this window needs it."""
        if window not in self._masks:
            assert self._segments is not None
            masks = [
                block_mask(self._segments, Block(place, place, before, ()), window) if length > 1 else (None, False)
                for place, (length, before) in enumerate(zip(self._segments.lengths, self._segments.before, strict=True))
            ]
            self._masks[window] = [(mask if mask is None else mask.to(device), causal) for mask, causal in masks]
        return self._masks[window]


def shared_tokens(one: Sequence[int], other: Sequence[int]) -> int:
    """Tokens at the beginning of both."""
    for place, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return place
    return min(len(one), len(other))
