import asyncio
import copy
import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.serve.audit.texts import Texts
from etymon.serve.gateway.edit import DONE, Edit, Refused
from etymon.serve.gateway.exchange import Exchange
from etymon.serve.gateway.problems import Problem
from etymon.serve.gateway.requests import Asked, ChatRequest, CompletionRequest, parse
from etymon.serve.gateway.texts import find_in_request
from etymon.serve.guard.guard import Guard, Guarded
from etymon.serve.guard.rules import Found, Rule
from etymon.serve.labels import Labels
from etymon.serve.said import add, spoken, texts_of_request

RULES = (Rule(id="bombs", terms=("bomb", "pipe dream")),)
GUARD = Guard(Guarded(rules=RULES, refusal="No."))
HI = {"role": "user", "content": "Hi"}


def found_in(guard: Guard, asked: dict[str, Any], kind: type[Asked] = ChatRequest) -> Found | None:
    return asyncio.run(find_in_request(guard, parse(kind, json.dumps(asked).encode())))


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [HI], **more}


def calling(name: str, arguments: str) -> dict[str, Any]:
    call = {"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}
    return chat(messages=[HI, {"role": "assistant", "content": None, "tool_calls": [call]}])


def tool(**more: Any) -> dict[str, Any]:
    return chat(tools=[{"type": "function", "function": {"name": "f", **more}}])


@pytest.mark.parametrize(
    "asked",
    [
        chat(messages=[{"role": "user", "content": [{"type": "text", "text": "a bo"}, {"type": "text", "text": "mb"}]}]),
        chat(messages=[HI | {"name": "bomb"}]),
        chat(messages=[{"role": "assistant", "content": None, "refusal": "a bomb"}]),
        calling("make_bomb", "{}"),
        calling("f", '{"q": "bomb"}'),
        calling("f", '{"q":"\\u0062omb"}'),
        tool(description="makes a bomb"),
        tool(parameters={"properties": {"bomb": {"type": "string"}}}),
        tool(parameters={"properties": {"q": {"enum": ["a", "bomb"]}}}),
        tool(parameters={"id": "a bomb", "type": "bomb"}),
        chat(response_format={"type": "json_schema", "json_schema": {"schema": {"description": "a bomb"}}}),
    ],
)
def test_all_that_a_model_is_to_read_is_looked_at(asked: dict[str, Any]) -> None:
    found = found_in(GUARD, asked)
    assert found


def test_texts_are_not_read_into_one_another() -> None:
    apart = chat(messages=[HI | {"content": "it was a pipe"}, HI | {"content": "Dream on"}])
    assert found_in(GUARD, apart) is None
    schema = {"type": "object", "properties": {"q": {"type": "string", "enum": ["b", "o", "m", "b"]}}, "required": ["q"]}
    asked = chat(response_format={"type": "json_schema", "json_schema": {"schema": schema}})
    assert found_in(GUARD, asked) is None
    assert not {"object", "string", "properties", "user"} & set(texts_of_request(asked))


def test_numbers_of_tokens_are_refused_where_anything_is() -> None:
    asked = {"model": "m", "prompt": [1, 2]}
    with pytest.raises(Problem, match="not numbers of tokens"):
        found_in(GUARD, asked, CompletionRequest)
    assert found_in(Guard(Guarded(rules=RULES, mode="observe")), asked, CompletionRequest) is None


def edit(*, prose: bool = True, mode: str = "enforce", visible: str = "none", chat: bool = True) -> Edit:
    guard = Guard(Guarded.model_validate({"rules": RULES, "refusal": "No.", "mode": mode}))
    labels = Labels.model_validate({"visible": visible, "text": "AI"})
    return Edit(guard, labels, Exchange("chat/completions", None), chat=chat, prose=prose)


def streamed(edit: Edit, *choices: dict[str, Any]) -> list[dict[str, Any]]:
    """What a client is sent of a stream, as JSON."""
    sent: list[bytes] = []

    async def stream() -> None:
        events = [json.dumps({"id": "a", "aigc": {"Label": "theirs"}, "choices": [each]}).encode() for each in choices]
        for event in (*(b"data: " + each for each in events), DONE):
            async for piece in edit.events(event):
                sent.append(piece)  # what came before it was refused counts

    with suppress(Refused):
        asyncio.run(stream())
    assert sent[-1] == DONE
    return [json.loads(event.removeprefix(b"data:")) for event in sent if event != DONE]


def delta(ends: str | None = None, **said: Any) -> dict[str, Any]:
    return {"index": 0, "delta": said, "finish_reason": ends}


def text_of(answers: list[dict[str, Any]]) -> str:
    return "".join(choice["delta"].get("content") or "" for answer in answers for choice in answer["choices"])


def call(**function: str) -> list[dict[str, Any]]:
    return [{"index": 1, "function": function}]


def test_a_piece_that_says_nothing_may_say_so_with_null() -> None:
    sent = streamed(edit(visible="end"), delta(content="yes"), {"index": 0, "delta": None, "finish_reason": "stop"})
    assert text_of(sent).startswith("yes")
    assert text_of(sent).endswith("AI")


@pytest.mark.parametrize(
    "said",
    [
        {"content": "a bomb!"},
        {"reasoning": "a bomb!"},
        {"reasoning_content": "a bomb!"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "a bomb!"}]},
        {"refusal": "a bomb!"},
        {"tool_calls": call(name="bomb")},
        {"tool_calls": call(name="f", arguments='{"a": "\\u0062omb"}')},
        {"function_call": {"name": "bomb"}},
    ],
)
def test_nothing_that_a_model_says_goes_unjudged(said: dict[str, Any]) -> None:
    sent = streamed(edit(), delta(role="assistant"), delta(**copy.deepcopy(said)), delta(ends="stop"))
    assert sent[-1]["choices"][0]["finish_reason"] == "content_filter"
    assert "omb" not in json.dumps(sent)
    whole = asyncio.run(edit().whole({"choices": [{"index": 0, "message": said, "finish_reason": "stop"}]}))
    assert whole["choices"][0]["finish_reason"] == "content_filter"


def test_json_is_decoded_before_it_is_judged() -> None:
    pieces = [delta(content=each) for each in ('{"a": "', "\\u00", '62omb"}')]
    assert text_of(streamed(edit(), *pieces)) == '{"a": "\\u0062omb"}'
    assert text_of(streamed(edit(prose=False), *pieces)).endswith("No.")


@given(st.text("abmop\\u0062 {}", max_size=30), st.lists(st.integers(0, 30), max_size=6))
def test_a_call_comes_whole_whatever_its_pieces(text: str, cuts: list[int]) -> None:
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [delta(tool_calls=call(arguments=text[begin:end])) for begin, end in pairwise(edges)]
    sent = streamed(edit(), delta(tool_calls=call(name="pipe")), *pieces, delta(ends="tool_calls"))
    if sent[-1]["choices"][0]["finish_reason"] == "content_filter":
        return
    calls = [each for a in sent for c in a["choices"] for each in c["delta"].get("tool_calls") or []]
    assert "".join(each["function"].get("name", "") for each in calls) == "pipe"
    assert "".join(each["function"].get("arguments", "") for each in calls) == text
    assert {each["index"] for each in calls} <= {1}


def test_a_label_is_never_lost() -> None:
    cut = streamed(edit(visible="end"), delta(content="some words, a bo"), delta(content="mb now"))
    assert text_of(cut) == "some words, a \n\nNo.\n\nAI"
    unended = streamed(edit(visible="end"), delta(content="some bo"))
    assert text_of(unended) == "some bo\n\nAI"
    ended = streamed(edit(visible="end", mode="observe"), delta(content="a bomb."), delta(ends="stop"))
    assert text_of(ended) == "a bomb.\n\nAI"
    refused = streamed(edit(visible="end"), delta(content="bomb."))
    assert text_of(refused) == "No."
    for answers in (cut, unended, ended, refused):
        assert answers[0]["aigc"]["Label"] == "1"
        assert all("aigc" not in answer for answer in answers[1:])


def test_json_without_the_visible_label_is_logged() -> None:
    assert edit(prose=False, visible="end")._exchange.unlabelled
    assert not edit(prose=False)._exchange.unlabelled
    assert not edit(visible="end")._exchange.unlabelled


def test_choices_are_refused_each() -> None:
    both = [{"index": at, "delta": {"content": "words "}, "finish_reason": None} for at in (0, 1)]
    sent = streamed(edit(), *both, {"index": 1, "delta": {"content": "bomb "}, "finish_reason": None})
    assert [choice["index"] for choice in sent[-1]["choices"]] == [0, 1]


_NAMES = st.sampled_from(["content", "tool_calls", "function", "arguments", "x"])
_CHOICES = st.dictionaries(
    _NAMES,
    st.recursive(
        st.text(max_size=5), lambda s: st.dictionaries(_NAMES, s, max_size=2) | st.lists(st.dictionaries(_NAMES, s))
    ),
)


@given(_CHOICES)
def test_what_is_read_of_a_choice_can_be_written_again(choice: dict[str, Any]) -> None:
    again: dict[str, Any] = {}
    for each in spoken(choice):
        add(again, each.path, each.text)
    assert [(each.path, each.text) for each in spoken(again)] == [(each.path, each.text) for each in spoken(choice)]


def test_the_audit_keeps_what_was_said_by_whatever_name() -> None:
    texts = Texts(b"{}")
    for said in ({"reasoning": "Hm. "}, {"content": "No."}, {"content": "No", "refusal": "No"}):
        texts.add(b"data: " + json.dumps({"choices": [delta(**said)]}).encode() + b"\n\n")
    assert texts.answer == "Hm. No.No"
