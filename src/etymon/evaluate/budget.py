"""How many tokens a forward pass takes, and how many of a path are held, so that scoring keeps to a memory budget.

Counted, besides the weights: activations and attention of a row, keys and values that rows continue, logits of the positions
read at once. Estimated from the config's sizes, from above; what the interpreter and the libraries need is not in it.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etymon.errors import EtymonError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MEMORY_MB = 2048
"""The budget unless asked otherwise, in 10⁶ bytes. What is not needed is not taken."""

ROW_TOKENS = 1024
"""Tokens of one forward pass where memory allows. 512 to 2,048 were equally fast on two cores."""

LEAST_ROW = 32
"""Fewer tokens a pass waste the processor."""

HEAD_POSITIONS = 256
"""Positions whose logits exist at once: 256 × 49,152 words are 50 MB in fp32."""


@dataclass(frozen=True)
class ScoringBudget:
    """Limits of one scoring."""

    row_tokens: int
    held_tokens: int
    head_positions: int


def scoring_budget(network: "PreTrainedModel", memory_mb: float, longest: int) -> ScoringBudget:
    """Limits within which requests of at most ``longest`` tokens are scored.

    Wanted are rows of 1,024 tokens and whole paths held. With less memory rows become shorter; where a held token costs more
    than one of a row, rows become longer instead and what is not held is computed again. Raises EtymonError where none fits.
    """
    costs = token_costs(network, longest)
    memory = memory_mb * 1e6
    head_positions = max(1, min(HEAD_POSITIONS, int(memory / 4 / costs.head_position)))
    left = memory - head_positions * costs.head_position
    row = min(ROW_TOKENS, int((left - longest * costs.held_token) / costs.row_token))
    if row >= LEAST_ROW:
        return ScoringBudget(row, longest, head_positions)
    dearer = costs.held_token - costs.row_token
    row = min(longest, max(LEAST_ROW, math.ceil((longest * costs.held_token - left) / dearer))) if dearer > 0 else LEAST_ROW
    if row * costs.row_token + max(0, longest - row) * costs.held_token <= left:
        return ScoringBudget(row, max(0, longest - row), head_positions)
    least = min(longest * costs.row_token, LEAST_ROW * costs.row_token + longest * costs.held_token)
    raise EtymonError(
        f"The memory budget of {memory_mb:g} MB does not hold a request of {longest} tokens.",
        f"Give --memory {math.ceil((least * 4 / 3 + costs.head_position) / 1e6) + 1} or more, or ask shorter questions.",
    )


@dataclass(frozen=True)
class TokenCosts:
    """Bytes of one token of a row, of one held token, and of one position whose logits are computed."""

    row_token: int
    held_token: int
    head_position: int


def token_costs(network: "PreTrainedModel", longest: int) -> TokenCosts:
    """Estimated from above, by the sizes in the config, where no request is longer than ``longest``."""
    config = network.config.get_text_config()
    width, heads, layers = config.hidden_size, config.num_attention_heads, config.num_hidden_layers
    key_heads = getattr(config, "num_key_value_heads", None) or heads
    head_width = getattr(config, "head_dim", None) or width // heads
    inner = getattr(config, "intermediate_size", None) or 4 * width
    each = network.dtype.itemsize
    norms_and_residual = width * (2 * each + 3 * 4)  # norms are computed in float32
    attention = head_width * (4 * heads + 4 * key_heads) * max(each, 4)
    joined = head_width * 2 * (key_heads + heads) * max(each, 4)  # keys and values side by side, then one for each query head
    masks = longest * (1 + 4)  # as they are kept, and as the kernel wants them
    capped = getattr(config, "attn_logit_softcapping", None)
    scores = longest * heads * 3 * 4 if capped else 0
    return TokenCosts(
        row_token=norms_and_residual + attention + joined + inner * 4 * each + masks + scores,
        held_token=layers * 2 * key_heads * head_width * each + joined,  # of one layer at a time
        head_position=config.vocab_size * (each + 2 * 4),  # logits, then in float32, then log-probabilities
    )


@dataclass(frozen=True)
class SlotBudget:
    """Limits of generating: sequences at once, tokens of each, tokens of one forward pass."""

    slots: int
    capacity: int
    row_tokens: int


def slot_budget(network: "PreTrainedModel", memory_mb: float, longest: int, wanted: int) -> SlotBudget:
    """Limits within which sequences of at most ``longest`` tokens grow side by side, ``wanted`` of them where memory allows.

    Slots take at most half of the memory, unless it is a single one. Raises EtymonError where none fits.
    """
    costs = token_costs(network, longest)
    memory = memory_mb * 1e6
    slot = longest * costs.held_token + costs.head_position
    slots = max(1, min(wanted, int(memory / 2 / slot))) if memory / 2 >= LEAST_ROW * costs.row_token else 1
    row = min(ROW_TOKENS, int((memory - slots * slot) / costs.row_token))
    if row < min(LEAST_ROW, longest):
        raise EtymonError(
            f"The memory budget of {memory_mb:g} MB does not hold a prompt and its answer of {longest} tokens.",
            f"Give --memory {math.ceil((slot + LEAST_ROW * costs.row_token) / 1e6) + 1} or more, or ask shorter questions.",
        )
    return SlotBudget(slots, longest, row)
