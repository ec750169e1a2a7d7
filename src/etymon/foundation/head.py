"""From token ids to hidden states and from chosen hidden states to logits: the head runs only where it is read.

Shape suffixes: T tokens of a row, N chosen positions, D model width, V vocabulary.
"""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from etymon.errors import EtymonError
from etymon.foundation.held import Held
from etymon.foundation.memory import keep_freed_memory
from etymon.foundation.segments import ATTENTION, Segments, check_layers

_TRIAL = (4, 4)
"""Lengths of the documents on which packing is tried before a model is accepted: equal, to be on one side of LongRoPE's."""


def prepare_packed(network: PreTrainedModel) -> PreTrainedModel:
    """Switch a causal language model to packed attention. Raises EtymonError for one that it would get wrong.

    Refused by name: layers that carry a state or are chunked, and models whose attention cannot be replaced. What else a
    family may do (a bias by distance, attention in both directions, logits changed after the head) shows when two short
    documents are computed side by side and each alone, as Transformers does it.
    """
    keep_freed_memory()
    check_layers(network.config)
    if network._is_stateful or not network._supports_attention_backend:
        why = "carries a state along the row" if network._is_stateful else "has an attention of its own"
        raise _unsupported(network, f"{why}, so packed documents would leak into each other")
    vocabulary = network.config.get_text_config().vocab_size
    ids_1T = (torch.arange(sum(_TRIAL), device=network.device)[None] * 7 + 3) % vocabulary
    with torch.no_grad():
        network.set_attn_implementation("eager")
        alone = [network(each_1T, use_cache=False).logits[0] for each_1T in ids_1T.split(_TRIAL, dim=1)]
        network.set_attn_implementation(ATTENTION)
        packed_TV = head_logits(network, hidden_states(network, ids_1T, Segments.of_documents(_TRIAL)))
    difference = _relative_difference(packed_TV, torch.cat(alone))
    if difference > (1e-3 if network.dtype == torch.float32 else 0.1):  # eager and fused bf16 attention differ by about 0.01
        raise _unsupported(network, f"gives other logits in packed rows than by itself (by {difference:.2g} of their size)")
    return network


def _relative_difference(ours: Tensor, theirs: Tensor) -> float:
    """‖ours − theirs‖ / ‖theirs‖ over what is a number in both; weights that are none are not for this check to find."""
    ours, theirs = ours.float().nan_to_num(0, 0, 0), theirs.float().nan_to_num(0, 0, 0)
    return float((ours - theirs).norm() / theirs.norm().clamp(min=1e-12))


def _unsupported(network: PreTrainedModel, why: str) -> EtymonError:
    return EtymonError(
        f"{type(network).__name__} ({network.config.model_type}) {why}.",
        "Choose a foundation of the LLaMA, Mistral, Qwen, Gemma or Phi families.",
    )


def hidden_states(network: PreTrainedModel, ids_1T: Tensor, segments: Segments, held: Held | None = None) -> Tensor:
    """Last hidden states [T, D] of a packed row, before the head. Gradients flow if they are enabled.

    With ``held`` the row continues tokens of earlier rows, and leaves behind what it was told to; without gradients.
    Where a family scales its logits (Granite, Cohere) they are scaled here, which is the same and leaves the head plain.
    """
    body = network.get_decoder()
    positions_1T = segments.positions_1T.to(ids_1T.device)
    more = {} if held is None else {"held": held}
    output = body(input_ids=ids_1T, position_ids=positions_1T, segments=segments, use_cache=False, **more)
    hidden_1TD: Tensor = output.last_hidden_state
    return scale_for_head(network, hidden_1TD[0])


def scale_for_head(network: PreTrainedModel, hidden_TD: Tensor) -> Tensor:
    """The body's last hidden states, so scaled that the plain head gives the family's logits."""
    config = network.config.get_text_config()
    if config.model_type in ("granite", "granitemoe", "granitemoeshared"):
        return hidden_TD / float(config.logits_scaling)
    if config.model_type in ("cohere", "cohere2"):
        return hidden_TD * float(config.logit_scale)
    return hidden_TD


def head_logits(network: PreTrainedModel, hidden_ND: Tensor) -> Tensor:
    """Logits [N, V] at the given hidden states, with the model's final soft cap where it has one (Gemma-2)."""
    head = network.get_output_embeddings()
    assert isinstance(head, nn.Module)
    return cap_logits(network, head(hidden_ND))


def cap_logits(network: PreTrainedModel, logits_NV: Tensor) -> Tensor:
    """softcap·tanh(logits/softcap) where the config asks for it."""
    softcap = getattr(network.config.get_text_config(), "final_logit_softcapping", None)
    return logits_NV if softcap is None else softcap * torch.tanh(logits_NV / softcap)
