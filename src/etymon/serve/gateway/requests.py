"""What clients may ask: the fields of OpenAI's API that an open model can honour, and a few samplers of llama.cpp and vLLM.

Everything else is refused by name: engines have fields that reach into them (a slot, a cache, a template), and one that is
ignored in silence would be worse than one that is refused.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, from_json

from etymon.serve.gateway.problems import Problem, bad_request

# Lists end at their first fault: a million faults, each told, would keep all others waiting for seconds.
Text = Annotated[str, Field(max_length=10_000_000)]
TokenIds = Annotated[list[Annotated[int, Field(ge=0, lt=1 << 24)]], Field(min_length=1, max_length=1_000_000, fail_fast=True)]
Object = dict[str, Any]


Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,256}$")]
Function = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Stop = Annotated[str, Field(min_length=1, max_length=1024)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class TextPart(_Part):
    """A piece of a message."""

    type: Literal["text"]
    text: Text

    @model_validator(mode="before")
    @classmethod
    def _no_pictures(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("type", "text") != "text":
            raise ValueError("models here take parts of type text only, no images, sound or files")
        return value


def _json(text: str) -> str:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("no JSON") from None
    return text


class FunctionCall(_Part):
    name: Function
    arguments: Annotated[Text, AfterValidator(_json)]
    """JSON, which templates parse."""


class ToolCall(_Part):
    id: Id
    type: Literal["function"] = "function"
    function: FunctionCall


class Message(_Part):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | Annotated[list[TextPart], Field(max_length=10_000, fail_fast=True)] | None = None
    name: str | None = Field(None, max_length=256)
    tool_calls: Annotated[list[ToolCall], Field(max_length=128, fail_fast=True)] | None = None
    tool_call_id: Id | None = None
    refusal: Text | None = None

    @model_validator(mode="after")
    def _calls_are_an_assistants(self) -> "Message":
        if self.tool_calls and self.role != "assistant":
            raise ValueError("only an assistant has `tool_calls`")
        return self


class FunctionDefinition(_Part):
    name: Function
    description: Text | None = None
    parameters: Object | None = None
    strict: bool | None = None


class Tool(_Part):
    type: Literal["function"]
    function: FunctionDefinition


class NamedFunction(_Part):
    name: Function


class ToolChoice(_Part):
    type: Literal["function"]
    function: NamedFunction


class JsonSchema(_Part):
    name: str = Field("answer", max_length=64)
    description: Text | None = None
    schema_: Object = Field(alias="schema")
    strict: bool | None = None


class PlainFormat(_Part):
    type: Literal["text", "json_object"]


class SchemaFormat(_Part):
    type: Literal["json_schema"]
    json_schema: JsonSchema


class StreamOptions(_Part):
    include_usage: bool = False
    include_obfuscation: bool | None = None
    """OpenAI's padding of pieces against observers of the line. None is added here."""


UNUSED = frozenset({"user", "safety_identifier", "prompt_cache_key", "metadata", "store", "stream_options"})
"""Fields that clients send to OpenAI about themselves: accepted, and not passed on."""


class Asked(_Part):
    """What every endpoint takes."""

    model: str = Field(min_length=1, max_length=200)
    user: str | None = Field(None, max_length=512)
    safety_identifier: str | None = Field(None, max_length=512)
    prompt_cache_key: str | None = Field(None, max_length=512)
    metadata: dict[str, str] | None = Field(None, max_length=16)
    store: Literal[False] | None = None


class _Generation(Asked):
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1, lt=1 << 31)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=-1, lt=1 << 24)
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float | None = Field(None, gt=0, le=10)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[Annotated[str, Field(pattern=r"^\d{1,8}$")], Annotated[float, Field(ge=-100, le=100)]] | None = Field(
        None, max_length=1024
    )
    seed: int | None = Field(None, ge=-(1 << 63), lt=1 << 63)
    stop: Stop | Annotated[list[Stop], Field(max_length=16, fail_fast=True)] | None = None
    n: int | None = Field(None, ge=1, le=16)


class ChatRequest(_Generation):
    """POST /v1/chat/completions."""

    messages: list[Message] = Field(min_length=1, max_length=10_000, fail_fast=True)
    max_completion_tokens: int | None = Field(None, ge=1, lt=1 << 31)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: PlainFormat | SchemaFormat | None = Field(None, discriminator="type")
    tools: Annotated[list[Tool], Field(max_length=128, fail_fast=True)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None


class CompletionRequest(_Generation):
    """POST /v1/completions: a text as it is, control tokens included, to be continued."""

    prompt: Text | TokenIds
    logprobs: int | None = Field(None, ge=0, le=20)
    echo: Literal[False] | None = None


class EmbeddingRequest(Asked):
    """POST /v1/embeddings."""

    input: (
        Annotated[str, Field(min_length=1, max_length=10_000_000)]
        | Annotated[
            list[Annotated[str, Field(min_length=1, max_length=10_000_000)]],
            Field(min_length=1, max_length=2048, fail_fast=True),
        ]
        | TokenIds
        | Annotated[list[TokenIds], Field(min_length=1, max_length=2048, fail_fast=True)]
    )
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(None, ge=1, le=65_536)


def length_of(asked: Asked) -> tuple[int | None, int]:
    """The most tokens that an answer may have, where the client said so, and how many answers it wants; 0 where vectors."""
    if not isinstance(asked, ChatRequest | CompletionRequest):
        return None, 0
    longest = asked.max_completion_tokens if isinstance(asked, ChatRequest) else None
    return asked.max_tokens if longest is None else longest, asked.n or 1


_MOST_FAULTS = 100
"""Of a request, that are looked through for the one to tell."""


def parse(kind: type[Asked], body: bytes) -> Asked:
    """A request, checked. Raises Problem 400 that names the field."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise _problem(error.errors(include_url=False, include_input=False), body) from None


def _problem(errors: list[ErrorDetails], body: bytes) -> Problem:
    """Where there are several kinds of a value, of the one that fits best: whose fault is deepest within it."""
    if errors[0]["type"] == "json_invalid":
        return bad_request("The body is no valid JSON in UTF-8.", code="invalid_json")
    content = from_json(body)
    paths = [_path(each, content) for each in errors[:_MOST_FAULTS]]
    found = max(range(len(paths)), key=lambda i: len(paths[i]) if paths[i][: len(paths[0])] == paths[0] else -1)
    return _told(errors[found], ".".join(paths[found])[:200])


def _path(error: ErrorDetails, value: Any) -> list[str]:
    """The way to a fault by the keys of the request, without the names that kinds of values have here."""
    path = []
    for i, part in enumerate(error["loc"], 1):
        there = part in value if isinstance(value, dict) else isinstance(value, list) and isinstance(part, int)
        if there:
            value = value[part]
        elif error["type"] != "missing" or i < len(error["loc"]):
            continue
        path.append(str(part))
    return path


def _told(first: ErrorDetails, where: str) -> Problem:
    if first["type"] == "literal_error" and first["ctx"]["expected"] == "False":
        return bad_request(f"{where} is not supported here: leave it out.", where, "unsupported_value")
    if first["type"] == "extra_forbidden":
        return bad_request(f"Unrecognized request argument supplied: {where}", where, "unknown_parameter")
    if first["type"] == "missing":
        return bad_request(f"Missing required parameter: {where}", where, "missing_required_parameter")
    return bad_request(f"{where or 'The body'}: {first['msg'].removeprefix('Value error, ')}", where or None)
