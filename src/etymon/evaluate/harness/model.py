"""Our scorer as lm-eval knows a model.

Tokenization, truncation and the choice of special tokens are those of lm-eval's ``hf`` backend, so the scores are too.
"""

import math
import time
from collections.abc import Callable
from typing import Any

from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import (
    handle_stop_sequences,
    has_bos_prefix,
    normalize_gen_kwargs,
    postprocess_generated_text,
)

from etymon.errors import EtymonError
from etymon.evaluate.examinee import Examinee, Progress
from etymon.evaluate.harness.generate import Prompt, generate
from etymon.evaluate.records import Usage
from etymon.evaluate.rolling import rolling_requests
from etymon.evaluate.scorer import Score
from etymon.evaluate.tree import TokenRequest
from etymon.foundation.template import TemplateFailure, render
from etymon.text.rows import Message

_GENERATED_TOKENS = 256
"""Where a task does not say how many; lm-eval's own default."""


class SharedPrefixLM(TemplateLM):  # type: ignore[misc]
    """Our scorer as lm-eval knows a model. ``scores`` keeps what each request got, by task, document and index."""

    def __init__(self, examinee: Examinee, progress: Progress) -> None:
        super().__init__()
        self.tokenizer = examinee.tokenizer
        self.scores: dict[tuple[str, int, int], Score] = {}
        self.usages: list[Usage] = []
        self.without_system = 0
        """Prompts that the chat template would not write with their system message."""
        self._examinee = examinee
        self._progress = progress
        self._asking: list[Any] = []
        self._last: list[Score] = []

    @property
    def eot_token_id(self) -> int:
        return self._examinee.prefix_token if self.tokenizer.eos_token_id is None else int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        return self._examinee.prefix_token

    @property
    def max_length(self) -> int:
        return self._examinee.max_length

    @property
    def tokenizer_name(self) -> str:
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Special tokens as the tokenizer itself adds them, unless the text begins with one already."""
        if add_special_tokens is None and has_bos_prefix(string, self.tokenizer.decode(self.prefix_token_id)):
            add_special_tokens = False
        chosen = {} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}
        ids: list[int] = self.tokenizer.encode(string, **chosen)
        return ids

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        for request in requests:  # lm-eval stumbles over these while it encodes
            context, continuation = request.args
            if not continuation:
                raise _unscorable(request, "is empty")
            if not context and not self.tok_encode(continuation, add_special_tokens=False):
                raise _unscorable(request, f"({continuation!r}) has no token")
        self._asking = requests
        answers: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=True)
        self._keep(requests, self._last)
        return answers

    def _loglikelihood_tokens(self, requests: list[Any], **kwargs: Any) -> list[tuple[float, bool]]:
        for request, (_, context, continuation) in zip(self._asking, requests, strict=True):
            self._check(request, context, continuation)
        asked = [TokenRequest(tuple(context), tuple(continuation)) for _, context, continuation in requests]
        self._last, usage = self._examinee.scorer.score(asked, self._told("scoring answers"))
        self.usages.append(usage)
        answers = [(score.logprob, score.is_greedy) for score in self._last]
        for (text, _, _), answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial("loglikelihood", text, answer)
        return answers

    def _check(self, request: Any, context: list[int], continuation: list[int]) -> None:
        """Raise EtymonError for what has no likelihood, by task, item and choice."""
        if not continuation:
            raise _unscorable(request, f"({request.args[1]!r}) has no token of its own after its question")
        if not context:
            raise _unscorable(request, f"follows a question of white space only ({request.args[0]!r}), which has no token")
        if len(continuation) > self.max_length:
            raise _unscorable(request, f"has {len(continuation)} tokens, and the model's context holds {self.max_length}")

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = True) -> list[float]:
        if not any(request.args[0] for request in requests):
            raise EtymonError(f"{requests[0].task_name}: every text is empty.", "Is doc_to_target the field with the text?")
        windows = [  # an empty text has no window, and the judge leaves it out
            rolling_requests(self.tok_encode(text) if text else (), self.prefix_token_id, self.max_length)
            for (text,) in (request.args for request in requests)
        ]
        scores, usage = self._examinee.scorer.score([w for each in windows for w in each], self._told("scoring texts"))
        self.usages.append(usage)
        answers = iter(scores)
        sums = [_sum([next(answers) for _ in each]) for each in windows]
        self._keep(requests, sums)
        for request, score in zip(requests, sums, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, score.logprob)
        return [score.logprob for score in sums]

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:
        """Many at once where that is the same, see ``generate``; equal to ``hf`` at batch size 1."""
        begun = time.monotonic()
        told = self._told("generating answers")
        examinee = self._examinee
        prompts, cut = zip(*map(self._prompt, requests), strict=True)
        texts = [""] * len(requests)
        scores = [Score(math.nan, False, 0, 0.0)] * len(requests)
        fed = 0
        told(0, len(requests))
        answers = generate(examinee.network, self.tokenizer, prompts, examinee.memory_mb)
        for done, (number, answer) in enumerate(answers, 1):
            text = self.tokenizer.decode(answer.ids, skip_special_tokens=True)
            texts[number] = postprocess_generated_text(text, list(prompts[number].stops), None)
            scores[number] = Score(math.nan, False, len(answer.ids), answer.seconds)
            fed += answer.fed
            self._keep([requests[number]], [scores[number]])
            self.cache_hook.add_partial("generate_until", requests[number].args, texts[number])
            told(done, len(requests))
        self._keep_repeated(requests, scores)
        asked = sum(len(prompt.ids) + score.tokens - 1 for prompt, score in zip(prompts, scores, strict=True))
        self.usages.append(Usage(len(requests), asked, fed, 0, sum(cut), time.monotonic() - begun))
        return texts

    def _prompt(self, request: Any) -> tuple[Prompt, bool]:
        """What a request asks for, and whether it lost its beginning because the model's context does not hold it."""
        context, given = request.args
        settings = normalize_gen_kwargs(given, _GENERATED_TOKENS)
        stops = handle_stop_sequences(settings.pop("until", None), eos=self.tokenizer.decode(self.eot_token_id))
        new_tokens = settings.pop("max_gen_toks")
        if not 0 < new_tokens < self.max_length:
            raise EtymonError(
                f"{request.task_name}: item {request.doc_id} asks for {new_tokens} new tokens; the model's context holds "
                f"{self.max_length}.",
                "Set max_gen_toks of the task's generation_kwargs to at least 1 and less than that.",
            )
        if not settings.get("do_sample"):
            settings.pop("temperature", None)
        ids = self.tok_encode(context)
        if not ids:
            raise EtymonError(
                f"{request.task_name}: item {request.doc_id} has a prompt without a token ({context!r}); nothing can follow.",
                "Mend the item, or leave it out of the task's data.",
            )
        room = self.max_length - new_tokens
        return Prompt(tuple(ids[-room:]), new_tokens, tuple(stops), settings), len(ids) > room

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Raises EtymonError where the model's template cannot write the conversation, with or without its system message."""
        turns = [Message(each["role"], each["content"]) for each in chat_history]
        spoken = [turn for turn in turns if turn.role != "system"]
        try:
            return self._rendered(turns, add_generation_prompt)
        except TemplateFailure:
            if len(spoken) == len(turns):
                raise
        self.without_system += 1
        return self._rendered(spoken, add_generation_prompt)

    def require_system(self, prompt: str) -> None:
        """Raise EtymonError where the model's template takes no system message."""
        try:
            self._rendered([Message("system", prompt), Message("user", "A question.")], True)
        except TemplateFailure as failure:
            raise EtymonError(
                f"The chat template of {self._examinee.name} takes no system prompt: {failure.reason.rstrip('.')}.",
                "Leave `system` out.",
            ) from failure

    def _rendered(self, turns: list[Message], add_generation_prompt: bool) -> str:
        open_end = not add_generation_prompt
        return render(self.tokenizer, turns, add_generation_prompt=add_generation_prompt, continue_final_message=open_end)

    def _told(self, doing: str) -> Callable[[int, int], None]:
        return lambda done, total: self._progress(doing, done, total)

    def _keep(self, requests: list[Any], scores: list[Score]) -> None:
        for request, score in zip(requests, scores, strict=True):
            self.scores[request.task_name, request.doc_id, request.idx] = score

    def _keep_repeated(self, requests: list[Any], scores: list[Score]) -> None:
        """Of generated answers: the index is which of its item's answers each is, as a task may ask for several."""
        times: dict[tuple[str, int], int] = {}
        for request, score in zip(requests, scores, strict=True):
            item = request.task_name, request.doc_id
            self.scores[*item, times.get(item, 0)] = score
            times[item] = times.get(item, 0) + 1


def _unscorable(request: Any, why: str) -> EtymonError:
    return EtymonError(
        f"{request.task_name}: choice {request.idx} of item {request.doc_id} {why}; it cannot be scored.",
        "Mend the item, or leave it out of the task's data.",
    )


def _sum(scores: list[Score]) -> Score:
    return Score(
        sum(score.logprob for score in scores),
        all(score.is_greedy for score in scores),
        sum(score.tokens for score in scores),
        sum(score.seconds for score in scores),
    )
