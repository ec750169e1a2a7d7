"""The service as an ASGI application: a request's way from the door to the engine and back."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
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
from etymon.serve.gateway.edit import FILTERED, Edit, Refused
from etymon.serve.gateway.exchange import Exchange
from etymon.serve.gateway.in_force import InForce, Rules
from etymon.serve.gateway.keys import Key, Keyring, Role
from etymon.serve.gateway.limits import Meter
from etymon.serve.gateway.models import Models, Served
from etymon.serve.gateway.observe import CONTENT_TYPE, Observers
from etymon.serve.gateway.openapi import document
from etymon.serve.gateway.order import order_of
from etymon.serve.gateway.pipe import Pipe
from etymon.serve.gateway.problems import SERVER, Problem, bad_request, forbidden, too_slow, unavailable
from etymon.serve.gateway.relay import Relay
from etymon.serve.gateway.reply import EVENTS, ClientLeft, Reply, until_left
from etymon.serve.gateway.requests import Asked, ChatRequest, CompletionRequest, EmbeddingRequest, length_of, parse
from etymon.serve.gateway.settings import Limits
from etymon.serve.gateway.texts import find_in_request, is_prose
from etymon.serve.labels import HEADER, UNLABELLED, Labels, header_value
from etymon.serve.page import files as page
from etymon.serve.policy import ServicePolicy

_USAGE = ("prompt_tokens", "completion_tokens", "total_tokens")


@dataclass(frozen=True)
class Gateway:
    """All that requests share."""

    models: Models
    keyring: Keyring
    limits: Limits
    meter: Meter
    relay: Relay
    in_force: InForce
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
        listed = [_model_object(each, self.in_force.rules.policy) for each in self.models.visible(request.state.key)]
        return JSONResponse({"object": "list", "data": listed})

    async def _show_model(self, request: Request) -> Response:
        found = self.models.find(request.path_params["name"], request.state.key)
        return JSONResponse(_model_object(found, self.in_force.rules.policy))

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
        key: Key | None = request.state.key
        if key and key.role is not Role.operator:
            raise forbidden("This path takes the key of an operator.")
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
    message = (
        f"{request.method} is not what this path takes."
        if wrong_method
        else "There is nothing at this path. /openapi.json describes those that there are."
    )
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


class _Unwanted(Exception):
    """The policy refuses what was asked."""


@dataclass(frozen=True)
class _Question:
    """A request that was read and checked, and all that its answer takes."""

    asked: Asked
    order: dict[str, Any]
    """As the engine gets it."""
    served: Served
    rules: Rules
    """Those in force when it came, whatever a reload changes meanwhile."""
    edit: Edit | None
    """What the policy does to the answer; None for vectors."""
    exchange: Exchange


class _Endpoint:
    """A path that asks an engine."""

    def __init__(self, gateway: Gateway, path: str, kind: type[Asked]) -> None:
        self._gateway, self._path, self._kind = gateway, path, kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(self._path, scope["state"]["key"])
        reply = Reply(send, exchange)
        problem: Problem | None = None
        try:
            await self._answer(Request(scope, receive), reply, exchange)
            exchange.outcome = "refused" if exchange.refused else "answered"
        except Problem as told:
            problem = told
        except ClientLeft:
            exchange.outcome, exchange.status = "left", exchange.status or 499
            exchange.cut_off()
        except asyncio.CancelledError:  # the service ends, and this answer had its time
            problem = unavailable("The service is being stopped.")
        except Exception:
            exchange.status = 500
            raise
        finally:
            # Before the client is told, which may take as long as it pleases.
            if problem:
                _note(problem, exchange)
            elif exchange.rule and exchange.enforced:
                exchange.code = FILTERED
            self._gateway.meter.settle(exchange.key, exchange.tokens)
            self._gateway.observers.ended(exchange)
        if problem:
            await reply.problem(problem)

    async def _answer(self, request: Request, reply: Reply, exchange: Exchange) -> None:
        """Admit, check, ask the engine, give on what it says."""
        gateway = self._gateway
        gateway.meter.begin(exchange.key)
        body = await read_body(request, gateway.limits.body_bytes)
        asked = parse(self._kind, body)
        served = gateway.models.find(asked.model, exchange.key)
        with served.used():
            exchange.model, exchange.digest = served.card.name, served.card.digest
            order = order_of(asked, served)
            exchange.tokens.expect(len(body), *length_of(asked), served.card.context)
            gateway.meter.reserve(exchange.key, exchange.tokens)
            question = self._question(request, body, asked, order, served, exchange)
            try:
                await self._ask(question, request, reply)
            except _Unwanted:
                await self._refuse(question, reply)

    def _question(
        self, request: Request, body: bytes, asked: Asked, order: dict[str, Any], served: Served, exchange: Exchange
    ) -> _Question:
        rules, edit = self._gateway.in_force.rules, None
        exchange.enforced = rules.guard.enforces
        exchange.texts = Texts(body) if rules.policy.audit.texts else None
        if isinstance(asked, ChatRequest | CompletionRequest):
            exchange.stream = asked.stream
            exchange.unlabelled = _unlabelled(request, rules.policy.labels)
            chat = isinstance(asked, ChatRequest)
            edit = Edit(rules.guard, rules.policy.labels, exchange, chat=chat, prose=is_prose(asked))
        return _Question(asked, order, served, rules, edit, exchange)

    async def _ask(self, question: _Question, request: Request, reply: Reply) -> None:
        """Ask the engine while the client waits, for so long as an answer may take. Raises _Unwanted."""
        exchange, edit, seconds = question.exchange, question.edit, self._gateway.limits.seconds
        answer: dict[str, Any] | None = None
        try:
            async with asyncio.timeout(max(0.0, seconds - exchange.seconds)), until_left(request.receive):
                if edit and exchange.stream:
                    await self._stream(question, edit, reply)
                else:
                    async with _place(question):
                        answer = await self._gateway.relay.whole(question.served, self._path, question.order, exchange)
                    answer = await edit.whole(answer) if edit else answer
        except TimeoutError:
            exchange.cut_off()
            raise too_slow(seconds) from None
        if answer is None:
            await reply.end()
        else:
            await reply.whole(200, json.dumps(answer, ensure_ascii=False).encode(), _label_header(edit))

    async def _stream(self, question: _Question, edit: Edit, reply: Reply) -> None:
        """Events as they come. The status waits for the first: until then a problem has one of its own."""
        pipe = Pipe()
        engine = asyncio.create_task(self._fill(pipe, question, edit))
        try:
            while events := await pipe.take():
                if not reply.started:
                    await reply.start(200, EVENTS, _label_header(edit))
                await reply.piece(events)
        finally:
            engine.cancel()
            await asyncio.gather(engine, return_exceptions=True)

    async def _fill(self, pipe: Pipe, question: _Question, edit: Edit) -> None:
        """The engine's events, as the policy has them, into a pipe. What goes wrong goes into the pipe."""
        wanted = getattr(question.asked, "stream_options", None)
        events = self._gateway.relay.stream(
            question.served, self._path, question.order, question.exchange, usage=bool(wanted and wanted.include_usage)
        )
        try:
            async with _place(question), aclosing(events):
                async for event in events:
                    async for edited in edit.events(event):
                        await pipe.put(edited + b"\n\n")
            pipe.close()
        except Refused:
            pipe.close()
        except Exception as problem:
            pipe.close(problem)

    async def _refuse(self, question: _Question, reply: Reply) -> None:
        """Say no in place of an answer. Raises Problem 400 where an answer cannot say anything: to /v1/embeddings."""
        exchange, edit = question.exchange, question.edit
        exchange.refused = True
        exchange.tokens.unread()
        if edit is None:
            raise bad_request("This text is not taken by the policy of this service.", "input", FILTERED)
        kind = "chat.completion" if isinstance(question.asked, ChatRequest) else "text_completion"
        of = "chat.completion.chunk" if exchange.stream and kind == "chat.completion" else kind
        head = {"id": exchange.id, "object": of, "created": int(time.time()), "model": exchange.model}
        if exchange.stream:
            await reply.start(200, EVENTS, _label_header(edit))
            await reply.end(b"".join(event + b"\n\n" for event in edit.refusal(head)))
        else:
            answer = edit.refused_whole(head) | {"usage": dict.fromkeys(_USAGE, 0)}
            await reply.whole(200, json.dumps(answer, ensure_ascii=False).encode(), _label_header(edit))


@asynccontextmanager
async def _place(question: _Question) -> AsyncIterator[None]:
    """A place at the engine, for what the policy lets through. Raises _Unwanted, and Problem.

    Who has a place is screened: so long texts wait as others do, and cost their key what they cost.
    """
    exchange = question.exchange
    async with question.served.queue.place(exchange.key):
        exchange.tokens.begin()
        if found := await find_in_request(question.rules.guard, question.asked):
            exchange.note(found.rule, "input")
            if question.rules.guard.enforces:
                raise _Unwanted
        yield


def _note(problem: Problem, exchange: Exchange) -> None:
    """What became of a request that ended with a problem."""
    exchange.code = problem.code
    exchange.outcome = "failed" if problem.status >= 500 else "refused"
    exchange.status = exchange.status or problem.status
    if exchange.tokens.completion:
        return
    if problem.status in (502, 503):
        exchange.tokens.forget()
    elif problem.status < 500:
        exchange.tokens.unread()
