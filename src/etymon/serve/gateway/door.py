"""The door: no path is answered without a key, but for those that say nothing about anybody: signs of life, and the page."""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from etymon.serve.gateway.exchange import Exchange
from etymon.serve.gateway.keys import Key, Keyring
from etymon.serve.gateway.observe import Observers
from etymon.serve.gateway.problems import Problem, forbidden, wrong_key
from etymon.serve.gateway.reply import Reply
from etymon.serve.page import files as page

OPEN = frozenset({"/health", "/ready"}) | page.PATHS
"""Answered without a key."""
_FORWARDED = ("forwarded", "via", "x-forwarded-", "x-real-ip")
"""How the headers begin by which a proxy says that it asks for somebody else."""


class Door:
    """In front of every path, those that are added later included."""

    def __init__(self, app: ASGIApp, keyring: Keyring, observers: Observers) -> None:
        self._app, self._keyring, self._observers = app, keyring, observers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN:
            try:
                scope["state"]["key"] = self._admitted(scope, Headers(scope=scope))
            except Problem as problem:
                exchange = Exchange("door", None, code=problem.code, outcome="refused")
                exchange.status = problem.status
                self._observers.turned_away(exchange)
                await Reply(send, exchange).problem(problem)
                return
        await self._app(scope, receive, send)

    def _admitted(self, scope: Scope, headers: Headers) -> Key | None:
        """The key; None where none are asked for. Raises Problem 401 or 403."""
        if not self._keyring.on:
            if not is_loopback(_host(headers.get("host", ""))):
                # A page of another site whose name was made to point here would come with that name.
                raise forbidden("Without keys only this machine is answered, under its own name.")
            # Proxies in front of us may name us as we name ourselves; nginx, unless told otherwise, speaks HTTP/1.0.
            if scope["http_version"] == "1.0" or any(name.startswith(_FORWARDED) for name in headers):
                raise forbidden("Without keys no proxy is answered: it may ask for other machines.")
            return None
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise wrong_key("You didn't provide an API key. Send it as: Authorization: Bearer KEY")
        key = self._keyring.find(secret.strip())
        if key is None:
            raise wrong_key("Incorrect API key provided, or it has expired or was revoked.")
        return key


def _host(header: str) -> str:
    """Without the port; nothing where it is none."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
