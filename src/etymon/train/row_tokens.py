"""Rows as token ids: what stands before each answer, and the answer.

What stands before an answer has the tokens that a server feeds: those of the prompt by itself. The answer has those of the
whole text; where the whole does not begin with the prompt's tokens, it has those of the answer by itself. A model that
serves begins to write after the prompt's own last token, so a token that joins the two is never what it writes.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from transformers import PreTrainedTokenizerBase

from etymon.foundation.documents import document_marks
from etymon.foundation.template import TemplateFailure, answer_spans
from etymon.text.rows import Message, Row, UnusableRow

APART = "answer-tokenized-by-itself"
"""The note of a row in which a token would have joined a prompt and its answer."""


@dataclass(frozen=True)
class RowTokens:
    """A row's token ids, to the end of its last answer."""

    turns: tuple[tuple[list[int], list[int]], ...]
    """For each answer: what stands before it and after the one before; and its own ids, with the mark that ends it."""
    notes: tuple[str, ...] = ()


def tokenize_rows(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row], *, last_only: bool
) -> list[list[RowTokens] | UnusableRow]:
    """Of each row, the token ids of each of its answers with what stands before; or why it cannot be learned from.

    ``last_only``: of a conversation only the last answer. Reasons: ``control-token-in-text``, ``template-refuses``,
    ``template-rewrites-the-prompt``, ``no-end-of-turn``, ``token-over-the-boundary``, ``nothing-before-the-answer``. The
    tokenizer is called for all rows at once; one call a row takes three times as long.
    """
    controls = _controls(tokenizer)
    texts_of: list[list[_RowText] | UnusableRow] = []
    for row in rows:
        try:
            texts_of.append([_text_of(tokenizer, row.prompt, answer, last_only, controls) for answer in row.answers])
        except UnusableRow as unusable:
            texts_of.append(unusable)
    tokens = iter(_tokens(tokenizer, [text for texts in texts_of if isinstance(texts, list) for text in texts]))
    found: list[list[RowTokens] | UnusableRow] = []
    for texts in texts_of:
        sides = [next(tokens) for _ in texts] if isinstance(texts, list) else [texts]
        failed = next((side for side in sides if isinstance(side, UnusableRow)), None)
        found.append(failed or [side for side in sides if isinstance(side, RowTokens)])
    return found


@dataclass(frozen=True)
class _Controls:
    """Tokens that nobody may write into a message: a server feeds them as the characters they are."""

    answers: list[str]
    prompts: list[str]
    """Also tokens that the template writes though they are not special, such as marks of thinking; answers may have them."""


def _controls(tokenizer: PreTrainedTokenizerBase) -> _Controls:
    added = list(tokenizer.added_tokens_decoder.values())
    special = {each.content for each in added if each.special}
    template = tokenizer.get_chat_template() if tokenizer.chat_template else ""
    written = {each.content for each in added if each.content in template and not each.content.isspace()}
    return _Controls(sorted(special), sorted(special | written))


@dataclass(frozen=True)
class _RowText:
    """A row's text, and where in it the answers are."""

    text: str
    spans: tuple[tuple[int, int], ...]
    """[begin, end) in characters; of a conversation with the mark that ends the turn."""
    plain: bool
    """Prompt and completion are one text in two parts, in which control tokens are the characters they are."""
    notes: tuple[str, ...] = ()
    """What is not learned as the row has it."""


def _text_of(
    tokenizer: PreTrainedTokenizerBase, prompt: tuple[Message, ...] | str, answer: str, last_only: bool, controls: "_Controls"
) -> _RowText:
    if isinstance(prompt, str):
        return _RowText(prompt + answer, ((len(prompt), len(prompt) + len(answer)),), plain=True)
    messages = (*prompt, Message("assistant", answer))
    for message in messages:
        forbidden = controls.answers if message.role == "assistant" else controls.prompts
        if control := next((each for each in forbidden if each in message.content), None):
            raise UnusableRow("control-token-in-text", f"a message holds {control}")
    try:
        text, spans, unsupervisable, unended = answer_spans(tokenizer, messages, last_only=last_only)
    except TemplateFailure as failure:
        raise UnusableRow("template-refuses", failure.reason) from None
    if not spans:
        raise UnusableRow("template-rewrites-the-prompt", "the template writes the turns before an answer otherwise")
    if unended:
        raise UnusableRow("no-end-of-turn", "the template writes no end mark after an answer")
    return _RowText(text, tuple(spans), plain=False, notes=("earlier-answer-not-supervised",) if unsupervisable else ())


def _tokens(tokenizer: PreTrainedTokenizerBase, rows: Sequence[_RowText]) -> list[RowTokens | UnusableRow]:
    found: dict[int, RowTokens | UnusableRow] = {}
    for plain in (False, True):
        places = [place for place, row in enumerate(rows) if row.plain == plain]
        found |= zip(places, _tokenized(tokenizer, [rows[place] for place in places], plain), strict=True)
    return [found[place] for place in range(len(rows))]


@dataclass(frozen=True)
class _Turn:
    """An answer and what stands before it."""

    before: str
    """From the row's beginning; or from the mark that ended the answer before, which keeps its two sides apart."""
    answer: str
    whole: list[int]
    """The ids of both, cut out of those of the row."""


@dataclass(frozen=True)
class _Split:
    """A turn's ids in two."""

    before: list[int]
    answer: list[int] | None
    apart: bool
    """The answer was tokenised by itself."""


def _tokenized(tokenizer: PreTrainedTokenizerBase, rows: Sequence[_RowText], plain: bool) -> list[RowTokens | UnusableRow]:
    if not rows:
        return []
    encoded = tokenizer(
        [row.text for row in rows], add_special_tokens=False, split_special_tokens=plain, return_offsets_mapping=True
    )
    turns_of = [_turns(*each) for each in zip(rows, encoded["input_ids"], encoded["offset_mapping"], strict=True)]
    splits = iter(_split(tokenizer, [turn for turns in turns_of for turn in turns], plain))
    marks = document_marks(tokenizer) if plain else (None, None)
    return [
        _assembled(row, turns, list(islice(splits, len(turns))), marks) for row, turns in zip(rows, turns_of, strict=True)
    ]


def _turns(row: _RowText, ids: list[int], offsets: list[tuple[int, int]]) -> list[_Turn]:
    """The row's answers, each with the text before it. The mark that ends an answer also begins the text before the next."""
    begins = [begin for begin, _ in offsets]
    start = first = last = 0
    turns: list[_Turn] = []
    for begin, end in row.spans:
        if turns:
            first = last - 1
            start = begins[first]
        last = bisect_left(begins, end)
        turns.append(_Turn(row.text[start:begin], row.text[begin:end], ids[first:last]))
    return turns


def _split(tokenizer: PreTrainedTokenizerBase, turns: Sequence[_Turn], plain: bool) -> list[_Split]:
    """Tokenise what stands before each answer by itself, and an answer too where a token joins the two."""
    before = _ids(tokenizer, [turn.before for turn in turns], plain)
    joined = [
        place
        for place, (ids, turn) in enumerate(zip(before, turns, strict=True))
        if turn.whole[: len(ids)] != ids or len(turn.whole) == len(ids)
    ]
    apart = dict(zip(joined, _ids(tokenizer, [turns[place].answer for place in joined], plain), strict=True))
    splits = []
    for place, (ids, turn) in enumerate(zip(before, turns, strict=True)):
        answer: list[int] | None = apart.get(place, turn.whole[len(ids) :])
        if place in apart and _text(tokenizer, ids + apart[place]) != _text(tokenizer, turn.whole):
            answer = None
        splits.append(_Split(ids, answer, place in apart))
    return splits


def _assembled(
    row: _RowText, turns: Sequence[_Turn], splits: Sequence[_Split], marks: tuple[int | None, int | None]
) -> RowTokens | UnusableRow:
    head, tail = ([mark] if mark is not None else [] for mark in marks)
    found = []
    for number, (turn, split) in enumerate(zip(turns, splits, strict=True)):
        if not split.answer:
            return UnusableRow("token-over-the-boundary", f"a token joins the prompt and {turn.answer[:20]!r}")
        before = split.before[1:] if number else head + split.before
        if not (before or number):
            return UnusableRow("nothing-before-the-answer", "the answer's first token has none to be predicted from")
        found.append((before, split.answer + tail))
    return RowTokens(tuple(found), (*row.notes, APART) if any(split.apart for split in splits) else row.notes)


def _ids(tokenizer: PreTrainedTokenizerBase, texts: list[str], plain: bool) -> list[list[int]]:
    if not texts:
        return []
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False, split_special_tokens=plain)["input_ids"]
    return ids


def _text(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
