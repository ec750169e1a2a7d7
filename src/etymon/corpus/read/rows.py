"""One decoded row of a conversation or preference file, in any of the formats in use, as a ``Row``; or why it is none.

A format is known by its keys. ``messages`` is the form of OpenAI and TRL, ``conversations`` that of ShareGPT, ``instruction``
with ``output`` that of Alpaca; the formats of preferences are those of TRL and LLaMA-Factory.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal

from etymon.corpus.read.turns import begins_with_prompt, check_turns, list_in, system_of, text_of, turns_in
from etymon.text.rows import Message, Row, UnusableRow

RowKind = Literal["chat", "preference"]

EXPECTED: dict[RowKind, str] = {
    "chat": "`messages`; `conversations`; `instruction` and `output`; or `prompt` and `completion`",
    "preference": "`prompt`, `chosen` and `rejected`; `chosen` and `rejected` that are whole conversations; `conversations`, "
    "`chosen` and `rejected`; `prompt`, `completion` and `label`; or `messages` and `label` (true or false)",
}
"""The columns of every format, in words."""

_PROMPTS = ("conversations", "prompt", "question", "instruction")
_LABELS = {"true": True, "1": True, "false": False, "0": False}
_EXCERPT = 200


@dataclass(frozen=True)
class ParsedRow:
    """A row, and what was left out of it."""

    row: Row
    cut: str = ""
    """Turns after the last answer, which nothing can be learnt from."""


def parse_row(content: Any, kind: RowKind, columns: Mapping[str, str]) -> ParsedRow:
    """The row of a decoded JSON object or table row. ``columns``: our name of a column → the name it has in the file.

    Raises UnusableRow: ``bad-row``, ``no-known-format``, ``missing-role``, ``unknown-role``, ``roles-do-not-alternate``,
    ``no-answer``, ``more-than-one-answer``, ``empty-answer``, ``empty-prompt``, ``equal-sides`` or ``content-not-text``.
    """
    if not isinstance(content, dict):
        raise UnusableRow("bad-row", f"this row is no object: {_excerpt(content)}")
    row = _renamed(content, columns)
    known = [each for each in _FORMATS[kind] if each.keys <= row.keys()]
    try:
        if not known:
            raise UnusableRow("no-known-format", f"it has {', '.join(map(repr, content)) or 'nothing'}")
        # a table has a column for each format that any of its rows is in; those of the other formats are null
        return min(known, key=lambda each: sum(row[key] is None for key in each.keys)).parse(row)
    except UnusableRow as unusable:
        raise UnusableRow(unusable.reason, f"{unusable.detail}: {_excerpt(content)}") from None


def known_columns(kind: RowKind) -> tuple[str, ...]:
    """Our names of all columns that rows of a kind may have."""
    optional = ("system", "input", "history") if kind == "chat" else ("system", "input")
    return tuple(dict.fromkeys([key for each in _FORMATS[kind] for key in sorted(each.keys)] + [*optional]))


def fits(kind: RowKind, columns: Collection[str]) -> bool:
    """Whether these columns are a format of this kind."""
    return any(each.keys <= set(columns) for each in _FORMATS[kind])


def _conversation(row: dict[str, Any]) -> ParsedRow:
    key = "conversations" if row.get("messages") is None and "conversations" in row else "messages"
    return _of_one(system_of(row) + turns_in(row, key))


def _alpaca(row: dict[str, Any]) -> ParsedRow:
    turns = system_of(row)
    for pair in list_in(row, "history") if "history" in row else []:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise UnusableRow("bad-row", "`history` is not a list of pairs of question and answer")
        turns += [Message(role, text_of(said, "`history`")) for role, said in zip(("user", "assistant"), pair, strict=True)]
    turns += [Message("user", _instruction(row)), Message("assistant", text_of(row["output"], "`output`"))]
    return _of_one(turns)


def _completion(row: dict[str, Any]) -> ParsedRow:
    """Two texts are one text in two parts; where either is turns, or there is a system message, it is a conversation."""
    if system_of(row) or any(isinstance(row[key], list | dict) for key in ("prompt", "completion")):
        return ParsedRow(Row(_prompt(row, "prompt"), (_answer(row, "completion"),)))
    prompt = text_of(row["prompt"], "`prompt`")
    if not prompt.strip():
        raise UnusableRow("empty-prompt", "`prompt` is empty")
    return ParsedRow(Row(prompt, (_answer(row, "completion"),)))


def _pair(row: dict[str, Any]) -> ParsedRow:
    key = next(key for key in _PROMPTS if row.get(key) is not None)
    if isinstance(row[key], str) and all(begins_with_prompt(row[side]) for side in ("chosen", "rejected")):
        return _pair_of_conversations(row)  # UltraFeedback repeats the first turn as a text beside them
    return ParsedRow(_of_two(_prompt(row, key), _answer(row, "chosen"), _answer(row, "rejected")))


def _pair_of_conversations(row: dict[str, Any]) -> ParsedRow:
    """Both sides hold the prompt: it is the turns they share. One answer follows it in each."""
    if not all(isinstance(row[side], list) for side in ("chosen", "rejected")):
        reason = "empty-prompt" if any(key in row for key in _PROMPTS) else "no-known-format"
        raise UnusableRow(reason, "there is no prompt, and `chosen` and `rejected` are not conversations")
    sides = [_until_last_answer(system_of(row) + turns_in(row, side)) for side in ("chosen", "rejected")]
    (chosen, _), (rejected, _) = sides
    if chosen == rejected:
        raise UnusableRow("equal-sides", "`chosen` and `rejected` are the same")
    shared = [one for one, _ in takewhile(lambda both: both[0] == both[1], zip(chosen, rejected, strict=False))]
    if not any(turn.role == "user" for turn in shared):
        raise UnusableRow("empty-prompt", "`chosen` and `rejected` share no turn of the user's")
    for side, turns in sorted((("chosen", chosen), ("rejected", rejected)), key=lambda each: len(each[1])):
        if (after := len(turns) - len(shared)) != 1:
            reason = "more-than-one-answer" if after else "no-answer"
            raise UnusableRow(reason, f"after the {len(shared)} turns that both sides share, `{side}` has {after} more")
    cut = "\n\n".join(cut for _, cut in sides if cut)
    return ParsedRow(_of_two(tuple(shared), chosen[-1].content, rejected[-1].content), cut)


def _judged(row: dict[str, Any]) -> ParsedRow:
    label = _LABELS.get(str(row["label"]).strip().lower())
    if label is None:
        raise UnusableRow("bad-row", f"`label` is {row['label']!r}, neither true nor false")
    if row.get("messages") is None and row.get("conversations") is None and "completion" in row:
        return ParsedRow(Row(_prompt(row, "prompt"), (_answer(row, "completion"),), label))
    found = _conversation(row)
    return ParsedRow(Row(found.row.prompt, found.row.answers, label), found.cut)


@dataclass(frozen=True)
class _Format:
    """What a row with these keys is."""

    keys: frozenset[str]
    parse: Callable[[dict[str, Any]], ParsedRow]


_FORMATS: dict[RowKind, tuple[_Format, ...]] = {
    "chat": (
        _Format(frozenset({"messages"}), _conversation),
        _Format(frozenset({"conversations"}), _conversation),
        _Format(frozenset({"instruction", "output"}), _alpaca),
        _Format(frozenset({"prompt", "completion"}), _completion),
    ),
    "preference": (
        *(_Format(frozenset({prompt, "chosen", "rejected"}), _pair) for prompt in _PROMPTS),
        _Format(frozenset({"chosen", "rejected"}), _pair_of_conversations),
        _Format(frozenset({"prompt", "completion", "label"}), _judged),
        _Format(frozenset({"messages", "label"}), _judged),
        _Format(frozenset({"conversations", "label"}), _judged),
    ),
}
"""In the order they are looked for."""


def _renamed(content: dict[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    ours = {name: content[theirs] for name, theirs in columns.items() if theirs in content}
    taken = set(columns.values())
    return {key: value for key, value in content.items() if key not in taken} | ours


def _of_one(turns: list[Message]) -> ParsedRow:
    kept, cut = _until_last_answer(turns)
    return ParsedRow(Row(tuple(kept[:-1]), (kept[-1].content,)), cut)


def _until_last_answer(turns: list[Message]) -> tuple[list[Message], str]:
    """The turns that end with the last answer, and the text of those after it."""
    last = max((place for place, turn in enumerate(turns) if turn.role == "assistant"), default=None)
    if last is None:
        raise UnusableRow("no-answer", "no turn is the assistant's")
    check_turns(turns[: last + 1])
    return turns[: last + 1], "\n\n".join(turn.content for turn in turns[last + 1 :])


def _prompt(row: dict[str, Any], key: str) -> tuple[Message, ...]:
    """The turns before an answer. A text is one turn of the user's."""
    if isinstance(row[key], list | dict):
        turns = system_of(row) + turns_in(row, key)
    else:
        text = _instruction(row) if key == "instruction" else text_of(row[key], f"`{key}`")
        turns = [*system_of(row), Message("user", text)]
    if not any(turn.role == "user" for turn in turns):
        raise UnusableRow("empty-prompt", f"`{key}` has no turn of the user's")
    check_turns(turns)
    if turns[-1].role != "user":
        raise UnusableRow(
            "roles-do-not-alternate", f"`{key}` ends with the {turns[-1].role}'s turn, where the answer follows"
        )
    return tuple(turns)


def _answer(row: dict[str, Any], key: str) -> str:
    """A text, or the one turn of the assistant's."""
    if not isinstance(row[key], list | dict):
        answer = text_of(row[key], f"`{key}`")
    else:
        turns = turns_in(row, key)
        if not turns or turns[-1].role != "assistant":
            raise UnusableRow("no-answer", f"`{key}` does not end with the assistant's turn")
        if len(turns) > 1:
            raise UnusableRow("more-than-one-answer", f"`{key}` has {len(turns)} turns after the prompt")
        answer = turns[0].content
    if not answer.strip():
        raise UnusableRow("empty-answer", f"`{key}` is empty")
    return answer


def _of_two(prompt: tuple[Message, ...], chosen: str, rejected: str) -> Row:
    if chosen.strip() == rejected.strip():  # most templates strip
        raise UnusableRow("equal-sides", "`chosen` and `rejected` are the same")
    return Row(prompt, (chosen, rejected))


def _instruction(row: dict[str, Any]) -> str:
    parts = [text_of(row[key], f"`{key}`") for key in ("instruction", "input") if key in row]
    return "\n".join(part for part in parts if part.strip())


def _excerpt(content: Any) -> str:
    shown = {key: value for key, value in content.items() if value is not None} if isinstance(content, dict) else content
    return json.dumps(shown, ensure_ascii=False, default=str)[:_EXCERPT]
