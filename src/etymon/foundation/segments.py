"""One packed primitive for training and scoring: a flat row of tokens cut into segments.

A segment may have a parent, an earlier segment whose keys and values (and its ancestors') it continues. A document is a
segment without a parent; the two answers of a preference pair are two segments of one parent; a prefix tree of
evaluation requests is the same thing. A segment sees its ancestors and, causally, itself; nothing else.

Shape suffixes: T tokens of the row, Q queries, K keys, H query heads, G key-value heads, D width of a head.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface, PretrainedConfig

from etymon.errors import EtymonError

if TYPE_CHECKING:
    from etymon.foundation.held import Held

ATTENTION = "etymon_segments"
"""Name under which this attention is registered with Transformers: ``model.set_attn_implementation(ATTENTION)``."""


@dataclass(frozen=True)
class Segments:
    """The cut of one row: ``lengths[i]`` tokens each, in order; ``parents[i]`` is an earlier segment, or -1."""

    lengths: tuple[int, ...]
    parents: tuple[int, ...]
    before: tuple[int, ...] = ()
    """Of a segment without a parent: how many tokens, computed in earlier rows and held (see ``held``), it continues."""
    starts: tuple[int, ...] = field(init=False)
    """Where each segment begins in the row."""
    offsets: tuple[int, ...] = field(init=False)
    """The position of each segment's first token: the summed lengths of its ancestors and of what they continue."""

    def __post_init__(self) -> None:
        before = self.before or (0,) * len(self.lengths)
        assert len(self.lengths) == len(self.parents) == len(before), "one parent a segment"
        starts: list[int] = []
        offsets: list[int] = []
        start = 0
        for index, (length, parent) in enumerate(zip(self.lengths, self.parents, strict=True)):
            assert length > 0, "a segment has at least one token"
            assert -1 <= parent < index, "a parent comes before its children"
            assert before[index] == 0 or parent < 0, "held tokens come before a whole path"
            starts.append(start)
            offsets.append(before[index] if parent < 0 else offsets[parent] + self.lengths[parent])
            start += length
        object.__setattr__(self, "before", before)
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
    def paths(self) -> tuple[tuple[int, ...], ...]:
        """Of each segment: the segments of the sequence that it ends, in order of position, itself the last."""
        paths: list[tuple[int, ...]] = []
        for index, parent in enumerate(self.parents):
            paths.append((index,) if parent < 0 else (*paths[parent], index))
        return tuple(paths)

    def sequence_rows(self, index: int) -> list[int]:
        """Places in the row of the whole sequence that ends with segment ``index``."""
        return [row for i in self.paths[index] for row in range(self.starts[i], self.starts[i] + self.lengths[i])]


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
    """Attention of every token over its ancestors and, causally, its own segment; returns [H, T, D] in the values' dtype.

    ``window``: a query sees keys fewer than ``window`` positions back (Mistral, Gemma). ``softcap``: scores become
    softcap·tanh(score/softcap) before the softmax (Gemma-2), which SDPA cannot do; that path is plain matrix products.

    The row is split and joined, never indexed: the backward pass of a slice fills a table of zeros as large as the row. On a
    CPU half precision is computed in fp32, also inside autocast, because the kernel's bf16 backward pass is several times
    slower. Both together, forward and backward of 16 documents in 2,048 tokens, bf16, one thread: from 165 to 48 ms.
    """
    dtype = value_GTD.dtype
    if value_GTD.is_cpu and dtype.itemsize < 4:
        query_HTD, key_GTD, value_GTD = query_HTD.float(), key_GTD.float(), value_GTD.float()
    queries, keys, values = (torch.split(x, list(segments.lengths), dim=1) for x in (query_HTD, key_GTD, value_GTD))
    outputs = []
    with torch.autocast("cpu", enabled=False):
        for query, path in zip(queries, segments.paths, strict=True):
            key, value = _joined(keys, path), _joined(values, path)
            mask_QK, causal = _mask_for(query.shape[1], key.shape[1], window, query.device)
            outputs.append(attend(query, key, value, mask_QK, causal=causal, scale=scale, softcap=softcap, dropout=dropout))
        return torch.cat(outputs, dim=1).to(dtype)


def _joined(parts: Sequence[Tensor], path: tuple[int, ...]) -> Tensor:
    return parts[path[0]] if len(path) == 1 else torch.cat([parts[index] for index in path], dim=1)


def attend(
    query_HQD: Tensor,
    key_GKD: Tensor,
    value_GKD: Tensor,
    mask_QK: Tensor | None,
    *,
    causal: bool = False,
    scale: float | None = None,
    softcap: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Attention of Q queries over those of K keys that ``mask_QK`` shows; without a mask over all, or ``causal`` (Q = K)."""
    if softcap is None:
        return F.scaled_dot_product_attention(
            query_HQD[None], key_GKD[None], value_GKD[None], attn_mask=mask_QK, dropout_p=dropout, is_causal=causal,
            scale=scale, enable_gqa=query_HQD.shape[0] != key_GKD.shape[0],
        )[0]  # fmt: skip
    if causal:
        mask_QK = _mask(query_HQD.shape[1], key_GKD.shape[1], None, query_HQD.device)
    repeat = query_HQD.shape[0] // key_GKD.shape[0]
    key_HKD, value_HKD = key_GKD.repeat_interleave(repeat, 0), value_GKD.repeat_interleave(repeat, 0)
    scores_HQK = query_HQD @ key_HKD.transpose(-1, -2) * (scale if scale is not None else query_HQD.shape[-1] ** -0.5)
    scores_HQK = softcap * torch.tanh(scores_HQK / softcap)
    if mask_QK is not None:
        scores_HQK = scores_HQK.masked_fill(~mask_QK, float("-inf"))
    weights_HQK = F.dropout(scores_HQK.float().softmax(-1).to(query_HQD.dtype), dropout)
    return weights_HQK @ value_HKD


def _mask_for(queries: int, keys: int, window: int | None, device: torch.device) -> tuple[Tensor | None, bool]:
    """What ``attend`` needs so that the last Q of K positions see all before them: a mask or none, and whether causal."""
    if window is None or keys <= window:
        if queries == keys:
            return None, True
        if queries == 1:
            return None, False
    return _mask(queries, keys, window, device), False


@lru_cache(maxsize=32)  # every layer asks for the same ones
def _mask(queries: int, keys: int, window: int | None, device: torch.device) -> Tensor:
    """[Q, K] which of K positions each of the last Q sees."""
    seen_QK = torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)
    return seen_QK if window is None else seen_QK.triu(keys - queries - window + 1)


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
    held: "Held | None" = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The seam to Transformers: [1, H, T, D] in, [1, T, H, D] out."""
    if segments is None:
        raise EtymonError(
            f"{type(module).__name__} was not told where the segments of its row begin: segments= was not given to the "
            "model's forward, or its family does not hand it on.",
            "Choose a foundation of the LLaMA, Mistral, Qwen, Gemma or Phi families.",
        )
    assert query.shape[0] == 1, "a packed row has no batch dimension"
    if kwargs.get("s_aux") is not None:
        raise EtymonError(
            f"{type(module).__name__} uses attention sinks, which packed attention does not support.",
            "Choose a foundation of the LLaMA, Mistral, Qwen, Gemma or Phi families.",
        )
    if held is not None:
        out_HTD = held.attend(
            module, query[0], key[0], value[0], segments, scale=scaling, window=sliding_window, softcap=softcap
        )
        return out_HTD.transpose(0, 1)[None], None
    varlen = query.is_cuda and value.dtype in (torch.float16, torch.bfloat16) and softcap is None and not dropout
    if varlen and query.shape[-1] == value.shape[-1] and all(parent < 0 for parent in segments.parents):
        query, key = query.to(value.dtype), key.to(value.dtype)  # under autocast the rotation leaves them in fp32
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
    check_layers(config)
    threshold = rope_threshold(config)
    if threshold is not None and shortest <= threshold < longest:
        raise EtymonError(
            f"{config.model_type} turns positions otherwise once a sequence is longer than {threshold} tokens (LongRoPE): "
            f"sequences of {shortest} and {longest} tokens cannot share a row.",
            f"Set train.sequence_length to at most {threshold}.",
        )
    limit = _dynamic_limit(config)
    if limit is not None and longest > limit:
        raise EtymonError(
            f"{config.model_type} turns positions by the longest sequence that it has met (dynamic RoPE): beyond {limit} "
            f"tokens, here {longest}, a sequence's result depends on the others.",
            f"Set train.sequence_length to at most {limit}.",
        )


def check_layers(config: PretrainedConfig) -> None:
    """Refuse a model with layers of a kind that segments do not express, by the config's own list of them."""
    config = config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if unknown := kinds - {"full_attention", "sliding_attention"}:
        raise EtymonError(
            f"{config.model_type} has layers of kind {', '.join(sorted(unknown))}, which cannot be packed without leaking.",
            "Choose a foundation with full or sliding-window attention, such as the LLaMA, Mistral, Qwen or Gemma families.",
        )


def rope_threshold(config: PretrainedConfig) -> int | None:
    """The length beyond which a sequence is computed with LongRoPE's long factors (arXiv 2402.13753; Phi-3); None without it.

    Transformers chooses by the largest position of a forward call. Rows that hold only sequences of at most this many
    tokens, and rows that hold only longer ones, are both computed rightly.
    """
    limits = [int(rope["original_max_position_embeddings"]) for rope in _ropes(config) if rope["rope_type"] == "longrope"]
    return min(limits, default=None)


def _dynamic_limit(config: PretrainedConfig) -> int | None:
    dynamic = any(rope["rope_type"] == "dynamic" for rope in _ropes(config))
    return int(config.get_text_config().max_position_embeddings) if dynamic else None


def _ropes(config: PretrainedConfig) -> list[dict[str, Any]]:
    """The model's rotary embeddings: one, or one for each kind of layer."""
    rope = getattr(config.get_text_config(), "rope_parameters", None) or {}
    return [each for each in [rope, *rope.values()] if isinstance(each, dict) and "rope_type" in each]
