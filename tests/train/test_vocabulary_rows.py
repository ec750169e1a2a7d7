"""The network's rows for new tokens: where they start, what is trained, and that they outlive merge, save and reload."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PhiConfig, PreTrainedModel

from etymon.foundation.head import head_logits, hidden_states, prepare_packed
from etymon.foundation.model import Model
from etymon.foundation.network import load_network, load_tokenizer, save_network
from etymon.foundation.segments import Segments
from etymon.foundation.sources import open_model
from etymon.foundation.vocabulary import NewToken, embedding_parameters, extend_network, extend_tokenizer
from etymon.train.vocabulary import adapter_rows, learn_tokens, train_embeddings_only
from tokenizer_styles import POEMS


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def foundation(request: pytest.FixtureRequest, make_llama: Callable[..., Path]) -> Model:
    return open_model(str(make_llama(tie_word_embeddings=request.param)))


@pytest.fixture
def new(foundation: Model) -> list[NewToken]:
    return learn_tokens(load_tokenizer(foundation), POEMS, 30)


def logits(network: PreTrainedModel, ids: list[int]) -> Tensor:
    """[T, V] of one document."""
    with torch.no_grad():
        return head_logits(network, hidden_states(network, torch.tensor([ids]), Segments.of_documents([len(ids)])))


def is_tied(network: PreTrainedModel) -> bool:
    return network.get_input_embeddings().weight is network.get_output_embeddings().weight


def test_new_rows_start_at_the_mean_of_their_old_pieces(foundation: Model, new: list[NewToken]) -> None:
    before, network = load_network(foundation), load_network(foundation)
    state = torch.random.get_rng_state()
    extend_network(network, new)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert network.config.vocab_size == before.config.vocab_size + len(new)
    assert is_tied(network) == is_tied(before)
    for old_rows, rows in zip(embedding_parameters(before), embedding_parameters(network), strict=True):
        assert torch.equal(rows[: len(old_rows)], old_rows)
        for token in new:
            assert torch.allclose(rows[token.id], old_rows[list(token.pieces)].mean(0))


def test_old_tokens_keep_their_logits(foundation: Model, new: list[NewToken]) -> None:
    before, network = prepare_packed(load_network(foundation)), prepare_packed(load_network(foundation))
    extend_network(network, new)
    ids = list(range(40, 80))
    assert torch.equal(logits(network, ids)[:, : before.config.vocab_size], logits(before, ids))


def test_spare_rows_of_the_model_are_used_first(make_llama: Callable[..., Path]) -> None:
    padded = open_model(str(make_llama(vocab_size=520)))  # the tokenizer has 512 tokens
    new = learn_tokens(load_tokenizer(padded), POEMS, 20)
    network = load_network(padded)
    extend_network(network, new[:5])
    assert network.config.vocab_size == 520
    extend_network(network, new)
    assert network.config.vocab_size == 512 + len(new)
    weight = network.get_input_embeddings().weight
    assert torch.allclose(weight[512], weight[list(new[0].pieces)].mean(0))


def test_a_bias_of_the_head_grows_too(new: list[NewToken]) -> None:
    config = PhiConfig(vocab_size=512, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    network = AutoModelForCausalLM.from_config(config)
    bias = network.get_output_embeddings().bias
    with torch.no_grad():
        bias.normal_()
    extend_network(network, new)
    grown = network.get_output_embeddings().bias
    assert len(grown) == 512 + len(new)
    assert torch.allclose(grown[new[0].id], bias[list(new[0].pieces)].mean())


def test_a_saved_model_reads_back_with_equal_ids_and_logits(foundation: Model, new: list[NewToken], tmp_path: Path) -> None:
    network = prepare_packed(load_network(foundation))
    tokenizer = extend_tokenizer(load_tokenizer(foundation), new, tmp_path)
    extend_network(network, new)
    ids = tokenizer(POEMS[0])["input_ids"]
    expected = logits(network, ids)
    save_network(network, tmp_path, torch.float32)
    again = open_model(str(tmp_path))
    assert again.facts.vocabulary == len(tokenizer)
    assert load_tokenizer(again)(POEMS[0])["input_ids"] == ids
    assert AutoTokenizer.from_pretrained(tmp_path)(POEMS[0])["input_ids"] == ids
    assert torch.equal(logits(prepare_packed(load_network(again)), ids), expected)


def test_an_adapter_trains_the_new_rows_and_the_merged_model_keeps_them(
    foundation: Model, new: list[NewToken], tmp_path: Path
) -> None:
    network = prepare_packed(load_network(foundation))
    tokenizer = extend_tokenizer(load_tokenizer(foundation), new, tmp_path)
    extend_network(network, new)
    ids = tokenizer(POEMS[1])["input_ids"]
    started = {id: [p[id].clone() for p in embedding_parameters(network)] for id in (40, new[0].id)}
    untrained, tied = logits(network, ids), is_tied(network)
    config = LoraConfig(r=4, target_modules="all-linear", trainable_token_indices=adapter_rows(network, new))
    adapted = get_peft_model(network, config)
    train_a_little(adapted, ids)
    adapted.eval()
    trained = logits(adapted.base_model.model, ids)
    assert float((trained - untrained).abs().max()) > 0.01
    with adapted.disable_adapter():
        assert torch.equal(logits(adapted.base_model.model, ids), untrained)
    merged = adapted.merge_and_unload()
    assert is_tied(merged) == tied
    assert torch.allclose(logits(merged, ids), trained, atol=1e-5)
    for old, parameter in zip(started[40], embedding_parameters(merged), strict=True):
        assert torch.equal(parameter[40], old)
    for old, parameter in zip(started[new[0].id], embedding_parameters(merged), strict=True):
        assert not torch.allclose(parameter[new[0].id], old)
    expected = logits(merged, ids)
    save_network(merged, tmp_path, torch.float32)
    again = load_network(open_model(str(tmp_path)))
    assert is_tied(again) == tied
    assert torch.equal(logits(prepare_packed(again), ids), expected)


def train_a_little(adapted: PeftModel, ids: list[int]) -> None:
    """First the embeddings alone, then everything."""
    parameters = {name: p for name, p in adapted.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(parameters.values(), lr=1e-2)
    segments, row = Segments.of_documents([len(ids)]), torch.tensor([ids])
    for embeddings_only in (True, False):
        train_embeddings_only(adapted, parameters, embeddings_only)
        adapters = [p for name, p in parameters.items() if "lora_A" in name]
        before = [p.detach().clone() for p in adapters]
        for _ in range(3):
            hidden = hidden_states(adapted.base_model.model, row, segments)
            loss = nn.functional.cross_entropy(head_logits(adapted.base_model.model, hidden)[:-1], row[0, 1:])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        unchanged = [torch.equal(old, p) for old, p in zip(before, adapters, strict=True)]
        assert all(unchanged) if embeddings_only else not any(unchanged)


def test_embedding_steps_train_the_embeddings_and_nothing_else(foundation: Model, new: list[NewToken]) -> None:
    network = load_network(foundation)
    extend_network(network, new)
    parameters = dict(network.named_parameters())
    train_embeddings_only(network, parameters, True)
    trained = {name for name, p in parameters.items() if p.requires_grad}
    assert trained == {"model.embed_tokens.weight"} | (set() if is_tied(network) else {"lm_head.weight"})
    train_embeddings_only(network, parameters, False)
    assert all(p.requires_grad for p in parameters.values())
