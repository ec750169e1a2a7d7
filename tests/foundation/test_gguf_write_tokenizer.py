"""llama.cpp gives the ids of the tokenizer a GGUF was written from."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tiny_gguf import LlamaCpp, byte_level, greedy_merges, sentencepiece, write_tiny_gguf
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import LlamaTokenizer, PreTrainedTokenizerFast
from varied_texts import real_strings

from etymon.errors import EtymonError
from etymon.foundation.gguf.convert import convert_gguf
from etymon.foundation.gguf.header import read_gguf_header
from etymon.foundation.gguf.quantisation import Quantisation
from etymon.foundation.gguf.tokenizer import CUTS
from etymon.foundation.gguf.write import write_gguf
from etymon.foundation.gguf.write_tokenizer import tokenizer_metadata
from etymon.foundation.model import Model
from etymon.foundation.network import load_network, load_tokenizer, save_network
from etymon.foundation.sources import open_model
from etymon.foundation.vocabulary import extend_network, extend_tokenizer
from etymon.foundation.weights import open_weights
from etymon.train.vocabulary import learn_tokens
from tokenizer_styles import POEMS, STYLES

MARKED = ["<|turn|>hi<|end|>\n", "a<|turn|>b", "<|turn|><|end|>", " <|end|> x", "<|turn", "中<|turn|>文"]


@pytest.fixture
def with_tokenizer(make_llama: Callable[..., Path]) -> Callable[..., Model]:
    """A function that gives a small model another tokenizer, with rows of the embedding to spare."""

    def make(tokenizer: PreTrainedTokenizerFast, spare: int = 7) -> Model:
        rows = 1 + max(tokenizer.get_vocab().values()) + spare
        folder = make_llama(vocab_size=rows, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id)
        tokenizer.save_pretrained(folder)
        return open_model(str(folder))

    return make


def ids_differ(model: Model, path: Path, texts: list[str]) -> list[str]:
    engine, tokenizer = LlamaCpp(path), load_tokenizer(model)
    return [text for text in texts if engine.ids(text) != tokenizer(text, add_special_tokens=False)["input_ids"]]


@pytest.mark.parametrize("style", STYLES)
def test_ids_are_those_of_the_tokenizer(
    style: str, with_tokenizer: Callable[..., Model], some_texts: list[str], tmp_path: Path
) -> None:
    model = with_tokenizer(STYLES[style](some_texts))
    path = tmp_path / "model.gguf"
    written = write_gguf(model, path, Quantisation.f16, {})
    texts = [*real_strings(500), *some_texts[:40], *POEMS, *MARKED]
    if style == "qwen":
        normalize = normalizers.NFC().normalize_str
        texts = [normalize(text) for text in texts]
        assert any("NFC" in note for note in written.notes)
    else:
        assert written.notes == ()
    assert ids_differ(model, path, texts) == []
    tokenizer = load_tokenizer(model)
    assert LlamaCpp(path).ids("some text", framed=True) == tokenizer("some text")["input_ids"]
    header = read_gguf_header(path)
    assert header.metadata["tokenizer.chat_template"] == tokenizer.chat_template
    assert header.metadata["tokenizer.ggml.eos_token_id"] == tokenizer.convert_tokens_to_ids("<|end|>")
    assert len(header.metadata["tokenizer.ggml.tokens"]) == model.facts.vocabulary


@pytest.mark.parametrize("rule", ["gpt-2", "smollm", "llama-bpe", "smaug-bpe", "qwen2", "tekken", "default"])
def test_a_rule_is_found_again(tmp_path: Path, rule: str) -> None:
    merges = list(greedy_merges())
    path = write_tiny_gguf(tmp_path / "tiny.gguf", tokenizer=partial(byte_level, pre=rule, merges=merges), layers=1)
    model = open_model(str(converted(path)))
    again, notes = tokenizer_metadata(load_tokenizer(model), model.facts.vocabulary, [], "tiny")
    stored = read_gguf_header(path).metadata
    assert CUTS[again["tokenizer.ggml.pre"]].expressions == CUTS[rule].expressions
    assert again["tokenizer.ggml.merges"] == merges
    assert again["tokenizer.ggml.tokens"] == stored["tokenizer.ggml.tokens"]
    np.testing.assert_array_equal(again["tokenizer.ggml.token_type"], stored["tokenizer.ggml.token_type"])
    assert notes == []


@pytest.mark.parametrize("spaced", [True, False])
def test_sentencepiece_goes_there_and_back(tmp_path: Path, spaced: bool) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", tokenizer=partial(sentencepiece, spaced=spaced), layers=1)
    model = open_model(str(converted(path)))
    again = tmp_path / "again.gguf"
    assert write_gguf(model, again, Quantisation.f16, {}).notes == ()
    stored, found = read_gguf_header(path).metadata, read_gguf_header(again).metadata
    for key in ("tokens", "add_space_prefix", "bos_token_id", "unknown_token_id"):
        assert found[f"tokenizer.ggml.{key}"] == stored[f"tokenizer.ggml.{key}"]
    np.testing.assert_array_equal(found["tokenizer.ggml.token_type"], stored["tokenizer.ggml.token_type"])
    texts = [*real_strings(500), "a<|user|>b", " <|user|> c", "<s> x", "x\n~\ny"]
    engine, original = LlamaCpp(again), LlamaCpp(path)
    assert [text for text in texts if engine.ids(text) != original.ids(text)] == []


def test_sentencepiece_as_transformers_builds_it(
    with_tokenizer: Callable[..., Model], some_texts: list[str], tmp_path: Path
) -> None:
    """Its own class puts a space before the first word alone; llama.cpp before every text, which is said."""
    content = json.loads(STYLES["llama2"](some_texts).backend_tokenizer.to_str())["model"]
    merges = [tuple(pair) for pair in content["merges"]]
    tokenizer = LlamaTokenizer(vocab=content["vocab"], merges=merges, bos_token="<|turn|>", eos_token="<|end|>")
    model = with_tokenizer(tokenizer)
    assert isinstance(load_tokenizer(model), LlamaTokenizer)
    written = write_gguf(model, tmp_path / "model.gguf", Quantisation.f16, {})
    assert any("leading spaces" in note for note in written.notes)
    texts = [text for text in [*real_strings(500), *some_texts[:40], *POEMS] if not text.startswith(" ")]
    assert ids_differ(model, tmp_path / "model.gguf", texts) == []


@pytest.mark.parametrize("style", ["gpt2", "llama3", "llama2"])
def test_new_tokens_survive(style: str, with_tokenizer: Callable[..., Model], some_texts: list[str], tmp_path: Path) -> None:
    model = with_tokenizer(STYLES[style](some_texts), spare=0)
    tokenizer, network = load_tokenizer(model), load_network(model)
    new = learn_tokens(tokenizer, POEMS, 30)
    extend_network(network, new)
    folder = tmp_path / "extended"
    save_network(network, folder, network.dtype)
    extend_tokenizer(tokenizer, new, folder)
    extended, path = open_model(str(folder)), tmp_path / "extended.gguf"
    write_gguf(extended, path, Quantisation.f16, {})
    assert ids_differ(extended, path, [*POEMS, *real_strings(300), *MARKED]) == []
    used = {row for poem in POEMS for row in LlamaCpp(path).ids(poem)}
    assert len(used & {token.id for token in new}) > 10
    rows = [token.id for token in new]
    stored = open_weights(path).read("model.embed_tokens.weight")[rows]
    np.testing.assert_array_equal(stored, open_weights(folder).read("model.embed_tokens.weight")[rows].astype(np.float16))


def test_ends_of_an_answer_are_told_apart(
    with_tokenizer: Callable[..., Model], some_texts: list[str], tmp_path: Path
) -> None:
    tokenizer = STYLES["gpt2"](some_texts)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|a|>", "<|b|>", "<|c|>"]})
    found, notes = tokenizer_metadata(
        tokenizer, len(tokenizer), [tokenizer.convert_tokens_to_ids(end) for end in ("<|a|>", "<|b|>", "<|c|>")], "x"
    )
    ids = tokenizer.convert_tokens_to_ids(["<|end|>", "<|a|>", "<|b|>"])
    assert [found[f"tokenizer.ggml.{key}_token_id"] for key in ("eos", "eot", "eom")] == ids
    assert "<|c|>" in notes[0]


def test_several_templates_go_along(some_texts: list[str]) -> None:
    tokenizer = STYLES["gpt2"](some_texts)
    tokenizer.chat_template = {"default": tokenizer.chat_template, "tool use": "{{ messages }}"}
    found, _ = tokenizer_metadata(tokenizer, len(tokenizer), [], "x")
    assert found["tokenizer.chat_templates"] == ["tool_use"]
    assert found["tokenizer.chat_template.tool_use"] == "{{ messages }}"


def cut_by_hand(texts: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = STYLES["gpt2"](texts)
    cut = [
        pre_tokenizers.Split(Regex("[aeiou]"), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(cut)
    return tokenizer


def lowercased(texts: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = STYLES["gpt2"](texts)
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    return tokenizer


def words_alone(texts: list[str]) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a")))


@pytest.mark.parametrize(
    ("make", "spare", "says"),
    [
        (cut_by_hand, 0, "by a rule that is none of these"),
        (lowercased, 0, "would cut other tokens"),
        (words_alone, 0, "of the kind WordLevel"),
        (STYLES["gpt2"], -1, "has ids up to"),
    ],
)
def test_what_llama_cpp_does_not_have_is_refused(
    make: Callable[[list[str]], PreTrainedTokenizerFast], spare: int, says: str, some_texts: list[str]
) -> None:
    tokenizer = make(some_texts)
    with pytest.raises(EtymonError, match=says):
        tokenizer_metadata(tokenizer, len(tokenizer) + spare, [], "x")


def converted(path: Path) -> Path:
    folder = path.with_suffix("")
    folder.mkdir()
    convert_gguf(read_gguf_header(path), folder, lambda done: None)
    return folder
