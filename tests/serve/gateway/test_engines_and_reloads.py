"""Engines that go and come back, and what is read again while they run, within this process."""

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from served import Served

from etymon.errors import EtymonError
from etymon.serve.engine import remote
from etymon.serve.engine.llama import LlamaEngine, LlamaSettings
from etymon.serve.engine.remote import RemoteEngine, Server
from etymon.serve.gateway.in_force import InForce, Rules
from etymon.serve.gateway.models import Models
from etymon.serve.gateway.observe import Log
from etymon.serve.gateway.relay import _line
from etymon.serve.gateway.server import _Reloads
from etymon.serve.gateway.settings import Limits, ModelEntry, Service
from etymon.serve.policy import ServicePolicy


class Elsewhere:
    """An OpenAI-compatible server that has the models it is told to have."""

    def __init__(self) -> None:
        self.models = ["a", "b"]
        self.slow = 0.0
        self.address = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Elsewhere"]:
        app = web.Application()
        app.router.add_get("/v1/models", self._list)
        app.router.add_post("/v1/chat/completions", self._flood)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _list(self, request: web.Request) -> web.Response:
        slow, self.slow = self.slow, 0.0
        await asyncio.sleep(slow)
        return web.json_response({"data": [{"id": name} for name in self.models]})

    async def _flood(self, request: web.Request) -> web.StreamResponse:
        """An answer that does not end."""
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        piece = {"model": "a", "choices": [{"index": 0, "delta": {"content": "x" * 100_000}, "finish_reason": None}]}
        while True:
            await answer.write(b"data: " + json.dumps(piece).encode() + b"\n\n")
            await asyncio.sleep(0.001)

    def service(self, *models: str, **more: Any) -> Service:
        return Service(models=tuple(ModelEntry(model=name, engine=self.address) for name in models), **more)


async def until(what: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not what():
            await asyncio.sleep(0.01)


def test_a_server_that_goes_and_comes_back_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PROBE_SECONDS", 0.02)

    async def scenario() -> None:
        states: list[str] = []
        async with Elsewhere().running() as there:
            first, other = (RemoteEngine(Server(there.address), name, states.append) for name in ("a", "b"))
            await first.start()
            await other.start()
            there.models = ["a"]
            await until(lambda: not other.ready)
            assert first.ready
            there.models = ["a", "b"]
            await until(lambda: other.ready)
            await other.stop()
            assert first.ready, "of two models of one server, one that is taken out leaves the other"
        await until(lambda: not first.ready)
        await first.stop()
        assert states == ["lost", "ready", "lost"]

    asyncio.run(scenario())


def test_a_key_that_was_named_must_be_there() -> None:
    with pytest.raises(EtymonError, match="NO_SUCH_KEY is not set"):
        Server("http://localhost:1", "NO_SUCH_KEY")


@pytest.mark.parametrize("unused", [{"threads": 2}, {"quantize": "q8_0"}])
def test_what_an_engine_elsewhere_cannot_be_told_is_refused(unused: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not at another engine"):
        ModelEntry.model_validate({"engine": "http://localhost:1", **unused})
    with pytest.raises(ValueError, match="for an `engine` elsewhere"):
        ModelEntry.model_validate({"model": "a", "key_variable": "KEY"})


def test_reloads_come_one_after_the_other_and_change_all_or_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Elsewhere().running() as there:
            (tmp_path / "policy.yaml").write_text(
                "guard: {classifier: {url: 'http://localhost:1', key_variable: NO_SUCH_KEY}}", "utf-8"
            )
            services = [
                there.service("a", "b"),
                there.service("b"),
                there.service("a", policy=tmp_path / "policy.yaml"),
                there.service("a", limits=Limits(waiting=7)),
            ]
            models, written = Models(lambda entry: pytest.fail("not ours"), lambda name, what: None), io.StringIO()
            in_force = InForce(Rules.of(ServicePolicy()), 1)
            before = there.service("a")
            await models.replace(before)
            reloads = _Reloads(lambda: services.pop(0), before, models, in_force, Log(written))
            there.slow = 0.2  # for the first to overtake the second, if it could
            for _ in range(4):
                reloads.begin()
            await until(lambda: written.getvalue().count("\n") == 4)
            first, second, third, fourth = map(json.loads, written.getvalue().splitlines())
            assert (first["models"], second["models"]) == (["a", "b"], ["b"])
            assert "NO_SUCH_KEY" in third["failed"]
            assert "limits.waiting from 64 to 7" in fourth["failed"]
            assert [each.card.name for each in models.visible(None)] == ["b"]
            assert models.ready
            await models.stop()
            await in_force.close()

    asyncio.run(scenario())


def test_the_engine_for_vectors_is_started_once_whoever_leaves(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETYMON_ENGINE_KEY", "a secret of the service")

    def children() -> list[int]:
        return [int(child) for child in Path("/proc/thread-self/children").read_text().split()]

    async def scenario() -> None:
        before = set(children())
        engine = LlamaEngine(LlamaSettings("tiny", tiny_model, 256, 1, threads=1), lambda name, state: None)
        await engine.start()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(engine.for_vectors(), 0.001)
        assert (await engine.for_vectors()).ready
        started = set(children()) - before
        assert len(started) == 2
        assert all(b"a secret" not in Path(f"/proc/{child}/environ").read_bytes() for child in started)
        await engine.stop()
        assert not set(children()) - before

    asyncio.run(scenario())


def test_a_client_that_takes_nothing_of_its_answer_leaves_a_record(
    start_service: Callable[..., Served], tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with Elsewhere().running() as there:
            config = tmp_path / "serve.yaml"
            config.write_text(json.dumps({"models": [{"engine": there.address, "model": "a"}], "limits": {"seconds": 1.5}}))
            service = await asyncio.to_thread(start_service, "--config", str(config))
            host, port = service.address.removeprefix("http://").split(":")
            _, writer = await asyncio.open_connection(host, int(port), limit=1024)
            body = json.dumps({"model": "a", "messages": [{"role": "user", "content": "x"}], "stream": True}).encode()
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            began = time.monotonic()
            writer.write(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await until(lambda: service.events("request"))
            assert time.monotonic() - began < 6
            (record,) = service.events("request")
            assert (record["outcome"], record["code"], record["status"]) == ("failed", "timeout", 200)
            writer.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (b"data: {}", b"data: {}"),
        (b"data:{}", b"data: {}"),
        (b"event: x\ndata: {}", b"data: {}"),
        (b'data: {"a":\ndata: 1}', b'data: {"a": 1}'),
        (b"data: {}\rdata: 2", b"data: {} 2"),
        (b": alive", b": alive"),
        (b"id: 7\nretry: 3", None),
        (b"said by nobody", None),
    ],
)
def test_events_are_data_or_comments(event: bytes, line: bytes | None) -> None:
    assert _line(event) == line
