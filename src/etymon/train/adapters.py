"""Low-rank adaptation through PEFT, and the merge with its proof."""

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import PreTrainedModel

from etymon.errors import EtymonError
from etymon.foundation.head import head_logits, hidden_states
from etymon.foundation.segments import Segments
from etymon.recipe import Lora

LARGEST_MERGE_DIFFERENCE = 1e-2
"""In logits. Small fp32 models stay under 1e-4 (tested); the bound is for merges that lose what was trained."""


def add_adapter(network: PreTrainedModel, lora: Lora, seed: int) -> PeftModel:
    """Freeze the network and add trainable low-rank matrices (arXiv 2106.09685) to its linear layers."""
    torch.manual_seed(seed)
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    config = LoraConfig(
        task_type="CAUSAL_LM", r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets
    )
    try:
        return get_peft_model(network, config)
    except ValueError as error:
        linear = sorted({name.rpartition(".")[2] for name, m in network.named_modules() if isinstance(m, torch.nn.Linear)})
        raise EtymonError(
            f"train.lora.targets: {error}".splitlines()[0], f"Linear layers of this model: {', '.join(linear)}."
        ) from None


def merge_adapter(adapted: PeftModel, ids_T: Tensor) -> tuple[PreTrainedModel, float]:
    """Add the adapter into the weights; returns the merged network and the largest logit difference on ``ids_T``.

    Raises EtymonError above ``LARGEST_MERGE_DIFFERENCE``: the merged model would not be the one that was trained.
    """
    adapted.eval()
    segments = Segments.of_documents([len(ids_T)])
    with torch.no_grad():
        live_TV = head_logits(adapted.base_model.model, hidden_states(adapted.base_model.model, ids_T[None], segments))
        merged: PreTrainedModel = adapted.merge_and_unload()
        merged_TV = head_logits(merged, hidden_states(merged, ids_T[None], segments))
    difference = float((live_TV - merged_TV).abs().max())
    if not difference <= LARGEST_MERGE_DIFFERENCE:
        raise EtymonError(
            f"Merging the adapter changed logits by {difference:.2g}, more than {LARGEST_MERGE_DIFFERENCE}.",
            "Lower train.lora.alpha or train.learning_rate.",
        )
    return merged, difference
