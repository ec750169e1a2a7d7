"""The files of the page, and the rules that browsers keep it to."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOLDER = Path(__file__).parent
_FILES = {
    "/" if path.name == "index.html" else f"/page/{path.name}": path
    for path in sorted(_FOLDER.iterdir())
    if path.suffix in _TYPES
}
PATHS = frozenset(_FILES)
"""What is answered without a key: the files are the same for everybody."""

_HEADERS = {
    # https://www.w3.org/TR/CSP3: only these files, no other host, no frame; text never becomes HTML or a script.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


def routes() -> list[Route]:
    """Routes for GET and HEAD, one a file."""
    return [Route(path, _sender(file), methods=["GET"]) for path, file in _FILES.items()]


def _sender(file: Path) -> Callable[[Request], Awaitable[Response]]:
    content, kind = file.read_bytes(), f"{_TYPES[file.suffix]}; charset=utf-8"

    async def send(request: Request) -> Response:
        return Response(content, headers={"content-type": kind, **_HEADERS})

    return send
