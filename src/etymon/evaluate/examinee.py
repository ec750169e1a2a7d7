"""A model about to be examined: its network ready for packed rows, its tokenizer, and how much it can be fed."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from etymon.errors import EtymonError
from etymon.evaluate.budget import MEMORY_MB
from etymon.evaluate.ranked import RankedScorer
from etymon.evaluate.scorer import SharedPrefixScorer
from etymon.evaluate.tree import TokenRequest
from etymon.foundation.head import prepare_packed
from etymon.foundation.memory import give_back_memory
from etymon.foundation.model import Model
from etymon.foundation.network import load_network, load_tokenizer
from etymon.foundation.ranks import Ranks, join

Precision = Literal["float32", "bfloat16"]

Progress = Callable[[str, int, int], None]
"""Told what is being done, tokens (or requests) done, and how many there are."""

_DEFAULT_LENGTH = 2048
_UNLIMITED = int(1e30)
"""What a tokenizer reports for ``model_max_length`` where its config says nothing."""


@dataclass(frozen=True)
class Examinee:
    """A model in memory. Float32 is the reference every faster path is measured against."""

    name: str
    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    memory_mb: float = MEMORY_MB
    """What scoring may need besides the weights, in 10⁶ bytes."""
    order: "ScoringOrder | None" = None
    """How other ranks, where ``torchrun`` started them, are asked to score with the same model."""

    @property
    def max_length(self) -> int:
        """Most tokens the model is fed, by the rules of lm-eval's ``hf``: config, then tokenizer, then 2,048."""
        config = self.network.config.get_text_config()
        for attribute in ("n_positions", "max_position_embeddings", "n_ctx"):
            if (length := getattr(config, attribute, None)) is not None:
                return int(length)
        length = self.tokenizer.model_max_length
        return _DEFAULT_LENGTH if length is None or length >= _UNLIMITED else int(length)

    @property
    def prefix_token(self) -> int:
        """What stands before a text that has no context: BOS, else EOS, as lm-eval's ``hf`` does."""
        for token in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id):
            if token is not None:
                return int(token)
        raise EtymonError(
            f"The tokenizer of {self.name} has neither a BOS nor an EOS token; nothing can stand before the first token.",
            "Add one of them to the model's tokenizer_config.json.",
        )

    @property
    def scorer(self) -> SharedPrefixScorer | RankedScorer:
        """Of all ranks together; rank 0 asks."""
        order, ranks = self.order, join()
        if order is None or ranks.size == 1:
            return self.scorer_alone
        return RankedScorer(self.scorer_alone, ranks, lambda parts: replace(order, parts=parts))

    @property
    def scorer_alone(self) -> SharedPrefixScorer:
        return SharedPrefixScorer(self.network, self.max_length, memory_mb=self.memory_mb)


@dataclass(frozen=True)
class ScoringOrder:
    """What rank 0 asks of the others: the model's folder is on a disk they share."""

    model: Model
    device: str
    memory_mb: float
    dtype: Precision
    parts: list[list[TokenRequest]] = field(default_factory=list)
    """By rank."""

    def follow(self, ranks: Ranks) -> None:
        """Score this rank's part and hand it to rank 0."""
        if not self.model.folder.is_dir():
            raise EtymonError(
                f"Rank {ranks.rank} does not see {self.model.folder}.",
                "Put the workspace and the user's cache on a disk that all machines share.",
            )
        examinee = open_examinee(self.model, self.device, self.memory_mb, self.dtype)
        ranks.gather(examinee.scorer_alone.score(self.parts[ranks.rank]))


def open_examinee(model: Model, device: str = "auto", memory_mb: float = MEMORY_MB, dtype: Precision = "float32") -> Examinee:
    """Load a model. The last one is kept: a model's tasks follow one another."""
    order = ScoringOrder(model, device, memory_mb, dtype)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    key = (model.digest, device, dtype)
    if key not in _last:
        _last.clear()  # before loading, so that two networks never lie in memory at once
        give_back_memory()
        network = prepare_packed(load_network(model, dtype=getattr(torch, dtype), device=device))
        _last[key] = (network, load_tokenizer(model))
    network, tokenizer = _last[key]
    return Examinee(model.name, network, tokenizer, memory_mb, order)


_last: dict[tuple[str, str, str], tuple[PreTrainedModel, PreTrainedTokenizerBase]] = {}
