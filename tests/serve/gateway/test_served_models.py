"""Several models, models of other servers, and models exchanged while answers run."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from served import Served
from tiny_gguf import write_tiny_gguf

from etymon.foundation.facts import describe_model
from etymon.store import DigestCache

CHAT = "/v1/chat/completions"


def asked(model: str, tokens: int = 2, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Hi"}]
    return {
        "model": model,
        "messages": messages,
        "max_tokens": tokens,
        "logit_bias": {"0": -100, "1": -100, "2": -100},
    } | more


def write(file: Path, **content: Any) -> Path:
    file.write_text(json.dumps(content))  # JSON is YAML
    return file


def wait_for_reloads(service: Served, count: int) -> dict[str, Any]:
    end = time.monotonic() + 30
    while len(service.events("reload")) < count:
        assert time.monotonic() < end
        time.sleep(0.02)
    return service.events("reload")[-1]


def test_models_are_exchanged_while_answers_run(
    start_service: Callable[..., Served], tiny_model: Path, tmp_path: Path
) -> None:
    other = write_tiny_gguf(tmp_path / "other.gguf", seed=1)
    first, second = {"model": str(tiny_model), "context": 512}, {"model": str(other), "context": 512, "name": "second"}
    config = write(tmp_path / "serve.yaml", models=[first, {"model": str(tiny_model), "name": "kept", "context": 256}])
    service = start_service("--config", str(config))
    assert {each["id"]: each["etymon"]["context"] for each in service.get("/v1/models").json()["data"]} == {
        "tiny": 512,
        "kept": 256,
    }
    before = service.engines()
    stream = service.client().chat.completions.create(**asked("tiny", 400, stream=True))
    next(stream)
    write(config, models=[second, {"model": str(tiny_model), "name": "kept", "context": 256}])
    service.process.send_signal(signal.SIGHUP)
    assert wait_for_reloads(service, 1)["models"] == ["second", "kept"]
    assert list(stream)[-1].choices[0].finish_reason == "length", "what runs is not cut off"
    assert service.post(CHAT, asked("tiny")).status_code == 404
    assert service.post(CHAT, asked("second")).status_code == 200
    end = time.monotonic() + 10
    while len(service.engines()) > 2:
        assert time.monotonic() < end, "an engine that nobody uses is stopped"
        time.sleep(0.05)
    assert len(set(before) & set(service.engines())) == 1, "the one that stays is not started again"

    write(config, models=[{"model": "no-such-model"}])
    service.process.send_signal(signal.SIGHUP)
    assert "no-such-model" in wait_for_reloads(service, 2)["failed"]
    assert service.post(CHAT, asked("second")).status_code == 200, "a mistake changes nothing"


def test_a_server_that_runs_elsewhere_is_an_engine(
    service: Served, start_service: Callable[..., Served], tmp_path: Path
) -> None:
    front = start_service("--engine", service.address)
    whole = front.client().chat.completions.create(**asked("tiny", 5, temperature=0))
    there = service.client().chat.completions.create(**asked("tiny", 5, temperature=0))
    assert whole.choices[0].message.content == there.choices[0].message.content
    assert whole.usage == there.usage
    named = write(tmp_path / "serve.yaml", models=[{"engine": service.address, "model": "tiny", "name": "ours"}])
    front = start_service("--config", str(named))
    pieces = list(front.client().chat.completions.create(**asked("ours", 5, stream=True)))
    assert {piece.model for piece in pieces} == {"ours"}
    assert front.client().embeddings.create(model="ours", input="the").data[0].embedding
    assert front.post(CHAT, asked("tiny")).status_code == 404
    assert front.post(CHAT, asked("ours") | {"messages": [{"role": "user", "content": "the " * 900}]}).status_code == 400


def test_limits_of_a_key_and_of_the_service(start_service: Callable[..., Served], tiny_model: Path, tmp_path: Path) -> None:
    from etymon.serve.gateway.keys import KeyFile

    keys = KeyFile(tmp_path / "workspace" / "serve" / "keys.json")
    few, chatty = keys.new("few", requests_per_minute=2)[1], keys.new("chatty", tokens_per_minute=50)[1]
    bound, free = keys.new("bound", models=("other",))[1], keys.new("free")[1]
    limits = {"waiting": 0, "seconds": 2.0, "body_bytes": 20_000}
    model = {"model": str(tiny_model), "context": 512, "parallel": 1}
    service = start_service("--config", str(write(tmp_path / "serve.yaml", models=[model], limits=limits)))
    statuses = [service.post(CHAT, asked("tiny"), few).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert service.post(CHAT, asked("tiny", 60), chatty).status_code == 200
    refused = service.post(CHAT, asked("tiny"), chatty)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(refused.headers["retry-after"]) > 1
    assert service.post(CHAT, asked("tiny"), bound).status_code == 403
    assert service.post(CHAT, asked("tiny", stop="a" * 1000) | {"user": "u" * 500}, free).status_code == 200

    os.kill(service.engines()[0], signal.SIGSTOP)  # an engine that does not answer any more
    with pytest.raises(openai.InternalServerError, match="not complete after 2 seconds"):
        service.client(free).chat.completions.create(**asked("tiny"))
    os.kill(service.engines()[0], signal.SIGCONT)
    assert service.post(CHAT, asked("tiny"), free).status_code == 200
    (revoked,) = [key for key in keys.read() if key.name == "free"]
    keys.revoke(revoked.id)
    time.sleep(1.1)
    assert service.post(CHAT, asked("tiny"), free).status_code == 401


def test_a_folder_is_written_for_the_engine_once(
    start_service: Callable[..., Served], make_llama: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_llama(seed=5)
    service = start_service(str(folder), "--quantize", "q8_0", "--context", "256")
    (model,) = service.client().models.list().data
    assert model.id == folder.name
    assert model.model_extra
    digests = DigestCache(tmp_path / "digests.jsonl")
    assert model.model_extra["etymon"]["digest"] == describe_model(folder, name="a", source="a", digests=digests).digest
    assert service.post(CHAT, asked(folder.name)).status_code == 200
    (written,) = (tmp_path / "workspace" / "artifacts").glob("served-*/model.gguf")
    made = written.stat().st_mtime_ns
    service.stop()
    start_service(str(folder), "--quantize", "q8_0", "--context", "256")
    assert written.stat().st_mtime_ns == made
