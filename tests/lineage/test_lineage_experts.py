"""Mixtures of experts: read by shapes, however they are stored, and recognised as what they were made from."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from lineage_models import HEAD, VOCABULARY, small_config
from lineage_transforms import Tensors, noise, permute_residual, write_weights
from transformers import MixtralConfig, MixtralForCausalLM

from etymon.foundation.weights import open_weights
from etymon.lineage.compare import compare
from etymon.lineage.read.structure import read_structure

EXPERTS, NEURONS = 4, 192


def mixtral(seed: int, dense: Tensors | None = None) -> MixtralForCausalLM:
    """A small Mixtral; with ``dense``, every expert and all the rest are copied from this LLaMA."""
    torch.manual_seed(seed)
    llama = small_config()
    config = MixtralConfig(
        vocab_size=VOCABULARY, hidden_size=llama.hidden_size, intermediate_size=NEURONS, num_hidden_layers=6,
        num_attention_heads=2, num_key_value_heads=1, head_dim=HEAD, max_position_embeddings=64, num_local_experts=EXPERTS,
        num_experts_per_tok=2, tie_word_embeddings=True,
    )  # fmt: skip
    model = MixtralForCausalLM(config)
    if dense is None:
        return model
    state = model.state_dict()
    values = {name: torch.from_numpy(value) for name, value in dense.items()}
    for name in state:
        if name in values:
            state[name] = values[name]
        elif match := re.fullmatch(r"(model\.layers\.\d+\.mlp\.)experts\.(gate_up|down)_proj", name):
            parts = ("gate", "up") if match[2] == "gate_up" else ("down",)
            one = torch.cat([values[f"{match[1]}{part}_proj.weight"] for part in parts])
            state[name] = one.expand(EXPERTS, *one.shape)
    model.load_state_dict(state)
    return model


def saved(folder: Path, model: MixtralForCausalLM) -> Tensors:
    """What ``save_pretrained`` writes: every matrix of every expert on its own."""
    model.save_pretrained(folder)
    weights = open_weights(folder)
    return {name: weights.read(name).copy() for name in weights.names}


def stacked(tensors: Tensors, way: str) -> Tensors:
    """The experts of each layer in tensors of three axes: as Transformers computes, turned (Llama 4), in turns (GPT-OSS)."""
    out = {name: values for name, values in tensors.items() if ".experts." not in name}
    for prefix in sorted({name.partition(".experts.")[0] for name in tensors if ".experts." in name}):
        gate, down, up = (
            np.stack([tensors[f"{prefix}.experts.{expert}.w{part}.weight"] for expert in range(EXPERTS)])
            for part in (1, 2, 3)
        )
        fused = np.concatenate([gate, up], 1) if way != "in turns" else np.stack([gate, up], 2).reshape(EXPERTS, -1, 64)
        if way == "apart":
            out |= {f"{prefix}.one": gate, f"{prefix}.two": down, f"{prefix}.three": up}
        elif way == "as computed":
            out |= {f"{prefix}.both": fused, f"{prefix}.back": down}
        else:
            out |= {f"{prefix}.both": fused.swapaxes(1, 2), f"{prefix}.back": down.swapaxes(1, 2)}
    return out


@pytest.fixture(scope="module")
def upcycled(tmp_path_factory: pytest.TempPathFactory, base: Tensors) -> Tensors:
    return saved(tmp_path_factory.mktemp("upcycled"), mixtral(3, base))


@pytest.mark.parametrize("way", ["apart", "as computed", "turned", "in turns"])
def test_every_way_of_storing_reads_the_same(tmp_path: Path, upcycled: Tensors, way: str) -> None:
    plain = open_weights(write_weights(tmp_path / "plain", upcycled))
    other = open_weights(write_weights(tmp_path / "stacked", stacked(upcycled, way)))
    one, two = read_structure(plain), read_structure(other)
    assert (one.gated, len(one.layers), one.neurons, one.key_width) == (True, 6, NEURONS, HEAD)
    assert (two.gated, len(two.layers), two.neurons, two.key_width) == (True, 6, NEURONS, HEAD)
    assert one.loose == two.loose == ()
    assert one.ties == two.ties
    for layer in range(6):
        assert len(one.layer_experts(layer)) == len(two.layer_experts(layer)) == EXPERTS
        for ours, theirs in zip(one.layer_experts(layer), two.layer_experts(layer), strict=True):
            for role in ("gate", "up", "down"):
                values = theirs[role].read(other)
                assert values.shape == theirs[role].shape(other.shape(theirs[role].name))
                np.testing.assert_array_equal(ours[role].read(plain), values)
                np.testing.assert_array_equal(theirs[role].part(3, 9).read(other), values[3:9])


def test_an_upcycled_mixture_is_related_to_its_dense_parent(tmp_path: Path, base: Tensors, upcycled: Tensors) -> None:
    parent = write_weights(tmp_path / "base", base)
    noised = noise(upcycled, 0.3)
    for number, tensors in enumerate([upcycled, permute_residual_of_mixture(noised), stacked(noised, "turned")]):
        model = write_weights(tmp_path / f"model{number}", other_words(tensors))
        for one, other in ((model, parent), (parent, model)):
            found = compare(one, other)
            assert found.verdict == "related", found.reasons
            neurons = next(test for test in found.tests if test.kind == "neurons")
            assert neurons.effect > 0.95


def other_words(tensors: Tensors) -> Tensors:
    """Every word of the names backwards and the numbers kept; they say which expert a tensor is of."""
    return {re.sub(r"[a-z_]+", lambda match: match[0][::-1], name): values for name, values in tensors.items()}


def permute_residual_of_mixture(tensors: Tensors) -> Tensors:
    """``permute_residual`` knows LLaMA's names: w2 writes like down_proj."""
    named = {name.replace("w2.weight", "down_proj.weight"): values for name, values in tensors.items()}
    return {name.replace("down_proj.weight", "w2.weight"): values for name, values in permute_residual(named).items()}


def test_mixtures_of_other_starts_are_independent(tmp_path: Path, base: Tensors) -> None:
    one = saved(tmp_path / "one", mixtral(5))
    other = saved(tmp_path / "other", mixtral(6))
    folders = [write_weights(tmp_path / f"m{number}", tensors) for number, tensors in enumerate([one, other, base])]
    for model, parent in ((0, 1), (0, 2), (2, 0)):
        assert compare(folders[model], folders[parent]).verdict == "independent"


def test_every_expert_is_measured(tmp_path: Path, base: Tensors, upcycled: Tensors) -> None:
    model = write_weights(tmp_path / "model", noise(upcycled, 0.05))
    for parent in (write_weights(tmp_path / "upcycled", upcycled), write_weights(tmp_path / "base", base)):
        found = compare(model, parent)
        downs = [change for change in found.changes if change.role == "down"]
        assert len(downs) == 6 * EXPERTS
        assert all(change.relative == pytest.approx(0.05, rel=0.1) for change in downs)


def test_a_mixture_in_another_dtype_is_identical(tmp_path: Path, upcycled: Tensors) -> None:
    halves = {name: values.astype(np.float16) for name, values in upcycled.items()}
    parent = write_weights(tmp_path / "parent", {name: values.astype(np.float32) for name, values in halves.items()})
    assert compare(write_weights(tmp_path / "model", halves), parent).identical  # type: ignore[arg-type]
