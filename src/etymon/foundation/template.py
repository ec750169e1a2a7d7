"""A conversation as its model's chat template writes it, and the parts of that text which the model would have to write.

A chat template is a small program from the model's files; Transformers runs it in Jinja's immutable sandbox. Only few
templates mark what the assistant writes, so the answers are found by what the model would be shown: the prompt of an
answer is the template's text of the turns before it, with the generation prompt; the answer is what follows in the whole
conversation, up to and with the mark that ends a turn.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from etymon.errors import EtymonError
from etymon.text.rows import Message

TODAY = datetime(2024, 7, 26)
"""The day it is in every template, so that a recipe gives the same ids on any day. Llama 3.1's template falls back on it."""

_DATE_CODES = {"%-d": "26", "%-m": "7"} | {f"%{code}": TODAY.strftime(f"%{code}") for code in "aAbBdmyYHIMSpjFDTcxX"}
# Transformers hands a template only plain data, no function; a macro at its head hides the global of the same name. The
# line break after it belongs to it: Jinja drops the one that follows a block.
_PINNED_DATE = (
    "{% macro strftime_now(format) %}{{ format"
    + "".join(f" | replace({code!r}, {text!r})" for code, text in _DATE_CODES.items())
    + " }}{% endmacro %}\n"
)
_FAILURES = (TemplateError, ValueError, TypeError, ArithmeticError, LookupError, RecursionError)
"""What a template, being somebody's program, may raise."""


class TemplateFailure(EtymonError):
    """The template cannot write this conversation; it may well write others. ``reason`` is what it said."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The model's chat template cannot write this conversation: {reason.rstrip('.')}.",
            "Its chat_template says which roles, in which order, it takes.",
        )
        self.reason = reason


class AnswerSpans(NamedTuple):
    """The text of a conversation, and where in it the model's answers are."""

    text: str
    spans: list[tuple[int, int]]
    """[begin, end) in characters, with the mark that ends the turn, without white space after the mark."""
    unsupervisable: int
    """Answers without a span: once they are there, the template writes the turns before them in another way."""
    unended: int
    """Spans without an end mark, because the template writes none: the model would never learn to stop."""


def render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    *,
    add_generation_prompt: bool,
    continue_final_message: bool = False,
) -> str:
    """The text of these turns; with ``add_generation_prompt``, up to where the assistant begins to write.

    With ``continue_final_message`` the last turn is left open.

    It is always 26 July 2024. Raises TemplateFailure where the template fails on these turns, and EtymonError where the
    model has no chat template.
    """
    if not tokenizer.chat_template:
        raise EtymonError(
            "The model's tokenizer has no chat template, so conversations cannot be written for it.",
            "Choose a foundation tuned for chat, or rows whose prompt is plain text.",
        )
    try:
        template = tokenizer.get_chat_template()
        text = tokenizer.apply_chat_template(
            [{"role": message.role, "content": message.content} for message in messages],
            chat_template=_PINNED_DATE + template if "strftime_now" in template else template,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            tokenize=False,
        )
    except _FAILURES as error:
        raise TemplateFailure(" ".join(str(error).split()) or type(error).__name__) from error
    assert isinstance(text, str)
    return text


def answer_spans(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, last_only: bool = False) -> AnswerSpans:
    """Find what the model would have to write in a conversation: every assistant turn, or the last one alone.

    A span need not be the message as it was given: templates strip it, drop its thinking, or put an empty block of thinking
    before it. Costs a rendering of the whole and one for each answer. Raises TemplateFailure where the template cannot
    write the whole conversation.
    """
    text = render(tokenizer, messages, add_generation_prompt=False)
    marks = _control_tokens(tokenizer, len(tokenizer))
    answers = [turn for turn, message in enumerate(messages) if message.role == "assistant"]
    spans: list[tuple[int, int]] = []
    unsupervisable = unended = 0
    end_mark: str | None = (
        None  # what ends the last answer must end the others: there it cannot be the next turn's first mark
    )
    limit = len(text)
    for turn in reversed(answers[-1:] if last_only else answers):
        begin = _prompt_length(tokenizer, messages[:turn], text)
        content = messages[turn].content.strip()
        mark = None if begin is None else _mark_after(content, text, begin, limit, marks)
        if begin is None or (mark is None and content not in text[begin:limit]):
            unsupervisable += 1
            continue
        if mark is None or mark[0] != (end_mark or mark[0]):
            unended += 1
            spans.append((begin, mark.start() if mark else text.index(content, begin) + len(content)))
        else:
            end_mark = mark[0]
            spans.append((begin, mark.end()))
        limit = begin
    return AnswerSpans(text, spans[::-1], unsupervisable, unended)


def _prompt_length(tokenizer: PreTrainedTokenizerBase, before: Sequence[Message], text: str) -> int | None:
    """Characters of an answer's prompt, or None where the conversation does not begin with it."""
    try:
        prompt = render(tokenizer, before, add_generation_prompt=True)
    except TemplateFailure:
        return None
    return len(prompt) if text.startswith(prompt) else None


def _mark_after(content: str, text: str, begin: int, limit: int, marks: re.Pattern[str]) -> re.Match[str] | None:
    """The control token that follows the content, with nothing but white space between.

    Control tokens before the content or inside it are passed over. Where the template wrote the content otherwise, it is the
    first one.
    """
    found = list(marks.finditer(text, begin, limit))
    for mark in found:
        if text[begin : mark.start()].rstrip().endswith(content):
            return mark
    return found[0] if found and content not in text[begin:limit] else None


@lru_cache(maxsize=8)
def _control_tokens(tokenizer: PreTrainedTokenizerBase, size: int) -> re.Pattern[str]:
    """Matches any control token. ``size``, the tokenizer's length, renews the pattern when tokens were added."""
    added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    tokens = sorted({*tokenizer.all_special_tokens, *added}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, tokens)) or r"(?!)")
