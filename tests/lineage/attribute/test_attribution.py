"""Attribution of whole models: what the record of a comparison says of it."""

import json
from pathlib import Path

import numpy as np
import pytest
from lineage_transforms import Tensors, drop_layers, noise, permute_residual, repeat_layers, write_weights

from etymon.errors import EtymonError
from etymon.lineage.attribute.words import attribution_lines, merge_lines
from etymon.lineage.compare import compare
from etymon.lineage.explain import explain
from etymon.lineage.merged import find_merge
from etymon.lineage.verdict import Lineage


def compared(folder: Path, model: Tensors, parent: Tensors, ours: str | None = None, theirs: str | None = None) -> Lineage:
    return compare(write_weights(folder / "model", model, ours), write_weights(folder / "parent", parent, theirs))


def adapted(base: Tensors, rank: int, parts: tuple[str, ...]) -> Tensors:
    rng, out = np.random.default_rng(rank), dict(base)
    for name, values in base.items():
        if any(part in name for part in parts):
            change = rng.standard_normal((len(values), rank)) @ rng.standard_normal((rank, values.shape[1]))
            out[name] = np.asarray(values + 0.05 * np.linalg.norm(values) / np.linalg.norm(change) * change, np.float32)
    return out


def test_a_merged_adapter_is_named_with_its_rank(tmp_path: Path, base: Tensors) -> None:
    lineage = compared(tmp_path, adapted(base, 4, ("q_proj", "v_proj")), base)
    (found,) = lineage.attribution.low_rank
    assert (found.rank, found.roles, found.matrices) == (4, ("q", "v"), 12)
    assert {change.rank for change in lineage.changes if change.role == "q"} == {4}
    assert {change.rank for change in lineage.changes if change.role == "up"} == {0}
    assert any("rank 4 on attention q, attention v" in line for line in explain(lineage))
    assert lineage.direction == "unknown"


def test_it_is_found_in_reordered_coordinates(tmp_path: Path, base: Tensors) -> None:
    lineage = compared(tmp_path, permute_residual(adapted(base, 4, ("q_proj", "o_proj", "down_proj"))), base)
    (found,) = lineage.attribution.low_rank
    assert (found.rank, set(found.roles)) == (4, {"q", "o", "down"})


def test_full_training_has_no_low_rank(tmp_path: Path, base: Tensors, derivative: Tensors) -> None:
    assert compared(tmp_path, derivative, base).attribution.low_rank == ()


def test_repeated_layers_show_what_came_after_and_pruned_ones_do_not(tmp_path: Path, base: Tensors, tokenizer: str) -> None:
    pruned = compared(tmp_path, noise(drop_layers(base, {2}), 0.05), base, tokenizer, tokenizer)
    assert pruned.attribution.depth is not None
    assert pruned.attribution.depth.pruned == (2,)
    assert pruned.direction == "unknown"
    assert "the model lacks 1 layer" in pruned.direction_reason
    deeper = noise(repeat_layers(base, [0, 1, 2, 3, 2, 3, 4, 5]), 0.05)
    repeated = compared(tmp_path / "deeper", deeper, base, tokenizer, tokenizer)
    assert repeated.attribution.depth is not None
    assert repeated.attribution.depth.repeated == ((2, (2, 4)), (3, (3, 5)))
    assert repeated.direction == "model from parent"
    assert any("repeats the parent's 2-3" in line for line in explain(repeated))


def test_an_extended_vocabulary_shows_what_came_after(tmp_path: Path, base: Tensors, tokenizer: str) -> None:
    name = "model.embed_tokens.weight"
    table = base[name]
    rows = {**json.loads(tokenizer)["model"]["vocab"], "<new>": len(table)}
    trained = noise(base, 0.05)
    extended = {**trained, name: np.concatenate([trained[name], table.mean(0, keepdims=True)])}
    ours = json.dumps({"model": {"type": "BPE", "vocab": rows}})
    lineage = compared(tmp_path, extended, base, ours, tokenizer)
    assert lineage.attribution.tokens is not None
    assert (lineage.attribution.tokens.new, lineage.attribution.tokens.untrained) == (1, 1)
    assert lineage.direction == "model from parent"
    assert "1 new in the model (1 hardly trained)" in " ".join(attribution_lines(lineage.attribution, {}))
    without = compared(tmp_path / "without", extended, base)  # the weights say so without a tokenizer
    assert without.direction == "model from parent"


@pytest.mark.parametrize("edited", ["child's tokens deleted", "base's tokens beyond the table"])
def test_a_tokenizer_file_never_decides_the_direction(tmp_path: Path, base: Tensors, tokenizer: str, edited: str) -> None:
    vocabulary = json.loads(tokenizer)["model"]["vocab"]
    rows = len(base["model.embed_tokens.weight"])
    if edited == "child's tokens deleted":
        ours, theirs = dict(list(vocabulary.items())[:-3]), vocabulary
    else:
        ours, theirs = vocabulary, {**vocabulary, **{f"<beyond {n}>": rows + n for n in range(3)}}
    written = [json.dumps({"model": {"type": "BPE", "vocab": each}}) for each in (ours, theirs)]
    lineage = compared(tmp_path, noise(base, 0.05), base, *written)
    assert (lineage.verdict, lineage.direction) == ("related", "unknown")
    assert compared(tmp_path / "turned", base, noise(base, 0.05), *written[::-1]).direction == "unknown"


@pytest.mark.parametrize("trained", [False, True])
def test_inserted_layers_and_added_neurons_do_not_make_the_base_the_child(
    tmp_path: Path, base: Tensors, trained: bool
) -> None:
    deeper = repeat_layers(base, [0, 1, 2, 2, 3, 4, 4, 5])
    for name in deeper:
        if name.startswith(("model.layers.3.", "model.layers.6.")) and deeper[name].ndim == 2:
            fresh = np.random.default_rng(len(name)).standard_normal(deeper[name].shape) * 0.02
            deeper[name] = np.asarray(fresh, np.float32)
    wider = {name: _with_neurons(name, values) for name, values in base.items()}
    for number, child in enumerate((deeper, wider)):
        model = noise(child, 0.02) if trained else child
        assert compared(tmp_path / f"{number}", model, base).direction == "unknown"


def _with_neurons(name: str, values: np.ndarray, count: int = 64) -> np.ndarray:
    """More neurons a layer, the new ones at random."""
    rng = np.random.default_rng(7)
    if "gate_proj" in name or "up_proj" in name:
        return np.concatenate([values, 0.02 * rng.standard_normal((count, values.shape[1]))]).astype(np.float32)
    if "down_proj" in name:
        return np.concatenate([values, 0.02 * rng.standard_normal((len(values), count))], axis=1).astype(np.float32)
    return values


@pytest.mark.parametrize("reordered", [False, True])
def test_merge_weights_of_whole_models(tmp_path: Path, base: Tensors, reordered: bool) -> None:
    parents = [noise(base, 0.05, seed) for seed in (11, 12)]
    merged: Tensors = {name: np.float32(0.3) * parents[0][name] + np.float32(0.7) * parents[1][name] for name in base}
    model = write_weights(tmp_path / "model", permute_residual(merged) if reordered else merged)
    folders = [write_weights(tmp_path / f"parent{index}", parent) for index, parent in enumerate(parents)]
    found = find_merge(model, folders)
    assert found.method == "linear"
    assert found.weights == pytest.approx((0.3, 0.7), abs=0.01)
    assert merge_lines(found)[0].startswith("merge: model is made as a linear merge: 0.300 ±")
    origin = write_weights(tmp_path / "base", base)
    assert find_merge(model, folders, origin).weights == pytest.approx((0.3, 0.7), abs=0.01)


def test_what_is_no_merge_is_refused(tmp_path: Path, base: Tensors) -> None:
    model = write_weights(tmp_path / "model", base)
    with pytest.raises(EtymonError, match="no merge weights"):
        find_merge(model, [model])
    shallow = write_weights(tmp_path / "shallow", drop_layers(base, {2}))
    with pytest.raises(EtymonError, match="layer by layer"):
        find_merge(model, [model, shallow])
