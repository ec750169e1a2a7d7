"""Small LLaMA models trained from scratch on real text, none of them from another: what must not be taken for a relation.

In groups that differ in what they share: the same text in the same order from other seeds, other text, other sizes. All
have the same tokenizer (bytes). A group ``relatives`` continues some of them on other text.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from common import BENCH

LENGTH, ROWS, STEPS = 96, 12, 220
BYTES = {f"byte {number}": number for number in range(256)}
"""Strings of the tokens and their rows, as far as lineage reads a tokenizer.json."""
CORPORA = ("docs", "code", "questions")


@dataclass(frozen=True)
class SmallModel:
    name: str
    seed: int
    corpus: str
    order: int
    """Seed of the order in which text is read."""
    width: int = 64
    neurons: int = 192
    layers: int = 10
    heads: int = 2
    key_heads: int = 1
    continues: str = ""
    """Another model's name, whose weights are the start."""


def independents() -> list[SmallModel]:
    """Eighty-four models, no two of one start."""
    found = [SmallModel(f"same-{seed}", seed, "docs", 0) for seed in range(30)]
    found += [SmallModel(f"order-{seed}", 100 + seed, "docs", 1 + seed) for seed in range(14)]
    found += [SmallModel(f"code-{seed}", 200 + seed, "code", 0) for seed in range(12)]
    found += [SmallModel(f"questions-{seed}", 300 + seed, "questions", 0) for seed in range(8)]
    found += [SmallModel(f"deep-{seed}", 400 + seed, "docs", 0, layers=12) for seed in range(8)]
    found += [SmallModel(f"wide-{seed}", 500 + seed, "docs", 0, width=96, neurons=256, heads=3) for seed in range(6)]
    return found + [SmallModel(f"keys-{seed}", 600 + seed, "docs", 0, key_heads=2) for seed in range(6)]


def relatives() -> list[SmallModel]:
    """Models that were trained on from one of the independents, on other text."""
    return [SmallModel(f"child-{seed}", 700 + seed, "code", seed, continues=f"same-{seed}") for seed in range(6)]


def folder_of(model: SmallModel) -> Path:
    return BENCH / "zoo" / model.name


def make(models: list[SmallModel], processes: int = 2) -> None:
    """Train what is not there yet, in processes of one thread each."""
    wanted = [each for each in models if not (folder_of(each) / "made.json").exists()]
    if wanted:
        _train_all(wanted, processes)
    for each in models:
        (folder_of(each) / "tokenizer.json").write_text(json.dumps({"model": {"type": "BPE", "vocab": BYTES}}), "utf-8")


def _train_all(wanted: list[SmallModel], processes: int) -> None:
    print(f"training {len(wanted)} small models", flush=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}
    shares = [json.dumps([asdict(each) for each in wanted[start::processes]]) for start in range(processes)]
    running = [subprocess.Popen([sys.executable, __file__, share], env=environment) for share in shares]
    assert not any(each.wait() for each in running), "training small models failed"


@cache
def text(corpus: str) -> bytes:
    """Real text of this installation: docstrings of the standard library, its source, or MMLU's development questions."""
    if corpus == "questions":
        from etymon.evaluate.questions import mmlu_dev_questions

        asked = mmlu_dev_questions().questions
        return "\n\n".join(f"{q.question}\n{q.options}\n{q.worked}" for q in asked).encode()
    from etymon.corpus.read.python_docs import library_files, read_module

    files = library_files()[:300]
    if corpus == "code":
        return b"\n".join(path.read_bytes() for _, path in files)[:6_000_000]
    read = (each for name, path in files for each in read_module(path, name))
    return "\n\n".join(each.text for each in read if hasattr(each, "text")).encode()


def train(model: SmallModel) -> None:
    """One model from its seed (or from another's weights), written as a Transformers folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(model.seed)
    if model.continues:
        network = LlamaForCausalLM.from_pretrained(BENCH / "zoo" / model.continues, dtype=torch.float32)
    else:
        network = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=256, hidden_size=model.width, intermediate_size=model.neurons, num_hidden_layers=model.layers,
                num_attention_heads=model.heads, num_key_value_heads=model.key_heads, tie_word_embeddings=True,
            )
        )  # fmt: skip
    data = torch.from_numpy(np.frombuffer(text(model.corpus), np.uint8).astype(np.int64))
    draw = np.random.default_rng(model.order)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.1, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=STEPS, pct_start=0.1)
    first = last = 0.0
    for step in range(STEPS):
        starts = draw.integers(len(data) - LENGTH, size=ROWS)
        batch = torch.stack([data[start : start + LENGTH] for start in starts])
        loss = network(batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        first, last = (float(loss.detach()) if step == 0 else first), float(loss.detach())
    folder = folder_of(model)
    network.save_pretrained(folder)
    (folder / "made.json").write_text(json.dumps({**asdict(model), "first_loss": first, "last_loss": last}), "utf-8")


if __name__ == "__main__":
    for given in json.loads(sys.argv[1]):
        train(SmallModel(**given))
