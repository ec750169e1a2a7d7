"""The loop: equal to plain Transformers, blind between documents, exact through a kill, extendable."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from etymon.foundation.head import prepare_packed
from etymon.recipe import Lora
from etymon.train.adapters import add_adapter, merge_adapter
from etymon.train.loop import LoopSettings, StepMetrics, forward_backward, train
from etymon.train.objectives import causal_row
from etymon.train.packing import Pieces, cut_documents, packs_of_step, plan_steps

SETTINGS = LoopSettings(
    learning_rate=1e-2,
    warmup_steps=2,
    decay_share=0.3,
    weight_decay=0.01,
    betas=(0.9, 0.95),
    clip_norm=1.0,
    compute_dtype=torch.float32,
    pack_tokens=96,
    checkpoint_seconds=0.0,
)


@pytest.fixture(scope="module")
def pieces() -> Pieces:
    random = np.random.default_rng(0)
    return cut_documents([random.integers(3, 500, n).astype(np.int32) for n in random.integers(4, 90, 40)], 64)


def packed_network(folder: Path) -> PreTrainedModel:
    return prepare_packed(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))


def weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in network.named_parameters()}


class Killed(Exception):
    """Stands for the kill: raised between two steps, after the checkpoint was written."""


def run_until(
    folder: Path, pieces: Pieces, checkpoints: Path, tokens: int, kill_after: int | None = None, lora: bool = False
) -> torch.nn.Module:
    torch.manual_seed(0)
    network: torch.nn.Module = packed_network(folder)
    if lora:
        network = add_adapter(network, Lora(rank=4, dropout=0.1), seed=0)

    def on_step(metrics: StepMetrics) -> None:
        if metrics.step == kill_after:
            raise Killed

    checkpoints.mkdir(exist_ok=True)
    plan = plan_steps(pieces, 128, 0, tokens=tokens, epochs=None)
    train(network, pieces, plan, SETTINGS, checkpoints, on_step, lambda done: None)
    return network


def test_packed_loss_and_gradients_equal_unpacked_transformers(tiny_llama: Path, pieces: Pieces) -> None:
    step = list(range(12))
    plain = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32, attn_implementation="eager")
    supervised = sum(int(pieces.lengths[i]) - 1 for i in step)
    total = 0.0
    for i in step:
        ids = torch.from_numpy(pieces.piece(i)).long()[None]
        loss = plain(input_ids=ids, labels=ids, use_cache=False).loss * (ids.shape[1] - 1) / supervised
        loss.backward()
        total += float(loss.detach())
    packed = packed_network(tiny_llama)
    rows = [causal_row(pieces, pack) for pack in packs_of_step(pieces.lengths.tolist(), step, 96)]
    assert len(rows) > 2
    found = forward_backward(packed, rows, torch.float32)
    assert found == pytest.approx(total, rel=1e-5)
    expected = dict(plain.named_parameters())
    for name, parameter in packed.named_parameters():
        difference = (parameter.grad - expected[name].grad).norm() / expected[name].grad.norm()
        assert difference <= 1e-5, name


def test_rows_do_not_change_the_loss(tiny_llama: Path, pieces: Pieces) -> None:
    losses = []
    for pack_tokens in (64, 128, 4096):
        rows = [causal_row(pieces, pack) for pack in packs_of_step(pieces.lengths.tolist(), range(20), pack_tokens)]
        losses.append(forward_backward(packed_network(tiny_llama), rows, torch.float32))
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("kill_after", [2, 5, 9])
def test_a_killed_run_ends_with_the_same_bits(
    tiny_llama: Path, pieces: Pieces, tmp_path: Path, kill_after: int, lora: bool
) -> None:
    whole = run_until(tiny_llama, pieces, tmp_path / "whole", 1200, lora=lora)
    with pytest.raises(Killed):
        run_until(tiny_llama, pieces, tmp_path / "cut", 1200, kill_after=kill_after, lora=lora)
    resumed = run_until(tiny_llama, pieces, tmp_path / "cut", 1200, lora=lora)
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, dict(resumed.named_parameters())[name]), name
    metrics = [(tmp_path / name / "metrics.jsonl").read_text().count("\n") for name in ("whole", "cut")]
    assert metrics[0] == metrics[1]


def test_an_extended_run_equals_one_that_was_longer_from_the_start(tiny_llama: Path, pieces: Pieces, tmp_path: Path) -> None:
    long = run_until(tiny_llama, pieces, tmp_path / "long", 2400)
    run_until(tiny_llama, pieces, tmp_path / "extended", 1200)
    kept = sorted(path.name for path in (tmp_path / "extended").glob("step-*"))
    extended = run_until(tiny_llama, pieces, tmp_path / "extended", 2400)
    assert kept[0] > "step-000004"
    for name, tensor in weights(long).items():
        assert torch.equal(tensor, dict(extended.named_parameters())[name]), name


def test_a_damaged_checkpoint_is_passed_over(tiny_llama: Path, pieces: Pieces, tmp_path: Path) -> None:
    whole = run_until(tiny_llama, pieces, tmp_path / "whole", 1200)
    with pytest.raises(Killed):
        run_until(tiny_llama, pieces, tmp_path / "cut", 1200, kill_after=6)
    newest = max((tmp_path / "cut").glob("step-*"))
    content = bytearray((newest / "state.safetensors").read_bytes())
    content[-1] ^= 1
    (newest / "state.safetensors").write_bytes(content)
    resumed = run_until(tiny_llama, pieces, tmp_path / "cut", 1200)
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, dict(resumed.named_parameters())[name]), name


def test_training_lowers_the_loss(make_llama: Callable[..., Path], pieces: Pieces, tmp_path: Path) -> None:
    network = packed_network(make_llama(seed=3))
    (tmp_path / "c").mkdir()
    plan = plan_steps(pieces, 128, 0, tokens=None, epochs=4.0)
    metrics = train(
        network, pieces, plan, replace(SETTINGS, checkpoint_seconds=1e9), tmp_path / "c", lambda m: None, lambda n: None
    )
    assert metrics[-1].loss < metrics[0].loss - 0.2
    assert plan.epochs == pytest.approx(4.0, abs=0.2)


def test_merged_adapter_gives_the_live_adapters_logits(tiny_llama: Path, pieces: Pieces, tmp_path: Path) -> None:
    adapted = run_until(tiny_llama, pieces, tmp_path / "c", 600, lora=True)
    merged, difference = merge_adapter(adapted, torch.from_numpy(pieces.piece(0)).long())  # type: ignore[arg-type]
    assert difference < 1e-4
    assert not any("lora" in name for name, _ in merged.named_parameters())
    base = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    changed = [name for name, p in merged.named_parameters() if not torch.equal(p, dict(base.named_parameters())[name])]
    assert any("q_proj" in name for name in changed)
