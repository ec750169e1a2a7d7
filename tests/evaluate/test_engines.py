"""Engines through lm-eval's own classes: a server that speaks the completions protocol, over a real small model."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from etymon.errors import EtymonError
from etymon.evaluate.plan import Setting, plan_evaluation
from etymon.evaluate.stage import evaluate_stage
from etymon.foundation.model import Model
from etymon.recipe import Evaluate
from etymon.store import Artifact, Store

pytest.importorskip("tenacity", reason="needs the extra `engines`")


class Completions(BaseHTTPRequestHandler):
    """``/v1/completions`` with ``echo`` and ``logprobs``, and greedy generation; prompts are token ids."""

    network: torch.nn.Module
    tokenizer = None
    lock = threading.Lock()

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.lock, torch.inference_mode():
            choices = [self._choice(ids, asked) | {"index": n} for n, ids in enumerate(asked["prompt"])]
        body = json.dumps({"model": asked["model"], "choices": choices}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _choice(self, ids: list[int], asked: dict) -> dict:
        ids_1T = torch.tensor([ids])
        made = self.network.generate(
            ids_1T, attention_mask=torch.ones_like(ids_1T), max_new_tokens=asked["max_tokens"], do_sample=False
        )[0]
        text = self.tokenizer.decode(made[len(ids) :], skip_special_tokens=True)
        for stop in asked.get("stop") or []:
            text = text.split(stop)[0] if stop else text
        if not asked.get("echo"):
            return {"text": text}
        made = made[: len(ids) + 1]
        logprobs = self.network(made[None]).logits[0].log_softmax(-1)
        own = [None, *logprobs[:-1].gather(1, made[1:, None])[:, 0].tolist()]
        best = [None, *({"likeliest": value} for value in logprobs[:-1].max(-1).values.tolist())]
        return {"text": text, "logprobs": {"token_logprobs": own, "top_logprobs": best}}

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url(tiny_llama: Path) -> Iterator[str]:
    network = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    handler = type("Handler", (Completions,), {"network": network, "tokenizer": AutoTokenizer.from_pretrained(tiny_llama)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/completions"
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"question": f"What follows {n}?", "choices": [str(n + 1), "none"], "answer": n % 2} for n in range(6)]
    (tmp_path / "choices.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    rows = [{"question": f"What follows {n}?", "answer": n + 1} for n in range(2)]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return tmp_path


def evaluate(model: Model, task: str, setting: Setting, **wanted: object) -> Artifact:
    store = Store(setting.folder / "store")
    (plan,) = plan_evaluation(Evaluate(tasks=(task,), **wanted), setting)
    return store.obtain(evaluate_stage, plan.inputs(model), plan.meaning, plan.execution)[0]


@pytest.mark.parametrize("template", ["none", "own"])
@pytest.mark.parametrize("task", ["choices.jsonl", "texts.jsonl"])
def test_a_server_gives_the_scores_of_our_scorer(url: str, folder: Path, tiny_model: Model, task: str, template: str):
    served = evaluate(tiny_model, task, Setting(folder=folder, engine="openai", url=url, device="cpu"), template=template)
    own = evaluate(tiny_model, task, Setting(folder=folder, device="cpu"), template=template)
    assert served.facts["identity"] != own.facts["identity"]
    for metric, found in own.facts["metrics"].items():
        assert served.facts["metrics"][metric]["score"] == pytest.approx(found["score"], abs=1e-4)
    assert any("openai" in note for note in served.read_json("task.json")["notes"])


def test_a_server_that_is_not_there_is_named(folder: Path, tiny_model: Model):
    setting = Setting(folder=folder, engine="openai", url="http://127.0.0.1:9/v1/completions")
    with pytest.raises(EtymonError, match=r"openai at http://127\.0\.0\.1:9/v1/completions gave no answers"):
        evaluate(tiny_model, "choices.jsonl", setting)


def test_a_missing_engine_is_named_with_what_to_install(folder: Path, tiny_model: Model):
    try:
        import vllm  # noqa: F401
    except ImportError:
        with pytest.raises(EtymonError, match="needs packages") as caught:
            evaluate(tiny_model, "choices.jsonl", Setting(folder=folder, engine="vllm"))
        assert "lm-eval[vllm]" in caught.value.remedy
