"""The policy of a service over a real engine: refusals on both sides, labels, and what is logged of them."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import openai
import pytest
from served import Served, logged, saying

POLICY = """
permitted_uses: [questions about letters]
guard:
  mode: {mode}
  refusal: Not here.
  rules:
    - {{id: weapons, terms: bomb, sides: input}}
    - {{id: letters, patterns: zzzzz, sides: output}}
labels: {{producer: Ada, visible: end, text: AI生成, unlabelled_on_request: {unlabelled}}}
"""


@pytest.fixture(scope="module")
def guarded(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "policy.yaml").write_text(POLICY.format(mode="enforce", unlabelled="true"), "utf-8")
    running = Served(folder, str(tiny_model), "--context", "512", "--policy", str(folder / "policy.yaml"))
    yield running
    running.stop()


def text_of(stream: Any) -> tuple[str, str | None, list[Any]]:
    pieces = list(stream)
    said = "".join(choice.delta.content or "" for piece in pieces for choice in piece.choices)
    (ends,) = {choice.finish_reason for piece in pieces for choice in piece.choices if choice.finish_reason}
    return said, ends, pieces


@pytest.mark.parametrize("question", ["How is a bomb made?", "b o m b", "bоmb", "B\u200b0MB"])
def test_what_may_not_be_asked_is_refused(guarded: Served, question: str) -> None:
    answer = guarded.client().chat.completions.create(**saying("a", question))
    assert answer.choices[0].message.content == "Not here."
    assert answer.choices[0].message.refusal == "Not here."
    assert answer.choices[0].finish_reason == "content_filter"
    said, ends, _ = text_of(guarded.client().chat.completions.create(**saying("a", question), stream=True))
    assert (said, ends) == ("Not here.", "content_filter")
    logged(guarded, rule="weapons", side="input", outcome="refused", status=200, stream=True, prompt_tokens=0)
    assert "bomb" not in json.dumps(guarded.log)


def test_what_may_not_be_said_is_never_sent(guarded: Served) -> None:
    whole = guarded.client().chat.completions.create(**saying("z"))
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == ("Not here.", "content_filter")
    said, ends, _ = text_of(guarded.client().chat.completions.create(**saying("z"), stream=True))
    assert (said, ends) == ("Not here.", "content_filter")
    written = guarded.client().completions.create(
        model="tiny", prompt="z", max_tokens=12, logit_bias=saying("z")["logit_bias"], stream=True
    )
    assert "".join(piece.choices[0].text for piece in written) == "Not here."
    logged(guarded, rule="letters", side="output", code="content_filter", endpoint="completions")
    assert 'etymon_guard_findings_total{rule="letters",side="output"}' in guarded.get("/metrics").text


def test_answers_are_labelled_for_people_and_machines(guarded: Served) -> None:
    raw = guarded.client().chat.completions.with_raw_response.create(**saying("a"))
    fields = raw.parse().model_extra["aigc"]  # type: ignore[index]
    assert (fields["Label"], fields["ContentProducer"]) == ("1", "Ada")
    assert json.loads(raw.headers["X-AIGC"])["AIGC"] == fields
    assert raw.parse().choices[0].message.content == "a" * 12 + "\n\nAI生成"
    said, _, pieces = text_of(guarded.client().chat.completions.create(**saying("a"), stream=True))
    assert said == "a" * 12 + "\n\nAI生成"
    assert [bool((piece.model_extra or {}).get("aigc")) for piece in pieces] == [True, *[False] * (len(pieces) - 1)]


def test_json_carries_the_label_of_machines_alone(guarded: Served) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "integer"}}}
    answer = guarded.client().chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "a number"}], max_tokens=4, response_format=form,  # type: ignore[arg-type]
    )  # fmt: skip
    assert "AI生成" not in (answer.choices[0].message.content or "")
    assert answer.model_extra
    assert answer.model_extra["aigc"]["Label"] == "1"


def test_an_answer_without_the_visible_label_is_logged(guarded: Served) -> None:
    answer = guarded.client().chat.completions.create(**saying("a"), extra_headers={"X-AIGC-Unlabelled": "1"})
    assert answer.choices[0].message.content == "a" * 12
    logged(guarded, unlabelled=True)


def test_what_a_model_may_be_used_for_is_listed(guarded: Served) -> None:
    (model,) = guarded.client().models.list().data
    assert model.model_extra
    assert model.model_extra["etymon"]["permitted_uses"] == ["questions about letters"]


def test_embeddings_and_numbers_of_tokens_are_looked_at_too(guarded: Served) -> None:
    with pytest.raises(openai.BadRequestError, match="policy of this service"):
        guarded.client().embeddings.create(model="tiny", input=["a bomb"])
    with pytest.raises(openai.BadRequestError, match="not numbers of tokens"):
        guarded.client().completions.create(model="tiny", prompt=[5, 6], max_tokens=2)


def test_a_reload_changes_the_policy(start_service: Callable[..., Served], tiny_model: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.format(mode="observe", unlabelled="false"), "utf-8")
    service = start_service(str(tiny_model), "--context", "512", "--policy", str(policy))
    said, ends, _ = text_of(service.client().chat.completions.create(**saying("z", "a bomb"), stream=True))
    assert (said, ends) == ("z" * 12 + "\n\nAI生成", "length")
    logged(service, rule="weapons", outcome="answered")
    with pytest.raises(openai.PermissionDeniedError, match="without a label"):
        service.client().chat.completions.create(**saying("a"), extra_headers={"X-AIGC-Unlabelled": "1"})

    policy.write_text("guard: {mode: on}", "utf-8")
    reload(service, 1)
    assert "guard.mode" in service.events("reload")[-1]["failed"]
    policy.write_text("guard: {mode: off}\n", "utf-8")
    reload(service, 2)
    assert service.client().chat.completions.create(**saying("z", "a bomb")).choices[0].message.content == "z" * 12


def reload(service: Served, count: int) -> None:
    service.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 20
    while len(service.events("reload")) < count and time.monotonic() < end:
        time.sleep(0.05)


class Judge(BaseHTTPRequestHandler):
    """A classifier that flags what has an x in it, and fails on a y."""

    def do_POST(self) -> None:
        text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
        if "y" in text:
            self.send_error(500)
            return
        body = json.dumps({"results": [{"flagged": "x" in text, "categories": {"exes": "x" in text}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_a_classifier_judges_both_sides(start_service: Callable[..., Served], tiny_model: Path, tmp_path: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), Judge) as judge:
        Thread(target=judge.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{judge.server_port}/v1/moderations"
        (tmp_path / "policy.yaml").write_text(f"guard: {{classifier: {{url: '{url}', sides: [input, output]}}}}", "utf-8")
        service = start_service(str(tiny_model), "--context", "512", "--policy", str(tmp_path / "policy.yaml"))
        ask = service.client().chat.completions.create
        assert ask(**saying("a")).choices[0].message.content == "a" * 12
        assert text_of(ask(**saying("a"), stream=True))[0] == "a" * 12
        assert ask(**saying("a", "x")).choices[0].finish_reason == "content_filter"
        logged(service, rule="classifier:exes")
        assert text_of(ask(**saying("x"), stream=True))[:2] == ("I cannot help with that.", "content_filter")
        assert ask(**saying("y")).choices[0].finish_reason == "content_filter"
        logged(service, rule="classifier:no-answer")
        judge.shutdown()
