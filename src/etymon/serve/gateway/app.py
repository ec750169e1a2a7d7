"""The service as an ASGI application: a request's way from the door to the engine and back."""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from etymon.serve.audit.texts import Texts
from etymon.serve.gateway.body import read_body
from etymon.serve.gateway.door import Door
from etymon.serve.gateway.edit import FILTERED, Edit
from etymon.serve.gateway.exchange import Exchange
from etymon.serve.gateway.in_force import InForce
from etymon.serve.gateway.keys import Keyring
from etymon.serve.gateway.limits import Meter
from etymon.serve.gateway.models import Models, Served
from etymon.serve.gateway.observe import CONTENT_TYPE, Observers
from etymon.serve.gateway.openapi import document
from etymon.serve.gateway.order import order_of
from etymon.serve.gateway.pipe import Pipe
from etymon.serve.gateway.problems import SERVER, Problem, bad_request, forbidden, too_slow, unavailable
from etymon.serve.gateway.relay import Relay
from etymon.serve.gateway.reply import EVENTS, ClientLeft, Reply, until_left
from etymon.serve.gateway.requests import Asked, ChatRequest, CompletionRequest, EmbeddingRequest, parse
from etymon.serve.gateway.settings import Limits
from etymon.serve.gateway.texts import find_in_request, is_prose
from etymon.serve.labels import HEADER, UNLABELLED, Labels, header_value
from etymon.serve.page import files as page
from etymon.serve.policy import ServicePolicy

_USAGE = ("prompt_tokens", "completion_tokens", "total_tokens")
_CHARACTERS_A_TOKEN = 4
"""Of a prompt whose tokens nobody counted, because its client left."""


@dataclass(frozen=True)
class Gateway:
    """All that requests share."""

    models: Models
    keyring: Keyring
    limits: Limits
    meter: Meter
    relay: Relay
    rules: InForce
    observers: Observers

    def app(self) -> ASGIApp:
        routes = [
            Route("/v1/chat/completions", _Endpoint(self, "chat/completions", ChatRequest), methods=["POST"]),
            Route("/v1/completions", _Endpoint(self, "completions", CompletionRequest), methods=["POST"]),
            Route("/v1/embeddings", _Endpoint(self, "embeddings", EmbeddingRequest), methods=["POST"]),
            Route("/v1/models", self._list_models, methods=["GET"]),
            Route("/v1/models/{name:path}", self._show_model, methods=["GET"]),
            Route(f"{_CARDS}/{{name:path}}", self._model_card, methods=["GET"]),
            Route("/openapi.json", self._openapi, methods=["GET"]),
            Route("/health", self._health, methods=["GET"]),
            Route("/ready", self._ready, methods=["GET"]),
            Route("/metrics", self._metrics, methods=["GET"]),
            *page.routes(),
        ]
        inner = Starlette(routes=routes, exception_handlers={HTTPException: _not_here, Problem: _refused, Exception: _broken})
        inner.router.redirect_slashes = False
        return Door(inner, self.keyring, self.observers)

    async def _list_models(self, request: Request) -> Response:
        listed = [_model_object(each, self.rules.policy) for each in self.models.visible(request.state.key)]
        return JSONResponse({"object": "list", "data": listed})

    async def _show_model(self, request: Request) -> Response:
        found = self.models.find(request.path_params["name"], request.state.key)
        return JSONResponse(_model_object(found, self.rules.policy))

    async def _model_card(self, request: Request) -> Response:
        found = self.models.find(request.path_params["name"], request.state.key)
        if found.card.evidence is None:
            raise Problem(404, f"There is no model card for {found.card.name}.", code="no_model_card", param="model")
        return PlainTextResponse(found.card.evidence, headers={"content-type": "text/markdown; charset=utf-8"})

    async def _openapi(self, request: Request) -> Response:
        return JSONResponse(document())

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _ready(self, request: Request) -> Response:
        ready = self.models.ready
        return JSONResponse({"status": "ready" if ready else "starting"}, status_code=200 if ready else 503)

    async def _metrics(self, request: Request) -> Response:
        states = {each.card.name: each.state() for each in self.models.visible(None)}
        return Response(self.observers.metrics.text(states), headers={"content-type": CONTENT_TYPE})


_BEGAN = int(time.time())
_CARDS = "/v1/model-cards"


def _model_object(served: Served, policy: ServicePolicy) -> dict[str, Any]:
    """As OpenAI lists a model, what we know of where it comes from, and what it may be used for."""
    card = served.card
    more = {
        "digest": card.digest, "base": card.base, "context": card.context, "permitted_uses": policy.permitted_uses,
        "label": policy.labels.text, "evidence": f"{_CARDS}/{quote(card.name)}" if card.evidence else None,
    }  # fmt: skip
    return {"id": card.name, "object": "model", "created": _BEGAN, "owned_by": "etymon", "etymon": more}


async def _not_here(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    wrong_method = error.status_code == 405
    message = f"{request.method} is not what this path takes." if wrong_method else "There is nothing at this path."
    problem = Problem(error.status_code, message, code="method_not_allowed" if wrong_method else "unknown_url")
    return JSONResponse(problem.body(), problem.status, headers=dict(error.headers or {}))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return JSONResponse(error.body(), error.status, headers=error.headers)


_BROKEN = Problem(500, "Something went wrong here.", code="internal_error", type=SERVER)


async def _broken(request: Request, error: Exception) -> Response:
    """The client is told; the traceback goes to the log, for it is raised again."""
    return JSONResponse(_BROKEN.body(), _BROKEN.status)


def _label_header(edit: Edit | None) -> dict[str, str]:
    return {HEADER: header_value(edit.fields)} if edit else {}


def _unlabelled(request: Request, labels: Labels) -> bool:
    """Whether the answer goes without its visible label. Raises Problem 403 where the client may not ask for that."""
    if request.headers.get(UNLABELLED, "") in ("", "0", "false"):
        return False
    if not labels.unlabelled_on_request:
        raise forbidden("The policy of this service does not allow answers without a label.")
    return True


class _Endpoint:
    """A path that asks an engine."""

    def __init__(self, gateway: Gateway, path: str, kind: type[Asked]) -> None:
        self._gateway, self._path, self._kind = gateway, path, kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gateway = self._gateway
        exchange = Exchange(self._path, scope["state"]["key"])
        reply = Reply(send, exchange)
        try:
            await self._answer(Request(scope, receive), reply, exchange)
            exchange.outcome = "refused" if exchange.refused else "answered"
        except Problem as problem:
            exchange.code = problem.code
            exchange.outcome = "failed" if problem.status >= 500 else "refused"
            await reply.problem(problem)
        except ClientLeft:
            exchange.outcome, exchange.status = "left", exchange.status or 499
        except asyncio.CancelledError:  # the service ends, and this answer had its time
            await reply.problem(unavailable("The service is being stopped."))
            raise
        except Exception:
            exchange.status = 500
            raise
        finally:
            if exchange.outcome == "refused":
                exchange.prompt_tokens = 0
            if exchange.rule and gateway.rules.guard.enforces and exchange.code is None:
                exchange.code = FILTERED
            gateway.meter.charge(exchange.key, exchange.prompt_tokens + exchange.completion_tokens)
            gateway.observers.ended(exchange)

    async def _answer(self, request: Request, reply: Reply, exchange: Exchange) -> None:
        """Admit, check, ask the engine, give on what it says."""
        gateway = self._gateway
        gateway.meter.begin(exchange.key)
        body = await read_body(request, gateway.limits.body_bytes)
        asked = parse(self._kind, body)
        served = gateway.models.find(asked.model, exchange.key)
        exchange.model, exchange.digest = served.card.name, served.card.digest
        exchange.prompt_tokens = len(body) // _CHARACTERS_A_TOKEN  # until the engine has counted them
        order = order_of(asked, served)
        rules, edit = gateway.rules, None
        exchange.texts = Texts(body) if rules.policy.audit.texts else None
        if isinstance(asked, ChatRequest | CompletionRequest):
            exchange.unlabelled = _unlabelled(request, rules.policy.labels)
            chat = isinstance(asked, ChatRequest)
            edit = Edit(rules.guard, rules.policy.labels, exchange, chat=chat, prose=is_prose(asked))
        if found := await find_in_request(rules.guard, asked):
            exchange.note(found.rule, "input")
            if rules.guard.enforces:
                await self._refuse(asked, edit, reply, exchange)
                return
        answer: dict[str, Any] | None = None
        try:
            async with asyncio.timeout(gateway.limits.seconds), until_left(request.receive):
                with served.used():
                    if isinstance(asked, ChatRequest | CompletionRequest) and asked.stream and edit:
                        exchange.stream = True
                        usage = bool(asked.stream_options and asked.stream_options.include_usage)
                        await self._stream(served, order, reply, exchange, edit, usage=usage)
                    else:
                        answer = await gateway.relay.whole(served, self._path, order, exchange)
                        answer = await edit.whole(answer) if edit else answer
        except TimeoutError:
            raise too_slow(gateway.limits.seconds) from None
        if answer is None:
            await reply.end()
        else:
            await reply.whole(200, json.dumps(answer, ensure_ascii=False).encode(), _label_header(edit))

    async def _refuse(self, asked: Asked, edit: Edit | None, reply: Reply, exchange: Exchange) -> None:
        """Say no in place of an answer. Raises Problem 400 where an answer cannot say anything: to /v1/embeddings."""
        exchange.refused = True
        exchange.prompt_tokens = 0
        if edit is None or not isinstance(asked, ChatRequest | CompletionRequest):
            raise bad_request("This text is not taken by the policy of this service.", "input", FILTERED)
        exchange.stream = asked.stream
        kind = "chat.completion" if isinstance(asked, ChatRequest) else "text_completion"
        of = f"{kind}.chunk" if asked.stream and isinstance(asked, ChatRequest) else kind
        head = {"id": exchange.id, "object": of, "created": int(time.time()), "model": exchange.model}
        if asked.stream:
            await reply.start(200, EVENTS, _label_header(edit))
            await reply.end(b"".join(event + b"\n\n" for event in edit.refusal(head)))
        else:
            answer = edit.refused_whole(head) | {"usage": dict.fromkeys(_USAGE, 0)}
            await reply.whole(200, json.dumps(answer, ensure_ascii=False).encode(), _label_header(edit))

    async def _stream(
        self, served: Served, order: dict[str, Any], reply: Reply, exchange: Exchange, edit: Edit, *, usage: bool
    ) -> None:
        """Events as they come. The status waits for the first: until then a problem has one of its own."""
        pipe = Pipe()
        engine = asyncio.create_task(self._gateway.relay.stream(served, self._path, order, exchange, pipe, edit, usage=usage))
        try:
            while events := await pipe.take():
                if not reply.started:
                    await reply.start(200, EVENTS, _label_header(edit))
                await reply.piece(events)
        finally:
            engine.cancel()
            await asyncio.gather(engine, return_exceptions=True)
