"""From messages to the token ids that a model is fed, through its own chat template, and the ids that end its turn."""

from collections.abc import Sequence
from typing import Literal, TypedDict

from jinja2 import TemplateError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from etymon.errors import EtymonError
from etymon.foundation.documents import document_marks, text_ids


class Message(TypedDict):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """Token ids up to where the assistant's answer begins.

    Control tokens that someone wrote into a message are fed as the characters they are, so no message can end its own turn.
    A model without a chat template is given the contents, one below the other, to continue, after the mark with which a
    document begins in training. Raises EtymonError where the template, a small program from the model's files, fails on
    these messages.
    """
    if not tokenizer.chat_template:
        start, _ = document_marks(tokenizer)
        (ids,) = text_ids(tokenizer, ["\n".join(message["content"] for message in messages)])
        return ids if start is None else [start, *ids]
    try:
        encoded = tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, sanitize_control_tokens=True)
    except _TEMPLATE_FAILURES as error:
        raise _template_failure(error) from error
    return list(encoded["input_ids"])


def end_ids(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Ids that end an answer: the model's end marks, and the token that its chat template writes after an answer.

    Reading that token off the template spares a list of names (``<|im_end|>``, ``<|eot_id|>`` …), and finds it also where
    the model's config names only the end of a document.
    """
    configured = network.generation_config.eos_token_id if network.generation_config else None
    ends = {configured} if isinstance(configured, int) else set(configured or ())
    return frozenset(ends | {end for end in (tokenizer.eos_token_id, turn_end(tokenizer)) if end is not None})


def turn_end(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The special token that the chat template writes after an answer; None where it writes none."""
    if not tokenizer.chat_template:
        return None
    after = tokenizer(_after_answer(tokenizer), add_special_tokens=False)["input_ids"][:1]
    special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    return next((id for id in after if id in special), None)


def context_length(network: PreTrainedModel) -> int:
    """Tokens that prompt and answer may have together."""
    return int(network.config.get_text_config().max_position_embeddings)


_TEMPLATE_FAILURES = (TemplateError, ValueError, TypeError, ArithmeticError, LookupError, RecursionError)


def _after_answer(tokenizer: PreTrainedTokenizerBase) -> str:
    """What the template writes right after an assistant's answer."""
    answer = "an answer to find again"
    try:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": "a question"}, {"role": "assistant", "content": answer}], tokenize=False
        )
    except _TEMPLATE_FAILURES as error:
        raise _template_failure(error) from error
    assert isinstance(text, str)
    return text.partition(answer)[2].lstrip()


def _template_failure(error: Exception) -> EtymonError:
    return EtymonError(
        f"The model's chat template cannot render this conversation: {' '.join(str(error).split())}.",
        "Its chat_template.jinja says which roles, in which order, it takes.",
    )
