"""A model about to be examined: its network ready for packed rows, its tokenizer, and how much it can be fed."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from etymon.errors import EtymonError
from etymon.evaluate.scorer import SharedPrefixScorer
from etymon.evaluate.tree import ROW_TOKENS
from etymon.foundation.head import prepare_packed
from etymon.foundation.model import Model
from etymon.foundation.network import load_network, load_tokenizer

Progress = Callable[[str, int, int], None]
"""Told what is being done, tokens (or requests) done, and how many there are."""

_DEFAULT_LENGTH = 2048
_UNLIMITED = int(1e30)
"""What a tokenizer reports for ``model_max_length`` where its config says nothing."""


@dataclass(frozen=True)
class Examinee:
    """A model in memory, in float32: the reference every faster path is measured against."""

    name: str
    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    row_tokens: int = ROW_TOKENS
    """Tokens of one forward pass."""

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
    def scorer(self) -> SharedPrefixScorer:
        return SharedPrefixScorer(self.network, self.max_length, row_tokens=self.row_tokens)


def open_examinee(model: Model, device: str = "auto", row_tokens: int = ROW_TOKENS) -> Examinee:
    """Load a model in float32. The last one is kept: a model's tasks follow one another."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    key = (model.digest, device)
    if key not in _last:
        _last.clear()  # before loading, so that two networks never lie in memory at once
        network = prepare_packed(load_network(model, dtype=torch.float32, device=device))
        _last[key] = (network, load_tokenizer(model))
    network, tokenizer = _last[key]
    return Examinee(model.name, network, tokenizer, row_tokens)


_last: dict[tuple[str, str], tuple[PreTrainedModel, PreTrainedTokenizerBase]] = {}
