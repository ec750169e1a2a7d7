"""The quickstart's base written as GGUF: real tokens, real text, and what a kill leaves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_gguf import LlamaCpp
from varied_texts import real_strings

from etymon.foundation.gguf.quantisation import Quantisation
from etymon.foundation.gguf.write import write_gguf
from etymon.foundation.model import Model
from etymon.foundation.network import load_network, load_tokenizer
from etymon.foundation.prompt import prompt_ids
from etymon.foundation.sources import open_model
from etymon.foundation.weights import open_weights
from etymon.lineage.compare import compare

pytestmark = pytest.mark.slow
QUESTIONS = [
    "What is the capital of France?", "Write a haiku about rain.", "How do I reverse a list in Python?",
    "用中文介绍一下长城。", "Explain gravity to a child.", "List three uses of vinegar 🧪",
]  # fmt: skip


@pytest.fixture(scope="module")
def base() -> Model:
    return open_model("smollm2-135m-instruct-q4_1")


@pytest.fixture(scope="module")
def half(base: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "base.gguf"
    write_gguf(base, path, Quantisation.f16, {})
    return path


def test_greedy_answers_are_those_of_transformers(base: Model, half: Path) -> None:
    network, tokenizer, engine = load_network(base), load_tokenizer(base), LlamaCpp(half)
    for question in QUESTIONS:
        prompt = prompt_ids(tokenizer, [{"role": "user", "content": question}])
        with torch.no_grad():
            expected = network.generate(torch.tensor([prompt]), max_new_tokens=40, do_sample=False)[0, len(prompt) :]
        found = engine.greedy(prompt, 40)
        assert tokenizer.decode(found, skip_special_tokens=True) == tokenizer.decode(expected, skip_special_tokens=True)


def test_ids_of_five_thousand_texts_are_those_of_the_tokenizer(base: Model, half: Path) -> None:
    tokenizer, engine = load_tokenizer(base), LlamaCpp(half)
    wrong = [t for t in real_strings(5000) if engine.ids(t) != tokenizer(t, add_special_tokens=False)["input_ids"]]
    assert wrong == []


@pytest.mark.parametrize(("kind", "atol"), [("f16", 0.1), ("q8_0", 1.0)])
def test_log_probabilities_stay_close(base: Model, tmp_path: Path, kind: str, atol: float) -> None:
    tokenizer = load_tokenizer(base)
    ids = tokenizer("The Great Wall of China was built over many centuries to")["input_ids"]
    with torch.no_grad():
        expected = torch.log_softmax(load_network(base)(torch.tensor([ids])).logits[0, -1], -1).numpy()
    path = tmp_path / "model.gguf"
    write_gguf(base, path, Quantisation(kind), {})
    found = LlamaCpp(path).next_logprobs(ids, base.facts.vocabulary)
    likely = expected > expected.max() - 10
    np.testing.assert_allclose(found[likely], expected[likely], atol=atol, rtol=0)


def test_the_lattice_of_the_base_is_found_again_without_loss(base: Model, tmp_path: Path) -> None:
    path = tmp_path / "again.gguf"
    write_gguf(base, path, Quantisation.q4_1, {})
    original, found = open_weights(base.folder), open_weights(path)
    for name in ("model.layers.0.mlp.up_proj.weight", "model.layers.17.self_attn.k_proj.weight", "model.embed_tokens.weight"):
        np.testing.assert_allclose(found.read(name), original.read(name), atol=1e-3)


@pytest.mark.parametrize("kind", ["q8_0", "q4_0"])
def test_lineage_names_the_quantisation(base: Model, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(base, path, Quantisation(kind), {})
    lineage = compare(path, base.folder)
    assert lineage.verdict == "related"
    assert kind.upper() in {each.format for each in lineage.attribution.quantised if each.side == "model"}


def test_a_kill_leaves_nothing_under_the_files_name(tmp_path: Path) -> None:
    target = tmp_path / "mine.gguf"
    command = [sys.executable, "-m", "etymon", "export", "smollm2-135m-instruct-q4_1", str(target), "--to", "gguf"]
    process = subprocess.Popen([*command, "-w", str(tmp_path / "w")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not any(path.stat().st_size > 1 << 24 for path in tmp_path.glob(".*/mine.gguf")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not target.exists()
    assert not target.with_suffix(".papers").exists()
    assert subprocess.run([*command, "-w", str(tmp_path / "w")], stdout=subprocess.DEVNULL, timeout=200).returncode == 0
    assert target.stat().st_size > 200_000_000
