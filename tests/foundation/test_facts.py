"""Facts are read from files alone, and agree with the network that Transformers builds from them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, Gemma3TextConfig, GPT2Config, Qwen3Config

from etymon.errors import EtymonError
from etymon.foundation.facts import describe_model
from etymon.foundation.model import DeclaredParent, Model
from etymon.store import DigestCache, file_digest, root_digest


@pytest.fixture
def digests(tmp_path: Path) -> DigestCache:
    return DigestCache(tmp_path / "digests.jsonl")


@pytest.fixture
def folder(tiny_llama: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_llama, tmp_path / "model"))


def describe(folder: Path, digests: DigestCache, **more: Any) -> Model:
    return describe_model(folder, name="tiny", source="here", digests=digests, **more)


def change_config(folder: Path, **keys: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({k: v for k, v in (config | keys).items() if v is not None}))


def test_facts_agree_with_the_network(folder: Path, digests: DigestCache) -> None:
    facts = describe(folder, digests).facts
    network = AutoModelForCausalLM.from_pretrained(folder)
    assert facts.parameters == sum(values.numel() for values in network.parameters())
    assert facts.embedding_parameters == network.get_input_embeddings().weight.numel()
    config = network.config
    assert (facts.layers, facts.width, facts.vocabulary) == (config.num_hidden_layers, config.hidden_size, config.vocab_size)
    assert (facts.context_length, facts.architecture, facts.model_type) == (512, "LlamaForCausalLM", "llama")
    assert (facts.dtype, facts.license, facts.has_chat_template) == ("float32", "Apache-2.0", True)


def test_untied_embeddings_count_twice(make_llama: Callable[..., Path], digests: DigestCache) -> None:
    facts = describe(make_llama(1, tie_word_embeddings=False), digests).facts
    assert facts.embedding_parameters == 2 * facts.vocabulary * facts.width


def test_tied_embeddings_stored_twice_count_once(folder: Path, digests: DigestCache) -> None:
    before = describe(folder, digests).facts
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    save_file(weights, folder / "model.safetensors")
    after = describe(folder, digests).facts
    assert (after.parameters, after.embedding_parameters) == (before.parameters, before.embedding_parameters)


_SMALL = {
    "num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2, "num_key_value_heads": 1,
    "head_dim": 16, "vocab_size": 99, "max_position_embeddings": 64,
}  # fmt: skip


@pytest.mark.parametrize(
    "config",
    [
        GPT2Config(n_layer=2, n_embd=32, n_head=2, vocab_size=99, n_positions=64),
        Qwen3Config(**_SMALL),
        Gemma3TextConfig(**_SMALL),
    ],
)
def test_other_families(tmp_path: Path, digests: DigestCache, config: Any) -> None:
    network = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    network.save_pretrained(tmp_path / "model")
    facts = describe(tmp_path / "model", digests).facts
    assert facts.parameters == sum(values.numel() for values in network.parameters())
    assert (facts.layers, facts.width, facts.context_length, facts.dtype) == (2, 32, 64, "bfloat16")


def test_the_digest_is_that_of_the_models_files(folder: Path, digests: DigestCache) -> None:
    model = describe(folder, digests)
    assert set(model.facts.files) == {path.name for path in folder.iterdir()}
    assert model.digest == root_digest({path.name: file_digest(path) for path in folder.iterdir()})
    for stranger in ("manifest.json", "pytorch_model.bin", "optimizer.pt", ".hidden.json", "loss.svg"):
        (folder / stranger).write_text("{}")
    assert describe(folder, digests).digest == model.digest
    (folder / "generation_config.json").write_text('{"eos_token_id": 0}')
    assert describe(folder, digests).digest != model.digest


def test_what_is_given_goes_before_the_card(folder: Path, digests: DigestCache) -> None:
    parent = DeclaredParent(uri="hf:a/b", relation="merge")
    facts = describe(folder, digests, license="mit", parents=(parent,)).facts
    assert (facts.license, facts.parents) == ("MIT", (parent,))


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_from_the_folder_is_refused(folder: Path, digests: DigestCache, file: str) -> None:
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(content | {"auto_map": {"AutoModelForCausalLM": "evil.Model"}}))
    with pytest.raises(EtymonError, match="never run here"):
        describe(folder, digests)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"architectures": None}, "does not name its class"),
        ({"hidden_size": None}, "lacks hidden_size or n_embd"),
        ({"num_hidden_layers": "3"}, "lacks num_hidden_layers"),
    ],
)
def test_an_incomplete_config_is_refused(folder: Path, digests: DigestCache, keys: dict[str, Any], says: str) -> None:
    change_config(folder, **keys)
    with pytest.raises(EtymonError, match=says):
        describe(folder, digests)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_a_malformed_config_is_refused(folder: Path, digests: DigestCache, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(EtymonError, match=r"config\.json"):
        describe(folder, digests)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, digests: DigestCache) -> None:
    with pytest.raises(EtymonError, match=r"no config\.json"):
        describe(tmp_path, digests)
    with pytest.raises(EtymonError, match="no model folder"):
        describe(tmp_path / "nowhere", digests)
