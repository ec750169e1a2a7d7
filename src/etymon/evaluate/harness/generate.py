"""Greedy answers to many prompts at once: a fixed number of slots, and the next prompt follows where an answer has ended.

Every row that the network is fed holds one token of each answer in the making and, in what room is left, tokens of new
prompts; nothing is padded. A slot keeps its sequence's keys and values; a prompt that begins as another copies that part.
What is not plainly greedy (sampling, beams, penalties, families whose positions depend on the longest sequence) is left to
Transformers' ``generate``, one prompt after the other. Stopping is that of lm-eval's ``hf`` backend, whose texts these are.

Shape suffixes: T tokens of a row, P pieces of a row, D model width.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from lm_eval.models.utils_hf import stop_sequences_criteria
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from etymon.errors import EtymonError
from etymon.evaluate.budget import SlotBudget, slot_budget
from etymon.evaluate.scorer import refuse_nan
from etymon.evaluate.slots import WORTH_SHARING, Slots, shared_tokens
from etymon.foundation.head import head_logits, hidden_states
from etymon.foundation.segments import ATTENTION, check_packable

SLOTS = 8
"""Answers in the making where memory allows: 16 were a tenth faster than 8 and took a quarter more memory."""


@dataclass(frozen=True)
class Prompt:
    """What is to be continued."""

    ids: tuple[int, ...]
    new_tokens: int
    """At most."""
    stops: tuple[str, ...]
    settings: dict[str, Any]
    """Of Transformers' ``generate``, besides these."""


@dataclass
class Answer:
    """The tokens made, what they cost, and when they end."""

    ids: list[int] = field(default_factory=list)
    fed: int = 0
    """Tokens computed for it."""
    seconds: float = 0.0
    """Its share of the time of its rows, by tokens."""


def generate(
    network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt], memory_mb: float
) -> Iterator[tuple[int, Answer]]:
    """The number of each prompt and its answer, as they end. ``network`` is prepared by ``foundation.head.prepare_packed``.

    Memory besides the weights keeps to ``memory_mb``: slots × longest sequence × layers × 2 × key-value heads × width of a
    head × bytes of a number for keys and values, and what one row needs. Equal prompts are answered once. Raises EtymonError
    where the budget does not hold the longest prompt with its answer.
    """
    greedy: dict[tuple[tuple[int, ...], int, tuple[str, ...]], list[int]] = {}
    others: list[int] = []
    for number, prompt in enumerate(prompts):
        if _is_plainly_greedy(network, prompt):
            greedy.setdefault((prompt.ids, prompt.new_tokens, prompt.stops), []).append(number)
        else:
            others.append(number)
    if greedy:
        first = [prompts[numbers[0]] for numbers in greedy.values()]
        longest = max(len(prompt.ids) + prompt.new_tokens for prompt in first)
        budget = slot_budget(network, memory_mb, longest, min(SLOTS, len(first)))
        groups = list(greedy.values())
        for place, answer in _generate_greedily(network, tokenizer, first, budget):
            yield groups[place][0], answer
            yield from ((number, Answer(answer.ids)) for number in groups[place][1:])
    if others:
        network.set_attn_implementation("sdpa" if network._supports_sdpa else "eager")
        try:
            for number in others:
                yield number, _generate_alone(network, tokenizer, prompts[number])
        finally:
            network.set_attn_implementation(ATTENTION)


_ALWAYS_GREEDY = {"do_sample": (False,), "temperature": (None, 0.0)}
_OF_SAMPLING = {"do_sample", "temperature", "top_k", "top_p", "top_h", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"}
_NO_MATTER = {"bos_token_id", "eos_token_id", "pad_token_id", "transformers_version", "max_length", "use_cache"}
_NEUTRAL = {
    "repetition_penalty": 1.0, "num_beams": 1, "num_beam_groups": 1, "length_penalty": 1.0, "diversity_penalty": 0.0,
    "no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0, "encoder_repetition_penalty": 1.0, "min_length": 0,
    "num_return_sequences": 1, "guidance_scale": 1.0, "early_stopping": False, "remove_invalid_values": False,
    "cache_implementation": "hybrid",
}  # fmt: skip


def _is_plainly_greedy(network: PreTrainedModel, prompt: Prompt) -> bool:
    """Whether the likeliest token is always the next one, by what the task and the model's generation_config ask."""
    if any(value not in _ALWAYS_GREEDY.get(name, ()) for name, value in prompt.settings.items()):
        return False
    config = network.generation_config.to_diff_dict()
    if any(
        value is not None and value != _NEUTRAL.get(name, False)
        for name, value in config.items()
        if not name.startswith("_") and name not in _OF_SAMPLING | _NO_MATTER
    ):
        return False
    try:
        check_packable(network.config, 1, len(prompt.ids) + prompt.new_tokens)
    except EtymonError:
        return False
    return True


def _generate_alone(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> Answer:
    begun = time.monotonic()
    ids_1T = torch.tensor([prompt.ids], device=network.device)
    settings = {"max_length": len(prompt.ids) + prompt.new_tokens} | prompt.settings
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    with torch.inference_mode():
        output_1T = network.generate(
            input_ids=ids_1T,
            attention_mask=torch.ones_like(ids_1T),
            stopping_criteria=stop_sequences_criteria(tokenizer, list(prompt.stops), len(prompt.ids), 1),
            pad_token_id=pad,
            use_cache=True,
            **settings,
        )
    return Answer(output_1T[0, len(prompt.ids) :].tolist(), output_1T.shape[1] - 1, time.monotonic() - begun)


@dataclass
class _Work:
    """A prompt in a slot."""

    number: int
    prompt: Prompt
    slot: int
    ends: Callable[[list[int]], bool]
    answer: Answer = field(default_factory=Answer)
    begun: bool = False


def _generate_greedily(
    network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt], budget: SlotBudget
) -> Iterator[tuple[int, Answer]]:
    slots = Slots(budget.slots, budget.capacity)
    ends = {prompt.stops: _ends(network, tokenizer, prompt.stops) for prompt in prompts}
    waiting = deque(sorted(range(len(prompts)), key=lambda number: prompts[number].ids))  # neighbours begin alike
    free = list(range(budget.slots))
    works: list[_Work] = []
    while waiting or works:
        while waiting and free:
            number = waiting.popleft()
            works.append(_Work(number, prompts[number], free.pop(), ends[prompts[number].stops]))
        row = _next_row(works, slots, budget.row_tokens)
        begun = time.monotonic()
        tokens = _next_tokens(network, slots, [(work.slot, ids) for work, ids in row])
        seconds = (time.monotonic() - begun) / sum(len(ids) for _, ids in row)
        for (work, ids), token in zip(row, tokens, strict=True):
            answer = work.answer
            answer.fed += len(ids)
            answer.seconds += seconds * len(ids)
            if len(slots.known[work.slot]) < len(work.prompt.ids):
                continue
            answer.ids.append(token)
            if len(answer.ids) == work.prompt.new_tokens or work.ends(answer.ids):
                works.remove(work)
                free.append(work.slot)
                yield work.number, answer


def _next_row(works: Sequence[_Work], slots: Slots, room: int) -> list[tuple[_Work, Sequence[int]]]:
    """A token of each answer, and what else fits of prompts: whole ones, or a part of one that is longer than a row.

    A prompt waits while another computes what both begin with. Prompts are not cut to fill a row, for the reason that makes
    short beginnings not worth sharing.
    """
    row: list[tuple[_Work, Sequence[int]]] = [(work, work.answer.ids[-1:]) for work in works if work.answer.ids]
    room -= len(row)
    reading: list[tuple[int, ...]] = []  # prompts of this row
    for work in works:
        if work.answer.ids:
            continue
        ids = work.prompt.ids
        known = len(slots.known[work.slot]) if work.begun else slots.nearest(ids)[1]
        if any(shared_tokens(other, ids) >= known + WORTH_SHARING for other in reading):
            continue
        if reading and len(ids) - known > room:
            continue
        if not work.begun:
            slots.take_over(work.slot, ids)
            work.begun = True
        part = ids[known:][:room]
        row.append((work, part))
        room -= len(part)
        reading.append(ids)
    return row


@torch.inference_mode()
def _next_tokens(network: PreTrainedModel, slots: Slots, row: Sequence[tuple[int, Sequence[int]]]) -> list[int]:
    """The likeliest token after each piece of the row."""
    segments = slots.begin(row)
    ids_1T = torch.tensor([[token for _, ids in row for token in ids]], device=network.device)
    hidden_TD = hidden_states(network, ids_1T, segments, slots)
    last_P = torch.tensor(segments.starts, device=network.device) + torch.tensor(segments.lengths, device=network.device) - 1
    logits_PV = head_logits(network, hidden_TD[last_P]).float()
    refuse_nan(logits_PV)
    tokens: list[int] = logits_PV.argmax(-1).tolist()
    return tokens


def _ends(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, stops: Sequence[str]) -> Callable[[list[int]], bool]:
    """Whether an answer so far ends: with an EOS token, or with a stop string in the text of its last tokens.

    As ``hf`` does, as many tokens are looked at as encode the string, and two more.
    """
    eos = network.generation_config.eos_token_id
    last = set(eos if isinstance(eos, list) else [] if eos is None else [eos])
    stops_by_length: dict[int, list[str]] = {}
    for stop in stops:
        stops_by_length.setdefault(len(tokenizer.encode(stop, add_special_tokens=False)) + 2, []).append(stop)

    def ends(ids: list[int]) -> bool:
        if ids[-1] in last:
            return True
        texts = ((str(tokenizer.decode(ids[-length:])), group) for length, group in stops_by_length.items())
        return any(stop in text for text, group in texts for stop in group)

    return ends
