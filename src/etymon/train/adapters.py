"""Low-rank adaptation through PEFT, and the merge with its proof."""

import copy
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from torch.nn.functional import kl_div
from transformers import PreTrainedModel

from etymon.errors import EtymonError
from etymon.foundation.head import head_logits, hidden_states
from etymon.foundation.segments import Segments
from etymon.foundation.vocabulary import NewToken
from etymon.recipe import Lora
from etymon.train.vocabulary import adapter_rows

LARGEST_MERGE_DIFFERENCE = 1e-2
"""In logits, before rounding: adding the products in float32 instead of computing them apart stays under 7e-3."""
_PROOF_TOKENS = 256
LARGEST_SAVED_DIVERGENCE = 0.02
"""Mean Kullback-Leibler divergence of the saved model from the live one, in nats a token. Rounding SmolLM2-135M to bfloat16
costs 0.0002 without an adapter and 0.004 with one of noise at ten times a trained one's size (logits then move by up to 5.8,
so their maximum says little)."""


def add_adapter(network: PreTrainedModel, lora: Lora, seed: int, new_tokens: Sequence[NewToken] = ()) -> PeftModel:
    """Freeze the network and add trainable low-rank matrices (arXiv 2106.09685) to its linear layers.

    The embedding rows of new tokens are trained as they are.
    """
    torch.manual_seed(seed)
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        use_rslora=lora.rslora,
        use_dora=lora.dora,
        trainable_token_indices=adapter_rows(network, new_tokens) if new_tokens else None,
    )
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # PEFT asks Transformers by an old name
            return get_peft_model(network, config)
    except ValueError as error:
        linear = sorted({name.rpartition(".")[2] for name, m in network.named_modules() if isinstance(m, torch.nn.Linear)})
        raise EtymonError(
            f"train.lora.targets: {error}".splitlines()[0], f"Linear layers of this model: {', '.join(linear)}."
        ) from None


def merge_adapter(adapted: PeftModel, ids_T: Tensor, dtype: torch.dtype) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Add the adapter into the weights and round them to ``dtype``; returns the merged network and the proof.

    The proof compares logits on ``ids_T``: of the live adapter in the dtype it was trained in, of the merged network before
    rounding, and of what is saved, computed in float32 from the rounded weights. Raises EtymonError above either
    bound: the merged model would not be the one that was trained.
    """
    live_TV = live_logits(adapted, ids_T)
    merged: PreTrainedModel = adapted.merge_and_unload()
    exact_TV = _logits(merged, ids_T)
    rounded = copy.deepcopy(merged).to(dtype).float() if dtype != torch.float32 else merged
    saved_TV = _logits(rounded, ids_T)
    merging = float((live_TV - exact_TV).abs().max())
    saving = divergence(live_TV, saved_TV)
    proof = {
        "merge_logit_difference": merging,
        "merge_logit_difference_saved": float((live_TV - saved_TV).abs().max()),
        "merge_divergence_saved": saving,
        "merge_same_best_token": float((live_TV.argmax(-1) == saved_TV.argmax(-1)).float().mean()),
        "merge_dtype": str(dtype).removeprefix("torch."),
    }
    if not merging <= LARGEST_MERGE_DIFFERENCE:
        raise EtymonError(
            f"Merging the adapter changed logits by {merging:.2g}, more than {LARGEST_MERGE_DIFFERENCE}.",
            "Lower train.lora.alpha or train.learning_rate.",
        )
    if not saving <= LARGEST_SAVED_DIVERGENCE:
        raise EtymonError(
            f"Saved as {proof['merge_dtype']}, the merged model diverges from the trained one by {saving:.2g} nats a token, "
            f"more than {LARGEST_SAVED_DIVERGENCE}.",
            "Lower train.lora.alpha or train.learning_rate, or start from a foundation that is stored in float32.",
        )
    return merged, proof


def live_logits(adapted: PeftModel, ids_T: Tensor) -> Tensor:
    """[T, V] with the adapter at work, of the first tokens: what a proof is about."""
    adapted.eval()
    return _logits(adapted.base_model.model, ids_T)


def divergence(live_TV: Tensor, other_TV: Tensor) -> float:
    """Mean Kullback-Leibler divergence of the other model from the live one, in nats a token."""
    return float(kl_div(other_TV.log_softmax(-1), live_TV.log_softmax(-1), reduction="batchmean", log_target=True))


def _logits(network: PreTrainedModel, ids_T: Tensor) -> Tensor:
    ids_T = ids_T[:_PROOF_TOKENS]
    with torch.no_grad():
        segments = Segments.of_documents([len(ids_T)])
        return head_logits(network, hidden_states(network, ids_T[None].to(network.device), segments)).float().cpu()
