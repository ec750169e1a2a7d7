"""The service as a process: its socket, its signals, its start and its end."""

import asyncio
import errno
import logging
import signal
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from etymon.errors import EtymonError
from etymon.serve.audit.records import Records
from etymon.serve.audit.writer import Writer
from etymon.serve.gateway.app import Gateway
from etymon.serve.gateway.connection import Connection
from etymon.serve.gateway.door import is_loopback
from etymon.serve.gateway.in_force import InForce, Rules
from etymon.serve.gateway.keys import KeyFile, Keyring
from etymon.serve.gateway.limits import Meter
from etymon.serve.gateway.models import Card, Find, Models
from etymon.serve.gateway.observe import ErrorLines, Log, Metrics, Observers
from etymon.serve.gateway.relay import Relay
from etymon.serve.gateway.settings import Limits, Service
from etymon.serve.policy import ServicePolicy, read_policy

_IDLE_SECONDS = 75
"""A connection that is kept open for the next request."""
_STALLED_SECONDS = 30
"""A client that has taken nothing for so long of what it was sent is cut off, by the system's kernel."""


@dataclass(frozen=True)
class Startup:
    """What a service is started with."""

    read: Callable[[], Service]
    """What is to be served, asked again at each SIGHUP."""
    find: Find
    keys: Path
    records: Records
    """Where requests are kept; closed at the end."""
    host: str
    port: int
    drain_seconds: int
    """For answers that run when the service is to end."""
    ready: Callable[[str, list[Card], bool], None]
    """Told the address, the models, and whether keys are asked for."""


def serve(startup: Startup) -> None:
    """Serve until SIGTERM or Ctrl-C, then let answers end.

    Raises EtymonError where the port is taken, a model cannot be served, or other machines could ask without a key.
    """
    log = Log(sys.stderr)
    keyring = Keyring(KeyFile(startup.keys), lambda reason: log.write({"event": "keys", "failed": reason}))
    if not keyring.on and not is_loopback(startup.host):
        raise EtymonError(
            f"Without keys the service would answer everybody who reaches {startup.host}.",
            "Make one first: `etymon serve keys new NAME`. Or leave --host out, for this machine alone.",
        )
    service = startup.read()
    with _bound(startup.host, startup.port) as bound:
        loop = uvicorn.Config("", loop="auto", log_config=None).get_loop_factory()
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(_serve(startup, service, keyring, bound, log))


class _Server(uvicorn.Server):
    """uvicorn's, with signals left to us: it would end the process by the signal, as though answers had been cut off."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        loop = asyncio.get_running_loop()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, self.handle_exit, each, None)
        yield


async def _serve(startup: Startup, service: Service, keyring: Keyring, bound: socket.socket, log: Log) -> None:
    logger = logging.getLogger("uvicorn.error")
    logger.addHandler(ErrorLines(log))
    logger.propagate = False
    limits = service.limits
    models = Models(startup.find, lambda name, what: log.write({"event": "engine", "model": name, "state": what}))
    in_force = InForce(_rules(service), limits.seconds)  # before anything is opened that would have to be closed
    relay = Relay(limits.seconds)
    metrics = Metrics()
    audit = Writer(
        startup.records,
        lambda: in_force.rules.policy.audit.days,
        lambda **said: log.write({"event": "audit", **said}),
        metrics.audited,
    )
    observers = Observers(log, metrics, audit)
    gateway = Gateway(models, keyring, limits, Meter(limits), relay, in_force, observers)
    try:
        await models.replace(service)
        cards = [each.card for each in models.visible(None)]
        reloads = _Reloads(startup.read, service, models, in_force, log)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloads.begin)
        shown = f"[{startup.host}]" if ":" in startup.host else startup.host
        startup.ready(f"http://{shown}:{bound.getsockname()[1]}", cards, keyring.on)
        log.write({"event": "start", "models": [card.name for card in cards], "keys": keyring.on})
        await _Server(_config(gateway.app(), limits, startup.drain_seconds)).serve([bound])
        observers.tell()
        log.write({"event": "stop"})
    finally:
        await relay.close()
        await in_force.close()
        await models.stop()
        await asyncio.to_thread(audit.close)


def _config(app: ASGIApp, limits: Limits, drain_seconds: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        headers=[("x-content-type-options", "nosniff"), ("cache-control", "no-store")],
        limit_concurrency=limits.connections,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=drain_seconds,
    )


def _rules(service: Service) -> Rules:
    return Rules.of(read_policy(service.policy) if service.policy else ServicePolicy())


class _Reloads:
    """What SIGHUP does, one after the other however often it comes."""

    def __init__(self, read: Callable[[], Service], service: Service, models: Models, in_force: InForce, log: Log) -> None:
        """``service``: what was read at the start."""
        self._read, self._limits, self._models, self._in_force, self._log = read, service.limits, models, in_force, log
        self._one = asyncio.Lock()
        self._running: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        task = asyncio.create_task(self._reload())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _reload(self) -> None:
        async with self._one:
            try:
                await self._replace()
                self._log.write({"event": "reload", "models": [each.card.name for each in self._models.visible(None)]})
            except EtymonError as error:
                self._log.write({"event": "reload", "failed": str(error)})
            except Exception as error:
                self._log.write({"event": "reload", "failed": f"{type(error).__name__}: {error}"})
                logging.getLogger("uvicorn.error").exception("reload")

    async def _replace(self) -> None:
        """All of it or nothing: rules are made first, and cannot fail once the models are there."""
        service = await asyncio.to_thread(self._read)
        now, before = service.limits.model_dump(), self._limits.model_dump()
        if changed := [f"limits.{name} from {before[name]} to {now[name]}" for name in now if now[name] != before[name]]:
            raise EtymonError(f"A reload cannot change {', '.join(changed)}.", "Start the service again to change limits.")
        rules = await asyncio.to_thread(_rules, service)
        try:
            await self._models.replace(service)
        except BaseException:
            await rules.guard.close()
            raise
        self._in_force.replace(rules)


def _bound(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises EtymonError where it cannot."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections take it over
                bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED_SECONDS * 1000)
            bound.bind(address)
            bound.listen(2048)
        except OSError:
            bound.close()
            raise
    except socket.gaierror:
        raise EtymonError(f"{host} is no host.", "Give an address of this machine, or leave --host out.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise EtymonError(
                f"The port {port} of {host} is in use.", "Give another by --port, or end what uses it."
            ) from None
        if error.errno in (errno.EACCES, errno.EADDRNOTAVAIL):
            raise EtymonError(
                f"{host}:{port} cannot be opened: {error.strerror}.", "Give another --host or --port."
            ) from None
        raise
    return bound
