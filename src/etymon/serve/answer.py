"""A streamed answer: one token at a time from a key-value cache, given out as whole characters.

The loop is written out rather than left to ``generate()`` in a thread: closing the generator stops the work at once, an error
surfaces where the answer is read, and there is no thread to join. Greedy answers equal those of ``generate()``.
"""

import warnings
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from etymon.errors import EtymonError
from etymon.foundation.prompt import Message, context_length, end_ids, prompt_ids

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class AnswerSettings:
    """How an answer is drawn."""

    temperature: float = 0.3
    """0 takes the likeliest token always. Small models lose the thread much above 0.5."""
    tokens: int = 512
    """An answer ends after so many, wherever it is."""
    seed: int = 0
    """The same conversation with the same seed gets the same answer."""

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise EtymonError(f"The temperature is {self.temperature}.", "Give 0 for the likeliest answer, or more.")
        if self.tokens < 1:
            raise EtymonError(f"An answer of {self.tokens} tokens is none.", "Give 1 or more.")


def answer(
    network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], settings: AnswerSettings
) -> Generator[str, None, bool]:
    """The assistant's answer to these messages, piece by piece; close the generator to stop it. In the end it returns whether
    the model ended it, and not its length.

    Raises EtymonError, at once and not at the first piece, where the messages fill the model's context.
    """
    prompt = prompt_ids(tokenizer, messages)
    room = context_length(network) - len(prompt)
    if room < 1:
        raise EtymonError(
            f"The conversation has {len(prompt)} tokens; with its answer it may have {context_length(network)}.",
            "Shorten the message.",
        )
    tokens = _tokens(network, prompt, min(settings.tokens, room), settings)
    return _text(tokenizer, tokens, end_ids(network, tokenizer))


def _tokens(network: PreTrainedModel, prompt: list[int], most: int, settings: AnswerSettings) -> Generator[int]:
    """Ids of the answer, and what would come after its end mark."""
    chance = torch.Generator(device=network.device).manual_seed(settings.seed)
    new, cache = prompt, None
    for _ in range(most):
        logits_V, cache = _step(network, new, cache)
        if settings.temperature == 0:
            token = int(logits_V.argmax())
        else:
            share_V = torch.softmax(logits_V / settings.temperature, dim=-1)
            token = int(torch.multinomial(share_V, 1, generator=chance))
        yield token
        new = [token]


@torch.inference_mode()
def _step(network: PreTrainedModel, new: list[int], cache: Any) -> tuple[torch.Tensor, Any]:
    """Feed new ids after what the cache holds; logits over the vocabulary for the next, in float32, and the cache."""
    ids_1T = torch.tensor([new], device=network.device)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # the cache gets a new name in Transformers 5.40
        output = network(input_ids=ids_1T, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return output.logits[0, -1].float(), output.past_key_values


def _text(tokenizer: PreTrainedTokenizerBase, tokens: Generator[int], ends: frozenset[int]) -> Generator[str, None, bool]:
    """Text up to an end mark, as its characters become complete: one character can be spread over several tokens."""
    ids: list[int] = []
    shown, ended = 0, False
    try:
        for token in tokens:
            if token in ends:
                ended = True
                break
            ids.append(token)
            text = _decode(tokenizer, ids)
            if len(text) > shown and not text.endswith(_INCOMPLETE):
                yield text[shown:]
                shown = len(text)
        if rest := _decode(tokenizer, ids)[shown:]:
            yield rest
    finally:
        tokens.close()
    return ended


def _decode(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    text = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert isinstance(text, str)
    return text
