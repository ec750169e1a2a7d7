"""Fused adapters compute what PEFT computes, gradients too, and follow what the optimizer changes."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from training import packed_network, random_documents, run_training, trainee_of

from etymon.recipe import Lora
from etymon.train.adapters import add_adapter
from etymon.train.fused_lora import fuse_adapters, unfuse_adapters


def adapted(folder: Path, **settings: object) -> PeftModel:
    network = add_adapter(packed_network(folder), Lora.model_validate({"rank": 4} | settings), seed=0)
    torch.manual_seed(1)
    for name, parameter in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return network


def loss_and_gradients(network: PeftModel) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    unpacked = network.set_attn_implementation("sdpa") or network
    ids = torch.arange(3, 40)[None]
    loss = unpacked(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("settings", [{}, {"rslora": True}, {"targets": ("q_proj", "v_proj")}], ids=str)
def test_fused_equals_peft(tiny_llama: Path, settings: dict[str, object]) -> None:
    plain, fused = adapted(tiny_llama, **settings), adapted(tiny_llama, **settings)
    fuse_adapters(fused)
    assert any("forward" in module.__dict__ for module in fused.modules())
    expected, expected_gradients = loss_and_gradients(plain)
    found, gradients = loss_and_gradients(fused)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in gradients.items():
        difference = (gradient - expected_gradients[name]).norm() / expected_gradients[name].norm()
        assert difference < 5e-5, name


@pytest.mark.parametrize("settings", [{"dropout": 0.1}, {"dora": True}], ids=str)
def test_others_are_left_to_peft(tiny_llama: Path, settings: dict[str, object]) -> None:
    network = adapted(tiny_llama, **settings)
    fuse_adapters(network)
    assert not any("forward" in module.__dict__ for module in network.modules())


def test_training_is_the_same(tiny_llama: Path, tmp_path: Path) -> None:
    losses = {}
    for fused in (False, True):
        trainee = trainee_of(tiny_llama, lora=True, dropout=0.0)
        if fused:
            fuse_adapters(trainee.network)
        losses[fused] = [m.loss for m in run_training(trainee, random_documents(), tmp_path / str(fused))]
        unfuse_adapters(trainee.network)
    assert losses[True] == pytest.approx(losses[False], rel=1e-5)
    assert len(set(losses[True])) > 5  # the adapter was changed by every step
