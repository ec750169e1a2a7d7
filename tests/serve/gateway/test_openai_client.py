"""OpenAI's own client against the service: what it sends is understood, what it gets back it understands."""

import json
from typing import Any

import openai
import pytest
from served import Served, logged
from tiny_gguf import BYTES, SPECIAL

BROKEN = {str(len(SPECIAL) + i): -100 for i, letter in enumerate(BYTES) if not (letter.isascii() and letter.isprintable())}
BROKEN |= {str(token): -100 for token in range(len(SPECIAL))}
"""Bytes that are no whole character, and the end: a random model would say them."""
ASKED: dict[str, Any] = {
    "model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8, "logit_bias": BROKEN,
}  # fmt: skip


def test_the_models_are_listed_with_what_they_are(service: Served) -> None:
    (model,) = service.client().models.list().data
    assert model.id == "tiny"
    assert model.model_extra
    assert len(model.model_extra["etymon"]["digest"]) == 64
    assert service.client().models.retrieve("tiny").id == "tiny"


def test_a_conversation_is_answered(service: Served) -> None:
    answer = service.client().chat.completions.create(**ASKED, seed=1, temperature=0.5, user="me")
    assert answer.model == "tiny"
    assert answer.choices[0].message.role == "assistant"
    assert answer.usage
    assert answer.usage.completion_tokens == 8
    assert answer.usage.prompt_tokens_details is None, "it would tell what others asked before"


def test_a_stream_says_the_same_as_the_whole_answer(service: Served) -> None:
    whole = service.client().chat.completions.create(**ASKED, temperature=0)
    stream = service.client().chat.completions.create(**ASKED, temperature=0, stream=True)
    pieces = [piece.choices[0].delta.content or "" for piece in stream]
    assert "".join(pieces) == whole.choices[0].message.content
    assert len(pieces) > 4


def test_the_count_comes_at_the_end_of_a_stream_that_asks_for_it(service: Served) -> None:
    with service.client().chat.completions.create(**ASKED, stream=True, stream_options={"include_usage": True}) as stream:
        *others, last = list(stream)
    assert last.usage
    assert last.usage.completion_tokens == 8
    assert not last.choices
    assert all(each.choices for each in others)
    with service.client().chat.completions.create(**ASKED, stream=True) as stream:
        assert all(piece.choices and piece.usage is None for piece in stream)


def test_a_text_is_continued(service: Served) -> None:
    client = service.client()
    whole = client.completions.create(model="tiny", prompt="the and", max_tokens=6, temperature=0, logit_bias=BROKEN)
    pieces = client.completions.create(
        model="tiny", prompt="the and", max_tokens=6, temperature=0, stream=True, logit_bias=BROKEN
    )
    texts = [(piece.id[:5], piece.choices[0].text) for piece in pieces]
    assert {of for of, _ in texts} == {"cmpl-"}
    assert "".join(text for _, text in texts) == whole.choices[0].text
    assert whole.usage
    assert whole.usage.completion_tokens == 6
    assert whole.id.startswith("cmpl-")


def test_texts_become_vectors(service: Served) -> None:
    answer = service.client().embeddings.create(model="tiny", input=["the", "and"])
    assert [len(each.embedding) for each in answer.data] == [64, 64]
    again = service.client().embeddings.create(model="tiny", input="the", encoding_format="float")
    assert again.data[0].embedding == pytest.approx(answer.data[0].embedding, abs=1e-5)


def test_an_answer_keeps_to_a_schema(service: Served) -> None:
    schema = {
        "type": "object",
        "properties": {"yes": {"type": "boolean"}},
        "required": ["yes"],
        "additionalProperties": False,
    }
    answer = service.client().chat.completions.create(
        model="tiny",
        messages=[{"role": "user", "content": "Is it?"}],
        max_tokens=100,
        response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}},
    )
    assert isinstance(json.loads(answer.choices[0].message.content or "")["yes"], bool)


def test_tools_and_their_answers_reach_the_model(service: Served) -> None:
    tool = {"name": "look", "parameters": {"type": "object", "properties": {"at": {"enum": ["sea"]}}, "required": ["at"]}}
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sea"}'}}
    turns = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "It is blue."},
    ]

    def read(messages: list[Any], **more: Any) -> int:
        answer = service.client().chat.completions.create(model="tiny", messages=messages, max_tokens=1, **more)
        assert answer.usage
        return answer.usage.prompt_tokens

    with_tool = {"tools": [{"type": "function", "function": tool}], "tool_choice": "auto"}
    assert read(turns[:1], **with_tool) - read(turns[:1]) > len(json.dumps(tool))  # a token a byte
    assert read(turns, **with_tool) - read(turns[:1], **with_tool) > len('look{"at": "sea"}It is blue.')


@pytest.mark.parametrize(
    ("changed", "error", "code", "words"),
    [
        ({"model": "other"}, openai.NotFoundError, "model_not_found", "may ask: tiny"),
        ({"max_tokens": -1}, openai.BadRequestError, "invalid_value", "max_tokens: "),
        ({"extra_body": {"id_slot": 0}}, openai.BadRequestError, "unknown_parameter", "id_slot"),
        ({"messages": []}, openai.BadRequestError, "invalid_value", "messages: "),
        ({"messages": [{"role": "user", "content": "the " * 600}]}, openai.BadRequestError, "context_length_exceeded", ""),
        ({"messages": [{"role": "user", "content": "the " * 600}], "stream": True}, openai.BadRequestError,
         "context_length_exceeded", ""),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]},
         openai.BadRequestError, "invalid_value", "messages.0.content.0: models here take parts of type text only"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, openai.BadRequestError,
         "missing_required_parameter", "parameter: messages.0.content.0.text\n"),
        ({"messages": [{"role": "user", "content": 5}]}, openai.BadRequestError, "invalid_value",
         "messages.0.content: "),
        ({"response_format": {"type": "json_schema"}}, openai.BadRequestError, "missing_required_parameter",
         "parameter: response_format.json_schema\n"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}, openai.BadRequestError,
         "missing_required_parameter", "parameter: response_format.json_schema.schema\n"),
        ({"store": True}, openai.BadRequestError, "unsupported_value", "store is not supported"),
        ({"n": 2}, openai.BadRequestError, "unsupported_value", "n: this engine"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "objekt"}}}},
         openai.BadRequestError, "invalid_value", "this schema: at #: unrecognized type objekt"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    service: Served, changed: dict[str, Any], error: type[openai.APIStatusError], code: str, words: str
) -> None:
    with pytest.raises(error) as raised:
        service.client().chat.completions.create(**ASKED | changed)
    assert raised.value.code == code
    assert words in f"{raised.value}\n"
    assert raised.value.request_id


def test_what_no_model_read_is_no_token_read(service: Served) -> None:
    before = service.get("/metrics").text
    with pytest.raises(openai.BadRequestError, match="context") as raised:
        service.client().chat.completions.create(**ASKED | {"messages": [{"role": "user", "content": "the " * 600}]})
    logged(service, id=raised.value.request_id, outcome="refused", prompt_tokens=0)
    (count,) = [each for each in before.splitlines() if each.startswith('etymon_tokens_total{kind="prompt",model="tiny"}')]
    assert count in service.get("/metrics").text


def test_a_text_too_long_for_a_vector_is_the_clients_to_shorten(service: Served) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        service.client().embeddings.create(model="tiny", input="the " * 3000)
    assert refused.value.code == "context_length_exceeded"


def test_what_was_said_is_in_no_log(service: Served) -> None:
    service.client().chat.completions.create(**ASKED | {"messages": [{"role": "user", "content": "My secret is swordfish"}]})
    assert service.events("request"), "there is a log"
    assert not [line for line in service.log if "swordfish" in json.dumps(line)]
    assert not [line for line in service.log if line["event"] in ("plain", "error")]
