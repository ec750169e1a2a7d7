"""The account of a training: arithmetic by hand, counters that wrap, bases that are known and that are not."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from etymon.foundation.aliases import ALIASES
from etymon.foundation.model import DeclaredParent, ModelFacts
from etymon.foundation.network import load_tokenizer
from etymon.foundation.sources import open_model
from etymon.foundation.vocabulary import extend_network
from etymon.recipe import Lora
from etymon.train.account import Account, Matrices, Work, count_matrices, hardware, training_flop
from etymon.train.adapters import add_adapter
from etymon.train.base_compute import PRETRAININGS, pretraining_flop, pretraining_of
from etymon.train.energy import Counter, Energy, EnergyMeter, open_meter, rapl_counters
from etymon.train.vocabulary import learn_tokens

LAYER = 64 * 64 + 2 * 32 * 64 + 64 * 64 + 3 * 192 * 64
"""Scalars in the matrices of a layer of the tiny LLaMA: q, k and v, o, gate and up and down."""


def network(folder: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


@pytest.mark.parametrize("tied", [True, False])
def test_matrices_of_a_network(make_llama: Callable[..., Path], tied: bool) -> None:
    found = count_matrices(network(make_llama(tie_word_embeddings=tied)))
    assert found == Matrices(trained=3 * LAYER, frozen=0, head=512 * 64, head_trained=True, layers=3, width=64)


def test_matrices_with_adapters(tiny_llama: Path) -> None:
    adapters = 3 * 4 * ((64 + 64) * 2 + (64 + 32) * 2 + (64 + 192) * 3)
    found = count_matrices(add_adapter(network(tiny_llama), Lora(rank=4), seed=0))
    assert found == Matrices(trained=adapters, frozen=3 * LAYER, head=512 * 64, head_trained=False, layers=3, width=64)


@pytest.mark.parametrize("tied", [True, False])
def test_matrices_with_adapters_and_new_tokens(make_llama: Callable[..., Path], some_texts: list[str], tied: bool) -> None:
    """The new rows are trained, the embedding they belong to is not a matrix that is multiplied."""
    folder = make_llama(tie_word_embeddings=tied)
    grown, new = network(folder), learn_tokens(load_tokenizer(open_model(str(folder))), some_texts, 20)
    extend_network(grown, new)
    adapters, rows = 3 * 4 * ((64 + 64) * 2 + (64 + 32) * 2 + (64 + 192) * 3), 20 * 64 * (1 if tied else 2)
    found = count_matrices(add_adapter(grown, Lora(rank=4), 0, new))
    head = (512 + 20) * 64
    assert found == Matrices(adapters + rows, frozen=3 * LAYER, head=head, head_trained=False, layers=3, width=64)


def test_flop_by_hand() -> None:
    full = Matrices(trained=1000, frozen=0, head=100, head_trained=True, layers=2, width=10)
    work = Work(tokens=50, supervised=20, attended=5.0)
    assert training_flop(work, full) == 6 * 1000 * 50 + 6 * 100 * 20 + 6 * 2 * 10 * 5 * 50
    adapted = Matrices(trained=30, frozen=1000, head=100, head_trained=False, layers=2, width=10)
    assert training_flop(work, adapted) == (4 * 1000 + 6 * 30) * 50 + 4 * 100 * 20 + 6 * 2 * 10 * 5 * 50


class Reading:
    """A counter of joules that begins again from 0 at 100."""

    def __init__(self, *values: float) -> None:
        self.values = list(values)

    def __call__(self) -> float:
        return self.values.pop(0)


def test_a_meter_adds_up_counters_that_wrap() -> None:
    one, other = Counter(Reading(90, 97, 5, 5), 100), Counter(Reading(0, 1, 2, 3.5), 100)
    meter = EnergyMeter([one, other], "measured")
    meter.tick()
    meter.tick()
    energy = meter.read()
    assert energy.joules == pytest.approx(7 + 8 + 0 + 3.5)
    assert energy.method == "measured"


def test_counters_of_processor_packages(tmp_path: Path) -> None:
    """As Linux lays them out: parts of a package and the whole board are not packages."""
    for name, content, joules in [("0", "package-0", 7), ("1", "package-1", 9), ("0:0", "core", 5), ("2", "psys", 30)]:
        folder = tmp_path / f"intel-rapl:{name}"
        folder.mkdir()
        (folder / "name").write_text(content + "\n")
        (folder / "max_energy_range_uj").write_text("262143328850\n")
        (folder / "energy_uj").write_text(f"{joules * 1_000_000}\n")
    counters = rapl_counters(f"{tmp_path}/intel-rapl:[0-9]*")
    assert [counter.read() for counter in counters] == [7, 9]
    assert counters[0].wraps_at == 262143.32885
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
    assert rapl_counters(f"{tmp_path}/intel-rapl:[0-9]*") == []


def test_a_cpu_is_measured_or_assumed_and_says_which() -> None:
    energy = open_meter("cpu", threads=1).read()
    assert energy.joules is not None
    assert energy.method.startswith(("measured: RAPL", "assumed: 12 W a core × 1,"))
    if energy.method.startswith("assumed"):
        assert energy.joules == pytest.approx(12 * energy.seconds)


def test_what_cannot_be_read_is_not_guessed() -> None:
    energy = open_meter("mps", threads=8).read()
    assert energy.joules is None
    assert energy.method.startswith("not measured")
    assert energy.over(100.0).joules is None


def test_energy_of_attempts_that_were_not_metered() -> None:
    energy = Energy(50.0, 10.0, "measured").over(40.0)
    assert energy.joules == 200.0
    assert energy.method == "measured; 10 of 40 s were metered, the rest is taken to be at the same power"
    assert Energy(50.0, 10.0, "measured").over(10.0) == Energy(50.0, 10.0, "measured")
    assert Energy(50.0, 10.0, "measured").over(8.0) == Energy(50.0, 10.0, "measured")


def facts(source: str = "a folder", parents: tuple[str, ...] = (), parameters: float = 134.5e6) -> ModelFacts:
    return ModelFacts(
        architecture="LlamaForCausalLM", model_type="llama", parameters=int(parameters), embedding_parameters=28_311_552,
        layers=30, width=576, context_length=8192, vocabulary=49152, dtype="float32", license=None, source=source,
        parents=tuple(DeclaredParent(uri=uri) for uri in parents), files={}, has_chat_template=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("source", "parents", "parameters", "tokens"),
    [
        ("hf:HuggingFaceTB/SmolLM2-135M@main", (), 134.5e6, 2e12),
        ("a folder", ("hf:HuggingFaceTB/SmolLM2-135M-Instruct",), 134.5e6, 2e12),
        ("a folder", ("hf:HuggingFaceTB/SmolLM2-135M-Instruct", "hf:huggingfacetb/smollm2-135m"), 134.5e6, 2e12),
        ("hf:meta-llama/Llama-2-7b-chat-hf", (), 6.74e9, 2e12),
        ("hf:meta-llama/Meta-Llama-3-8B", (), 8.03e9, 15e12),
        ("hf:meta-llama/Llama-3.1-8B-Instruct", (), 8.03e9, 15e12),
        ("hf:Qwen/Qwen2.5-0.5B", (), 494e6, 18e12),
        ("hf:Qwen/Qwen3-0.6B-Base", (), 596e6, 36e12),
        ("hf:google/gemma-2-2b-it", (), 2.61e9, 2e12),
        ("hf:google/gemma-3-4b-pt", (), 3.88e9, 4e12),
        ("hf:01-ai/Yi-34B-Chat", (), 34.4e9, 3.1e12),
    ],
)
def test_known_bases(source: str, parents: tuple[str, ...], parameters: float, tokens: float) -> None:
    model = facts(source, parents, parameters)
    known = pretraining_of(model)
    assert known is not None
    assert known.tokens == tokens
    assert pretraining_flop(model, known) == 6 * int(parameters) * tokens


@pytest.mark.parametrize(
    ("source", "parents", "parameters"),
    [
        ("a folder", (), 134.5e6),
        ("SmolLM2-135M", (), 134.5e6),  # a name without a place
        ("hf:someone/SmolLM2-135M", (), 134.5e6),
        ("hf:mistralai/Mistral-7B-v0.1", (), 7.24e9),
        ("hf:meta-llama/Llama-3.2-1B", (), 1.24e9),
        ("hf:Qwen/Qwen2.5-Coder-7B", (), 7.6e9),
        ("hf:Qwen/Qwen3-30B-A3B", (), 30.5e9),  # a mixture of experts: fewer parameters work than there are
        ("hf:microsoft/Phi-3-mini-4k-instruct", (), 3.82e9),
        ("hf:Qwen/Qwen2.5-7B", (), 3.9e9),  # not of the size that its name says
        ("a folder", ("hf:Qwen/Qwen2.5-7B", "hf:meta-llama/Llama-3.1-8B"), 8e9),  # a merge
    ],
)
def test_unknown_bases(source: str, parents: tuple[str, ...], parameters: float) -> None:
    assert pretraining_of(facts(source, parents, parameters)) is None


def test_the_quickstart_base_is_known_and_every_entry_has_a_source() -> None:
    alias = ALIASES[0]
    assert pretraining_of(facts(alias.source).model_copy(update={"parents": alias.parents})) == PRETRAININGS[0]
    assert all(entry.source and entry.tokens > 1e12 for entry in PRETRAININGS)


def test_facts_of_an_account() -> None:
    machine = hardware("cpu", threads=2)
    base = facts(parents=("hf:HuggingFaceTB/SmolLM2-135M",))
    account = Account(40_000, 38_000, 2.5e13, 120.04, machine, Energy(600.0, 60.0, "assumed: 10 W"), base)
    found = account.facts()
    assert (found["tokens_seen"], found["tokens_supervised"], found["training_flop"]) == (40_000, 38_000, 2.5e13)
    assert found["training_seconds"] == 120.0
    assert found["energy_joules"] == pytest.approx(1200.4)
    assert found["processor"]
    assert found["processor_cores"] >= 1
    assert found["threads"] == 2
    assert found["base_pretraining_source"] == "model card of SmolLM2-135M"
    assert found["training_flop_over_base"] == pytest.approx(2.5e13 / (6 * 134.5e6 * 2e12))
    assert not any(isinstance(value, float) and math.isnan(value) for value in found.values())


def test_an_unknown_base_and_a_random_start() -> None:
    machine, energy = hardware("cpu", threads=1), Energy(None, 1.0, "not measured")
    unknown = Account(1, 1, 1.0, 1.0, machine, energy, facts()).facts()
    assert unknown["training_flop_over_base"] is None
    assert unknown["base_pretraining_source"] == "unknown"
    assert unknown["energy_joules"] is None
    assert "base_pretraining_source" not in Account(1, 1, 1.0, 1.0, machine, energy, None).facts()
