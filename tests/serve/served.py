"""``etymon serve`` as a process of its own, as a user starts it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import openai
from tiny_gguf import BYTES, SPECIAL


class Served:
    """A running service. Its log is read as it comes."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "etymon", "serve", *arguments, "--port", "0", "--workspace", str(folder)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"}
        )
        self.log: list[dict[str, Any]] = []
        self._reading = threading.Thread(target=self._read_log, daemon=True)
        self._reading.start()
        self.said = ""
        assert self.process.stdout
        for line in self.process.stdout:
            self.said += line
            if line.startswith("Keys"):
                break
        found = re.search(r"http://[^/\s]+", self.said)
        assert found, (self.said, self.log, self.process.poll())
        self.address = found.group()

    def client(self, key: str = "none", **more: Any) -> openai.OpenAI:
        """The real client, which does not try again by itself."""
        return openai.OpenAI(base_url=f"{self.address}/v1", api_key=key, **{"max_retries": 0, "timeout": 60} | more)

    def post(self, path: str, body: Any, key: str | None = None, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **headers} | ({"Authorization": f"Bearer {key}"} if key else {})
        return httpx.post(f"{self.address}{path}", content=content, headers=sent, timeout=60)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(f"{self.address}{path}", headers=headers, timeout=30)

    def events(self, event: str) -> list[dict[str, Any]]:
        return [line for line in list(self.log) if line.get("event") == event]

    def engines(self) -> list[int]:
        """The processes that llama.cpp runs in."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(child) for child in children]

    def stop(self) -> int:
        """End it as an operator would; gives its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self._reading.join(10)
        return code

    def _read_log(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.log.append(json.loads(line) if line.startswith("{") else {"event": "plain", "line": line})


def saying(letter: str, question: str = "Hello", **more: Any) -> dict[str, Any]:
    """A request whose answer is one letter again and again."""
    bias = {str(len(SPECIAL) + BYTES.index(letter)): 100}
    return {
        "model": "tiny", "messages": [{"role": "user", "content": question}], "max_tokens": 12, "logit_bias": bias,
        "temperature": 0, **more,
    }  # fmt: skip


def logged(service: Served, **wanted: Any) -> None:
    """The log, which may come a moment after the answer, has a request with all of this."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if any(wanted.items() <= each.items() for each in service.events("request")):
            return
        time.sleep(0.02)
    raise AssertionError((wanted, service.events("request")[-3:]))
