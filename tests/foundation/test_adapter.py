"""Adapters that PEFT saved, laid over their base, give what PEFT merges; what is not plain LoRA is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from etymon.errors import EtymonError
from etymon.foundation.adapter import AdaptedWeights, describe_adapter, is_adapter, read_adapter
from etymon.foundation.weights import open_weights
from etymon.store import DigestCache


def llama() -> PreTrainedModel:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, tie_word_embeddings=False,
        )
    )  # fmt: skip


def gpt2() -> PreTrainedModel:
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=96, n_embd=32, n_layer=2, n_head=2, n_positions=16))


def saved_adapter(folder: Path, network: PreTrainedModel, **settings: Any) -> dict[str, np.ndarray]:
    """Save base and adapter, with weights that are not zero; returns the merged parameters."""
    network.save_pretrained(folder / "base")
    adapted = get_peft_model(network, LoraConfig(task_type="CAUSAL_LM", **settings))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if parameter.requires_grad:
                torch.manual_seed(len(name))
                parameter += 0.1 * torch.randn_like(parameter)
    adapted.save_pretrained(folder / "adapter")
    return {name: value.detach().numpy() for name, value in adapted.merge_and_unload().named_parameters()}


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "plain": (llama, {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}),
    "all linear layers": (llama, {"r": 2, "lora_alpha": 3, "target_modules": "all-linear"}),
    "rank-stabilised": (llama, {"r": 4, "lora_alpha": 8, "target_modules": ["o_proj"], "use_rslora": True}),
    "ranks and alphas by module": (
        llama,
        {
            "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"], "rank_pattern": {"down_proj": 2},
            "alpha_pattern": {"layers.1.self_attn.q_proj": 5},
        },
    ),
    "an embedding": (llama, {"r": 4, "lora_alpha": 8, "target_modules": ["embed_tokens", "k_proj"]}),
    "whole tensors": (llama, {"r": 4, "lora_alpha": 8, "target_modules": ["up_proj"], "modules_to_save": ["lm_head"]}),
    "inputs on rows": (gpt2, {"r": 4, "lora_alpha": 8, "target_modules": ["c_attn"], "fan_in_fan_out": True}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_base_and_adapter_are_what_peft_merges(tmp_path: Path, case: str) -> None:
    make, settings = CASES[case]
    merged = saved_adapter(tmp_path, make(), **settings)
    assert is_adapter(tmp_path / "adapter")
    assert not is_adapter(tmp_path / "base")
    changed = 0
    base = open_weights(tmp_path / "base")
    adapted = AdaptedWeights(base, read_adapter(tmp_path / "adapter"))
    assert set(base.names) <= set(adapted.names)
    for name in adapted.names:
        values = adapted.read(name)
        expected = merged.get(name, merged.get(f"transformer.{name}"))
        assert expected is not None
        np.testing.assert_allclose(values, expected, atol=1e-6)
        np.testing.assert_array_equal(adapted.rows(name, 0, 1), values.reshape(-1, values.shape[-1])[:1])
        assert b"".join(map(bytes, adapted.stored(name))) == bytes(adapted.raw(name))
        changed += adapted.raw(name) != base.raw(name)
    assert changed
    for low_rank in read_adapter(tmp_path / "adapter").low_rank:
        tensors = read_adapter(tmp_path / "adapter").tensors
        assert low_rank.norm(tensors) == pytest.approx(float(np.linalg.norm(low_rank.change(tensors))), rel=1e-5)


def test_an_adapter_is_described(tmp_path: Path) -> None:
    saved_adapter(tmp_path, llama(), r=4, lora_alpha=8, target_modules=["q_proj"])
    model = describe_adapter(tmp_path / "adapter", digests=DigestCache(tmp_path / "digests"))
    assert model.facts.parameters == 2 * 4 * (32 + 32)
    assert set(model.facts.files) == {"adapter_config.json", "adapter_model.safetensors"}


def test_another_base_is_refused(tmp_path: Path) -> None:
    saved_adapter(tmp_path, llama(), r=4, lora_alpha=8, target_modules=["q_proj"])
    gpt2().save_pretrained(tmp_path / "other")
    with pytest.raises(EtymonError, match="does not fit its base"):
        AdaptedWeights(open_weights(tmp_path / "other"), read_adapter(tmp_path / "adapter"))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"peft_type": "LOHA"}, "kind 'LOHA'"),
        ({"use_dora": True}, "DoRA"),
        ({"init_lora_weights": "pissa"}, "changes the base"),
        ({"lora_alpha": "8"}, "lora_alpha is '8'"),
        ({"lora_alpha": float("inf")}, "not valid JSON"),
        ({"alpha_pattern": {"(a+)+$": 4}}, "no plain name"),
        ({"alpha_pattern": [1]}, "no object"),
        ({"layer_replication": [[0, 1]]}, "repeated layers"),
    ],
)
def test_other_kinds_are_refused(tmp_path: Path, changed: dict[str, Any], says: str) -> None:
    saved_adapter(tmp_path, llama(), r=4, lora_alpha=8, target_modules=["q_proj"])
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changed), "utf-8")
    with pytest.raises(EtymonError, match=says):
        read_adapter(tmp_path / "adapter")


def test_weights_that_are_missing_or_pickled_are_refused(tmp_path: Path) -> None:
    saved_adapter(tmp_path, llama(), r=4, lora_alpha=8, target_modules=["q_proj"])
    (tmp_path / "adapter" / "adapter_model.safetensors").rename(tmp_path / "adapter" / "adapter_model.bin")
    with pytest.raises(EtymonError, match="lacks"):
        read_adapter(tmp_path / "adapter")
