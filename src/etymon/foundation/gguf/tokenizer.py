"""The tokenizer a GGUF carries, rebuilt as a ``tokenizers`` tokenizer that gives llama.cpp's token ids.

``tokenizer.ggml.pre`` names how text is cut before byte-pair merging. Transformers ignores it, which changes the ids of
numbers for the quickstart's base ("smollm" cuts digits one by one). The cuts are those of each family's published tokenizer.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from etymon.errors import EtymonError
from etymon.foundation.gguf.header import GgufHeader
from etymon.foundation.stored_tensor import refuse

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""Types of tokens, as llama.cpp counts them."""

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
_UPPER, _LOWER = r"(?:(?=\p{L})[^a-z])", r"(?:(?=\p{L})[^A-Z])"
"""As llama.cpp reads Mistral's classes of cased letters: outside ASCII, a letter counts as both."""
_TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Cut:
    """How a family cuts text: each expression in turn cuts the pieces the one before has left."""

    expressions: tuple[str, ...]
    whole_words: bool = False
    """A piece that is a token as it stands is not merged up from its bytes."""
    begins: bool = False
    """A sequence begins with the BOS token unless the file says otherwise."""


_DIGITS_APART = Cut((r"\p{N}", _GPT2))
_LLAMA3_CUT = Cut((_LLAMA3,), whole_words=True, begins=True)

CUTS = {
    "default": Cut((r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]")),
    "gpt-2": Cut((_GPT2,)),
    "phi-2": Cut((_GPT2,)),
    "olmo": Cut((_GPT2,)),
    "mpt": Cut((_GPT2,)),
    "smollm": _DIGITS_APART,
    "starcoder": _DIGITS_APART,
    "refact": _DIGITS_APART,
    "command-r": _DIGITS_APART,
    "codeshell": _DIGITS_APART,
    "exaone": _DIGITS_APART,
    "minerva-7b": _DIGITS_APART,
    "llama3": _LLAMA3_CUT,
    "llama-v3": _LLAMA3_CUT,
    "llama-bpe": _LLAMA3_CUT,
    "falcon3": _LLAMA3_CUT,
    "pixtral": _LLAMA3_CUT,
    "smaug-bpe": Cut((_LLAMA3,)),
    "dbrx": Cut((_LLAMA3,)),
    "qwen2": Cut((_QWEN2,)),
    "deepseek-r1-qwen": Cut((_QWEN2,)),
    "stablelm2": Cut((_QWEN2,)),
    "megrez": Cut((_QWEN2,)),
    "tekken": Cut((_TEKKEN,), whole_words=True, begins=True),
}


@dataclass(frozen=True)
class RecoveredTokenizer:
    """A tokenizer and what Transformers keeps beside it."""

    tokenizer: Tokenizer
    config: dict[str, Any]
    """Content of ``tokenizer_config.json``."""
    chat_template: str | None


def recover_tokenizer(header: GgufHeader) -> RecoveredTokenizer:
    """Rebuild the tokenizer. Raises EtymonError for a kind that is not known here or metadata that contradicts itself."""
    tokens = _tokens(header)
    kind = header.require("tokenizer.ggml.model", str)
    if kind == "gpt2":
        tokenizer, begins = _byte_level(header, tokens)
    elif kind == "llama":
        tokenizer, begins = _sentencepiece(header, tokens), True
    else:
        raise EtymonError(
            f"{header.path} has a tokenizer of the kind {kind!r}; byte-pair ('gpt2') and SentencePiece ('llama') are known.",
            "Use the model's original folder, which has its tokenizer beside the weights.",
        )
    tokenizer.add_tokens(_added(header, tokens))
    special = {role: _special(header, tokens, role) for role in ("bos", "eos", "unknown", "padding")}
    begins = header.get("tokenizer.ggml.add_bos_token", bool, begins)
    ends = header.get("tokenizer.ggml.add_eos_token", bool, False)
    _frame(header, tokenizer, special["bos"] if begins else None, special["eos"] if ends else None)
    names = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": begins,
        "add_eos_token": ends,
        "clean_up_tokenization_spaces": False,
        "model_max_length": header.get(f"{header.architecture}.context_length", int, 1 << 62),
    } | {names[role]: token for role, token in special.items() if token is not None}
    template = header.get("tokenizer.chat_template", str, "")
    return RecoveredTokenizer(tokenizer, config, template or None)


def _tokens(header: GgufHeader) -> list[str]:
    tokens = header.require("tokenizer.ggml.tokens", list)
    tokens = [token or f"[EMPTY_{row}]" for row, token in enumerate(tokens)]
    if len(set(tokens)) < len(tokens):
        refuse(header.path, "two tokens of its vocabulary have the same text")
    return tokens


def _byte_level(header: GgufHeader, tokens: list[str]) -> tuple[Tokenizer, bool]:
    name = header.get("tokenizer.ggml.pre", str, "default")
    if name not in CUTS:
        raise EtymonError(
            f"{header.path} cuts text by the rule {name!r} (tokenizer.ggml.pre), which is not known here.",
            "Use the model's original folder, which has its tokenizer beside the weights. Known: "
            + ", ".join(sorted(CUTS))
            + ".",
        )
    cut = CUTS[name]
    vocabulary = {token: row for row, token in enumerate(tokens)}
    merges = []
    for line in header.require("tokenizer.ggml.merges", list):
        at = line.find(" ", 1)
        left, right = line[:at], line[at + 1 :]
        if at > 0 and left in vocabulary and right in vocabulary and left + right in vocabulary:
            merges.append((left, right))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=cut.whole_words))
    tokenizer.pre_tokenizer = cutter(cut)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer, cut.begins


def cutter(cut: Cut) -> pre_tokenizers.PreTokenizer:
    """The step that cuts a text and writes the bytes of its pieces as letters."""
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(expression), "isolated") for expression in cut.expressions]
        + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


def _sentencepiece(header: GgufHeader, tokens: list[str]) -> Tokenizer:
    """SentencePiece merges the neighbours whose union scores best; as byte-pair merges: all cuts of all tokens, by score."""
    scores = header.require("tokenizer.ggml.scores", np.ndarray)
    if len(scores) < len(tokens):
        refuse(header.path, f"it has {len(tokens)} tokens but {len(scores)} scores")
    vocabulary = {token: row for row, token in enumerate(tokens)}
    ranked = []
    for row, token in enumerate(tokens):
        for at in range(1, len(token)):
            left, right = token[:at], token[at:]
            if left in vocabulary and right in vocabulary:
                ranked.append((-float(scores[row]), vocabulary[left], vocabulary[right], left, right))
    ranked.sort()
    unknown = _special(header, tokens, "unknown")
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=[(left, right) for *_, left, right in ranked],
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    spaced = header.get("tokenizer.ggml.add_space_prefix", bool, True)
    steps: list[Any] = [normalizers.Prepend("▁")] if spaced else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    strip = [decoders.Strip(" ", 1, 0)] if spaced else []
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip])
    return tokenizer


def _added(header: GgufHeader, tokens: list[str]) -> list[AddedToken]:
    """Tokens that are found in the text before it is cut: control tokens, and those the model's makers defined."""
    kinds = header.metadata.get("tokenizer.ggml.token_type")
    if kinds is None:
        return []
    if not isinstance(kinds, np.ndarray) or len(kinds) < len(tokens):
        refuse(header.path, "its list of token types does not fit its vocabulary")
    return [
        AddedToken(token, special=int(kind) != USER_DEFINED, normalized=False)
        for token, kind in zip(tokens, kinds, strict=False)
        if int(kind) in (UNKNOWN, CONTROL, USER_DEFINED)
    ]


def _special(header: GgufHeader, tokens: list[str], role: str) -> str | None:
    row = header.get(f"tokenizer.ggml.{role}_token_id", int, -1)
    return tokens[row] if 0 <= row < len(tokens) else None


def _frame(header: GgufHeader, tokenizer: Tokenizer, first: str | None, last: str | None) -> None:
    """Put BOS before and EOS after a sequence, as the file asks."""
    around = [token for token in (first, last) if token is not None]
    if not around:
        return
    before, after = [first] if first else [], [last] if last else []
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=[*before, "$A", *after],
                pair=[*before, "$A", *after, *[f"{token}:1" for token in before], "$B:1", *[f"{token}:1" for token in after]],
                special_tokens=[(token, tokenizer.token_to_id(token)) for token in dict.fromkeys(around)],
            ),
        ]
    )


def tokenizer_files(recovered: RecoveredTokenizer) -> dict[str, str]:
    """The files a Transformers folder keeps its tokenizer in, by name."""
    files = {
        "tokenizer.json": recovered.tokenizer.to_str(),
        "tokenizer_config.json": json.dumps(recovered.config, indent=2, ensure_ascii=False) + "\n",
    }
    if recovered.chat_template is not None:
        files["chat_template.jinja"] = recovered.chat_template
    return files
