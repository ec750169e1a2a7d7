"""What a copy may go through and still be known, and what must not be taken for a copy."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lineage_models import HEAD, random_model, tensors_of, train, with_traces
from lineage_transforms import (
    Tensors,
    composed,
    drop_layers,
    fold_gains,
    fuse,
    interleave_rotary,
    noise,
    permute_neurons,
    permute_residual,
    rearrange_heads,
    rename_randomly,
    rename_words,
    repeat_layers,
    rescale_neurons,
    rotate_residual,
    write_weights,
)

from etymon.errors import EtymonError
from etymon.lineage.compare import compare
from etymon.lineage.explain import explain
from etymon.lineage.verdict import Lineage

Transform = Callable[[Tensors], Tensors]


def compared(folder: Path, model: Tensors, parent: Tensors, tokenizer: str | None) -> Lineage:
    ours = write_weights(folder / "model", model, tokenizer)
    return compare(ours, write_weights(folder / "parent", parent, tokenizer))


def test_a_fine_tuned_copy_is_related(tmp_path: Path, base: Tensors, derivative: Tensors, tokenizer: str) -> None:
    lineage = compared(tmp_path, derivative, base, tokenizer)
    assert lineage.verdict == "related"
    assert not lineage.identical
    assert lineage.effect is not None
    assert lineage.effect > 0.95
    assert lineage.p_value is not None
    assert lineage.p_value < 0.01
    assert 0 < lineage.change_by_role["gate"] < 1
    assert lineage.same_architecture
    assert lineage.same_vocabulary


def test_another_start_of_the_same_config_tokens_and_tokenizer_is_independent(
    tmp_path: Path, base: Tensors, scratch: Tensors, tokenizer: str
) -> None:
    lineage = compared(tmp_path, scratch, base, tokenizer)
    assert lineage.verdict == "independent"
    assert lineage.effect is not None
    assert lineage.effect < 0.02
    assert lineage.power is not None
    assert lineage.power > 0.9
    assert lineage.same_architecture
    assert lineage.same_vocabulary
    assert lineage.changes == ()


@pytest.mark.parametrize("seed", range(3))
def test_random_starts_are_independent_though_their_gains_are_all_ones(tmp_path: Path, seed: int, tokenizer: str) -> None:
    one, other = (tensors_of(random_model(10 + 2 * seed + i)) for i in range(2))
    lineage = compared(tmp_path, one, other, tokenizer)
    assert lineage.verdict == "independent"
    assert lineage.identical_tensors == ()


TRANSFORMS: dict[str, Transform] = {
    "noise": lambda tensors: noise(tensors, 0.1),
    "strong noise": lambda tensors: noise(tensors, 0.5),
    "other words": rename_words,
    "meaningless names": rename_randomly,
    "neurons reordered": permute_neurons,
    "residual stream reordered": permute_residual,
    "neurons rescaled": rescale_neurons,
    "gains folded": fold_gains,
    "residual stream rotated": rotate_residual,
    "fused": fuse,
    "heads rearranged": lambda tensors: rearrange_heads(tensors, HEAD),
    "rotary rows interleaved": lambda tensors: interleave_rotary(tensors, HEAD),
    "layers removed": lambda tensors: drop_layers(tensors, {1, 4}),
    "layers repeated": lambda tensors: repeat_layers(tensors, [0, 1, 2, 3, 2, 3, 4, 5]),
    "layers in another order": lambda tensors: repeat_layers(tensors, [0, 2, 1, 3, 5, 4]),
    "rotated, layers removed": composed(rotate_residual, lambda tensors: drop_layers(tensors, {2})),
    "all of it": composed(
        permute_residual, permute_neurons, rescale_neurons, lambda tensors: rearrange_heads(tensors, HEAD),
        fold_gains, lambda tensors: noise(tensors, 0.05), rename_words,
    ),
    "all of it, names without meaning": composed(
        permute_residual, permute_neurons, lambda tensors: noise(tensors, 0.05), rename_randomly
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transformed_copy_is_related(tmp_path: Path, base: Tensors, tokenizer: str, name: str) -> None:
    lineage = compared(tmp_path, TRANSFORMS[name](base), base, tokenizer)
    assert lineage.verdict == "related", explain(lineage)
    assert lineage.effect is not None
    assert lineage.effect > 0.9, explain(lineage)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_an_unrelated_model_stays_unrelated_whatever_is_done_to_it(
    tmp_path: Path, base: Tensors, scratch: Tensors, tokenizer: str, name: str
) -> None:
    lineage = compared(tmp_path, TRANSFORMS[name](scratch), base, tokenizer)
    nameless = "meaning" in name  # layers can then only be found by likeness to the other model, and there is none
    assert lineage.verdict == ("inconclusive" if nameless else "independent"), explain(lineage)


@pytest.mark.parametrize("name", ["other words", "meaningless names"])
def test_renaming_is_seen_as_what_it_is(tmp_path: Path, base: Tensors, name: str) -> None:
    lineage = compared(tmp_path, TRANSFORMS[name](base), base, None)
    assert lineage.identical
    assert lineage.changed_share == 0
    assert explain(lineage)[0] == "related: model holds the same weights as parent, value for value."


@pytest.mark.parametrize("parent_is_renamed", [False, True])
def test_either_side_may_have_lost_its_names(tmp_path: Path, base: Tensors, parent_is_renamed: bool) -> None:
    changed = noise(base, 0.05)
    pair = (changed, rename_randomly(base)) if parent_is_renamed else (rename_randomly(changed), base)
    lineage = compared(tmp_path, *pair, None)
    assert lineage.verdict == "related"
    assert lineage.change_by_role["up"] == pytest.approx(0.05, abs=0.005)
    assert lineage.change_by_role["attention norm"] == pytest.approx(0.05, abs=0.01)


def test_both_without_names_is_inconclusive_with_the_reason(tmp_path: Path, base: Tensors) -> None:
    lineage = compared(tmp_path, rename_randomly(noise(base, 0.05)), rename_randomly(base, 9), None)
    assert lineage.verdict == "inconclusive"
    assert "do not group the tensors into layers" in lineage.reasons[0]


@settings(max_examples=40)
@given(seeds=st.tuples(*[st.integers(0, 2**32 - 1)] * 3))
def test_any_reordering_traces_back_and_is_undone(
    tmp_path_factory: pytest.TempPathFactory, base: Tensors, seeds: tuple[int, int, int]
) -> None:
    moved = rescale_neurons(permute_neurons(permute_residual(base, seeds[0]), seeds[1]), seeds[2])
    lineage = compared(tmp_path_factory.mktemp("pair"), moved, base, None)
    assert lineage.verdict == "related"
    assert lineage.effect == 1
    assert max(change.relative for change in lineage.changes) < 1e-5


@pytest.mark.parametrize(
    ("order", "pairs"),
    [
        ([0, 2, 3, 5], [(0, 0), (2, 1), (3, 2), (5, 3)]),
        ([0, 1, 2, 3, 2, 3, 4, 5], [(0, 0), (1, 1), (2, 2), (2, 4), (3, 3), (3, 5), (4, 6), (5, 7)]),
        ([0, 2, 1, 3, 5, 4], [(0, 0), (1, 2), (2, 1), (3, 3), (4, 5), (5, 4)]),
    ],
    ids=["gaps", "repeats", "another order"],
)
def test_the_layer_map_is_found(
    tmp_path: Path, base: Tensors, tokenizer: str, order: list[int], pairs: list[tuple[int, int]]
) -> None:
    moved = permute_residual(noise(repeat_layers(base, order), 0.1))
    assert list(compared(tmp_path, moved, base, tokenizer).layer_map) == pairs
    turned = compare(tmp_path / "parent", tmp_path / "model")
    assert sorted((model, parent) for parent, model in turned.layer_map) == pairs


def test_every_freedom_of_a_layer_is_undone(tmp_path: Path, base: Tensors) -> None:
    moved = composed(rotate_residual, permute_neurons, rescale_neurons, lambda t: rearrange_heads(t, HEAD))(base)
    lineage = compared(tmp_path, moved, base, None)
    assert max(change.relative for change in lineage.changes) < 1e-4
    assert [test.effect for test in lineage.tests] == [1, 1]


def test_a_shuffled_vocabulary_is_aligned_by_its_strings(tmp_path: Path, base: Tensors, tokenizer: str) -> None:
    order = np.random.default_rng(0).permutation(512)
    moved = {**base, "model.embed_tokens.weight": base["model.embed_tokens.weight"][order]}
    rows = {f"t{old}": new for new, old in enumerate(order.tolist())}
    moved = permute_residual(moved)
    model = write_weights(tmp_path / "model", moved, json.dumps({"model": {"type": "BPE", "vocab": rows}}))
    lineage = compare(model, write_weights(tmp_path / "parent", base, tokenizer))
    assert lineage.verdict == "related"
    assert lineage.same_vocabulary is False
    assert lineage.shared_tokens == 512
    assert not lineage.identical
    assert max(change.relative for change in lineage.changes) < 1e-6


def test_an_extended_vocabulary_is_compared_by_shared_tokens(tmp_path: Path, base: Tensors, tokenizer: str) -> None:
    table = base["model.embed_tokens.weight"]
    longer = {**base, "model.embed_tokens.weight": np.concatenate([1.01 * table, table[:3]])}
    rows = {**json.loads(tokenizer)["model"]["vocab"], "new 1": 512, "new 2": 513, "new 3": 514}
    model = write_weights(tmp_path / "model", longer, json.dumps({"model": {"type": "BPE", "vocab": rows}}))
    (change,) = compare(model, write_weights(tmp_path / "parent", base, tokenizer)).changes[:1]
    assert (change.role, change.parameters) == ("embedding", table.size)
    assert change.relative == pytest.approx(0.01, rel=1e-3)


def test_a_replaced_vocabulary_does_not_hide_the_layers(tmp_path: Path, base: Tensors, scratch: Tensors) -> None:
    other = {**noise(base, 0.1), "model.embed_tokens.weight": scratch["model.embed_tokens.weight"]}
    assert compared(tmp_path, other, base, None).verdict == "related"


def test_only_the_embedding_taken_over_is_related_by_that(tmp_path: Path, base: Tensors, scratch: Tensors) -> None:
    other = {**scratch, "model.embed_tokens.weight": base["model.embed_tokens.weight"]}
    lineage = compared(tmp_path, other, base, None)
    assert lineage.verdict == "related"
    assert lineage.identical_tensors == ("model.embed_tokens.weight",)
    assert "bit for bit" in lineage.reasons[0]


def test_another_width_is_tested_on_what_corresponds(tmp_path: Path, base: Tensors, tokenizer: str) -> None:
    wider = tensors_of(train(random_model(3, hidden_size=96, intermediate_size=256), 20))
    lineage = compared(tmp_path, wider, base, tokenizer)
    assert lineage.verdict == "independent"
    assert not lineage.same_architecture
    assert any("widths differ" in limit for limit in lineage.limits)


def test_a_narrowed_copy_is_related(tmp_path: Path, base: Tensors, tokenizer: str) -> None:
    narrowed: Tensors = {}
    for name, values in base.items():
        if values.ndim == 1:
            narrowed[name] = values[:56]
        else:
            narrowed[name] = values[:56] if any(part in name for part in ("o_proj", "down_proj")) else values[:, :56]
    lineage = compared(tmp_path, noise(narrowed, 0.05), base, tokenizer)
    assert lineage.verdict == "related"


def test_pruned_neurons_do_not_hide_the_rest(tmp_path: Path, base: Tensors) -> None:
    pruned = {
        name: values[:150] if "gate" in name or "up_proj" in name else values[:, :150] if "down" in name else values
        for name, values in permute_neurons(base).items()
    }
    lineage = compared(tmp_path, pruned, base, None)
    assert lineage.verdict == "related"
    assert lineage.effect == pytest.approx(150 / 192, abs=0.06)


def test_too_few_layers_are_inconclusive(tmp_path: Path) -> None:
    model = tensors_of(random_model(4, num_hidden_layers=2))
    lineage = compared(tmp_path, noise(model, 0.1), model, None)
    assert lineage.verdict == "inconclusive"
    assert lineage.effect is not None
    assert lineage.effect > 0.9


def test_one_layer_and_its_copy(tmp_path: Path) -> None:
    model = tensors_of(random_model(5, num_hidden_layers=1))
    assert compared(tmp_path, noise(model, 0.1), model, None).verdict == "inconclusive"
    assert compared(tmp_path, model, model, None).identical


def test_a_model_without_gated_mlp_is_inconclusive_with_the_reason(tmp_path: Path, base: Tensors) -> None:
    rng = np.random.default_rng(0)
    plain: Tensors = {"wte": rng.standard_normal((512, 64), np.float32)}
    for layer in range(6):
        plain |= {f"h.{layer}.up": rng.standard_normal((192, 64), np.float32)}
        plain |= {f"h.{layer}.down": rng.standard_normal((64, 192), np.float32)}
        plain |= {f"h.{layer}.mix": rng.standard_normal((64, 64), np.float32)}
    lineage = compared(tmp_path, plain, base, None)
    assert lineage.verdict == "inconclusive"
    assert "no gated MLP" in lineage.reasons[0]


def test_constant_and_zero_weights_are_answered(tmp_path: Path, base: Tensors) -> None:
    for value in (0.0, 1.0):
        flat = {name: np.full_like(values, value) for name, values in base.items()}
        assert compared(tmp_path, flat, base, None).verdict != "related"
        assert compared(tmp_path, base, flat, None).verdict != "related"


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path: Path, base: Tensors) -> None:
    name = "model.layers.3.mlp.up_proj.weight"
    broken = {**base, name: base[name].copy()}
    broken[name][5, 5] = np.nan
    with pytest.raises(EtymonError, match=r"model\.layers\.3\.mlp\.up_proj\.weight.*not finite"):
        compared(tmp_path, broken, base, None)


def test_another_dtype_without_loss_is_identical_and_with_loss_related(tmp_path: Path, base: Tensors) -> None:
    halved = {name: values.astype(np.float16) for name, values in base.items()}
    exact = {name: values.astype(np.float32) for name, values in halved.items()}
    assert compared(tmp_path, exact, halved, None).identical  # type: ignore[arg-type]
    lineage = compared(tmp_path, halved, base, None)  # type: ignore[arg-type]
    assert lineage.verdict == "related"
    assert not lineage.identical


def test_a_four_bit_copy_came_from_what_it_rounds(tmp_path: Path, base: Tensors) -> None:
    rounded = {name: _four_bits(values) if values.ndim == 2 else values for name, values in base.items()}
    assert compared(tmp_path, rounded, base, None).direction == "model from parent"
    assert compared(tmp_path, base, rounded, None).direction == "parent from model"


def test_a_model_trained_on_from_four_bits_is_closer_to_them_than_rounding_leaves(tmp_path: Path, base: Tensors) -> None:
    rounded = {name: _four_bits(values) if values.ndim == 2 else values for name, values in base.items()}
    trained = noise(rounded, 0.02)
    lineage = compared(tmp_path, trained, rounded, None)
    assert lineage.direction == "model from parent"
    assert "closer to its lattice" in lineage.direction_reason
    assert explain(lineage)[0].startswith("related: model derives from parent")
    assert compared(tmp_path, rounded, trained, None).direction == "parent from model"


def test_a_sibling_of_four_bits_has_no_direction(tmp_path: Path, base: Tensors) -> None:
    """Trained on from the unrounded weights: as far from the lattice as rounding leaves, and further."""
    rounded = {name: _four_bits(values) if values.ndim == 2 else values for name, values in base.items()}
    assert compared(tmp_path, noise(base, 0.1), rounded, None).direction == "unknown"


def _four_bits(values: np.ndarray) -> np.ndarray:
    blocks = values.reshape(-1, 32)
    low = blocks.min(1, keepdims=True)
    step = (blocks.max(1, keepdims=True) - low) / 15
    return (np.round((blocks - low) / step) * step + low).reshape(values.shape).astype(np.float32)


def test_partial_tensor_changes_are_counted(tmp_path: Path, base: Tensors) -> None:
    changed = dict(base)
    name = "model.layers.2.self_attn.o_proj.weight"
    changed[name] = noise({name: base[name]}, 0.1)[name]
    lineage = compared(tmp_path, changed, base, None)
    assert lineage.verdict == "related"
    assert lineage.tensors - len(lineage.identical_tensors) == 1
    assert lineage.changed_share == pytest.approx(base[name].size / sum(values.size for values in base.values()))
    by_layer = {change.layer: change.relative for change in lineage.changes if change.role == "o"}
    assert by_layer[2] == pytest.approx(0.1, abs=0.01)
    assert by_layer[3] == 0


def test_gains_alone_decide_nothing(tmp_path: Path, base: Tensors, scratch: Tensors) -> None:
    gains = {name: values for name, values in base.items() if values.ndim == 1}
    assert compared(tmp_path, {**scratch, **gains}, base, None).verdict == "independent"
    assert compared(tmp_path, with_traces(base, 5), base, None).verdict == "related"
