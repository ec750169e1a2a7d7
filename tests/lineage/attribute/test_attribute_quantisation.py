"""Each format is named from its values, also after a second rounding; unrounded values have none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quantised import SCALES, WRITABLE, groups, int8_rows, nf4, random_blocks, through_gguf, weights

from etymon.lineage.attribute.quantisation import find_quantisation
from etymon.lineage.attribute.rounding import Precision, rounded

ALIKE = {
    "Q4_1": "Q4_1 or Q4_K", "Q4_K": "Q4_1 or Q4_K", "Q5_1": "Q5_1 or Q5_K", "Q5_K": "Q5_1 or Q5_K",
    "IQ4_NL": "IQ4_NL or IQ4_XS", "IQ4_XS": "IQ4_NL or IQ4_XS",
}  # fmt: skip
BLOCKS = {"Q2_K": 16, "Q3_K": 16, "Q6_K": 16}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("name", [*WRITABLE, *SCALES])
def test_formats_of_llama_cpp_are_named(name: str, precision: Precision) -> None:
    values = through_gguf(weights(0), name) if name in WRITABLE else random_blocks(name, 0)
    found = find_quantisation(rounded(values, precision))
    assert found is not None
    assert found.name == (ALIKE.get(name, name) if precision == "bf16" else name)
    assert found.block == BLOCKS.get(name, 32)
    assert found.share > 0.95


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_formats_of_other_tools_are_named(precision: Precision) -> None:
    made = {
        "NF4": nf4(weights(0)),
        "int8 per row": int8_rows(weights(0)),
        "4-bit groups of 128": groups(weights(0), 128),
        "4-bit groups of 64": groups(weights(0), 64),
        "4-bit groups of 32": groups(weights(0), 32),
        "3-bit groups of 128": groups(weights(0), 128, 3),
        "ternary": np.sign(weights(0)) * (np.abs(weights(0)) > 0.03) * np.float32(0.05),
    }
    for name, values in made.items():
        found = find_quantisation(rounded(values, precision))
        assert found is not None, name
        assert found.name == name


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), precision=st.sampled_from(["fp32", "fp16", "bf16"]), name=st.sampled_from(WRITABLE))
def test_unrounded_values_have_none_and_rounded_ones_always(seed: int, precision: Precision, name: str) -> None:
    values = weights(seed, 16, 256)
    assert find_quantisation(rounded(values, precision)) is None
    found = find_quantisation(through_gguf(values, name))
    assert found is not None
    assert found.name == name


def test_rows_that_are_no_multiple_of_a_super_block() -> None:
    found = find_quantisation(through_gguf(weights(0, 64, 576), "Q4_1"))
    assert found is not None
    assert (found.name, found.block) == ("Q4_1", 32)


def test_odd_shapes_and_constants_have_none() -> None:
    for values in (np.zeros((4, 64)), np.ones((4, 64)), np.ones((4, 7)), np.zeros((0, 32)), np.zeros(32)):
        assert find_quantisation(values.astype(np.float32)) is None
