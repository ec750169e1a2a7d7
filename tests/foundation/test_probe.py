"""The contamination probe sees a leak where there is one, and none where there is none."""

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GraniteConfig,
    LlamaConfig,
    MptConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
)

import family_sizes
from etymon.errors import EtymonError
from etymon.foundation.head import prepare_packed
from etymon.foundation.probe import probe_contamination
from etymon.foundation.segments import ATTENTION

SIZES = family_sizes.SIZES
DOCUMENTS = [list(range(3, 25)), list(range(40, 70)), list(range(80, 99))]
PACKABLE = [
    LlamaConfig(**SIZES),
    Gemma2Config(**SIZES, head_dim=16, sliding_window=8, attn_logit_softcapping=0.5),
    GraniteConfig(**SIZES, logits_scaling=8.0),
]


def network_of(config: PreTrainedConfig) -> PreTrainedModel:
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1 and "embed" not in name:
            torch.nn.init.normal_(parameter, std=0.15)
    return network


@pytest.mark.parametrize("config", PACKABLE, ids=lambda c: c.model_type)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_packed_rows_are_clean_and_the_default_path_is_not(config: PreTrainedConfig, dtype: torch.dtype) -> None:
    network = prepare_packed(network_of(config).to(dtype))
    probe = probe_contamination(network, DOCUMENTS)
    assert [row.changed for row in probe.rows] == ["document 1", "document 2", "document 3", "answer 1", "answer 2"]
    assert probe.clean
    assert probe.largest_logit_change == 0
    assert all(row.own_change > 0 for row in probe.rows)
    assert probe.largest_change_by_default > 0.01
    assert probe.rows[2].leaked_by_default == 0  # nothing comes after the last document
    assert probe.rows[3].leaked_by_default is None
    assert network.config._attn_implementation == ATTENTION


def test_a_leak_is_seen() -> None:
    """MPT weighs by distance along the whole row, with an attention of its own; ``prepare_packed`` refuses it for that."""
    config = MptConfig(vocab_size=128, d_model=64, n_layers=2, n_heads=4, max_seq_len=256)
    probe = probe_contamination(network_of(config), DOCUMENTS)
    assert not probe.clean
    assert probe.largest_logit_change > 0.01
    assert probe.rows[0].leaked > 0.01  # the first document is seen by those after it
    assert probe.rows[2].leaked == 0
    assert probe.rows[3].leaked > 0.01  # and the first answer by the second


def test_a_network_that_ignores_its_tokens_is_not_called_clean() -> None:
    network = prepare_packed(network_of(LlamaConfig(**SIZES)))
    with torch.no_grad():
        for parameter in network.get_output_embeddings().parameters():
            parameter.zero_()
    probe = probe_contamination(network, DOCUMENTS)
    assert probe.largest_logit_change == 0
    assert not probe.clean


def test_documents_that_cannot_share_a_row_are_refused() -> None:
    rope = {"rope_type": "longrope", "short_factor": [1.0] * 8, "long_factor": [2.0] * 8, "rope_theta": 1e4, "factor": 4.0}
    config = Phi3Config(
        **SIZES, rope_parameters=rope | {"original_max_position_embeddings": 20}, original_max_position_embeddings=20
    )
    with pytest.raises(EtymonError, match="LongRoPE"):
        probe_contamination(prepare_packed(network_of(config)), DOCUMENTS)
