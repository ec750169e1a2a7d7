"""Labels of generated text, as China's GB 45438-2025 has them; Article 50 of the EU's AI Act wants a readable mark too.

The machine-readable label goes with every answer: a field ``aigc`` of the response, and the header ``X-AIGC``. The visible
one is words at the beginning or the end of the text itself, so that it stays when the text is copied.
"""

import json
from typing import Literal

from pydantic import Field

from etymon.store import Config

FIELD, HEADER = "aigc", "X-AIGC"
_MEMBER = f'"{FIELD}"'.encode()
"""Within a text its quotes would be escaped."""
UNLABELLED = "X-AIGC-Unlabelled"
"""Header of a request that asks for an answer without the visible label."""

Place = Literal["none", "start", "end"]


class Labels(Config):
    """What answers are labelled with, as the service's policy has it."""

    producer: str = Field("", max_length=200)
    """Name or code of who offers the service (``ContentProducer``)."""
    visible: Place = "none"
    text: str = Field("AI-generated", min_length=1, max_length=200)
    """The visible label."""
    unlabelled_on_request: bool = False
    """Whether a client may ask for answers without the visible label. Each is logged; in China the user agreement has to
    allow it, and the log is kept for six months (Measures for labelling, Article 9)."""

    @property
    def visible_before(self) -> str:
        """What a text begins with."""
        return f"{self.text}\n\n" if self.visible == "start" else ""

    @property
    def visible_after(self) -> str:
        """What a text ends with."""
        return f"\n\n{self.text}" if self.visible == "end" else ""


def label(labels: Labels, answer: str, model: str) -> dict[str, str]:
    """The fields of the standard for an answer, by its id. ``Label`` 1: this text was generated."""
    return {
        "Label": "1",
        "ContentProducer": labels.producer,
        "ProduceID": answer,
        "ReservedCode1": model,
        "ContentPropagator": "",
        "PropagateID": "",
        "ReservedCode2": "",
    }


def header_value(fields: dict[str, str]) -> str:
    """The label in ASCII, as a header can carry it."""
    return json.dumps({"AIGC": fields}, separators=(",", ":"))


def spliced(event: bytes, fields: dict[str, str]) -> bytes:
    """A server-sent event or a JSON object with the label as its first field. Nothing is parsed that has no label yet."""
    event = bare(event)
    begin = event.find(b"{")
    if begin < 0:
        return event
    rest = event[begin + 1 :].lstrip()
    member = json.dumps({FIELD: fields}, ensure_ascii=True, separators=(",", ":"))[1:-1].encode()
    return event[: begin + 1] + member + (b"" if rest.startswith(b"}") else b",") + rest


def bare(event: bytes) -> bytes:
    """A server-sent event or a JSON object without a label that the engine gave it: ours holds here."""
    if _MEMBER not in event:
        return event
    head, brace, body = event.partition(b"{")
    try:
        answer = json.loads(brace + body)
    except ValueError:
        return event
    answer.pop(FIELD, None)
    return head + json.dumps(answer, separators=(",", ":")).encode()
