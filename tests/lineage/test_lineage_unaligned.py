"""Copies whose embeddings no longer show which coordinates correspond, and pairs for which nothing could have shown it."""

from pathlib import Path

import numpy as np
import pytest
from lineage_models import random_model, tensors_of, train, with_traces
from lineage_transforms import Tensors, drop_layers, noise, permute_residual, rotate_residual, write_weights

from etymon.lineage.align.residual import rows_correspond
from etymon.lineage.compare import compare
from etymon.lineage.verdict import Lineage

TABLE = "model.embed_tokens.weight"


@pytest.fixture(scope="module")
def deep() -> Tensors:
    return with_traces(tensors_of(train(random_model(1, num_hidden_layers=10), 40)), 1)


@pytest.fixture(scope="module")
def other() -> Tensors:
    return with_traces(tensors_of(train(random_model(2, num_hidden_layers=10), 40)), 2)


def compared(folder: Path, model: Tensors, parent: Tensors, tokenizer: str | None = None) -> Lineage:
    ours = write_weights(folder / "model", model, tokenizer)
    return compare(ours, write_weights(folder / "parent", parent, tokenizer))


def with_new_embeddings(tensors: Tensors) -> Tensors:
    table = tensors[TABLE]
    return {**tensors, TABLE: (table.std() * np.random.default_rng(0).standard_normal(table.shape)).astype(np.float32)}


def with_shuffled_rows(tensors: Tensors) -> Tensors:
    return {**tensors, TABLE: tensors[TABLE][np.random.default_rng(0).permutation(len(tensors[TABLE]))]}


def test_new_embeddings_and_a_layer_less(tmp_path: Path, deep: Tensors, tokenizer: str) -> None:
    lineage = compared(tmp_path, noise(with_new_embeddings(drop_layers(deep, {4})), 0.02), deep, tokenizer)
    assert lineage.verdict == "related"
    assert lineage.layer_map == tuple((there, there - (there > 4)) for there in range(10) if there != 4)


def test_rows_in_another_order_and_a_layer_less(tmp_path: Path, deep: Tensors) -> None:
    assert compared(tmp_path, noise(with_shuffled_rows(drop_layers(deep, {4})), 0.02), deep).verdict == "related"


def test_coordinates_are_tried_as_they_stand_where_column_norms_do_not_show_them(tmp_path: Path, tokenizer: str) -> None:
    """Without the habits of a long training the norms of what a layer writes tell nothing of coordinates."""
    plain = tensors_of(random_model(3, num_hidden_layers=10))
    lineage = compared(tmp_path, noise(with_new_embeddings(drop_layers(plain, {4})), 0.3), plain, tokenizer)
    assert lineage.verdict == "related"
    assert lineage.alignment is not None
    assert lineage.alignment.kind == "identity"


def test_unrelated_models_are_still_independent_and_the_limit_is_told(
    tmp_path: Path, deep: Tensors, other: Tensors, tokenizer: str
) -> None:
    for model in (other, drop_layers(other, {4}), with_new_embeddings(other)):
        lineage = compared(tmp_path, model, deep, tokenizer)
        assert lineage.verdict == "independent"
        assert lineage.alignment is not None
        assert lineage.alignment.tried == ("rotation", "identity")
        assert any("vocabulary was replaced" in limit for limit in lineage.limits)
        assert "both show nothing" in lineage.reasons[-1]


def test_two_alignments_are_paid_for(tmp_path: Path, deep: Tensors, tokenizer: str) -> None:
    reordered = compared(tmp_path / "reordered", noise(permute_residual(deep), 0.1), deep, tokenizer)
    rotated = compared(tmp_path / "rotated", noise(rotate_residual(deep), 0.1), deep, tokenizer)
    assert rotated.verdict == reordered.verdict == "related"
    assert rotated.p_value == pytest.approx(reordered.p_value / 0.9)  # type: ignore[operator]
    assert rotated.p_floor == pytest.approx(reordered.p_floor / 0.9)  # type: ignore[operator]


def test_another_width_with_other_tokens_is_inconclusive(tmp_path: Path, deep: Tensors, tokenizer: str) -> None:
    wider = tensors_of(random_model(3, hidden_size=96, intermediate_size=256))
    lineage = compared(tmp_path, wider, deep, tokenizer)
    assert lineage.verdict == "inconclusive"
    assert "do not show which coordinates correspond" in lineage.reasons[-1]


def test_rows_correspond_only_where_they_do() -> None:
    rng = np.random.default_rng(0)
    table = rng.standard_normal((600, 32)).astype(np.float32)
    turned = table @ np.linalg.qr(rng.standard_normal((32, 32)))[0][:, :24].astype(np.float32)
    assert rows_correspond(turned + 0.5 * rng.standard_normal(turned.shape).astype(np.float32), table)
    shuffled = [rows_correspond(table, turned[rng.permutation(600)]) for _ in range(10)]
    assert sum(shuffled) <= 1
