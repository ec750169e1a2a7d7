"""The service described by OpenAPI, from the models that check its requests."""

from functools import cache
from importlib.metadata import version
from typing import Any

from pydantic.json_schema import models_json_schema

from etymon.serve.gateway.requests import ChatRequest, CompletionRequest, EmbeddingRequest

_ENDPOINTS = (
    ("/v1/chat/completions", ChatRequest, "Answer a conversation.", True),
    ("/v1/completions", CompletionRequest, "Continue a text.", True),
    ("/v1/embeddings", EmbeddingRequest, "Vectors of texts.", False),
)
_REFUSALS = {
    "400": "The request is wrong; `param` says where.",
    "401": "No key, or none that is good.",
    "403": "The key does not open this.",
    "404": "No such model or path.",
    "408": "The body did not come in time.",
    "413": "The body is too large.",
    "429": "Too many requests or tokens, or too long a queue; Retry-After says when to come back.",
    "500": "Something went wrong here.",
    "502": "The engine failed on this request.",
    "503": "The engine is being started again.",
    "504": "The answer was not complete in time.",
}
_OBJECT = {"type": "object"}


@cache
def document() -> dict[str, Any]:
    kinds = [kind for _, kind, _, _ in _ENDPOINTS]
    _, schemas = models_json_schema([(kind, "validation") for kind in kinds], ref_template="#/components/schemas/{model}")
    paths: dict[str, Any] = {path: {"post": _post(kind.__name__, what, streams)} for path, kind, what, streams in _ENDPOINTS}
    paths["/v1/models"] = {"get": _get("The models that are served.")}
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    paths["/v1/models/{name}"] = {"get": {**_get("One of them."), "parameters": [name]}}
    paths["/v1/model-cards/{name}"] = {
        "get": {**_get("The model card of one, as Markdown.", "text/markdown"), "parameters": [name]}
    }
    paths["/health"] = {"get": {**_get("Whether the service runs."), "security": []}}
    paths["/ready"] = {"get": {**_get("Whether every engine can be asked."), "security": []}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Etymon", "version": version("etymon")},
        "paths": paths,
        "security": [{"key": []}],
        "components": {
            "schemas": schemas["$defs"] | {"Error": _ERROR},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


def _post(schema: str, what: str, streams: bool) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": _OBJECT}}
    if streams:
        content["text/event-stream"] = {"schema": _OBJECT}  # of each event
    asked = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {
        "summary": what,
        "requestBody": {"required": True, "content": asked},
        "responses": {"200": {"description": "The answer.", "content": content}, **_refusals()},
    }


def _get(what: str, kind: str = "application/json") -> dict[str, Any]:
    schema = _OBJECT if kind == "application/json" else {"type": "string"}
    answer = {"description": "The answer.", "content": {kind: {"schema": schema}}}
    return {"summary": what, "responses": {"200": answer, **_refusals()}}


def _refusals() -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {status: {"description": what, "content": content} for status, what in _REFUSALS.items()}
