"""One packed primitive for training and scoring: a flat row of tokens cut into segments.

A segment may have a parent, an earlier segment whose keys and values (and its ancestors') it continues. A document is a
segment without a parent; the two answers of a preference pair are two segments of one parent; a prefix tree of
evaluation requests is the same thing. A segment sees its ancestors and, causally, itself; nothing else.

Shape suffixes: T tokens of the row, Q queries, K keys, H query heads, G key-value heads, D width of a head, N segments
computed together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface, PretrainedConfig

from etymon.errors import EtymonError

ATTENTION = "etymon_segments"
"""Name under which this attention is registered with Transformers: ``model.set_attn_implementation(ATTENTION)``."""


@dataclass(frozen=True)
class Segments:
    """The cut of one row: ``lengths[i]`` tokens each, in order; ``parents[i]`` is an earlier segment, or -1."""

    lengths: tuple[int, ...]
    parents: tuple[int, ...]
    starts: tuple[int, ...] = field(init=False)
    """Where each segment begins in the row."""
    offsets: tuple[int, ...] = field(init=False)
    """The position of each segment's first token: the summed lengths of its ancestors."""

    def __post_init__(self) -> None:
        assert len(self.lengths) == len(self.parents), "one parent a segment"
        starts: list[int] = []
        offsets: list[int] = []
        start = 0
        for index, (length, parent) in enumerate(zip(self.lengths, self.parents, strict=True)):
            assert length > 0, "a segment has at least one token"
            assert -1 <= parent < index, "a parent comes before its children"
            starts.append(start)
            offsets.append(0 if parent < 0 else offsets[parent] + self.lengths[parent])
            start += length
        object.__setattr__(self, "starts", tuple(starts))
        object.__setattr__(self, "offsets", tuple(offsets))

    @classmethod
    def of_documents(cls, lengths: Sequence[int]) -> "Segments":
        """Documents side by side, none of which sees another."""
        return cls(tuple(lengths), (-1,) * len(lengths))

    @property
    def tokens(self) -> int:
        return sum(self.lengths)

    @cached_property
    def positions_1T(self) -> Tensor:
        """The position of each token in its own sequence, as ``position_ids``."""
        spans = [torch.arange(offset, offset + n) for offset, n in zip(self.offsets, self.lengths, strict=True)]
        return torch.cat(spans)[None]

    @cached_property
    def groups(self) -> tuple["_Group", ...]:
        """Segments of equal shape, which one attention call serves."""
        by_shape: dict[tuple[int, int], list[int]] = {}
        for index, (length, offset) in enumerate(zip(self.lengths, self.offsets, strict=True)):
            by_shape.setdefault((length, offset), []).append(index)
        return tuple(
            _Group(
                length,
                offset,
                torch.tensor([self._rows(index, own=True) for index in members]),
                torch.tensor([self._rows(index, own=False) + self._rows(index, own=True) for index in members]),
            )
            for (length, offset), members in by_shape.items()
        )

    def _rows(self, index: int, *, own: bool) -> list[int]:
        """Places in the row of a segment's own tokens, or of its ancestors' tokens in order of position."""
        if own:
            return list(range(self.starts[index], self.starts[index] + self.lengths[index]))
        parent = self.parents[index]
        return [] if parent < 0 else self._rows(parent, own=False) + self._rows(parent, own=True)

    def sequence_rows(self, index: int) -> list[int]:
        """Places in the row of the whole sequence that ends with segment ``index``."""
        return self._rows(index, own=False) + self._rows(index, own=True)


@dataclass(frozen=True)
class _Group:
    length: int
    context: int
    query_NQ: Tensor
    key_NK: Tensor

    @property
    def contiguous(self) -> slice | None:
        """The row's own slice where one segment without a parent is alone: no copy is needed."""
        if self.context or len(self.query_NQ) > 1:
            return None
        start = int(self.query_NQ[0, 0])
        return slice(start, start + self.length)

    def mask_QK(self, window: int | None, device: torch.device) -> Tensor | None:
        """Which keys each query sees, or None where plain causal attention says the same."""
        keys = self.context + self.length
        if not self.context and (window is None or keys <= window):
            return None
        query_Q1 = torch.arange(self.context, keys, device=device)[:, None]
        key_1K = torch.arange(keys, device=device)[None]
        seen = key_1K <= query_Q1
        return seen if window is None else seen & (query_Q1 - key_1K < window)


def segment_attention(
    query_HTD: Tensor,
    key_GTD: Tensor,
    value_GTD: Tensor,
    segments: Segments,
    *,
    scale: float | None = None,
    window: int | None = None,
    softcap: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Attention of every token over its ancestors and, causally, its own segment; returns [H, T, D].

    ``window``: a query sees keys fewer than ``window`` positions back (Mistral, Gemma). ``softcap``: scores become
    softcap·tanh(score/softcap) before the softmax (Gemma-2), which SDPA cannot do; that path is plain matrix products.
    """
    output_HTD = torch.empty_like(query_HTD) if not query_HTD.requires_grad else None
    pieces: list[tuple[Tensor, Tensor]] = []
    for group in segments.groups:
        rows = group.contiguous
        if rows is not None:
            q, k, v = query_HTD[None, :, rows], key_GTD[None, :, rows], value_GTD[None, :, rows]
        else:
            q = query_HTD[:, group.query_NQ].transpose(0, 1)
            k = key_GTD[:, group.key_NK].transpose(0, 1)
            v = value_GTD[:, group.key_NK].transpose(0, 1)
        mask_QK = group.mask_QK(window, query_HTD.device)
        out_NHQD = _attend(q, k, v, mask_QK, scale, softcap, dropout)
        out_HTD = out_NHQD.transpose(0, 1).flatten(1, 2)
        if output_HTD is not None:
            output_HTD[:, group.query_NQ.flatten()] = out_HTD
        else:
            pieces.append((group.query_NQ.flatten(), out_HTD))
    if output_HTD is not None:
        return output_HTD
    order_T = torch.cat([rows_T for rows_T, _ in pieces])
    joined_HTD = torch.cat([out_HTD for _, out_HTD in pieces], dim=1)
    return joined_HTD[:, torch.argsort(order_T)]


def _attend(
    q_NHQD: Tensor,
    k_NGKD: Tensor,
    v_NGKD: Tensor,
    mask_QK: Tensor | None,
    scale: float | None,
    softcap: float | None,
    dropout: float,
) -> Tensor:
    if softcap is None:
        return F.scaled_dot_product_attention(
            q_NHQD, k_NGKD, v_NGKD, attn_mask=mask_QK, dropout_p=dropout, is_causal=mask_QK is None, scale=scale,
            enable_gqa=q_NHQD.shape[1] != k_NGKD.shape[1],
        )  # fmt: skip
    repeat = q_NHQD.shape[1] // k_NGKD.shape[1]
    k_NHKD, v_NHKD = k_NGKD.repeat_interleave(repeat, 1), v_NGKD.repeat_interleave(repeat, 1)
    scores_NHQK = q_NHQD @ k_NHKD.transpose(-1, -2) * (scale if scale is not None else q_NHQD.shape[-1] ** -0.5)
    scores_NHQK = softcap * torch.tanh(scores_NHQK / softcap)
    if mask_QK is None:
        mask_QK = torch.ones(scores_NHQK.shape[-2:], dtype=torch.bool, device=q_NHQD.device).tril()
    scores_NHQK = scores_NHQK.masked_fill(~mask_QK, float("-inf"))
    weights_NHQK = F.dropout(scores_NHQK.float().softmax(-1).to(q_NHQD.dtype), dropout)
    return weights_NHQK @ v_NHKD


def _varlen_attention(
    query_HTD: Tensor, key_GTD: Tensor, value_GTD: Tensor, segments: Segments, scale: float | None, window: int | None
) -> Tensor:
    """Flash attention over documents of any lengths in one call. CUDA, half precision; not tested without a GPU."""
    from torch.nn.attention.varlen import varlen_attn

    ends = torch.tensor((*segments.starts, segments.tokens), dtype=torch.int32, device=query_HTD.device)
    q, k, v = (x.transpose(0, 1).contiguous() for x in (query_HTD, key_GTD, value_GTD))
    longest = max(segments.lengths)
    left = -1 if window is None else window - 1
    out_THD = varlen_attn(
        q, k, v, ends, ends, longest, longest, scale=scale, window_size=(left, 0), enable_gqa=q.shape[1] != k.shape[1]
    )
    assert isinstance(out_THD, Tensor)
    return out_THD.transpose(0, 1)


def _transformers_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    segments: Segments | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The seam to Transformers: [1, H, T, D] in, [1, T, H, D] out."""
    assert segments is not None, "pass segments= to the model's forward"
    assert query.shape[0] == 1, "a packed row has no batch dimension"
    if kwargs.get("s_aux") is not None:
        raise EtymonError(f"{type(module).__name__} uses attention sinks, which packed attention does not support.")
    varlen = query.is_cuda and query.dtype in (torch.float16, torch.bfloat16) and softcap is None and not dropout
    if varlen and all(parent < 0 for parent in segments.parents):
        out_HTD = _varlen_attention(query[0], key[0], value[0], segments, scaling, sliding_window)
    else:
        out_HTD = segment_attention(
            query[0], key[0], value[0], segments, scale=scaling, window=sliding_window, softcap=softcap, dropout=dropout
        )
    return out_HTD.transpose(0, 1)[None], None


def _no_mask(*args: Any, **kwargs: Any) -> None:
    """The segments say who sees whom; no mask tensor is ever built."""


AttentionInterface.register(ATTENTION, _transformers_attention)
AttentionMaskInterface.register(ATTENTION, _no_mask)


def check_packable(config: PretrainedConfig, shortest: int, longest: int) -> None:
    """Refuse what packed attention would get wrong. ``shortest`` and ``longest`` are sequence lengths of one row.

    Layers that carry a state along the row (recurrent, linear attention) would leak between documents; chunked attention
    is not expressed by segments; LongRoPE and dynamic scaling pick their factor from the longest sequence of the row.
    """
    config = config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if unknown := kinds - {"full_attention", "sliding_attention"}:
        raise EtymonError(
            f"{config.model_type} has layers of kind {', '.join(sorted(unknown))}, which cannot be packed without leaking.",
            "Choose a foundation with full or sliding-window attention, such as the LLaMA, Mistral, Qwen or Gemma families.",
        )
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    for parameters in rope.values() if rope and all(isinstance(v, dict) for v in rope.values()) else [rope]:
        kind = parameters.get("rope_type", "default")
        limit = parameters.get("original_max_position_embeddings") or getattr(
            config, "original_max_position_embeddings", None
        )
        if kind in ("longrope", "dynamic") and shortest <= (limit or config.max_position_embeddings) < longest:
            raise EtymonError(
                f"{config.model_type} scales positions by the longest sequence ({kind}): sequences of {shortest} and "
                f"{longest} tokens cannot share a row.",
                f"Set train.sequence_length to at most {limit or config.max_position_embeddings}.",
            )
