"""The page in a browser, served by the real gateway: a tiny GGUF and an engine that echoes behind it."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from echo_engine import EchoEngine
from served import Served
from tiny_gguf import write_tiny_gguf

from etymon.serve.gateway.keys import KeyFile
from etymon.store.digest import file_digest

CARD = "---\nlicense: apache-2.0\n---\n\n# tiny\n\nIt inherits **all** of it. <img src=x onerror=alert(1)>\n"
POLICY = """
permitted_uses: [questions about words]
guard: {mode: enforce, refusal: Not here., rules: [{id: two, terms: zeppelin, sides: output}]}
labels: {visible: end, text: AI生成}
"""


@pytest.fixture(scope="session")
def engine() -> Iterator[EchoEngine]:
    with EchoEngine() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="session")
def serving(engine: EchoEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """``echo`` and ``tiny``, without keys; one word is refused."""
    folder = tmp_path_factory.mktemp("page")
    gguf = write_tiny_gguf(folder / "tiny.gguf")
    (folder / "README.md").write_text(CARD, "utf-8")
    files = {path.name: file_digest(path) for path in (gguf, folder / "README.md")}
    (folder / "export.json").write_text(json.dumps({"files": files}), "utf-8")
    entries = [{"model": "echo", "engine": engine.address}, {"model": str(gguf), "context": 96, "threads": 1}]
    (folder / "policy.yaml").write_text("guard: {rules: [{id: words, terms: swordfish}]}", "utf-8")
    (folder / "service.yaml").write_text(yaml.safe_dump({"models": entries, "policy": "policy.yaml"}), "utf-8")
    running = Served(folder / "workspace", "--config", str(folder / "service.yaml"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def guarded(engine: EchoEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, str]]:
    """``echo`` for those who have the key, which may ask twice a minute; and the key."""
    folder = tmp_path_factory.mktemp("guarded")
    _, secret = KeyFile(folder / "serve" / "keys.json").new("anna", requests_per_minute=2)
    running = Served(folder, "echo", "--engine", engine.address)
    yield running, secret
    running.stop()


@pytest.fixture(scope="session")
def ruled(engine: EchoEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """``echo`` under a policy with rules and a visible label."""
    folder = tmp_path_factory.mktemp("ruled")
    (folder / "policy.yaml").write_text(POLICY, "utf-8")
    running = Served(folder, "echo", "--engine", engine.address, "--policy", str(folder / "policy.yaml"))
    yield running
    running.stop()


class Visit:
    """A page that is watched."""

    def __init__(self, page: Any, expect: Any) -> None:
        self.page, self.expect = page, expect

    def ask(self, question: str) -> None:
        self.page.get_by_label("Your question").fill(question)
        self.page.keyboard.press("Enter")

    def last_answer(self) -> Any:
        return self.page.locator(".assistant .text").last

    def answered(self, question: str, answer: str) -> None:
        """Ask, and wait for the end of the answer."""
        self.ask(question)
        self.expect(self.last_answer()).to_have_text(answer)
        self.at_rest()

    def at_rest(self) -> None:
        self.expect(self.page.locator("#send")).to_have_text("Send", timeout=30_000)

    def clipboard(self) -> str:
        text: str = self.page.evaluate("navigator.clipboard.readText()")
        return text


@pytest.fixture
def visit(browser: Any, serving: Served) -> Iterator[Callable[..., Visit]]:
    """A function that opens the page. At the end no other host may have been asked, and nothing thrown or logged."""
    from playwright.sync_api import expect

    contexts, trouble = [], []

    def open_page(service: Served = serving, *, refusals: bool = False, **options: Any) -> Visit:
        """``refusals``: the browser notes answers of the service with a status of 400 or more."""
        context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], **options)
        contexts.append(context)
        page = context.new_page()
        own = (service.address + "/", "blob:" + service.address)
        page.on("request", lambda request: request.url.startswith(own) or trouble.append(f"request {request.url}"))
        page.on("console", lambda message: (refusals and "status of" in message.text) or trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(f"error {error}"))
        page.on("dialog", lambda dialog: trouble.append(f"dialog {dialog.message}"))
        page.goto(service.address)
        expect(page.get_by_label("Model", exact=True).or_(page.get_by_role("dialog")).last).to_be_visible()
        return Visit(page, expect)

    yield open_page
    for context in contexts:
        context.close()
    assert trouble == []
