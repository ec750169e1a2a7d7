"""The optimizers on a tiny LLaMA: exact through a file, groups as documented, Muon learns."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from etymon.errors import EtymonError
from etymon.recipe import Lora
from etymon.train.adapters import add_adapter
from etymon.train.optimizer import Optimizer, load_optimizer_state, make_optimizer, optimizer_state

Name = Literal["adamw", "muon", "adamw8bit"]


@dataclass(frozen=True)
class Settings:
    optimizer: Name = "adamw"
    learning_rate: float = 1e-2
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)


class Trial:
    """A network, its trained parameters and an optimizer on a batch that is always the same."""

    def __init__(self, folder: Path, name: Name, lora: bool = False) -> None:
        self.network: nn.Module = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        if lora:
            self.network = add_adapter(self.network, Lora(rank=4), seed=0)
        self.parameters = {n: p for n, p in self.network.named_parameters() if p.requires_grad}
        self.optimizer = make_optimizer(self.parameters, Settings(name))
        self.ids = torch.randint(3, 500, (4, 32), generator=torch.Generator().manual_seed(0))

    def steps(self, count: int, rate: float = 1e-2) -> float:
        """Take so many steps; returns the loss before the last."""
        for _ in range(count):
            loss = self.network(input_ids=self.ids, labels=self.ids).loss
            loss.backward()
            self.optimizer.set_learning_rate(rate)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    def weights(self) -> dict[str, Tensor]:
        return {name: p.detach().clone() for name, p in self.parameters.items()}


def groups(optimizer: Optimizer) -> list[tuple[str, float, int]]:
    return [
        (type(part).__name__, group["weight_decay"], len(group["params"]))
        for part in optimizer.parts
        for group in part.param_groups
    ]


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_n_steps_equal_k_a_file_and_the_rest(tiny_llama: Path, tmp_path: Path, name: Name, lora: bool) -> None:
    whole = Trial(tiny_llama, name, lora)
    whole.steps(5)

    first = Trial(tiny_llama, name, lora)
    first.steps(2)
    save_file(optimizer_state(first.optimizer, first.parameters), tmp_path / "state.safetensors")
    rest = Trial(tiny_llama, name, lora)
    with torch.no_grad():
        for parameter, weight in zip(rest.parameters.values(), first.weights().values(), strict=True):
            parameter.copy_(weight)
    load_optimizer_state(rest.optimizer, rest.parameters, load_file(tmp_path / "state.safetensors"))
    rest.steps(3)

    expected, found = whole.weights(), rest.weights()
    assert all(torch.equal(expected[n], found[n]) for n in expected)
    memory, again = (optimizer_state(t.optimizer, t.parameters) for t in (whole, rest))
    assert memory.keys() == again.keys()
    assert all(torch.equal(memory[key], again[key]) for key in memory)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_without_the_saved_state_the_rest_differs(tiny_llama: Path, name: Name) -> None:
    """What the test above would miss if the state did not matter."""
    whole, first = Trial(tiny_llama, name), Trial(tiny_llama, name)
    whole.steps(5)
    first.steps(2)
    load_optimizer_state(first.optimizer, first.parameters, {})
    first.steps(3)
    expected, found = whole.weights(), first.weights()
    assert any(not torch.equal(expected[n], found[n]) for n in expected)


def test_a_whole_checkpoint_can_be_handed_over(tiny_llama: Path) -> None:
    """Weights and random state beside the optimizer's tensors are passed over, and state is kept by name."""
    trial = Trial(tiny_llama, "muon")
    assert optimizer_state(trial.optimizer, trial.parameters) == {}
    trial.steps(1)
    state = optimizer_state(trial.optimizer, trial.parameters)
    kinds = {key.partition("/")[0] for key in state}
    assert kinds == {"momentum_buffer", "exp_avg", "exp_avg_sq", "step"}
    assert "momentum_buffer/model.layers.0.mlp.up_proj.weight" in state
    assert "exp_avg/model.embed_tokens.weight" in state
    more = {f"parameter/{name}": p.detach() for name, p in trial.parameters.items()} | {"random": torch.get_rng_state()}
    load_optimizer_state(trial.optimizer, trial.parameters, state | more)
    assert optimizer_state(trial.optimizer, trial.parameters).keys() == state.keys()


def test_a_parameter_without_gradient_has_no_state(tiny_llama: Path) -> None:
    trial = Trial(tiny_llama, "adamw")
    held = trial.parameters["model.norm.weight"].requires_grad_(False)
    trial.steps(1)
    state = optimizer_state(trial.optimizer, trial.parameters)
    assert "exp_avg/model.norm.weight" not in state
    assert len(state) == 3 * (len(trial.parameters) - 1)
    held.requires_grad_(True)
    load_optimizer_state(trial.optimizer, trial.parameters, state)
    trial.steps(1)
    assert "exp_avg/model.norm.weight" in optimizer_state(trial.optimizer, trial.parameters)


def test_groups(make_llama: Callable[..., Path]) -> None:
    """3 layers of 7 matrices and 2 norm gains, a last norm gain, embeddings and an untied head."""
    folder = make_llama(seed=0, tie_word_embeddings=False)
    assert groups(Trial(folder, "adamw").optimizer) == [("AdamW", 0.1, 23), ("AdamW", 0.0, 7)]
    assert groups(Trial(folder, "muon").optimizer) == [("Muon", 0.1, 21), ("AdamW", 0.1, 2), ("AdamW", 0.0, 7)]
    assert groups(Trial(folder, "muon", lora=True).optimizer) == [("Muon", 0.1, 42)]


@pytest.mark.parametrize(("lora", "most"), [(False, 2.0), (True, 5.9)])
def test_muon_learns(tiny_llama: Path, lora: bool, most: float) -> None:
    trial = Trial(tiny_llama, "muon", lora)
    assert trial.steps(1) > 6.1
    assert trial.steps(14) < most


def test_muon_moves_a_matrix_as_far_as_adamw_would(tiny_llama: Path) -> None:
    """Root mean square of an update over the rate: 0.2 for AdamW in practice (arXiv 2502.16982), whatever the shape."""
    trial = Trial(tiny_llama, "muon")
    before = trial.weights()
    trial.steps(1, rate=1e-3)
    for kind in ("k_proj", "q_proj", "up_proj", "down_proj"):
        name = next(name for name in before if kind in name)
        update = (trial.parameters[name].detach() - before[name]) / 1e-3
        assert 0.15 < float(update.square().mean().sqrt()) < 0.25


def test_learning_rate_reaches_every_part(tiny_llama: Path) -> None:
    trial = Trial(tiny_llama, "muon")
    before = trial.weights()
    trial.steps(1, rate=0.0)
    assert all(torch.equal(before[name], p) for name, p in trial.weights().items())
    held = [p for part in trial.optimizer.parts for group in part.param_groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in trial.parameters.values()}


def test_eight_bits_only_on_cuda(tiny_llama: Path) -> None:
    with pytest.raises(EtymonError, match="CUDA only; the model is on cpu"):
        Trial(tiny_llama, "adamw8bit")
