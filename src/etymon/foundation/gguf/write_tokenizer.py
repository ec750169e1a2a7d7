"""What a GGUF says of a tokenizer: the inverse of ``recover_tokenizer``, and checked by it.

llama.cpp knows byte-pair tokenizers by the name of the rule that cuts the text (``tokenizer.ggml.pre``). The rule is found by
what the tokenizer does, not by how its files spell it: it is the one that cuts every text of three characters, out of all
kinds of them, in the same places. Then the tokenizer is recovered from what would be written, and must give the same ids.
"""

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import PreTokenizer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from etymon.errors import EtymonError
from etymon.foundation.gguf.header import GgufHeader
from etymon.foundation.gguf.tokenizer import (
    BYTE,
    CONTROL,
    CUTS,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    Cut,
    cutter,
    recover_tokenizer,
)
from etymon.foundation.prompt import turn_end

Metadata = dict[str, Any]

_KINDS = (
    "a", "B", "é", "ſ", "ǅ", "я", "Щ", "中", "ท", "\u0301", "1", "23", "٣", "½", "Ⅷ", "'", "s", "LL", ",", "$", "_", "/", "`",
    "！", "\u200d", "😀", "\ue000", " ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\x85", "\x1c",
)  # fmt: skip
"""Characters of every kind that a rule may tell apart: cases, scripts, marks, numbers, punctuation, white space."""
_ELSEWHERE = "Serve the safetensors with another engine, or use llama.cpp's own converter."


def tokenizer_metadata(
    tokenizer: PreTrainedTokenizerBase, rows: int, ends: Sequence[int], name: str
) -> tuple[Metadata, list[str]]:
    """The keys of a GGUF that describe a tokenizer, and what llama.cpp will do otherwise, in sentences.

    ``rows`` are those of the embedding; rows beyond the tokenizer's are filled up with unused tokens. ``ends`` are ids that
    end an answer, by the model's generation config. ``name`` is what errors call the model. Raises EtymonError for a
    tokenizer that llama.cpp does not have.
    """
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise EtymonError(f"The tokenizer of {name} is a {type(tokenizer).__name__} without a tokenizer.json.", _ELSEWHERE)
    source = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    source.no_truncation()
    source.no_padding()
    content = json.loads(source.to_str())
    model = content["model"]
    if model["type"] != "BPE":
        raise EtymonError(f"The tokenizer of {name} is of the kind {model['type']}; only BPE can be written.", _ELSEWHERE)
    merges = [pair.split(" ", 1) if isinstance(pair, str) else pair for pair in model["merges"]]
    special, left_out = _special(tokenizer, ends)
    common = _tokens(source, content, rows, name) | special | _templates(tokenizer)
    if model.get("byte_fallback"):
        scores = _scores(common["tokenizer.ggml.tokens"], merges)
        own = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default", "tokenizer.ggml.scores": scores}
        candidates: list[Metadata] = [own | common | {"tokenizer.ggml.add_space_prefix": spaced} for spaced in (True, False)]
    else:
        own = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": _rule(source, bool(model.get("ignore_merges")), name)}
        candidates = [own | common | {"tokenizer.ggml.merges": [" ".join(pair) for pair in merges]}]
    best, notes = _checked(source, content, tokenizer("a")["input_ids"], candidates, name)
    if left_out:
        notes.append(f"GGUF has room for three tokens that end an answer; these are left out: {', '.join(left_out)}.")
    return best, notes


def _tokens(source: Tokenizer, content: dict[str, Any], rows: int, name: str) -> Metadata:
    """The text and the type of every row."""
    ids = source.get_vocab(with_added_tokens=True)
    if max(ids.values(), default=-1) >= rows:
        raise EtymonError(
            f"The tokenizer of {name} has ids up to {max(ids.values())}, its embedding {rows} rows.",
            "Give the embedding a row for every token, or take back the tokens that were added.",
        )
    texts: list[str] = [f"[PAD{row}]" for row in range(rows)]
    types = [UNUSED] * rows
    special = {added["content"]: added["special"] for added in content["added_tokens"]}
    for text, row in ids.items():
        texts[row] = text
        if text in special:
            types[row] = CONTROL if special[text] else USER_DEFINED
        else:
            types[row] = BYTE if content["model"].get("byte_fallback") and re.fullmatch(r"<0x[0-9A-F]{2}>", text) else NORMAL
    unknown = content["model"].get("unk_token")
    if content["model"].get("byte_fallback") and unknown in ids:
        types[ids[unknown]] = UNKNOWN
    return {"tokenizer.ggml.tokens": texts, "tokenizer.ggml.token_type": np.array(types, np.int32)}


def _scores(tokens: Sequence[str], merges: Sequence[Sequence[str]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """SentencePiece joins the neighbours whose union scores best: the sooner a token is merged, the better its score."""
    first: dict[str, int] = {}
    for left, right in merges:
        first.setdefault(left + right, len(first))
    return np.array([-float(first.get(token, len(first))) for token in tokens], np.float32)


def _rule(source: Tokenizer, whole_words: bool, name: str) -> str:
    """The name of the rule that cuts as the tokenizer does. Raises EtymonError where none does."""
    own = source.pre_tokenizer
    expressions = [each for each in dict.fromkeys(cut.expressions for cut in CUTS.values()) if own and _cuts_alike(own, each)]
    if not expressions:
        raise EtymonError(
            f"The tokenizer of {name} cuts text by a rule that is none of these: {', '.join(CUTS)}.",
            _ELSEWHERE,
        )
    matching = {rule: cut for rule, cut in CUTS.items() if cut.expressions == expressions[0]}
    return next((rule for rule, cut in matching.items() if cut.whole_words == whole_words), next(iter(matching)))


def _cuts_alike(own: PreTokenizer, expressions: tuple[str, ...]) -> bool:
    rule = cutter(Cut(expressions))
    return all(own.pre_tokenize_str(text) == rule.pre_tokenize_str(text) for text in probes())


@cache
def probes() -> tuple[str, ...]:
    """Texts by which tokenizers are compared: every three kinds of character in a row."""
    return tuple("".join(kinds) for kinds in product(_KINDS, repeat=3))


def _special(tokenizer: PreTrainedTokenizerBase, ends: Sequence[int]) -> tuple[Metadata, list[str]]:
    """Tokens with a role, and those that end an answer but have no key."""
    text_end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else next(iter(ends), None)
    others = list(dict.fromkeys(end for end in (turn_end(tokenizer), *ends) if end not in (None, text_end)))
    framed = tokenizer("a")["input_ids"]
    found = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": text_end,
        "eot_token_id": others[0] if others else None,
        "eom_token_id": others[1] if len(others) > 1 else None,
        "unknown_token_id": tokenizer.unk_token_id,
        "padding_token_id": tokenizer.pad_token_id,
        "add_bos_token": tokenizer.bos_token_id is not None and framed[0] == tokenizer.bos_token_id,
        "add_eos_token": text_end is not None and framed[-1] == text_end,
    }
    keys = {f"tokenizer.ggml.{key}": value for key, value in found.items() if value is not None}
    return keys, [str(tokenizer.convert_ids_to_tokens(end)) for end in others[2:]]


def _templates(tokenizer: PreTrainedTokenizerBase) -> Metadata:
    """The chat template, and others by their names."""
    template = tokenizer.chat_template
    named = template if isinstance(template, dict) else {"default": template} if template else {}
    plain = {re.sub(r"[^A-Za-z0-9]", "_", name): text for name, text in named.items() if name != "default"}
    found: Metadata = {f"tokenizer.chat_template.{name}": text for name, text in plain.items()}
    if plain:
        found["tokenizer.chat_templates"] = list(plain)
    return found | ({"tokenizer.chat_template": named["default"]} if "default" in named else {})


def _checked(
    source: Tokenizer, content: dict[str, Any], framed: Sequence[int], candidates: Sequence[Metadata], name: str
) -> tuple[Metadata, list[str]]:
    """The candidate that is read again as the same tokenizer, and in what it is not. Raises EtymonError where none is."""
    composes = (content["normalizer"] or {}).get("type") == "NFC"
    plain, marked = _texts(source, content)
    if composes:
        plain, marked = ([source.normalizer.normalize_str(text) for text in texts] for texts in (plain, marked))
    found = []
    for candidate in candidates:
        header = GgufHeader(Path(name), {"general.architecture": "llama", **candidate}, ())  # which one it is does not matter
        recovered = recover_tokenizer(header).tokenizer
        found.append((list(_differences(source, recovered, plain)), list(_differences(source, recovered, marked)), candidate))
        if recovered.encode("a").ids != list(framed):
            found[-1][0].append("a")
    wrong, unlike, best = min(found, key=lambda each: (len(each[0]), len(each[1])))
    if wrong:
        raise EtymonError(
            f"llama.cpp would cut other tokens than the tokenizer of {name}, such as from {wrong[0]!r}.", _ELSEWHERE
        )
    notes = []
    if composes:
        notes.append("The tokenizer composes characters (NFC) and llama.cpp does not: send it composed text.")
    if unlike:
        notes.append(f"Beside special tokens and leading spaces llama.cpp cuts other tokens, such as in {unlike[0]!r}.")
    return best, notes


def _texts(source: Tokenizer, content: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Texts to compare by: those that must agree, and those in which llama.cpp may put a space where others do not.

    It puts one before all of SentencePiece's text, also where there is one already and behind every special token.
    """
    added = [each["content"] for each in content["added_tokens"]]
    ids = [row for text, row in sorted(source.get_vocab().items(), key=lambda each: each[1]) if text not in set(added)]
    words = source.decode_batch([[row] for row in ids], skip_special_tokens=False)
    rows = ["".join(words[start::997])[:200] for start in range(997)]
    marked = [text for token in added for text in (token, f"a{token}b", f" {token} c", f"{token}{token}\n12")]
    plain = [text for text in (*probes(), *words, *rows) if not any(token in text for token in added)]
    if content["model"].get("byte_fallback"):
        marked += [text for text in plain if text.startswith((" ", "▁"))]
        plain = [text for text in plain if not text.startswith((" ", "▁"))]
    return plain, marked


def _differences(source: Tokenizer, recovered: Tokenizer, texts: Sequence[str]) -> Iterator[str]:
    own = source.encode_batch_fast(texts, add_special_tokens=False)
    other = recovered.encode_batch_fast(texts, add_special_tokens=False)
    for text, one, two in zip(texts, own, other, strict=True):
        if one.ids != two.ids:
            yield text
