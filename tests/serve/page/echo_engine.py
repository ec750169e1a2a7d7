"""An OpenAI-compatible engine that says what it is told, as fast as it is told: what a model might say, at will."""

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class EchoEngine(ThreadingHTTPServer):
    """Has the model ``echo``. A question that begins with ``slowly:`` is echoed word by word, one with ``break:`` in part,
    one with ``think:`` after a thought."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._begin("application/json")
        self.wfile.write(json.dumps({"object": "list", "data": [{"id": "echo", "object": "model"}]}).encode())

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said: str = asked["messages"][-1]["content"]
        self._begin("text/event-stream")
        try:
            for event in _events(said):
                self.wfile.write(f"data: {event}\n\n".encode())
                self.wfile.flush()
        except OSError:
            return  # nobody listens any more

    def _begin(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""


def _events(said: str) -> Iterator[str]:
    manner, _, rest = said.partition(":")
    slow, broken = manner == "slowly", manner == "break"
    text = rest if manner in ("slowly", "break", "think") else said
    if manner == "think":
        yield _chunk({"reasoning_content": f"Somebody says {rest}"})
    pieces = text.split(" ") if slow else [text[at : at + 7] for at in range(0, len(text), 7)]
    for piece in pieces[: len(pieces) // 2] if broken else pieces:
        time.sleep(0.05 if slow else 0)
        yield _chunk({"content": f"{piece} " if slow else piece})
    if not broken:
        yield _chunk({}, "stop")
        yield "[DONE]"


def _chunk(delta: dict[str, str], end: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": end}
    return json.dumps({"id": "echo-1", "object": "chat.completion.chunk", "created": 0, "model": "echo", "choices": [choice]})
