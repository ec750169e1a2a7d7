"""What goes wrong while the service runs: an engine that ends, a client that leaves, an operator who stops it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from served import Served
from tiny_gguf import SPECIAL

LONG: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 400}
LONG["logit_bias"] = {str(token): -100 for token in range(len(SPECIAL))}  # with which the answer would end


def wait_for(what: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def engine_is_idle(service: Served) -> bool:
    text = service.get("/metrics").text
    return 'etymon_running{model="tiny"} 0.0' in text


def test_an_engine_killed_in_mid_stream_is_told_to_clients_and_started_again(
    start_service: Callable[..., Served], tiny_model: Path
) -> None:
    service = start_service(str(tiny_model), "--context", "512")
    (engine,) = service.engines()
    stream = service.client().chat.completions.create(**LONG, stream=True)
    next(stream)
    os.kill(engine, signal.SIGKILL)
    with pytest.raises(openai.APIError, match="engine ended"):
        list(stream)
    with pytest.raises(openai.InternalServerError) as refused:
        service.client().chat.completions.create(**LONG)
    assert refused.value.status_code == 503
    assert refused.value.response.headers["retry-after"]
    wait_for(lambda: service.get("/ready").status_code == 200)
    assert service.client().chat.completions.create(**LONG | {"max_tokens": 2}).choices
    assert 'etymon_engine_restarts{model="tiny"} 1.0' in service.get("/metrics").text
    assert [line["outcome"] for line in service.events("request")] == ["failed", "failed", "answered"]


def test_a_client_that_leaves_ends_the_engines_work(service: Served) -> None:
    with httpx.stream("POST", f"{service.address}/v1/chat/completions", json=LONG | {"stream": True}) as answer:
        next(answer.iter_bytes())
    wait_for(lambda: engine_is_idle(service))
    wait_for(lambda: [e for e in service.events("request") if e["outcome"] == "left"])
    left = [e for e in service.events("request") if e["outcome"] == "left"][-1]
    assert left["completion_tokens"] < 390
    with pytest.raises(httpx.ReadTimeout):  # also one that waits for the whole answer
        httpx.post(f"{service.address}/v1/chat/completions", json=LONG, timeout=0.05)
    wait_for(lambda: len([e for e in service.events("request") if e["outcome"] == "left"]) > 1)
    wait_for(lambda: engine_is_idle(service))


def test_answers_that_run_are_completed_at_the_end(start_service: Callable[..., Served], tiny_model: Path) -> None:
    service = start_service(str(tiny_model), "--context", "512")
    stream = service.client().chat.completions.create(**LONG, stream=True)
    next(stream)
    service.process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    with pytest.raises(httpx.ConnectError):
        service.get("/health")
    assert list(stream)[-1].choices[0].finish_reason == "length"
    assert service.process.wait(30) == 0
    wait_for(lambda: service.events("stop"))
    assert service.events("request")[-1]["outcome"] == "answered"
    assert service.events("stop")


def test_answers_that_take_too_long_at_the_end_are_told(start_service: Callable[..., Served], tiny_model: Path) -> None:
    service = start_service(str(tiny_model), "--context", "512", "--drain", "1")
    (engine,) = service.engines()
    stream = service.client().chat.completions.create(**LONG, stream=True)
    next(stream)
    os.kill(engine, signal.SIGSTOP)
    service.process.send_signal(signal.SIGTERM)
    with pytest.raises(openai.APIError, match="being stopped"):
        list(stream)
    assert service.stop() == 0
    assert not Path(f"/proc/{engine}").exists()


def test_the_engine_ends_with_a_service_that_was_killed(start_service: Callable[..., Served], tiny_model: Path) -> None:
    service = start_service(str(tiny_model), "--context", "512")
    (engine,) = service.engines()
    service.process.kill()
    wait_for(lambda: not Path(f"/proc/{engine}").exists() or "Z" in Path(f"/proc/{engine}/stat").read_text().split()[2])


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "etymon", "serve", *arguments, "--workspace", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_what_cannot_be_served_is_said_with_code_2(tmp_path: Path, tiny_model: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        in_use = run(tmp_path, str(tiny_model), "--port", str(taken.getsockname()[1]))
    unsupported = tmp_path / "other.gguf"
    unsupported.write_bytes(tiny_model.read_bytes().replace(b"llama", b"klama"))
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(tiny_model.read_bytes()[:5000])
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(json.dumps({"models": [{"model": str(tiny_model), "paralel": 3}]}))
    policy = tmp_path / "policy.yaml"
    policy.write_text("guart: {}")
    for ended, words in (
        (in_use, "in use"),
        (run(tmp_path, str(tiny_model), "--port", "0", "--quantize", "q8_0"), "served as it is"),
        (run(tmp_path, str(tiny_model), "--port", "0", "--policy", str(policy)), "guart"),
        (run(tmp_path, "no-such-model", "--port", "0"), "no-such-model"),
        (run(tmp_path, str(unsupported), "--port", "0"), "unknown model architecture: 'klama'"),
        (run(tmp_path, str(broken), "--port", "0"), "ends within its header"),
        (run(tmp_path, str(tiny_model), "--port", "0", "--context", "99999"), "context of 512"),
        (run(tmp_path, str(tiny_model), str(tiny_model), "--port", "0"), "Two models"),
        (run(tmp_path, str(tiny_model), "--host", "0.0.0.0", "--port", "0"), "Without keys"),
        (run(tmp_path, "--config", str(wrong), "--port", "0"), "paralel"),
        (run(tmp_path), "Say what to serve"),
        (run(tmp_path, "--engine", "http://127.0.0.1:9", "--port", "0"), "No engine"),
    ):
        assert ended.returncode == 2, ended
        assert words in ended.stderr, ended.stderr
        assert "Traceback" not in ended.stderr
        assert "Unclosed" not in ended.stderr
        assert '"state": "ready"' not in ended.stderr, "no engine was started"
