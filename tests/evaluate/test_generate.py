"""Many answers at once are the answers that Transformers and lm-eval's ``hf`` give one by one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GenerationConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
)

from etymon.errors import EtymonError
from etymon.evaluate.budget import slot_budget, token_costs
from etymon.evaluate.examinee import Examinee, open_examinee
from etymon.evaluate.harness import generate as generating
from etymon.evaluate.harness.generate import Answer, Prompt, generate
from etymon.evaluate.harness.model import SharedPrefixLM
from etymon.foundation.head import prepare_packed
from etymon.foundation.segments import ATTENTION
from etymon.foundation.sources import open_model

SIZES = {
    "vocab_size": 512, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 256, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "initializer_range": 0.2, "tie_word_embeddings": False,
}  # fmt: skip
LONG = {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0] * 8, "long_factor": [2.0] * 8}
FAMILIES = [
    LlamaConfig(**SIZES),
    MistralConfig(**SIZES, sliding_window=8),
    Gemma2Config(**SIZES, sliding_window=8, query_pre_attn_scalar=16, attn_logit_softcapping=5.0),
]


def network_of(config: PreTrainedConfig) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def some_prompts(lengths: Sequence[int], new_tokens: int = 12, shared: int = 0, **settings: Any) -> list[Prompt]:
    generator = torch.Generator().manual_seed(1)
    header = torch.randint(3, 512, (shared,), generator=generator).tolist()
    texts = [torch.randint(3, 512, (length,), generator=generator).tolist() for length in lengths]
    return [Prompt((*header, *text), new_tokens, (), settings) for text in texts]


def one_by_one(network: Any, prompts: Sequence[Prompt]) -> list[list[int]]:
    network.set_attn_implementation("sdpa" if network._supports_sdpa else "eager")
    answers = []
    for prompt in prompts:
        ids_1T = torch.tensor([prompt.ids])
        made_1T = network.generate(ids_1T, attention_mask=torch.ones_like(ids_1T), max_new_tokens=prompt.new_tokens,
                                   **{"do_sample": False} | prompt.settings)  # fmt: skip
        answers.append(made_1T[0, len(prompt.ids) :].tolist())
    return answers


def at_once(network: Any, tokenizer: Any, prompts: Sequence[Prompt], memory_mb: float = 500) -> list[Answer]:
    found = dict(generate(prepare_packed(network), tokenizer, prompts, memory_mb))
    return [found[number] for number in range(len(prompts))]


@pytest.mark.parametrize("config", FAMILIES, ids=lambda config: config.model_type)
def test_families(config: PreTrainedConfig, tiny_tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch) -> None:
    """With few slots, so that prompts follow one another, and of other lengths than the sequences beside them."""
    monkeypatch.setattr(generating, "SLOTS", 3)
    network = network_of(config)
    prompts = some_prompts([1, 5, 17, 2, 40, 9, 30, 3, 11, 6])
    expected = one_by_one(network, prompts)
    answers = at_once(network, tiny_tokenizer, prompts)
    assert [answer.ids for answer in answers] == expected
    assert len({tuple(ids) for ids in expected}) > 5, "the answers tell their prompts apart"
    assert network.config._attn_implementation == ATTENTION


def test_prompts_longer_than_a_row(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    network = network_of(MistralConfig(**SIZES | {"max_position_embeddings": 512}, sliding_window=20))
    prompts = some_prompts([150, 30, 149, 60])
    expected = one_by_one(network, prompts)
    costs = token_costs(network, 162)
    memory_mb = (162 * costs.held_token + costs.head_position + 40 * costs.row_token) / 1e6
    budget = slot_budget(network, memory_mb, 162, 16)
    assert budget.row_tokens < 150
    assert [answer.ids for answer in at_once(network, tiny_tokenizer, prompts, memory_mb)] == expected


def test_memory(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    network = network_of(LlamaConfig(**SIZES))
    costs = token_costs(network, 100)
    for memory_mb in (1.0, 2.0, 5.0, 20.0, 1000.0):
        budget = slot_budget(network, memory_mb, 100, 16)
        spent = budget.slots * (100 * costs.held_token + costs.head_position) + budget.row_tokens * costs.row_token
        assert spent <= memory_mb * 1e6
        assert 1 <= budget.slots <= budget.row_tokens
    with pytest.raises(EtymonError, match=r"memory budget of 0.01 MB does not hold a prompt and its answer of 32 tokens"):
        at_once(network, tiny_tokenizer, some_prompts([20]), 0.01)


def test_a_shared_beginning_is_computed_once_and_equal_prompts_are_answered_once(
    tiny_tokenizer: PreTrainedTokenizerFast,
) -> None:
    network = network_of(LlamaConfig(**SIZES))
    prompts = some_prompts([4, 7, 5, 6], shared=60)
    prompts.append(prompts[1])
    expected = one_by_one(network, prompts)
    answers = at_once(network, tiny_tokenizer, prompts)
    assert [answer.ids for answer in answers] == expected
    made = sum(len(answer.ids) - 1 for answer in answers[:4])
    assert sum(answer.fed for answer in answers) == 60 + (4 + 7 + 5 + 6) + made
    assert answers[4].fed == 0


def test_an_answer_ends_with_any_eos_token(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    network = network_of(LlamaConfig(**SIZES))
    prompts = some_prompts([4, 9, 12, 20], new_tokens=20)
    free = one_by_one(network, prompts)
    network.generation_config.eos_token_id = [2, free[0][3], free[2][5]]
    expected = one_by_one(network, prompts)
    assert expected != free
    assert [answer.ids for answer in at_once(network, tiny_tokenizer, prompts)] == expected


@pytest.mark.parametrize("by", ["task", "generation_config", "LongRoPE"])
def test_what_is_not_plainly_greedy_is_left_to_transformers(by: str, tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    config: PreTrainedConfig = LlamaConfig(**SIZES)
    if by == "LongRoPE":
        config = Phi3Config(**SIZES, rope_parameters=LONG, original_max_position_embeddings=16)
    network = network_of(config)
    if by == "generation_config":
        network.generation_config = GenerationConfig(eos_token_id=2, pad_token_id=0, repetition_penalty=1.7)
    prompts = some_prompts([6, 3, 20], **({"num_beams": 3} if by == "task" else {}))
    expected = one_by_one(network, prompts)
    answers = at_once(network, tiny_tokenizer, prompts)
    assert [answer.ids for answer in answers] == expected
    assert network.config._attn_implementation == ATTENTION


def ask(lm: Any, arguments: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    requests = [Instance("generate_until", {}, each, 0, ("task", number, 1)) for number, each in enumerate(arguments)]
    return list(lm.generate_until(requests, disable_tqdm=True))


@pytest.fixture
def writer(make_llama: Callable[..., Path]) -> Examinee:
    """Its text depends on all of its context."""
    return open_examinee(open_model(str(make_llama(tie_word_embeddings=False, initializer_range=0.1))), "cpu")


def test_texts_are_those_of_hf(writer: Examinee, some_texts: list[str]) -> None:
    folder = writer.tokenizer.name_or_path
    theirs = HFLM(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), tokenizer=writer.tokenizer, batch_size=1)
    told: list[tuple[int, int]] = []
    ours = SharedPrefixLM(writer, lambda doing, done, total: told.append((done, total)))
    stops = [[], ["e"], ["\n\n", "th"], [" a", ""], ["<|endoftext|>"]]
    arguments = [(" ".join(some_texts[n : n + 1 + n % 7]), {"until": stops[n % 5], "max_gen_toks": 5 + n}) for n in range(30)]
    assert ask(ours, arguments) == ask(theirs, arguments)
    assert told == [(done, 30) for done in range(31)]
    assert ours.usages[0].truncated > 0
    assert ours.usages[0].tokens_fed <= ours.usages[0].tokens_asked


def test_each_answer_of_an_item_keeps_its_own_count(writer: Examinee) -> None:
    ours = SharedPrefixLM(writer, lambda *_: None)
    settings = {"until": ["e"], "max_gen_toks": 30, "do_sample": True, "temperature": 2.0}
    request = Instance("generate_until", {}, ("Return a str", settings), 0, ("task", 7, 4))
    torch.manual_seed(0)
    texts = ours.generate_until([request] * 4)
    counts = [ours.scores["task", 7, number].tokens for number in range(4)]
    assert len(set(texts)) > 1
    assert len(set(counts)) > 1


@pytest.mark.parametrize(
    ("prompt", "new_tokens", "said"),
    [
        ("", 10, r"task: item 1 has a prompt without a token \(''\)"),
        ("Return", 512, r"task: item 1 asks for 512 new tokens; the model's context holds 512"),
        ("Return", 0, r"task: item 1 asks for 0 new tokens"),
    ],
)
def test_what_cannot_be_continued_is_named(prompt: str, new_tokens: int, said: str, writer: Examinee) -> None:
    with pytest.raises(EtymonError, match=said):
        ask(SharedPrefixLM(writer, lambda *_: None), [("Return", {}), (prompt, {"max_gen_toks": new_tokens})])
