"""The service as a process: its socket, its signals, its start and its end."""

import asyncio
import errno
import logging
import signal
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from etymon.errors import EtymonError
from etymon.serve.audit.records import Records
from etymon.serve.audit.writer import Writer
from etymon.serve.gateway.app import Gateway
from etymon.serve.gateway.connection import Connection
from etymon.serve.gateway.door import is_loopback
from etymon.serve.gateway.in_force import InForce
from etymon.serve.gateway.keys import KeyFile, Keyring
from etymon.serve.gateway.limits import Meter
from etymon.serve.gateway.models import Card, Models, Open
from etymon.serve.gateway.observe import ErrorLines, Log, Metrics, Observers
from etymon.serve.gateway.relay import Relay
from etymon.serve.gateway.settings import Service
from etymon.serve.policy import ServicePolicy, read_policy

_IDLE_SECONDS = 75
"""A connection that is kept open for the next request."""


def serve(
    read: Callable[[], Service],
    open: Open,
    keys: Path,
    records: Records,
    host: str,
    port: int,
    *,
    drain_seconds: int,
    ready: Callable[[str, list[Card], bool], None],
) -> None:
    """Serve until SIGTERM or Ctrl-C, then let answers end, for ``drain_seconds`` at most.

    ``read`` gives what is to be served, again at each SIGHUP; ``open`` finds a model. ``ready`` is told the address, the
    models, and whether keys are asked for. Requests are kept in ``records``, which are closed at the end. Raises EtymonError
    where the port is taken, a model cannot be served, or other machines could ask without a key.
    """
    keyring = Keyring(KeyFile(keys))
    if not keyring.on and not is_loopback(host):
        raise EtymonError(
            f"Without keys the service would answer everybody who reaches {host}.",
            "Make one first: `etymon serve keys new NAME`. Or leave --host out, for this machine alone.",
        )
    service = read()
    with _bound(host, port) as bound:
        loop = uvicorn.Config("", loop="auto", log_config=None).get_loop_factory()
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(_serve(service, read, open, keyring, records, bound, host, drain_seconds, ready))


class _Server(uvicorn.Server):
    """uvicorn's, with signals left to us: it would end the process by the signal, as though answers had been cut off."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        loop = asyncio.get_running_loop()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, self.handle_exit, each, None)
        yield


async def _serve(
    service: Service,
    read: Callable[[], Service],
    open: Open,
    keyring: Keyring,
    records: Records,
    bound: socket.socket,
    host: str,
    drain_seconds: int,
    ready: Callable[[str, list[Card], bool], None],
) -> None:
    log = Log(sys.stderr)
    logger = logging.getLogger("uvicorn.error")
    logger.addHandler(ErrorLines(log))
    logger.propagate = False
    models = Models(open, lambda name, what: log.write({"event": "engine", "model": name, "state": what}))
    limits = service.limits
    relay = Relay(limits.seconds)
    rules = InForce(_policy(service))
    metrics = Metrics()
    audit = Writer(
        records, lambda: rules.policy.audit.days, lambda **said: log.write({"event": "audit", **said}), metrics.audited
    )
    gateway = Gateway(models, keyring, limits, Meter(limits), relay, rules, Observers(log, metrics, audit))
    try:
        await models.exchange(service)
        config = uvicorn.Config(
            gateway.app(),
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
        reloading: set[asyncio.Task[None]] = set()

        def reload() -> None:
            task = asyncio.create_task(_reload(read, models, rules, log))
            reloading.add(task)
            task.add_done_callback(reloading.discard)

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
        port = bound.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        ready(f"http://{shown}:{port}", [each.card for each in models.visible(None)], keyring.on)
        log.write({"event": "start", "models": [each.card.name for each in models.visible(None)], "keys": keyring.on})
        await _Server(config).serve([bound])
        log.write({"event": "stop"})
    finally:
        await relay.close()
        await rules.close()
        await models.stop()
        await asyncio.to_thread(audit.close)


def _policy(service: Service) -> ServicePolicy:
    return read_policy(service.policy) if service.policy else ServicePolicy()


async def _reload(read: Callable[[], Service], models: Models, rules: InForce, log: Log) -> None:
    try:
        service = read()
        policy = _policy(service)
        await models.exchange(service)
        rules.exchange(policy)
        log.write({"event": "reload", "models": [each.card.name for each in models.visible(None)]})
    except EtymonError as error:
        log.write({"event": "reload", "failed": str(error)})


def _bound(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises EtymonError where it cannot."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
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
