"""What a packed row is trained for. An objective is a small function from a network and a row to a summed loss."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from etymon.foundation.head import hidden_states
from etymon.foundation.segments import Segments
from etymon.train.loss import summed_cross_entropy
from etymon.train.packing import Pieces


@dataclass(frozen=True)
class Row:
    """A packed row: T tokens, of which N positions are supervised."""

    ids_1T: Tensor
    segments: Segments
    read_N: Tensor
    """Positions whose hidden state predicts a supervised token."""
    targets_N: Tensor

    def to(self, device: torch.device) -> "Row":
        return Row(self.ids_1T.to(device), self.segments, self.read_N.to(device), self.targets_N.to(device))


def causal_row(pieces: Pieces, pack: Sequence[int]) -> Row:
    """A row of whole pieces in which every token but each piece's first is supervised."""
    parts = [torch.from_numpy(pieces.piece(i)).long() for i in pack]
    segments = Segments.of_documents([len(part) for part in parts])
    ids_T = torch.cat(parts)
    first_T = torch.zeros(len(ids_T), dtype=torch.bool)
    first_T[list(segments.starts)] = True
    targets = torch.nonzero(~first_T)[:, 0]
    return Row(ids_T[None], segments, targets - 1, ids_T[targets])


def causal_loss(network: PreTrainedModel, row: Row) -> Tensor:
    """Sum over supervised tokens of −log p(token | its piece so far), in nats."""
    hidden_TD = hidden_states(network, row.ids_1T, row.segments)
    head = network.get_output_embeddings()
    softcap = getattr(network.config.get_text_config(), "final_logit_softcapping", None)
    return summed_cross_entropy(hidden_TD[row.read_N], head.weight, getattr(head, "bias", None), row.targets_N, softcap)
