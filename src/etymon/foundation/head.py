"""From token ids to hidden states and from chosen hidden states to logits: the head runs only where it is read.

Shape suffixes: T tokens of a row, N chosen positions, D model width, V vocabulary.
"""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from etymon.errors import EtymonError
from etymon.foundation.memory import keep_freed_memory
from etymon.foundation.segments import ATTENTION, Segments


def prepare_packed(network: PreTrainedModel) -> PreTrainedModel:
    """Switch a causal language model to packed attention. Refuses models whose logits we would not reproduce.

    Families that change logits after the head (other than Gemma's soft cap) are caught by comparing on a few tokens.
    """
    keep_freed_memory()
    network.set_attn_implementation(ATTENTION)
    ids_1T = torch.arange(4, device=network.device)[None] % network.config.get_text_config().vocab_size
    segments = Segments.of_documents([3, 1])
    with torch.no_grad():
        whole_TV = network(
            ids_1T, position_ids=segments.positions_1T.to(network.device), segments=segments, use_cache=False
        ).logits[0]
        ours_TV = head_logits(network, hidden_states(network, ids_1T, segments))
    if not torch.allclose(whole_TV.float(), ours_TV.float(), rtol=1e-3, atol=1e-3, equal_nan=True):
        raise EtymonError(
            f"{type(network).__name__} changes its logits after the head in a way that is not supported here.",
            "Choose a foundation of the LLaMA, Mistral, Qwen, Gemma or Phi families.",
        )
    return network


def hidden_states(network: PreTrainedModel, ids_1T: Tensor, segments: Segments) -> Tensor:
    """Last hidden states [T, D] of a packed row, before the head. Gradients flow if they are enabled."""
    body = network.get_decoder()
    positions_1T = segments.positions_1T.to(ids_1T.device)
    output = body(input_ids=ids_1T, position_ids=positions_1T, segments=segments, use_cache=False)
    hidden_1TD: Tensor = output.last_hidden_state
    return hidden_1TD[0]


def head_logits(network: PreTrainedModel, hidden_ND: Tensor) -> Tensor:
    """Logits [N, V] at the given hidden states, with the model's final soft cap where it has one (Gemma-2)."""
    head = network.get_output_embeddings()
    assert isinstance(head, nn.Module)
    return cap_logits(network, head(hidden_ND))


def cap_logits(network: PreTrainedModel, logits_NV: Tensor) -> Tensor:
    """softcap·tanh(logits/softcap) where the config asks for it."""
    softcap = getattr(network.config.get_text_config(), "final_logit_softcapping", None)
    return logits_NV if softcap is None else softcap * torch.tanh(logits_NV / softcap)
