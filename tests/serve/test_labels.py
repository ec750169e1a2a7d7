import json

import pytest

from etymon.serve.labels import FIELD, Labels, header_value, label, spliced

FIELDS = label(Labels(producer="Ada & Co 科技"), "chatcmpl-1", "small@ab12")


def test_the_label_has_the_fields_of_the_standard() -> None:
    assert list(FIELDS) == [
        "Label", "ContentProducer", "ProduceID", "ReservedCode1", "ContentPropagator", "PropagateID", "ReservedCode2",
    ]  # fmt: skip
    assert json.loads(header_value(FIELDS))["AIGC"] == FIELDS
    assert header_value(FIELDS).isascii()


@pytest.mark.parametrize("event", [b'data: {"id": "a", "choices": []}\n\n', b'{"id": 1}', b"data: {}\n\n", b"{ }"])
def test_an_event_takes_the_label_unparsed(event: bytes) -> None:
    found = json.loads(spliced(event, FIELDS).removeprefix(b"data: "))
    before = json.loads(event.removeprefix(b"data: "))
    assert found == {**before, FIELD: FIELDS}


def test_what_is_no_object_stays() -> None:
    assert spliced(b"data: [DONE]\n\n", FIELDS) == b"data: [DONE]\n\n"


def test_the_visible_label_stands_where_the_policy_says() -> None:
    end = Labels(visible="end", text="AI生成")
    assert (end.visible_before, end.visible_after) == ("", "\n\nAI生成")
    assert Labels(visible="start").visible_before == "AI-generated\n\n"
