"""An answer given its prompt, as a model is fed the two: by its chat template, or as one plain text in two parts."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from etymon.errors import EtymonError
from etymon.evaluate.rolling import rolling_requests
from etymon.evaluate.tree import TokenRequest
from etymon.foundation.documents import document_marks, text_ids
from etymon.foundation.template import TemplateFailure, answer_spans, render
from etymon.text.rows import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from etymon.evaluate.examinee import Examinee


@dataclass(frozen=True)
class PromptedAnswer:
    """Token ids of an answer without the mark that ends it, and of all that stands before it."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]


def answer_requests(prompt: tuple[Message, ...] | str, answer: str, examinee: "Examinee") -> list[TokenRequest]:
    """What to ask a model for an answer's likelihood: one request, or one a window where the answer exceeds its context.

    Raises EtymonError where the model's template cannot write the conversation.
    """
    given = _plain(prompt, answer, examinee) if isinstance(prompt, str) else _conversation(prompt, answer, examinee)
    first, *later = rolling_requests(given.answer, given.prompt[-1], examinee.max_length)
    return [TokenRequest(given.prompt, first.continuation), *later]


def _plain(prompt: str, answer: str, examinee: "Examinee") -> PromptedAnswer:
    tokenizer = examinee.tokenizer
    start, _ = document_marks(tokenizer)
    before, whole = text_ids(tokenizer, [prompt, prompt + answer])
    found = _split(before, whole, answer, tokenizer)
    return PromptedAnswer((examinee.prefix_token if start is None else start, *found.prompt), found.answer)


def _conversation(prompt: tuple[Message, ...], answer: str, examinee: "Examinee") -> PromptedAnswer:
    tokenizer = examinee.tokenizer
    try:
        text = _text_before(prompt, answer, tokenizer)
    except TemplateFailure as failure:
        raise EtymonError(
            f"The chat template of {examinee.name} cannot write a conversation: {failure.reason.rstrip('.')}. It "
            f"begins: {prompt[0].role}: {prompt[0].content[:80]!r}.",
            "Take such rows out of the corpus, or give the model another template.",
        ) from failure
    before: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    whole: list[int] = tokenizer(text + answer, add_special_tokens=False)["input_ids"]
    return _split(before, whole, answer, tokenizer)


def _text_before(prompt: tuple[Message, ...], answer: str, tokenizer: "PreTrainedTokenizerBase") -> str:
    """The prompt as the template writes it, up to the answer's first character.

    Some templates put more than the generation prompt before an answer (Qwen3 an empty block of thinking). The model has
    learnt answers with it, so it belongs to the prompt.
    """
    text, spans, *_ = answer_spans(tokenizer, (*prompt, Message("assistant", answer)), last_only=True)
    begin, end = spans[-1] if spans else (0, 0)
    said = text[begin:end]
    mark = max((each for each in tokenizer.all_special_tokens if said.endswith(each)), key=len, default="")
    at = 0 if said.startswith(answer) else said.removesuffix(mark).rfind(answer)
    if not spans or at < 0:
        return render(tokenizer, prompt, add_generation_prompt=True)
    return text[: begin + at]


def _split(before: list[int], whole: list[int], answer: str, tokenizer: "PreTrainedTokenizerBase") -> PromptedAnswer:
    """The answer's tokens in the whole; where a token would join prompt and answer, those of the answer by itself.

    A model that serves is given the prompt's own tokens, so such a token is never what it would write.
    """
    if len(whole) > len(before) and whole[: len(before)] == before:
        return PromptedAnswer(tuple(before), tuple(whole[len(before) :]))
    return PromptedAnswer(tuple(before), tuple(text_ids(tokenizer, [answer])[0]))
