"""A model written as GGUF is the model: its values, what llama.cpp computes from them, and the files read back."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_gguf import HalfGelu, LlamaCpp
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedTokenizerFast

from etymon.errors import EtymonError
from etymon.foundation.gguf.architecture import permute, unpermute
from etymon.foundation.gguf.convert import convert_gguf
from etymon.foundation.gguf.header import read_gguf_header
from etymon.foundation.gguf.quantisation import Quantisation
from etymon.foundation.gguf.write import write_gguf
from etymon.foundation.model import Model
from etymon.foundation.network import load_network, load_tokenizer
from etymon.foundation.sources import open_model
from etymon.foundation.weights import open_weights

SIZES = {
    "hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 512, "head_dim": 16, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 10_000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip


@pytest.fixture
def make(tmp_path: Path, tiny_tokenizer: PreTrainedTokenizerFast) -> Callable[..., Model]:
    """A function that writes a small random model of any type; its matrices are large enough for answers to differ."""

    def write(model_type: str = "llama", tokenizer: PreTrainedTokenizerFast = tiny_tokenizer, **config: object) -> Model:
        torch.manual_seed(0)
        wanted = {"vocab_size": len(tokenizer), **SIZES, **config}
        network = AutoModelForCausalLM.from_config(CONFIG_MAPPING[model_type](**wanted), dtype=torch.float32)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                own = parameter.dim() == 1 and not name.endswith("bias")
                parameter.copy_((torch.randn(parameter.shape) * (0.1 if own else 0.3) + own).half())
        folder = tmp_path / f"{model_type}-{len(list(tmp_path.iterdir()))}"
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return open_model(str(folder))

    return write


def written(model: Model, kind: str, **general: object) -> Path:
    path = model.folder.parent / f"{model.folder.name}-{kind}.gguf"
    write_gguf(model, path, Quantisation(kind), general)
    return path


def converted(path: Path) -> Path:
    folder = path.with_suffix("")
    folder.mkdir()
    convert_gguf(read_gguf_header(path), folder, lambda done: None)
    return folder


def some_ids(count: int) -> list[int]:
    return np.random.default_rng(0).integers(3, 250, count).tolist()


def last_logprobs(network: Any, ids: list[int]) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        found: np.ndarray[Any, Any] = torch.log_softmax(network(torch.tensor([ids])).logits[0, -1], -1).numpy()
    return found


@pytest.mark.parametrize("kind", list(Quantisation))
@pytest.mark.parametrize("tied", [True, False])
def test_values_are_exactly_those_that_quantising_leaves(make: Callable[..., Model], kind: Quantisation, tied: bool) -> None:
    model = make(tie_word_embeddings=tied)
    original, found = open_weights(model.folder), open_weights(written(model, kind))
    assert found.names == original.names
    for name in original.names:
        values = original.read(name)
        head = name == ("model.embed_tokens.weight" if tied else "lm_head.weight")
        stored = "F32" if values.ndim == 1 else "Q8_0" if head and kind.name.startswith("q") else kind.name.upper()
        assert found.dtype(name) == stored
        as_kind = gguf.GGMLQuantizationType[stored]
        expected = gguf.quants.dequantize(gguf.quants.quantize(values, as_kind), as_kind).reshape(values.shape)
        np.testing.assert_array_equal(found.read(name), expected)


VARIANTS: list[tuple[str, dict[str, object]]] = [
    ("llama", {"tie_word_embeddings": True}),
    ("llama", {"tie_word_embeddings": False, "attention_bias": True, "mlp_bias": True}),
    ("llama", {"head_dim": 32, "num_key_value_heads": 4}),
    ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10_000.0}}),
    ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 10_000.0,
                                   "original_max_position_embeddings": 128}}),
    ("llama", {"rope_parameters": LLAMA3}),
    ("mistral", {"sliding_window": None}),
    ("qwen2", {}),
    ("qwen3", {}),
    ("gemma2", {"query_pre_attn_scalar": 16}),
    ("gemma3_text", {"query_pre_attn_scalar": 16, "num_hidden_layers": 7, "sliding_window": 16}),
]  # fmt: skip


@pytest.mark.parametrize(("model_type", "config"), VARIANTS)
def test_llama_cpp_computes_what_transformers_does(
    make: Callable[..., Model], model_type: str, config: dict[str, object]
) -> None:
    model = make(model_type, **config)
    network, ids = load_network(model, attention="eager"), some_ids(200)
    if model_type.startswith("gemma"):
        for layer in network.model.layers:
            layer.mlp.act_fn = HalfGelu()
    expected = last_logprobs(network, ids)
    found = LlamaCpp(written(model, "f32")).next_logprobs(ids, model.facts.vocabulary)
    assert expected.std() > 0.5
    # llama.cpp looks GELU up in half precision: where a value is rounded the other way, a logit moves by a thousandth
    np.testing.assert_allclose(found, expected, atol=0.01 if model_type.startswith("gemma") else 2e-4, rtol=0)


@pytest.mark.parametrize(("model_type", "config"), VARIANTS)
def test_what_is_read_back_is_the_same_model(make: Callable[..., Model], model_type: str, config: dict[str, object]) -> None:
    model = make(model_type, **config)
    again = open_model(str(converted(written(model, "f16"))))
    tokenizer, other = load_tokenizer(model), load_tokenizer(again)
    assert other.chat_template == tokenizer.chat_template
    assert [other.bos_token_id, other.eos_token_id, other.pad_token_id] == [1, 2, 2]
    assert other.get_vocab() == tokenizer.get_vocab()
    ids = some_ids(200)
    found, expected = (last_logprobs(load_network(each, attention="eager"), ids) for each in (again, model))
    np.testing.assert_allclose(found, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("kind", "atol"), [("f16", 0.1), ("bf16", 0.2), ("q8_0", 0.3), ("q5_1", 0.6), ("q4_1", 0.6), ("q4_0", 0.6)]
)
def test_llama_cpp_reads_every_type(make: Callable[..., Model], kind: str, atol: float) -> None:
    """Against the dequantised values: what is left is the rounding of activations."""
    model = make()
    path, ids = written(model, kind), some_ids(200)
    expected = last_logprobs(load_network(open_model(str(converted(path)))), ids)
    found = LlamaCpp(path).next_logprobs(ids, model.facts.vocabulary)
    np.testing.assert_allclose(found, expected, atol=atol, rtol=0)


def test_greedy_text_is_that_of_transformers(make: Callable[..., Model]) -> None:
    model = make()
    network, prompt = load_network(model), some_ids(20)
    with torch.no_grad():
        expected = network.generate(torch.tensor([prompt]), max_new_tokens=24, do_sample=False)[0, len(prompt) :].tolist()
    engine = LlamaCpp(written(model, "f16"))
    assert len(set(expected)) > 3
    assert engine.greedy(prompt, 24) == expected[: len(expected) - (expected[-1] == 2)]


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
def test_rows_are_put_back(heads: int, pairs: int, width: int) -> None:
    values = np.random.default_rng(0).standard_normal((heads * pairs * 2, width)).astype(np.float32)
    np.testing.assert_array_equal(unpermute(permute(values, heads), heads), values)
    np.testing.assert_array_equal(permute(unpermute(values, heads), heads), values)


def test_rows_that_are_no_whole_blocks_stay_half(make: Callable[..., Model]) -> None:
    model = make(intermediate_size=200)
    weights = open_weights(written(model, "q4_0"))
    assert weights.dtype("model.layers.0.mlp.down_proj.weight") == "F16"
    assert weights.dtype("model.layers.0.mlp.up_proj.weight") == "Q4_0"


def test_further_keys_are_kept(make: Callable[..., Model]) -> None:
    found = read_gguf_header(written(make(), "q8_0", **{"general.license": "MIT", "etymon.model.digest": "00"})).metadata
    assert (found["general.license"], found["etymon.model.digest"], found["general.file_type"]) == ("MIT", "00", 7)


def test_memory_is_bounded_by_one_tensor(make: Callable[..., Model]) -> None:
    model = make(num_hidden_layers=24, intermediate_size=4096)
    largest = 4096 * 64 * 4
    begun = False

    def progress(done: float) -> None:
        nonlocal begun
        if not begun:
            tracemalloc.start()
        begun = True

    path = model.folder.parent / "large.gguf"
    write_gguf(model, path, Quantisation.f16, {}, progress)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.stat().st_size > 24 * 3 * largest / 2
    assert peak < 4 * largest


@pytest.mark.parametrize(
    ("model_type", "config", "says"),
    [
        ("olmo2", {}, "architecture 'olmo2'"),
        ("llama", {"hidden_act": "gelu"}, "sets hidden_act to 'gelu'"),
        ("llama", {"rope_parameters": LLAMA3 | {"original_max_position_embeddings": 4096}}, "not Llama 3's"),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}, "sets rope_parameters"),
        ("mistral", {"sliding_window": 128}, "sets sliding_window to 128"),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 1}, "sets layer_types"),
        ("gemma2", {"query_pre_attn_scalar": 99}, "sets query_pre_attn_scalar to 99"),
    ],
)
def test_what_a_file_cannot_say_is_refused(
    make: Callable[..., Model], model_type: str, config: dict[str, object], says: str
) -> None:
    model = make(model_type, **config)
    with pytest.raises(EtymonError, match=says):
        written(model, "f16")
    assert not list(model.folder.parent.glob("*.gguf"))


@pytest.mark.parametrize(("value", "kind", "says"), [(1e5, "f16", "more than F16 holds"), (np.inf, "q8_0", "no numbers")])
def test_values_that_a_type_does_not_hold_are_refused(make: Callable[..., Model], value: float, kind: str, says: str) -> None:
    model = make()
    network = load_network(model)
    with torch.no_grad():
        network.model.layers[1].mlp.up_proj.weight[3, 5] = value
    network.save_pretrained(model.folder)
    with pytest.raises(EtymonError, match=says):
        written(open_model(str(model.folder)), kind)
