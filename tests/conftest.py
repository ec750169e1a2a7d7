"""Small real models for every part: a LLaMA folder with its own trained tokenizer."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # beside other work, spinning threads make small models slow

import inspect
import json
import textwrap
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

pytest_plugins = ["browsing", "postgres", "running"]

hypothesis.settings.register_profile(
    "etymon", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)  # a busy machine is no finding
hypothesis.settings.load_profile("etymon")

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="session")
def some_texts() -> list[str]:
    """Real prose: docstrings of the standard library."""
    modules = (json, textwrap, inspect, os)
    members = (getattr(module, name) for module in modules for name in dir(module))
    texts = {inspect.getdoc(member) or "" for member in members if callable(member)}
    return sorted(text for text in texts if len(text) > 80)


@pytest.fixture(scope="session")
def tiny_tokenizer(some_texts: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=512, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(some_texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


@pytest.fixture(scope="session")
def make_llama(tiny_tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that writes a small random LLaMA folder; ``seed`` and any config value can be given."""

    def make(seed: int = 0, **config: object) -> Path:
        torch.manual_seed(seed)
        sizes = {
            "vocab_size": len(tiny_tokenizer), "hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 3,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "tie_word_embeddings": True,
            "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
        }  # fmt: skip
        network = AutoModelForCausalLM.from_config(LlamaConfig(**sizes | config), dtype=torch.float32)
        folder = tmp_path_factory.mktemp(f"llama-{seed}-")
        network.save_pretrained(folder)
        tiny_tokenizer.save_pretrained(folder)
        (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n\nA small random model for tests.\n", "utf-8")
        return folder

    return make


@pytest.fixture(scope="session")
def tiny_llama(make_llama: Callable[..., Path]) -> Path:
    return make_llama()
