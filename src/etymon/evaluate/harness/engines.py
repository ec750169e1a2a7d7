"""Engines at scale, through lm-eval's own classes: vLLM, and any server that speaks OpenAI's completions protocol.

The questions, their form and the verdicts are the same as with our scorer; the engine is part of a score's identity, since
its kernels, precision and handling of long contexts are its own.
"""

import math
import time
from typing import TYPE_CHECKING, Any

from lm_eval.api.model import LM
from lm_eval.api.registry import get_model

from etymon.errors import EtymonError
from etymon.evaluate.records import Usage
from etymon.evaluate.scorer import Score
from etymon.foundation.model import Model
from etymon.foundation.network import load_tokenizer

if TYPE_CHECKING:
    from etymon.evaluate.examinee import Progress

_CONCURRENT = 8
"""Requests that a server is given at once."""


def open_engine(
    model: Model, engine: str, dtype: str, url: str | None, served_as: str | None, progress: "Progress"
) -> "EngineLM":
    """An engine that answers for a model. ``url`` and ``served_as`` are for the engine ``openai``.

    Raises EtymonError where the engine's package is missing or it does not start.
    """
    tokenizer = load_tokenizer(model)
    if engine == "vllm":
        settings: dict[str, Any] = {"pretrained": str(model.folder), "dtype": dtype}
    else:
        settings = {
            "model": served_as or model.name,
            "base_url": url,
            "tokenizer": str(model.folder),
            "tokenizer_backend": "huggingface",
            "add_bos_token": bool(tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]),
            "max_length": model.facts.context_length,
            "num_concurrent": _CONCURRENT,
        }
    try:
        answers = get_model("vllm" if engine == "vllm" else "local-completions")(**settings)
    except ImportError as error:
        extra = "vllm" if engine == "vllm" else "api"
        raise EtymonError(
            f"The engine {engine} needs packages that are not there: {error}.", f"pip install 'lm-eval[{extra}]'"
        ) from None
    return EngineLM(answers, f"{engine} at {url}" if url else engine, model, progress)


class EngineLM(LM):  # type: ignore[misc]
    """One of lm-eval's models that keeps what each request got, as our own model side does."""

    def __init__(self, engine: Any, name: str, model: Model, progress: "Progress") -> None:
        super().__init__()
        self.scores: dict[tuple[str, int, int], Score] = {}
        self.usages: list[Usage] = []
        self._engine, self._name, self._progress = engine, name, progress
        self._context = model.facts.context_length

    @property
    def tokenizer_name(self) -> str:
        return str(self._engine.tokenizer_name)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return str(self._engine.apply_chat_template(chat_history, add_generation_prompt))

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        lengths = [tuple(map(len, self._engine._encode_pair(*each.args))) for each in requests]
        answers, seconds = self._ask("loglikelihood", requests, "scoring answers")
        for request, (logprob, is_greedy), (_, tokens) in zip(requests, answers, lengths, strict=True):
            self._keep(request, Score(float(logprob), bool(is_greedy), tokens, seconds / len(requests)))
        self._count([sum(each) for each in lengths], seconds)
        return [(float(logprob), bool(is_greedy)) for logprob, is_greedy in answers]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = True) -> list[float]:
        lengths = [len(self._engine.tok_encode(each.args[0])) for each in requests]
        answers, seconds = self._ask("loglikelihood_rolling", requests, "scoring texts")
        for request, logprob, tokens in zip(requests, answers, lengths, strict=True):
            self._keep(request, Score(float(logprob), False, tokens, seconds / len(requests)))
        self._count(lengths, seconds)
        return [float(logprob) for logprob in answers]

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:
        answers, seconds = self._ask("generate_until", requests, "generating answers")
        lengths = [len(self._engine.tok_encode(each.args[0])) for each in requests]
        for request, text in zip(requests, answers, strict=True):
            self._keep(request, Score(math.nan, False, len(self._engine.tok_encode(text)), seconds / len(requests)))
        self._count(lengths, seconds)
        return list(answers)

    def _ask(self, kind: str, requests: list[Any], doing: str) -> tuple[list[Any], float]:
        self._progress(doing, 0, len(requests))
        begun = time.monotonic()
        try:
            answers = getattr(self._engine, kind)(requests, disable_tqdm=True)
        except Exception as error:  # each engine, and each client of a server, has errors of its own
            raise EtymonError(
                f"The engine {self._name} gave no answers: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}",
                "Is it running, is the address whole (…/v1/completions), and does it give log-probabilities of the prompt?",
            ) from error
        if len(answers) != len(requests) or any(answer is None for answer in answers):
            raise EtymonError(f"The engine {self._name} gave {len(answers)} answers to {len(requests)} requests.")
        self._progress(doing, len(requests), len(requests))
        return answers, time.monotonic() - begun

    def _keep(self, request: Any, score: Score) -> None:
        self.scores[request.task_name, request.doc_id, request.idx] = score

    def _count(self, lengths: list[int], seconds: float) -> None:
        """What was sent; what an engine shares between requests is not known."""
        sent = sum(lengths)
        truncated = sum(length > self._context for length in lengths)
        self.usages.append(Usage(len(lengths), sent, sent, 0, truncated, seconds))
