"""Keys and values carried from row to row, and attention in few calls: packed rows without gradients.

A row may continue a sequence that earlier rows have computed. Of that one sequence, which changes from row to row, the
keys and values of every layer are held. Within the row, neighbouring segments that continue the same tokens share one
call: a call costs more than the scores between neighbours that it computes in vain.

Shape suffixes: T tokens of the row, Q queries, K keys, H query heads, G key-value heads, D width of a head.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn

from etymon.errors import EtymonError
from etymon.foundation.segments import Segments, attend

BLOCK_TOKENS = 128
"""Queries of one call, except where one segment alone is longer."""

Span = tuple[int, int]
"""Tokens begin..end of a row."""


@dataclass(frozen=True)
class Block:
    """Neighbouring segments, first..last, that continue the same tokens and are answered by one call."""

    first: int
    last: int
    before: int
    """Held tokens that all of them continue."""
    ancestors: tuple[Span, ...]
    """Tokens of the row that all of them continue after that, in order of position."""


def cut_blocks(segments: Segments, block_tokens: int = BLOCK_TOKENS) -> list[Block]:
    """Blocks of at most ``block_tokens``; a segment with a bigger subtree is a block alone, and its children follow.

    The row must be laid depth first: a segment's parent is the segment before it, or one of that one's ancestors.
    """
    count = len(segments.lengths)
    below, end = list(segments.lengths), list(range(1, count + 1))
    for index in reversed(range(count)):
        if (parent := segments.parents[index]) >= 0:
            below[parent] += below[index]
            end[parent] = max(end[parent], end[index])
    blocks: list[Block] = []
    index = used = 0
    open_block = False
    while index < count:
        parent, fits = segments.parents[index], below[index] <= block_tokens
        last = index if not fits else end[index] - 1
        before = segments.before[segments.paths[index][0]]
        joins = open_block and fits and used + below[index] <= block_tokens
        if joins and (segments.parents[blocks[-1].first], blocks[-1].before) == (parent, before):
            blocks[-1] = Block(blocks[-1].first, last, before, blocks[-1].ancestors)
            used += below[index]
        else:
            path = segments.paths[index][:-1]
            spans = tuple((segments.starts[i], segments.starts[i] + segments.lengths[i]) for i in path)
            blocks.append(Block(index, last, before, spans))
            used = below[index]
        open_block = fits
        index = last + 1
    return blocks


def block_mask(segments: Segments, block: Block, window: int | None) -> tuple[Tensor | None, bool]:
    """[Q, K] which keys each query of the block sees; None where it is all of them, or (True) plainly causal."""
    prefix = segments.offsets[block.first]
    members = range(block.first, block.last + 1)
    lengths = [segments.lengths[i] for i in members]
    longest = max(segments.offsets[i] + segments.lengths[i] for i in members)
    if len(members) == 1 and (window is None or longest <= window):
        if not prefix:
            return None, True
        if lengths == [1]:
            return None, False
    continues = torch.tensor([[other in segments.paths[each] for other in members] for each in members])
    member_Q = torch.repeat_interleave(torch.arange(len(members)), torch.tensor(lengths))
    position_Q = torch.cat([torch.arange(segments.offsets[i], segments.offsets[i] + segments.lengths[i]) for i in members])
    position_K = torch.cat([torch.arange(prefix), position_Q])
    seen_QK = position_K[None, :] <= position_Q[:, None]
    seen_QK[:, prefix:] &= continues[member_Q][:, member_Q]
    if window is not None:
        seen_QK &= position_Q[:, None] - position_K[None, :] < window
    return seen_QK, False


class Held:
    """Keys and values of one sequence in every layer, for as many of its first tokens as were kept."""

    def __init__(self, capacity: int) -> None:
        """``capacity``: the most tokens that are ever held."""
        self._capacity = capacity
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}
        self._segments: Segments | None = None

    def begin_row(self, segments: Segments, keep_from: int = 0, keep: Sequence[Span] = ()) -> None:
        """Before each row: of its tokens ``keep`` is held afterwards, from position ``keep_from`` of the sequence on."""
        kept = sum(end - begin for begin, end in keep)
        assert keep_from + kept <= self._capacity, "no more is held than was said"
        self._segments, self._keep_from, self._keep = segments, keep_from, keep
        self._blocks = cut_blocks(segments)
        ends = list(accumulate(segments.lengths, initial=0))
        self._spans = [(ends[block.first], ends[block.last + 1]) for block in self._blocks]
        self._masks: dict[int | None, list[tuple[Tensor | None, bool]]] = {}
        self._done: set[int] = set()

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
        """Attention of one layer, as ``segment_attention`` of whole sequences gives it; returns [H, T, D]."""
        assert segments is self._segments, "begin_row is called for each row"
        layer = self._layer_of(module)
        masks = self._masks.get(window)
        if masks is None:
            masks = [block_mask(segments, block, window) for block in self._blocks]
            masks = self._masks[window] = [
                (mask if mask is None else mask.to(query_HTD.device), causal) for mask, causal in masks
            ]
        outputs = []
        for block, (begin, end), (mask_QK, causal) in zip(self._blocks, self._spans, masks, strict=True):
            key_GKD, value_GKD = key_GTD[:, begin:end], value_GTD[:, begin:end]
            if block.before or block.ancestors:
                parts = [(key_GTD[:, a:b], value_GTD[:, a:b]) for a, b in block.ancestors]
                if block.before:
                    held_key, held_value = self._layers[layer]
                    parts.insert(0, (held_key[:, : block.before], held_value[:, : block.before]))
                key_GKD = torch.cat([*(key for key, _ in parts), key_GKD], dim=1)
                value_GKD = torch.cat([*(value for _, value in parts), value_GKD], dim=1)
            outputs.append(
                attend(query_HTD[:, begin:end], key_GKD, value_GKD, mask_QK, causal=causal, scale=scale, softcap=softcap)
            )
        self._store(layer, key_GTD, value_GTD)
        return torch.cat(outputs, dim=1)

    def _layer_of(self, module: nn.Module) -> int:
        layer = getattr(module, "layer_idx", None)
        if not isinstance(layer, int) or layer in self._done:
            what = "does not say which layer it is" if not isinstance(layer, int) else f"says twice that it is layer {layer}"
            raise EtymonError(
                f"{type(module).__name__} {what}, so keys and values cannot be carried from row to row.",
                "Choose a foundation of the LLaMA, Mistral, Qwen, Gemma or Phi families.",
            )
        self._done.add(layer)
        return layer

    def _store(self, layer: int, key_GTD: Tensor, value_GTD: Tensor) -> None:
        if not self._keep:
            return
        if layer not in self._layers:
            self._layers[layer] = tuple(  # type: ignore[assignment]
                x.new_empty(x.shape[0], self._capacity, x.shape[2]) for x in (key_GTD, value_GTD)
            )
        for buffer, new in zip(self._layers[layer], (key_GTD, value_GTD), strict=True):
            place = self._keep_from
            for begin, end in self._keep:
                buffer[:, place : place + end - begin] = new[:, begin:end]
                place += end - begin
