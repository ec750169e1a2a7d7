"""How a plain document is fed to a model: the marks at its start and end, the same in training and in scoring."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SEPARATORS = ("<|endoftext|>", "<|end_of_text|>")


def text_ids(tokenizer: "PreTrainedTokenizerBase", texts: list[str]) -> list[list[int]]:
    """Token ids of plain texts, without marks. A control token written in a text is fed as the characters it is."""
    if not texts:
        return []
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return ids


def document_marks(tokenizer: "PreTrainedTokenizerBase") -> tuple[int | None, int | None]:
    """Ids of the start and the end mark of a raw document; None where the model has none.

    Start: BOS if the tokenizer itself adds one (LLaMA); else the separator that pretraining put between documents
    (``<|endoftext|>``, which chat tuning leaves alone); else BOS. End: the separator, else EOS.
    """
    known = set(tokenizer.all_special_tokens) | set(tokenizer.get_added_vocab())
    separator = next((tokenizer.convert_tokens_to_ids(mark) for mark in _SEPARATORS if mark in known), None)
    own = tokenizer("a")["input_ids"]
    if tokenizer.bos_token_id is not None and own[:1] == [tokenizer.bos_token_id]:
        start = tokenizer.bos_token_id
    else:
        start = separator if separator is not None else tokenizer.bos_token_id
    end = separator if separator is not None else tokenizer.eos_token_id
    return start, end
