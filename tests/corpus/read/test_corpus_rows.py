"""Conversations and preferences in every format in use; what cannot be used is told by its reason."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.corpus.read.rows import RowKind, known_columns, parse_row
from etymon.corpus.read.turns import UnusableRow
from etymon.text.rows import Message, Row

ASK, ANSWER, MORE = Message("user", "Why?"), Message("assistant", "Because."), Message("user", "Really?")
SYSTEM = Message("system", "Be brief.")
YES, NO = Message("assistant", "Yes."), Message("assistant", "No.")


def turns(*messages: Message) -> list[dict[str, str]]:
    return [{"role": each.role, "content": each.content} for each in messages]


def sharegpt(*messages: Message) -> list[dict[str, str]]:
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    return [{"from": names[each.role], "value": each.content} for each in messages]


CHAT: list[tuple[dict[str, Any], Row]] = [
    ({"messages": turns(ASK, ANSWER)}, Row((ASK,), ("Because.",))),
    ({"messages": turns(SYSTEM, ASK, ANSWER, MORE, YES), "id": 7}, Row((SYSTEM, ASK, ANSWER, MORE), ("Yes.",))),
    ({"messages": turns(ASK, ANSWER), "system": "Be brief."}, Row((SYSTEM, ASK), ("Because.",))),
    ({"messages": [{"role": "User", "content": "Why?"}, {"role": "ASSISTANT", "content": "Because.", "tool_calls": None}]},
     Row((ASK,), ("Because.",))),
    ({"conversations": sharegpt(SYSTEM, ASK, ANSWER)}, Row((SYSTEM, ASK), ("Because.",))),
    ({"conversations": sharegpt(ASK, ANSWER), "system": "Be brief."}, Row((SYSTEM, ASK), ("Because.",))),
    ({"conversations": turns(ASK, ANSWER), "system": ""}, Row((ASK,), ("Because.",))),
    ({"instruction": "Why?", "output": "Because."}, Row((ASK,), ("Because.",))),
    ({"instruction": "Add.", "input": "1 2", "output": "3", "text": "x"}, Row((Message("user", "Add.\n1 2"),), ("3",))),
    ({"instruction": "Really?", "input": None, "output": "Yes.", "system": "Be brief.", "history": [["Why?", "Because."]]},
     Row((SYSTEM, ASK, ANSWER, MORE), ("Yes.",))),
    ({"prompt": "def f(", "completion": "x):"}, Row("def f(", ("x):",))),
    ({"prompt": turns(ASK), "completion": turns(ANSWER)}, Row((ASK,), ("Because.",))),
    ({"prompt": "Why?", "completion": turns(ANSWER)}, Row((ASK,), ("Because.",))),
    ({"prompt": "Why?", "completion": "Because.", "system": "Be brief."}, Row((SYSTEM, ASK), ("Because.",))),
    ({"messages": None, "instruction": "Why?", "output": "Because."}, Row((ASK,), ("Because.",))),
]  # fmt: skip

PREFERENCE: list[tuple[dict[str, Any], Row]] = [
    ({"prompt": "Why?", "chosen": "Yes.", "rejected": "No."}, Row((ASK,), ("Yes.", "No."))),
    ({"question": "Why?", "system": "Be brief.", "chosen": "Yes.", "rejected": "No."}, Row((SYSTEM, ASK), ("Yes.", "No."))),
    ({"instruction": "Why?", "input": "Say.", "chosen": "Yes.", "rejected": "No."},
     Row((Message("user", "Why?\nSay."),), ("Yes.", "No."))),
    ({"prompt": turns(ASK, ANSWER, MORE), "chosen": turns(YES), "rejected": turns(NO)},
     Row((ASK, ANSWER, MORE), ("Yes.", "No."))),
    ({"prompt": "Why?", "chosen": turns(YES), "rejected": turns(NO)}, Row((ASK,), ("Yes.", "No."))),
    ({"chosen": turns(SYSTEM, ASK, YES), "rejected": turns(SYSTEM, ASK, NO)}, Row((SYSTEM, ASK), ("Yes.", "No."))),
    ({"prompt": "Why?", "messages": turns(ASK, YES), "chosen": turns(ASK, YES), "rejected": turns(ASK, NO)},
     Row((ASK,), ("Yes.", "No."))),
    ({"chosen": turns(ASK, ANSWER, MORE, YES), "rejected": turns(ASK, ANSWER, MORE, NO)},
     Row((ASK, ANSWER, MORE), ("Yes.", "No."))),
    ({"conversations": sharegpt(SYSTEM, ASK), "chosen": sharegpt(YES)[0], "rejected": sharegpt(NO)[0]},
     Row((SYSTEM, ASK), ("Yes.", "No."))),
    ({"prompt": "Why?", "completion": "Yes.", "label": True}, Row((ASK,), ("Yes.",), True)),
    ({"prompt": turns(ASK), "completion": turns(NO), "label": 0}, Row((ASK,), ("No.",), False)),
    ({"messages": turns(ASK, ANSWER), "label": "False"}, Row((ASK,), ("Because.",), False)),
    ({"conversations": sharegpt(ASK, ANSWER), "label": True}, Row((ASK,), ("Because.",), True)),
    ({"prompt": None, "chosen": turns(ASK, YES), "rejected": turns(ASK, NO), "label": None}, Row((ASK,), ("Yes.", "No."))),
]  # fmt: skip


@pytest.mark.parametrize(("content", "row"), CHAT)
def test_conversations(content: dict[str, Any], row: Row) -> None:
    found = parse_row(content, "chat", {})
    assert (found.row, found.cut) == (row, "")
    assert found.row.kind == "conversation"


@pytest.mark.parametrize(("content", "row"), PREFERENCE)
def test_preferences(content: dict[str, Any], row: Row) -> None:
    found = parse_row(content, "preference", {})
    assert (found.row, found.cut) == (row, "")
    assert found.row.kind == ("pair" if len(row.answers) == 2 else "judged")


def test_turns_after_the_last_answer_are_cut_off_and_told() -> None:
    found = parse_row({"messages": turns(ASK, ANSWER, MORE, Message("user", "Hello?"))}, "chat", {})
    assert found.row == Row((ASK,), ("Because.",))
    assert found.cut == "Really?\n\nHello?"
    pair = {"chosen": turns(ASK, YES), "rejected": turns(ASK, NO, MORE)}
    assert parse_row(pair, "preference", {}).cut == "Really?"


def test_columns_under_other_names() -> None:
    content = {"question": "Why?", "answer": "Because.", "output": "a number"}
    columns = {"instruction": "question", "output": "answer"}
    assert parse_row(content, "chat", columns).row == Row((ASK,), ("Because.",))
    swapped = parse_row({"prompt": "b", "completion": "a"}, "chat", {"prompt": "completion", "completion": "prompt"})
    assert swapped.row == Row("a", ("b",))


IMAGE = [{"type": "image"}, {"type": "text", "text": "What is it?"}]


@pytest.mark.parametrize(
    ("kind", "reason", "content"),
    [
        ("chat", "bad-row", ["a", "list"]),
        ("chat", "bad-row", "a text"),
        ("chat", "bad-row", {"instruction": "Why?", "output": "So.", "history": ["Why?"]}),
        ("chat", "no-known-format", {"question": "Why?", "answer": "So."}),
        ("chat", "no-known-format", {}),
        ("chat", "missing-role", {"messages": [{"content": "Why?"}]}),
        ("chat", "missing-role", {"messages": ["Why?", "Because."]}),
        ("chat", "missing-role", {"messages": [{"role": None, "content": "Why?"}]}),
        ("chat", "unknown-role", {"messages": [{"role": "narrator", "content": "Once."}]}),
        ("chat", "roles-do-not-alternate", {"messages": turns(ASK, MORE, ANSWER)}),
        ("chat", "roles-do-not-alternate", {"messages": turns(ANSWER)}),
        ("chat", "roles-do-not-alternate", {"messages": turns(ASK, SYSTEM, ANSWER)}),
        ("chat", "roles-do-not-alternate", {"messages": turns(SYSTEM, ASK, ANSWER), "system": "Be kind."}),
        ("chat", "no-answer", {"messages": turns(SYSTEM, ASK)}),
        ("chat", "no-answer", {"messages": []}),
        ("chat", "no-answer", {"messages": None}),
        ("chat", "no-answer", {"prompt": turns(ASK), "completion": []}),
        ("chat", "empty-answer", {"messages": turns(ASK, Message("assistant", " \n"))}),
        ("chat", "empty-answer", {"messages": turns(ASK, Message("assistant", ""), MORE, YES)}),
        ("chat", "empty-answer", {"messages": [turns(ASK)[0], {"role": "assistant", "content": None}]}),
        ("chat", "empty-answer", {"prompt": "Why?", "completion": None}),
        ("chat", "empty-prompt", {"prompt": "", "completion": "Because."}),
        ("chat", "empty-prompt", {"messages": turns(Message("user", " "), ANSWER)}),
        ("chat", "empty-prompt", {"instruction": "", "input": "", "output": "Because."}),
        ("chat", "empty-prompt", {"prompt": turns(SYSTEM), "completion": turns(ANSWER)}),
        ("chat", "content-not-text", {"messages": [{"role": "user", "content": IMAGE}]}),
        ("chat", "content-not-text", {"messages": [turns(ASK)[0], {"role": "assistant", "tool_calls": [{"id": 1}]}]}),
        ("chat", "content-not-text", {"conversations": [*sharegpt(ASK), {"from": "function_call", "value": "{}"}]}),
        ("chat", "content-not-text", {"messages": "Why? Because."}),
        ("chat", "content-not-text", {"instruction": "Why?", "output": 42}),
        ("preference", "no-known-format", {"messages": turns(ASK, ANSWER)}),
        ("preference", "no-known-format", {"chosen": "Human: Why?", "rejected": "Human: Why?"}),
        ("preference", "bad-row", {"prompt": "Why?", "completion": "So.", "label": "good"}),
        ("preference", "bad-row", {"prompt": "Why?", "completion": "So.", "label": None}),
        ("preference", "equal-sides", {"prompt": "Why?", "chosen": "So.", "rejected": "So.\n"}),
        ("preference", "equal-sides", {"chosen": turns(ASK, YES), "rejected": turns(ASK, YES)}),
        ("preference", "empty-answer", {"prompt": "Why?", "chosen": "So.", "rejected": ""}),
        ("preference", "empty-prompt", {"prompt": " ", "chosen": "So.", "rejected": "No."}),
        ("preference", "empty-prompt", {"prompt": None, "chosen": "So.", "rejected": "No."}),
        ("preference", "empty-prompt", {"chosen": turns(ASK, YES), "rejected": turns(MORE, NO)}),
        ("preference", "empty-prompt", {"chosen": turns(SYSTEM, ASK, YES), "rejected": turns(SYSTEM, MORE, NO)}),
        ("preference", "no-answer", {"chosen": turns(ASK, YES, MORE, NO), "rejected": turns(ASK, YES)}),
        ("preference", "no-answer", {"prompt": "Why?", "chosen": [], "rejected": turns(NO)}),
        ("preference", "more-than-one-answer", {"chosen": turns(ASK, YES, MORE, YES), "rejected": turns(ASK, NO, MORE, NO)}),
        ("preference", "roles-do-not-alternate", {"prompt": turns(ASK, ANSWER), "chosen": "So.", "rejected": "No."}),
        ("preference", "content-not-text", {"prompt": "Why?", "chosen": 1, "rejected": 2}),
    ],
)  # fmt: skip
def test_what_cannot_be_used_has_its_reason(kind: RowKind, reason: str, content: Any) -> None:
    with pytest.raises(UnusableRow) as raised:
        parse_row(content, kind, {})
    assert raised.value.reason == reason
    assert len(raised.value.detail) > 10
    shown = {key: value for key, value in content.items() if value is not None} if isinstance(content, dict) else content
    assert json.dumps(shown)[:20] in raised.value.detail, "the row itself is shown"


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["user", "assistant", "system", "Hm."]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "from", "value", "tool_calls"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.sampled_from(["chat", "preference"]), st.data())
def test_whatever_a_row_holds_it_is_a_row_or_has_a_reason(kind: RowKind, data: st.DataObject) -> None:
    content = data.draw(st.dictionaries(st.sampled_from(known_columns(kind)), _values, max_size=5))
    try:
        row = parse_row(content, kind, {}).row
    except UnusableRow:
        return
    assert Row.from_json(row.to_json()) == row
    assert all(answer.strip() for answer in row.answers)
