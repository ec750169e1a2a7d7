"""What a running service leaves behind of its requests, and how `etymon audit` tells of it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from served import Served
from tiny_gguf import write_tiny_gguf

from postgres import PostgreSQL

POLICY = """
guard: {rules: [{id: weapons, terms: bomb, sides: input}]}
labels: {unlabelled_on_request: true}
audit: {texts: %s, days: 30}
"""
ASKED: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def audit(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "etymon", "audit", *arguments, "--workspace", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"})


def records(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    done = audit(folder, "--json", *arguments)
    assert done.returncode == 0, done
    return [json.loads(line) for line in done.stdout.splitlines()]


def served(folder: Path, model: Path, texts: str, *arguments: str) -> Served:
    (folder / "policy.yaml").write_text(POLICY % texts)
    return Served(folder, str(model), "--context", "256", "--policy", str(folder / "policy.yaml"), *arguments)


def test_every_request_leaves_a_record(small_model: Path, tmp_path: Path) -> None:
    service = served(tmp_path, small_model, "true")
    try:
        client = service.client()
        said = client.chat.completions.create(**ASKED).choices[0].message.content
        streamed = client.chat.completions.create(**ASKED, stream=True, extra_headers={"X-AIGC-Unlabelled": "1"})
        pieces = "".join(choice.delta.content or "" for piece in streamed for choice in piece.choices)
        client.chat.completions.create(**ASKED | {"messages": [{"role": "user", "content": "a b o m b"}]})
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(**ASKED | {"model": "other"})
        client.embeddings.create(model="tiny", input="the")
        assert service.get("/v1/models", host="elsewhere.example").status_code == 403
        log = {line["id"]: line for line in service.events("request")}
        metrics = service.get("/metrics").text
    finally:
        service.stop()
    assert 'etymon_audit_records_total{state="lost"} 0.0' in metrics
    found = records(tmp_path)
    assert len(found) == 6
    assert {each["id"] for each in found} >= set(log)
    for each in found:
        logged = log.get(each["id"], each)
        assert all(each[name] == logged[name] for name in each if name not in ("time", "ms", "question", "answer"))
    whole, stream, refused, unknown, vectors, door = found
    question = json.dumps([{"role": "user", "content": "Hello"}])
    assert (whole["question"], whole["answer"]) == (question, said)
    assert (stream["question"], stream["answer"], stream["stream"], stream["unlabelled"]) == (question, pieces, True, True)
    assert whole["digest"] == stream["digest"]
    assert len(whole["digest"]) == 64
    assert (refused["outcome"], refused["rule"], refused["side"]) == ("refused", "weapons", "input")
    assert refused["answer"] == "I cannot help with that."
    assert (unknown["status"], unknown["code"], unknown["model"], unknown["question"]) == (404, "model_not_found", None, None)
    assert (vectors["endpoint"], vectors["question"], vectors["answer"]) == ("embeddings", "the", None)
    assert (door["endpoint"], door["status"]) == ("door", 403)

    assert [each["id"] for each in records(tmp_path, "--rule", "weapons")] == [refused["id"]]
    assert len(records(tmp_path, "--since", "1h", "--outcome", "answered")) == 3
    (total, *_) = [each for each in records(tmp_path, "--by", "model") if each["model"] == "tiny"]
    assert (total["requests"], total["answered"], total["refused"]) == (4, 3, 1)
    shown = audit(tmp_path)
    assert "6 requests." in shown.stdout
    assert "content_filter" in shown.stdout
    assert "weapons" in shown.stdout
    assert "tiny" in audit(tmp_path, "--by", "day", "--model", "tiny").stdout + audit(tmp_path, "--by", "model").stdout
    pruned = audit(tmp_path, "--prune", "30", "--json")
    assert "0 records older than 30 days" in pruned.stderr
    assert audit(tmp_path / "other").returncode == 2
    assert audit(tmp_path, "--since", "then").returncode == 2


def test_no_text_is_kept_unless_the_policy_says_so(small_model: Path, tmp_path: Path) -> None:
    service = served(tmp_path, small_model, "false")
    service.client().chat.completions.create(**ASKED | {"messages": [{"role": "user", "content": "My secret"}]})
    service.stop()
    (kept,) = records(tmp_path)
    assert (kept["question"], kept["answer"], kept["outcome"]) == (None, None, "answered")
    assert all(b"My secret" not in path.read_bytes() for path in (tmp_path / "serve").iterdir())


def test_a_service_outlasts_its_database(small_model: Path, tmp_path: Path, postgresql_server: PostgreSQL) -> None:
    service = served(tmp_path, small_model, "false", "--audit", postgresql_server.url)
    try:
        client = service.client()
        client.chat.completions.create(**ASKED)
        postgresql_server.stop()
        for _ in range(3):
            assert client.chat.completions.create(**ASKED).choices
        postgresql_server.start()
        assert client.chat.completions.create(**ASKED).choices
    finally:
        service.stop()
    assert [line["state"] for line in service.events("audit")] == ["unreachable", "written again"]
    assert [each["outcome"] for each in records(tmp_path, "--audit", postgresql_server.url)] == ["answered"] * 5
    assert not (tmp_path / "serve" / "audit.sqlite").exists()


def test_a_service_does_not_start_without_its_database(
    small_model: Path, tmp_path: Path, start_refused: Callable[..., str]
) -> None:
    said = start_refused(tmp_path, str(small_model), "--audit", "postgresql+psycopg://x:secret@127.0.0.1:1/none")
    assert "audit database" in said
    assert "secret" not in said


@pytest.fixture
def start_refused() -> Callable[..., str]:
    """A function that starts a service which is to refuse; gives what it says."""

    def start(folder: Path, *arguments: str) -> str:
        command = [sys.executable, "-m", "etymon", "serve", *arguments, "--port", "0", "--workspace", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2, done
        return done.stderr

    return start
