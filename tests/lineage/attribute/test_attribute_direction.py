"""Roundings are one-way: which of two models came after, or that neither did."""

import numpy as np
import pytest
from quantised import WRITABLE, groups, int8_rows, nf4, through_gguf, weights

from etymon.lineage.attribute.direction import Direction, Sign, decide_direction, find_traces, signs_of
from etymon.lineage.attribute.rounding import rounded
from etymon.lineage.read.structure import Array


def direction(model: Array, parent: Array) -> Direction:
    """The same whichever of the two is called the model."""
    turned: dict[Direction, Direction] = {
        "model from parent": "parent from model", "parent from model": "model from parent",
    }  # fmt: skip
    forward, backward = (_shown(*pair) for pair in ((model, parent), (parent, model)))
    assert backward == turned.get(forward, forward)
    return forward


def _shown(model: Array, parent: Array) -> Direction:
    traces = find_traces(model, parent)
    return decide_direction(signs_of([traces]))[0] if traces else "unknown"


def changed(values: Array, share: float, seed: int = 9) -> Array:
    noise = np.random.default_rng(seed).standard_normal(values.shape)
    return np.asarray(values + share * np.sqrt(np.square(values).mean()) * noise, np.float32)


@pytest.mark.parametrize("name", WRITABLE)
def test_a_quantised_copy_came_after(name: str) -> None:
    assert direction(through_gguf(weights(0), name), weights(0)) == "model from parent"


@pytest.mark.parametrize("name", ["nf4", "int8", "groups"])
def test_a_copy_quantised_by_other_tools_came_after(name: str) -> None:
    made = {"nf4": nf4, "int8": int8_rows, "groups": lambda values: groups(values, 128)}[name](weights(0))
    assert direction(made, weights(0)) == "model from parent"


@pytest.mark.parametrize("name", WRITABLE)
def test_what_was_trained_on_from_a_quantised_model_came_after_it(name: str) -> None:
    base = through_gguf(weights(0), name)
    assert direction(changed(base, 0.0005 if name == "Q8_0" else 0.01), base) == "model from parent"


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q5_1"])
def test_what_was_trained_on_from_the_unrounded_weights_shows_none(name: str) -> None:
    assert direction(changed(weights(0), 0.03), through_gguf(weights(0), name)) == "unknown"


def test_a_large_change_from_a_quantised_model_shows_none() -> None:
    base = through_gguf(weights(0), "Q4_1")
    assert direction(changed(base, 0.3), base) == "unknown"


def test_a_copy_quantised_twice_came_after_the_first() -> None:
    once = through_gguf(weights(0), "Q4_1")
    assert direction(through_gguf(once, "Q8_0"), once) == "model from parent"


@pytest.mark.parametrize("pair", [("Q4_1", "Q8_0"), ("Q4_0", "Q5_1"), ("Q4_0", "Q4_1")])
def test_two_quantised_copies_have_a_common_origin(pair: tuple[str, str]) -> None:
    one, other = (through_gguf(weights(0), name) for name in pair)
    assert direction(one, other) == "common origin"


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_copy_saved_in_less_precision_came_after(precision: str) -> None:
    assert direction(rounded(weights(0), precision), weights(0)) == "model from parent"  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_what_was_trained_on_so_little_that_it_rounds_back_was_not_before(precision: str) -> None:
    base = rounded(weights(0), precision)  # type: ignore[arg-type]
    noise = np.random.default_rng(3).standard_normal(base.shape)
    for child in (base * (1 + 1e-5 * noise), base * (1 - 1e-5), base * (1 + 1e-5)):
        assert direction(np.asarray(child, np.float32), base) == "unknown"
    assert direction(
        np.asarray(rounded(weights(0), "bf16") * (1 + 1e-4 * noise), np.float32), rounded(weights(0), "bf16")
    ) == ("unknown")


def test_a_copy_whose_lower_bits_were_cut_off_came_after() -> None:
    cut = (weights(0).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    assert direction(cut, weights(0)) == "model from parent"


def test_unrounded_and_equal_weights_show_none() -> None:
    assert direction(changed(weights(0), 0.01), weights(0)) == "unknown"
    assert find_traces(weights(0), weights(0)) is None
    assert find_traces(weights(0), weights(0, 64)) is None


def test_evidence_that_contradicts_itself_decides_nothing() -> None:
    signs = [Sign("model from parent", "this"), Sign("parent from model", "that")]
    assert decide_direction(signs) == ("unknown", "the evidence contradicts itself: this; that")
    assert decide_direction(signs[:1] * 2) == ("model from parent", "this; this")
    assert decide_direction([Sign("unknown", "no"), *signs[:1]]) == ("model from parent", "this")
    assert decide_direction([])[0] == "unknown"
