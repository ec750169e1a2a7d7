"""Layers and roles from shapes: names may say anything."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.lineage.read.structure import MATRIX_ROLES, NORM_ROLES, Structure, read_structure


class InMemory:
    """Tensors of given shapes; lineage reads no values here."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self.shapes = shapes

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.shapes))

    def shape(self, name: str) -> tuple[int, ...]:
        return self.shapes[name]

    def dtype(self, name: str) -> str:
        return "F32"

    def read(self, name: str) -> Any:
        return np.zeros(self.shapes[name], np.float32)

    def rows(self, name: str, start: int, stop: int) -> Any:
        return self.read(name).reshape(-1, self.shapes[name][-1])[start:stop]

    def raw(self, name: str) -> memoryview:
        return memoryview(self.read(name).tobytes())

    def stored(self, name: str) -> Any:
        yield self.raw(name)

    def close(self) -> None:
        """Nothing is mapped."""


def llama(
    layers: int, width: int, neurons: int, queries: int, keys: int, vocabulary: int, tied: bool = True
) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, width), "model.norm.weight": (width,)}
    if not tied:
        shapes["lm_head.weight"] = (vocabulary, width)
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        shapes |= {
            f"{prefix}self_attn.q_proj.weight": (queries, width),
            f"{prefix}self_attn.k_proj.weight": (keys, width),
            f"{prefix}self_attn.v_proj.weight": (keys, width),
            f"{prefix}self_attn.o_proj.weight": (width, queries),
            f"{prefix}mlp.gate_proj.weight": (neurons, width),
            f"{prefix}mlp.up_proj.weight": (neurons, width),
            f"{prefix}mlp.down_proj.weight": (width, neurons),
            f"{prefix}input_layernorm.weight": (width,),
            f"{prefix}post_attention_layernorm.weight": (width,),
        }
    return shapes


def named(structure: Structure, layer: int) -> dict[str, str]:
    return {role: piece.name.split(".", 3)[-1] for role, piece in structure.layers[layer].items()}


FAMILIES = {
    "SmolLM2-135M": (30, 576, 1536, 576, 192, 49152),
    "Llama-2-7B": (32, 4096, 11008, 4096, 4096, 32000),
    "Llama-3-8B": (32, 4096, 14336, 4096, 1024, 128256),
    "Qwen3-0.6B (queries wider than the stream)": (28, 1024, 3072, 2048, 1024, 151936),
    "MHA with narrow heads": (12, 512, 1376, 384, 384, 32000),
    "one layer": (1, 64, 192, 64, 32, 512),
    "vocabulary smaller than the MLP": (6, 64, 256, 64, 32, 128),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tied", [True, False])
def test_every_tensor_of_a_llama_gets_a_role(family: str, tied: bool) -> None:
    sizes = FAMILIES[family]
    structure = read_structure(InMemory(llama(*sizes, tied=tied)))
    layers, width, neurons, _, keys, vocabulary = sizes
    assert structure.loose == ()
    assert structure.gated
    assert len(structure.layers) == layers
    assert (structure.width, structure.neurons, structure.key_width) == (width, neurons, keys)
    assert structure.vocabulary == vocabulary
    assert len(structure.embeddings) == (1 if tied else 2)
    assert structure.final_norm is not None
    for layer in structure.layers:
        assert set(layer) == {*MATRIX_ROLES, *NORM_ROLES}
        assert layer["down"].name.endswith("mlp.down_proj.weight")
        assert {layer["gate"].name[-14:], layer["up"].name[-14:]} == {"te_proj.weight", "lp.up_proj.weight"[-14:]}


def test_layers_come_in_the_order_of_their_numbers() -> None:
    structure = read_structure(InMemory(llama(12, 64, 192, 64, 32, 512)))
    assert [layer["down"].name.split(".")[2] for layer in structure.layers] == [str(number) for number in range(12)]


@given(st.dictionaries(st.sampled_from(["attn", "x1", "Z", "η", "down"]), st.text(min_size=1), min_size=0))
def test_words_do_not_matter(words: dict[str, str]) -> None:
    shapes = llama(4, 64, 192, 64, 32, 512)
    renamed = {}
    for name, shape in shapes.items():
        parts = [words.get(part, part[::-1]) if not part.isdigit() else part for part in name.split(".")]
        renamed[".".join(parts)] = shape
    structure = read_structure(InMemory(renamed))
    if len(renamed) == len(shapes):
        assert len(structure.layers) == 4
        assert structure.gated


def test_names_without_numbers_leave_all_but_the_tables_loose() -> None:
    shapes = {
        f"tensor-{chr(97 + i % 26)}{chr(97 + i // 26)}": shape
        for i, shape in enumerate(llama(4, 64, 192, 64, 32, 512).values())
    }
    structure = read_structure(InMemory(shapes))
    assert structure.layers == ()
    assert len(structure.embeddings) == 1
    assert len(structure.loose) == len(shapes) - 1


def test_fused_matrices_are_split() -> None:
    shapes = llama(3, 64, 192, 64, 32, 512)
    for layer in range(3):
        prefix = f"model.layers.{layer}."
        for part in ("q_proj", "k_proj", "v_proj"):
            del shapes[f"{prefix}self_attn.{part}.weight"]
        for part in ("gate_proj", "up_proj"):
            del shapes[f"{prefix}mlp.{part}.weight"]
        shapes |= {f"{prefix}qkv": (128, 64), f"{prefix}gate_up": (384, 64)}
    structure = read_structure(InMemory(shapes))
    assert structure.loose == ()
    layer = structure.layers[1]
    assert (layer["q"].start, layer["q"].stop) == (0, 64)
    assert (layer["k"].start, layer["k"].stop) == (64, 96)
    assert (layer["v"].start, layer["v"].stop) == (96, 128)
    assert (layer["up"].start, layer["up"].stop) == (192, 384)


@given(
    st.dictionaries(
        st.text(max_size=12),
        st.lists(st.sampled_from([0, 1, 2, 3, 64, 192, 2**40]), max_size=4).map(tuple),
        max_size=40,
    )
)
def test_any_shapes_are_answered(shapes: dict[str, tuple[int, ...]]) -> None:
    structure = read_structure(InMemory(shapes))
    assert set(structure.loose) <= set(shapes)
