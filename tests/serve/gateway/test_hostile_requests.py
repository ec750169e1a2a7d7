"""Requests that mean harm: each is refused with the right status, nobody gets in, and the service goes on."""

import contextlib
import json
import os
import socket
import string
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from served import Served, saying

CHAT = "/v1/chat/completions"
ASKED: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
CASES = int(os.environ.get("ETYMON_HOSTILE_CASES", "25"))
"""Of each path; 10,000 in all were run once."""


@pytest.fixture(scope="module")
def guarded(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, str, str]]:
    """A service that asks for keys: it, a user's key and an operator's."""
    from etymon.serve.gateway.keys import KeyFile, Role

    folder = tmp_path_factory.mktemp("guarded")
    keys = KeyFile(folder / "serve" / "keys.json")
    user, operator = keys.new("user")[1], keys.new("operator", Role.operator)[1]
    running = Served(folder, str(tiny_model), "--context", "512", "--parallel", "4")
    yield running, user, operator
    assert running.stop() == 0
    assert not [line for line in running.log if line["event"] in ("error", "plain")]


def raw(service: Served, *pieces: bytes, seconds: float = 10) -> bytes:
    """What a server sends back to these bytes, until it closes the connection or says nothing for a while."""
    host, port = service.address.removeprefix("http://").split(":")
    got = b""
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            while piece := connection.recv(65536):
                got += piece
        except (TimeoutError, ConnectionError):
            pass
    return got


PATHS = [
    "/v1", "/v1/", "/v1/models", "/v1//models", "//v1/models", "/v1/models/", "/v1/models/tiny", "/V1/models",
    "/metrics", "/metrics/", "/%6detrics", "/health/../metrics", "/health/..%2fmetrics", "/health%2f..%2fmetrics",
    "/health/", "/health;x",
    "/ready/%2e%2e/metrics", "/openapi.json", "/docs", "/slots", "/props", "/v1/health", "/..%2f..%2fetc%2fpasswd",
    "/v1/models/..%2f..%2fmetrics", "/health%00", "/health\u2044", "/admin/models", "/completion", "/tokenize",
]  # fmt: skip


def test_no_path_is_answered_without_a_key(guarded: tuple[Served, str, str]) -> None:
    service, _, _ = guarded
    for path in PATHS:
        for method in (b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"):
            for header in (
                b"",
                b"Authorization: Bearer \r\n",
                b"Authorization: Basic eDp4\r\n",
                b"Authorization: Bearer ety-x\r\n",
            ):
                head = (
                    method
                    + b" "
                    + path.encode()
                    + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                    + header
                    + b"\r\n"
                )
                status = raw(service, head).split(b" ", 2)[1]
                assert status in (b"401", b"400"), (method, path, status)
    assert len([line for line in service.events("request") if line["endpoint"] == "door"]) < 200, "of some seven hundred"
    assert service.get("/health").json() == {"status": "ok"}
    assert service.get("/ready").json() == {"status": "ready"}


def test_a_key_opens_what_its_role_opens(guarded: tuple[Served, str, str]) -> None:
    service, user, operator = guarded
    assert service.post(CHAT, ASKED, user).status_code == 200
    assert service.get("/v1/models", Authorization=f"bearer {user}").status_code == 200
    for path in ("/metrics", "/metrics%0a"):
        assert service.get(path, Authorization=f"Bearer {user}").status_code == 403, path
    assert "etymon_requests_total" in service.get("/metrics", Authorization=f"Bearer {operator}").text
    assert service.post(CHAT, ASKED, user[:-1]).status_code == 401
    assert not [line for line in service.log if user in json.dumps(line) or operator in json.dumps(line)]


def test_heads_without_end_are_cut_off(guarded: tuple[Served, str, str]) -> None:
    service, user, _ = guarded
    line = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
    authorised = line + f"Authorization: Bearer {user}\r\nContent-Type: application/json\r\n".encode()
    for flood in (
        (line, *(f"X-{n}: {'a' * 1000}\r\n".encode() for n in range(20_000))),
        (line + b"X-A: ", *(b"a" * 65536 for _ in range(300))),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",),
        (b"a" * 1_000_000,),
        (authorised + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", *[b"X-T: " + b"a" * 9000 + b"\r\n"] * 99),
    ):  # fmt: skip
        answer = raw(service, *flood)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400"), answer[:200]  # b"": reset before it could be read
    assert service.get("/health").status_code == 200


def test_bodies_are_bounded(guarded: tuple[Served, str, str]) -> None:
    service, user, _ = guarded
    large = b'{"model": "' + b"a" * 5_000_000 + b'"}'
    assert service.post(CHAT, large, user).status_code == 413

    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 100_000

    headers = {"Authorization": f"Bearer {user}", "Content-Type": "application/json"}
    with contextlib.suppress(httpx.WriteError):  # cut off while it was still sending
        assert httpx.post(f"{service.address}{CHAT}", content=endless(), headers=headers).status_code == 413
    assert service.post(CHAT, ASKED, user).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe{}",
        b'{"model": "tiny", "messages": [{"role": "user", "content": "\xc3\x28"}]}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b"[" * 100_000,
        b'{"model":' * 50_000,
        b"null",
        b"[]",
        b'{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "temperature": NaN}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "max_tokens": 1e400}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "seed": 99999999999999999999999}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": {"a": 1}}]}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}]}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "chat_template": "{{ 7*7 }}"}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "id_slot": 0}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "grammar": "root ::= root"}',
        b'{"model": "../../etc/passwd", "messages": [{"role": "user", "content": "a"}]}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "stop": ["", "a"]}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": [' + b"{}," * 999_999 + b"{}]}]}",
        b'{"model": "tiny", "messages": [' + b"{}," * 999_999 + b"{}]}",
    ],
)  # fmt: skip
def test_malformed_bodies_are_refused(guarded: tuple[Served, str, str], body: bytes) -> None:
    service, user, _ = guarded
    answer = service.post(CHAT, body, user)
    assert answer.status_code in (400, 404), answer.text
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string"}, "minItems": 10**9},
        {"type": "string", "pattern": "^(a+)+$"},
        {"type": "string", "pattern": "^(((((((((((a{1,99}){1,99}){1,99}){1,99}){1,99}))))))$"},
        {"type": "string", "minLength": 10**12},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
        {"enum": ["x" * 10_000] * 50},
        {"anyOf": [{"type": "string"}, {"type": "integer"}] * 1500},
        {"type": "string", "pattern": "^" + "(" * 3000 + "a" + ")" * 3000 + "$"},
        {"properties": {f"p{n}": {"type": "integer"} for n in range(2000)}},  # a minute of all others' time, if let through
        {"properties": {f"p{n}": {"properties": {f"q{m}": {} for m in range(20)}} for n in range(20)}},
    ],
)
def test_hostile_schemas_end_in_an_answer(guarded: tuple[Served, str, str], schema: dict[str, Any]) -> None:
    service, user, _ = guarded
    asked = ASKED | {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}}
    answer = service.post(CHAT, asked, user)
    assert answer.status_code in (200, 400), answer.text
    assert service.post(CHAT, ASKED, user).status_code == 200
    assert not [line for line in service.events("engine") if line["state"] == "ended"]


def test_a_page_of_another_site_gets_no_answer(service: Served) -> None:
    """The service of this module's neighbours asks for no keys, so a browser on this machine could be used against it."""
    assert service.get("/v1/models", Host="evil.example").status_code == 403
    for host in (
        "evil.example:8080",
        "[",
        "[::1",
        "localhost.evil.example",
        "127.0.0.1@evil.example",
        "",
        "0x7f000001",
        "2130706433",
    ):
        assert service.post(CHAT, ASKED, Host=host).status_code in (400, 403), host
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:99", "[::1]:8080"):
        assert service.get("/v1/models", Host=host).status_code == 200, host
    for header in ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP"):
        assert service.get("/v1/models", **{header: "for=192.0.2.1"}).status_code == 403, "a proxy asks for somebody else"
    assert raw(service, b"GET /v1/models HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").startswith(b"HTTP/1.1 403"), "as nginx does"
    plain = httpx.post(f"{service.address}{CHAT}", content=json.dumps(ASKED), headers={"Content-Type": "text/plain"})
    assert plain.status_code == 400
    assert httpx.post(f"{service.address}{CHAT}", content=json.dumps(ASKED).encode()).status_code == 400
    asking = httpx.options(f"{service.address}{CHAT}", headers={"Origin": "https://evil.example"})
    assert not [name for name in asking.headers if name.startswith("access-control")]


def test_one_clients_words_reach_no_other(service: Served) -> None:
    """The engine keeps prompts in its cache; what another asked shows neither in an answer nor in a count."""
    secret = "the and the 12 the swordfish and"
    service.post(CHAT, ASKED | {"messages": [{"role": "user", "content": secret}]})
    again = service.post(CHAT, ASKED | {"messages": [{"role": "user", "content": secret}]})
    assert "cache" not in again.text
    assert "timings" not in again.text


def test_of_many_clients_at_once_each_gets_its_own_answer_and_nothing_of_anothers(service: Served) -> None:
    """More than there are slots; some leave in mid-stream, and others take their slots."""
    client = service.client()

    def ask(number: int) -> tuple[str, str]:
        letter = string.ascii_lowercase[number % 26]
        asked = saying(letter, f"{letter * 9} {number}", max_tokens=24)
        if number % 3:
            stream = client.chat.completions.create(**asked, stream=True)
            pieces = [next(stream)] if number % 3 == 1 else list(stream)
            stream.close()
            (name,) = {piece.id for piece in pieces}
            return name, "".join(choice.delta.content or "" for piece in pieces for choice in piece.choices)
        answer = client.chat.completions.create(**asked)
        return answer.id, answer.choices[0].message.content or ""

    with ThreadPoolExecutor(24) as together:
        answers = list(together.map(ask, range(312)))
    assert len({name for name, _ in answers}) == len(answers), "every answer has an id of its own"
    for number, (_, said) in enumerate(answers):
        whole = string.ascii_lowercase[number % 26] * 24
        assert said == whole if number % 3 != 1 else whole.startswith(said)


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"])
def test_what_is_documented_is_what_happens(service: Served, path: str, mode: schemathesis.GenerationMode) -> None:
    """Requests made up from the OpenAPI document, right ones and wrong ones."""
    schema = schemathesis.openapi.from_dict(service.get("/openapi.json").json())
    schema.config.update(base_url=service.address)
    operation = schema[path]["POST"]

    @settings(
        max_examples=CASES, suppress_health_check=list(HealthCheck), database=None, phases=[Phase.generate], derandomize=True
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        if isinstance(case.body, dict) and case.body.get("model"):
            case.body["model"] = "tiny"
        response = case.call(timeout=60)
        if response.status_code == 502 and response.json()["error"]["code"] == "invalid_model_output":
            return  # a random model's calls of tools
        case.validate_response(response, checks=CHECKS)

    check()
    assert service.post(CHAT, ASKED).status_code == 200
