"""A vocabulary that grows: new tokens behind the old ones, in the tokenizer's files and in the network's rows.

No id that is in use moves, and new merges rank behind all old ones, so a text is first cut as it always was and then
joined further. A new token's rows start at the mean of the rows of the old pieces that its text was cut into (Gee et al.,
"Fast Vocabulary Transfer for Language Model Compression", EMNLP 2022 industry track).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from etymon.errors import EtymonError
from etymon.foundation.facts import read_object

_OTHER_FORMS = ("vocab.json", "merges.txt", "tokenizer.model", "added_tokens.json")
"""Files in which folders keep the old vocabulary a second time."""


@dataclass(frozen=True)
class NewToken:
    """A token that the foundation's tokenizer does not have."""

    id: int
    text: str
    """As tokenizer.json spells it: byte-level tokenizers write bytes as letters."""
    merge: tuple[str, str] | None
    """The two tokens it is joined from; None for a character that was written as bytes before."""
    pieces: tuple[int, ...]
    """Ids of the old tokens that stood in its place."""


def tokenizer_content(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The content of tokenizer.json. Raises EtymonError where new tokens cannot be merged into it."""
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise _cannot_grow(tokenizer, f"is a {type(tokenizer).__name__} without a tokenizer.json")
    content: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    model = content["model"]
    if model["type"] != "BPE":
        raise _cannot_grow(tokenizer, f"is of the kind {model['type']}")
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise _cannot_grow(tokenizer, "marks the pieces inside words (continuing_subword_prefix or end_of_word_suffix)")
    return content | {"truncation": None, "padding": None}  # what the last call asked for is no part of the tokenizer


def _cannot_grow(tokenizer: PreTrainedTokenizerBase, why: str) -> EtymonError:
    return EtymonError(
        f"The tokenizer in {tokenizer.name_or_path or 'memory'} {why}; new tokens can be added to byte-pair tokenizers only.",
        "Leave train.vocabulary out, or choose a foundation of the LLaMA, Mistral, Qwen, Phi or SmolLM families.",
    )


def extend_tokenizer(tokenizer: PreTrainedTokenizerBase, new: Sequence[NewToken], target: Path) -> PreTrainedTokenizerBase:
    """Write the tokenizer with its new tokens into the folder ``target`` and return it as it reads from there.

    Special tokens, chat templates and every other setting stay. Files of the old vocabulary in other forms
    (``merges.txt``, ``tokenizer.model`` …) are removed from ``target``.
    """
    content = tokenizer_content(tokenizer)
    model = content["model"]
    # A token added beside the model's vocabulary is counted on from that vocabulary's size when the file is read, which
    # would move it; one that the vocabulary lists keeps its id.
    vocabulary = model["vocab"] | {added["content"]: added["id"] for added in content["added_tokens"]}
    vocabulary |= {token.text: token.id for token in new}
    model["vocab"] = dict(sorted(vocabulary.items(), key=lambda entry: entry[1]))
    model["merges"] += [list(token.merge) for token in new if token.merge]
    tokenizer.save_pretrained(target)
    _write(target / "tokenizer.json", content)
    _write(target / "tokenizer_config.json", _config(tokenizer, read_object(target / "tokenizer_config.json")))
    for name in _OTHER_FORMS:
        (target / name).unlink(missing_ok=True)
    extended: PreTrainedTokenizerBase = PreTrainedTokenizerFast.from_pretrained(target, local_files_only=True)
    return extended


def _config(tokenizer: PreTrainedTokenizerBase, saved: dict[str, Any]) -> dict[str, Any]:
    """``tokenizer_config.json``: read by the plain class, so that nothing but tokenizer.json says how text is cut.

    Transformers takes the marks around a sequence from there too; llama.cpp reads them here.
    """
    framed = tokenizer("a")["input_ids"]
    own = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": framed[0] == tokenizer.bos_token_id,
        "add_eos_token": framed[-1] == tokenizer.eos_token_id,
    }
    return {key: value for key, value in saved.items() if key not in ("is_local", "local_files_only")} | own


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def extend_network(network: PreTrainedModel, new: Sequence[NewToken]) -> None:
    """Give every new token its row in the input and output embeddings, in place; ``config.vocab_size`` follows.

    Rows that the model has beyond its tokenizer are used before any is added.
    """
    rows = 1 + max((token.id for token in new), default=-1)
    if rows > network.get_input_embeddings().weight.shape[0]:
        with torch.random.fork_rng(devices=[]):  # the resized part is drawn at random before it is filled
            network.resize_token_embeddings(rows, mean_resizing=False)
    with torch.no_grad():
        for parameter in embedding_parameters(network):
            for token in new:
                parameter[token.id] = parameter[list(token.pieces)].float().mean(0).to(parameter.dtype)


def embedding_parameters(network: PreTrainedModel) -> list[nn.Parameter]:
    """Parameters of the input and output embeddings, a bias of the head among them; tied ones come once."""
    modules = (network.get_input_embeddings(), network.get_output_embeddings())
    return list({id(p): p for module in modules if module is not None for p in module.parameters()}.values())
