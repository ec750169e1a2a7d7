"""What counts as the same bit for bit or value for value, and what only looks like it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lineage_models import random_model, tensors_of
from lineage_transforms import Tensors, fold_gains, noise, permute_neurons, rename_words, write_weights
from transformers import BertConfig, BertModel

from etymon.lineage.compare import compare
from etymon.lineage.explain import explain
from etymon.lineage.verdict import Lineage

POSITIONS = np.arange(512, dtype=np.int64)[None]


def compared(folder: Path, model: Tensors, parent: Tensors) -> Lineage:
    return compare(write_weights(folder / "model", model), write_weights(folder / "parent", parent))


def waves(rows: int, width: int) -> np.ndarray:
    angles = np.arange(rows)[:, None] / 10_000 ** (np.arange(0, width, 2) / width)
    return np.concatenate([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


@pytest.mark.parametrize(
    "table",
    [POSITIONS, waves(64, 32), waves(1024, 64), np.tril(np.ones((64, 64), np.float32))],
    ids=["positions", "rotary cache", "sinusoidal positions", "causal mask"],
)
def test_a_table_that_anyone_computes_shows_nothing(
    tmp_path: Path, base: Tensors, scratch: Tensors, table: np.ndarray
) -> None:
    lineage = compared(tmp_path, {**scratch, "table": table}, {**base, "table": table})
    assert lineage.verdict == "independent"
    assert lineage.shared_matrices == 0


def test_two_encoders_with_stored_positions_are_not_related(tmp_path: Path) -> None:
    def encoder(seed: int) -> Tensors:
        torch.manual_seed(seed)
        sizes = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 128}
        model = BertModel(BertConfig(vocab_size=400, **sizes))
        return {**{name: value.detach().numpy() for name, value in model.named_parameters()}, "position_ids": POSITIONS}

    one, other = encoder(1), encoder(2)
    assert compared(tmp_path, one, other).verdict == "inconclusive"
    taken = {**one, **{name: values for name, values in other.items() if "query" in name or "word" in name}}
    assert compared(tmp_path, taken, other).verdict == "related"


def test_a_matrix_too_small_to_matter_settles_neither(tmp_path: Path, base: Tensors, scratch: Tensors) -> None:
    name = "model.layers.2.self_attn.k_proj.weight"
    lineage = compared(tmp_path, {**scratch, name: base[name]}, base)
    assert lineage.shared_matrices == 1
    assert lineage.shared_share < 0.01
    assert lineage.verdict == "inconclusive"


def test_other_gains_are_a_change(tmp_path: Path, base: Tensors) -> None:
    rng = np.random.default_rng(0)
    gains = {
        name: values * np.exp(0.5 * rng.standard_normal(values.shape)).astype(np.float32)
        for name, values in base.items()
        if "layernorm" in name
    }
    lineage = compared(tmp_path, {**base, **gains}, base)
    assert not lineage.identical
    assert lineage.change_by_role["mlp norm"] > 0.2
    assert lineage.change_by_role["up"] == 0
    assert not any(change.canonical for change in lineage.changes)


def test_one_gain_reset_to_ones_is_a_change(tmp_path: Path, base: Tensors) -> None:
    name = "model.layers.4.post_attention_layernorm.weight"
    lineage = compared(tmp_path, {**base, name: np.ones_like(base[name])}, base)
    assert not lineage.identical
    assert [change.tensor for change in lineage.changes if change.relative] == [name]


def test_strong_noise_is_told_as_what_it_is(tmp_path: Path, base: Tensors) -> None:
    lineage = compared(tmp_path, noise(base, 0.3), base)
    assert lineage.change_by_role == pytest.approx(dict.fromkeys(lineage.change_by_role, 0.3), abs=0.06)
    assert not any(line.startswith(("  No change", "  Some layers")) for line in explain(lineage))


def test_folded_gains_are_undone_and_not_told_as_unchanged(tmp_path: Path, base: Tensors) -> None:
    lineage = compared(tmp_path, fold_gains(base), base)
    assert max(change.relative for change in lineage.changes) < 1e-5
    assert not any("No change at all" in line and "norms" in line for line in explain(lineage))
    assert any("which was undone" in line for line in explain(lineage))


def test_neurons_in_another_order_are_not_the_same_model(tmp_path: Path, base: Tensors) -> None:
    lineage = compared(tmp_path, permute_neurons(base), base)
    assert not lineage.identical
    assert max(change.relative for change in lineage.changes) < 1e-5


def swapped(tensors: Tensors, one: str, other: str) -> Tensors:
    """The names that hold one word take the values of those that hold the other."""
    places = {name: name.replace(one, "#").replace(other, one).replace("#", other) for name in tensors}
    return {name: tensors[places[name]] for name in tensors}


@pytest.mark.parametrize("renamed", [False, True])
def test_layers_that_changed_places_are_told(tmp_path: Path, base: Tensors, renamed: bool) -> None:
    moved = swapped(base, "layers.2.", "layers.4.")
    lineage = compared(tmp_path, rename_words(moved) if renamed else moved, base)
    assert lineage.verdict == "related"
    assert not lineage.identical
    assert lineage.attribution.depth is not None
    assert lineage.attribution.depth.moved


def test_gate_and_up_that_changed_places_are_not_the_same_model(tmp_path: Path, base: Tensors) -> None:
    lineage = compared(tmp_path, swapped(base, "gate_proj", "up_proj"), base)
    assert lineage.verdict == "related"
    assert not lineage.identical
    assert any("Under each other's names: 12 tensors" in line for line in explain(lineage))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_two_models_of_constants_show_nothing(tmp_path: Path, base: Tensors, value: float) -> None:
    flat = {name: np.full_like(values, value) for name, values in base.items()}
    lineage = compared(tmp_path, flat, flat)
    assert lineage.verdict == "inconclusive"
    assert not lineage.identical


def test_another_type_without_loss_counts_as_unchanged(tmp_path: Path, base: Tensors) -> None:
    halved = {name: values.astype(np.float16) for name, values in base.items()}
    name = "model.layers.2.self_attn.o_proj.weight"
    edited = {each: values.astype(np.float32) for each, values in halved.items()}
    edited[name] = noise({name: edited[name]}, 0.1)[name]
    lineage = compared(tmp_path, edited, halved)  # type: ignore[arg-type]
    assert lineage.identical_tensors == ()
    assert lineage.changed_share == pytest.approx(base[name].size / sum(values.size for values in base.values()))
    assert any(f"{len(base) - 1} of {len(base)} tensors" in line for line in explain(lineage))


def test_a_small_copy_renamed_is_known_by_its_matrices(tmp_path: Path) -> None:
    model = tensors_of(random_model(5, num_hidden_layers=2))
    assert compared(tmp_path, rename_words(model), model).verdict == "related"
