"""A packed row: examples side by side as the network sees them, and which of their tokens are predicted from where.

Shape suffixes: T tokens of the row, N supervised tokens, S segments of the row, E its examples.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from etymon.foundation.head import hidden_states
from etymon.foundation.segments import Segments
from etymon.train.examples import Examples
from etymon.train.loss import summed_cross_entropy, token_log_probabilities


@dataclass(frozen=True)
class PackedRow:
    """One forward pass."""

    ids_1T: Tensor
    segments: Segments
    read_N: Tensor
    """Positions whose hidden state predicts a supervised token. The answers of a pair share the prompt's last position."""
    targets_N: Tensor
    segment_N: Tensor
    """The segment that each supervised token stands in."""
    first_E: tuple[int, ...]
    """Each example's first segment in this row."""
    liked_E: Tensor
    reference_S: Tensor | None = None
    """Log-probability of each segment's supervised tokens under the reference model, in nats."""

    def to(self, device: torch.device) -> "PackedRow":
        moved: dict[str, Any] = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **moved)


def pack_row(examples: Examples, pack: Sequence[int], reference_S: Tensor | None = None) -> PackedRow:
    """The row that holds the examples of ``pack``. ``reference_S`` is over all segments of ``examples``."""
    ids: list[Tensor] = []
    reads: list[Tensor] = []
    targets: list[Tensor] = []
    owners: list[Tensor] = []
    lengths: list[int] = []
    parents: list[int] = []
    first_E: list[int] = []
    taken: list[int] = []
    ends: list[int] = []
    start = 0
    for example in pack:
        first_E.append(len(lengths))
        for segment in examples.segments_of(example):
            tokens, supervised = examples.segment(segment)
            parent = int(examples.parents[segment])
            parent = parent + first_E[-1] if parent >= 0 else -1
            places_N = torch.from_numpy(supervised).nonzero()[:, 0]
            read_N = places_N + (start - 1)
            if parent >= 0:  # the first token of an answer is predicted at the prompt's last
                read_N[places_N == 0] = ends[parent] - 1
            ids.append(torch.from_numpy(tokens).long())
            reads.append(read_N)
            targets.append(ids[-1][places_N])
            owners.append(torch.full_like(places_N, len(lengths)))
            parents.append(parent)
            lengths.append(len(tokens))
            taken.append(segment)
            start += len(tokens)
            ends.append(start)
    return PackedRow(
        torch.cat(ids)[None],
        Segments(tuple(lengths), tuple(parents)),
        torch.cat(reads),
        torch.cat(targets),
        torch.cat(owners),
        tuple(first_E),
        torch.from_numpy(examples.liked[list(pack)]),
        None if reference_S is None else reference_S[taken],
    )


def summed_loss(network: PreTrainedModel, row: PackedRow) -> Tensor:
    """Sum over supervised tokens of −log p(token | its sequence so far), in nats."""
    return summed_cross_entropy(*_at_head(network, row))


def segment_log_probabilities(network: PreTrainedModel, row: PackedRow) -> Tensor:
    """[S] summed log-probability of each segment's supervised tokens, in nats; 0 where none is supervised."""
    found_N = token_log_probabilities(*_at_head(network, row))
    return found_N.new_zeros(len(row.segments.lengths)).index_add(0, row.segment_N, found_N)


def _at_head(network: PreTrainedModel, row: PackedRow) -> tuple[Tensor, Tensor, Tensor | None, Tensor, float | None]:
    hidden_TD = hidden_states(network, row.ids_1T, row.segments)
    head = network.get_output_embeddings()
    softcap = getattr(network.config.get_text_config(), "final_logit_softcapping", None)
    return hidden_TD[row.read_N], head.weight, getattr(head, "bias", None), row.targets_N, softcap
