"""Small tokenizers in the styles of the families, each as a folder's files would make it; all trained on the same texts."""

import json
from collections.abc import Callable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

POEMS = [
    "江上青山江下水，山前流水水前山。\n青山流水年年在，江上行人日日還。",
    "流水青山，青山流水；行人在江上，日日看青山。",
    "江上行人望青山，青山不語水流還。",
]
"""A few lines of our own in characters that the small tokenizers know only as bytes."""

TEMPLATE = "{% for message in messages %}<|turn|>{{ message['content'] }}<|end|>{% endfor %}"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def gpt2_style(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level, digits apart, control tokens first and inside the vocabulary (SmolLM)."""
    tokenizer = _byte_level(texts, [pre_tokenizers.Digits(individual_digits=True)], _GPT2, ["<|turn|>", "<|end|>"])
    return _fast(tokenizer)


def llama3_style(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level, whole words looked up before merging, control tokens behind the vocabulary and in no merge table."""
    tokenizer = _byte_level(texts, [], _LLAMA3, [], ignore_merges=True)
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in ("<|turn|>", "<|end|>")])
    begin = tokenizer.token_to_id("<|turn|>")
    tokenizer.post_processor = processors.TemplateProcessing(single="<|turn|> $A", special_tokens=[("<|turn|>", begin)])
    return _fast(tokenizer)


def qwen_style(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level with NFC, and ids that are not in use between the vocabulary and a control token."""
    tokenizer = _byte_level(texts, [], _LLAMA3, [])
    tokenizer.normalizer = normalizers.NFC()
    content = json.loads(tokenizer.to_str())
    last = max(content["model"]["vocab"].values())
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    content["model"]["vocab"] |= {"<|turn|>": last + 10, "<|end|>": last + 11}
    content["added_tokens"] = [
        {"id": last + 10, "content": "<|turn|>", **plain},
        {"id": last + 11, "content": "<|end|>", **plain},
    ]
    return _fast(Tokenizer.from_str(json.dumps(content)))


def llama2_style(texts: list[str]) -> PreTrainedTokenizerFast:
    """SentencePiece: no cutting at all, ``▁`` for spaces, unknown characters as bytes."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace("▁", prepend_scheme="always"), pre_tokenizers.Digits(individual_digits=True)]
    )
    lines = [" ".join(text.split()) for text in texts]  # line ends stay bytes, as in LLaMA 2
    trained.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=400, show_progress=False))
    learned = json.loads(trained.to_str())["model"]
    names = ["<unk>", "<|turn|>", "<|end|>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary = {name: row for row, name in enumerate([*names, *learned["vocab"]])}
    merges = [(left, right) for left, right in learned["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in names[:3]])
    return _fast(tokenizer, unk_token="<unk>")


STYLES: dict[str, Callable[[list[str]], PreTrainedTokenizerFast]] = {
    "gpt2": gpt2_style, "llama3": llama3_style, "qwen": qwen_style, "llama2": llama2_style,
}  # fmt: skip


def _byte_level(
    texts: list[str], steps: list[pre_tokenizers.PreTokenizer], cut: str, special: list[str], ignore_merges: bool = False
) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    split = pre_tokenizers.Split(Regex(cut), "isolated")
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*steps, split, bytes_only])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _fast(tokenizer: Tokenizer, **special: str) -> PreTrainedTokenizerFast:
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|turn|>", eos_token="<|end|>", clean_up_tokenization_spaces=False, **special
    )
    fast.chat_template = TEMPLATE
    return fast
