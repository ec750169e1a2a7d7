"""Whether what is trained is what the chat template writes: rows are rendered again, and compared token by token.

This goes another way than the encoding that it checks: it renders each answer's prompt as a server does and looks for those
tokens in what is trained.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as parquet
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from etymon.foundation.documents import text_ids
from etymon.foundation.network import load_tokenizer
from etymon.foundation.template import TemplateFailure, render
from etymon.text.rows import Message, Row
from etymon.train.finding import Finding
from etymon.train.prepare import Prepared

_SAMPLE = 200
"""Rows that are rendered again, spread over the corpus."""
_LONGEST_BEGINNING = 64
_ANOTHER = "Set train.chat_template to one that can be learned from."


def examine_templates(prepared: Prepared) -> list[Finding]:
    """Findings on the template, on what ends a turn, and on the rows that are held out to be scored."""
    findings = [_end_of_turn(prepared)]
    if prepared.tokenizer.chat_template:
        findings = [*_rendered_again(prepared), *findings, *_held_out(prepared)]
    return findings


def _end_of_turn(prepared: Prepared) -> Finding:
    """The last token of every supervised stretch must be an end mark, or the model never learns to stop (TRL #1623)."""
    tokenizer, examples = prepared.tokenizer, prepared.encoded.examples
    goes_on = np.append(examples.supervised[1:], False)
    goes_on[examples.begins + examples.segment_lengths - 1] = False
    ends = np.flatnonzero(examples.supervised & ~goes_on)
    controls = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    controls |= set(tokenizer.all_special_ids)
    endless = ends[~np.isin(examples.ids[ends], list(controls))]
    if not len(endless):
        marks = ", ".join(map(str, tokenizer.convert_ids_to_tokens(np.unique(examples.ids[ends]).tolist())))
        return Finding("end of turn", f"{marks} is learned after every answer ({len(ends):,})")
    segments = np.searchsorted(examples.begins, endless, "right") - 1
    owners = np.searchsorted(examples.firsts, segments, "right") - 1
    row_of = _train_rows(prepared)
    for example in dict.fromkeys(owners.tolist()):
        document = int(examples.documents[example])
        if not isinstance(row_of(document).prompt, str):
            found = (
                f"an answer of {prepared.encoded.names[document]} has no end mark, so that the model would not learn to stop"
            )
            return Finding("end of turn", found, "fault", _ANOTHER)
    return Finding(
        "end of turn", "the tokenizer has no end mark, so the model will not learn where a completion ends", "note"
    )


def _rendered_again(prepared: Prepared) -> list[Finding]:
    examples = prepared.encoded.examples
    row_of = _train_rows(prepared)
    compared = apart = 0
    for example in _spread(len(examples)):
        document = int(examples.documents[example])
        row = row_of(document)
        if isinstance(row.prompt, str):
            continue
        compared += 1
        for trained, answer in zip(_trained(prepared, example), row.answers, strict=True):
            last_only = prepared.settings.objective != "sft" or prepared.settings.sft.supervise == "last"
            found = _compare(prepared.tokenizer, (*row.prompt, Message("assistant", answer)), trained, last_only)
            if isinstance(found, str):
                return [Finding("chat template", f"{prepared.encoded.names[document]}: {found}", "fault", _ANOTHER)]
            apart += found
    if not compared:
        return []
    found = f"{compared:,} rows rendered again: prompt and conversation have the template's tokens"
    if apart:
        found += f"; in {apart:,} the answer's are those that it has by itself"
    return [Finding("chat template", found)]


@dataclass(frozen=True)
class _Trained:
    """One sequence that is trained."""

    ids: list[int]
    supervised: NDArray[np.bool_]

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """[begin, end) of what is supervised without a gap."""
        edges = np.flatnonzero(np.diff(self.supervised, prepend=False, append=False)).tolist()
        return list(zip(edges[::2], edges[1::2], strict=True))


def _trained(prepared: Prepared, example: int) -> list[_Trained]:
    """The sequences of an example: one, or the prompt with each of its answers."""
    examples = prepared.encoded.examples
    (first, supervised), *answers = [examples.segment(segment) for segment in examples.segments_of(example)]
    if not answers:
        return [_Trained(first.tolist(), supervised)]
    return [_Trained(first.tolist() + ids.tolist(), np.append(supervised, learned)) for ids, learned in answers]


def _compare(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], trained: _Trained, last_only: bool
) -> str | bool:
    """What is wrong with a trained sequence; or whether an answer in it has the tokens that it has by itself."""

    def ids_of(texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
        return ids

    def text_of(ids: list[int]) -> str:
        return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    turns = [turn for turn, message in enumerate(messages) if message.role == "assistant"]
    try:
        text = render(tokenizer, messages, add_generation_prompt=False)
    except TemplateFailure as failure:
        return failure.reason
    prompts = [_prompt(tokenizer, messages[:turn]) for turn in turns]
    whole, *before = ids_of([text, *prompts])
    apart = trained.ids != whole[: len(trained.ids)]
    if apart and not text_of(whole).startswith(text_of(trained.ids)):
        return "the conversation's tokens are not the template's"
    if not trained.stretches or trained.stretches[-1][1] != len(trained.ids):
        return "what is trained does not end with an answer"
    for number, (begin, end) in enumerate(trained.stretches):
        given = trained.ids[:begin]
        same = [place for place, prompt in enumerate(before) if prompt == given]
        if not same and apart and number:  # an answer before it has its own tokens, where a server joins some
            same = [place for place, prompt in enumerate(before) if text_of(prompt) == text_of(given)]
        if not same or (last_only and same[-1] != len(turns) - 1):
            return "what stands before an answer has not the tokens of its prompt"
        content = messages[turns[same[-1]]].content.strip()
        left = content[_already_there(prompts[same[-1]], content) :].strip()
        as_decoded = text_of(text_ids(tokenizer, [left])[0]).strip()
        if content in text and as_decoded not in text_of(trained.ids[begin:end]):
            return "a part of an answer is not supervised"
    return apart


def _prompt(tokenizer: PreTrainedTokenizerBase, before: Sequence[Message]) -> str:
    """An answer's prompt; nothing where the template writes none, such as before a conversation that the assistant begins."""
    try:
        return render(tokenizer, before, add_generation_prompt=True)
    except TemplateFailure:
        return ""


def _already_there(prompt: str, content: str) -> int:
    """How many characters of an answer its prompt ends with: some templates begin the model's thinking for it."""
    return max(size for size in range(min(len(content), _LONGEST_BEGINNING) + 1) if prompt.endswith(content[:size]))


def _held_out(prepared: Prepared) -> list[Finding]:
    """A template that refuses a held-out row makes the scoring fail, after the training. What templates mind is the order of
    roles: one row of each order is rendered, and a sample of all."""
    table = parquet.read_table(prepared.corpus.file("heldout.parquet"), columns=["source", "unit", "row"]).to_pylist()
    named = [(f"{each['source']}/{each['unit']}", Row.from_json(each["row"])) for each in table if each["row"] is not None]
    conversations = [(name, row.prompt, row.answers[0]) for name, row in named if not isinstance(row.prompt, str)]
    of_each_order = {tuple(turn.role for turn in each[1]): each for each in conversations}
    tried = [*of_each_order.values(), *(conversations[place] for place in _spread(len(conversations)))]
    tokenizers = {"the chat template": prepared.tokenizer}
    if prepared.meaning.chat_template is not None:
        own = load_tokenizer(prepared.foundation)
        tokenizers |= {"the foundation's own chat template": own} if own.chat_template else {}
    for which, tokenizer in tokenizers.items():
        for name, prompt, answer in tried:
            try:
                render(tokenizer, prompt, add_generation_prompt=True)
                render(tokenizer, (*prompt, Message("assistant", answer)), add_generation_prompt=False)
            except TemplateFailure as failure:
                found = f"{which} refuses {name}, which is held out to be scored: {failure.reason}"
                remedy = "Take such rows out of the corpus, or choose a template that writes them."
                return [Finding("held-out rows", found, "fault", remedy)]
    if not tried:
        return []
    return [Finding("held-out rows", f"the chat template writes them ({len(set(tried)):,} of {len(conversations):,} tried)")]


def _train_rows(prepared: Prepared) -> Callable[[int], Row]:
    """The corpus's rows by their place in the order of document ids."""
    rows = parquet.read_table(prepared.corpus.file("train.parquet"), columns=["id", "row"]).sort_by("id")["row"]
    return lambda place: Row.from_json(rows[place].as_py())


def _spread(count: int) -> list[int]:
    """At most ``_SAMPLE`` places of so many, evenly."""
    places: list[int] = np.unique(np.linspace(0, count - 1, min(_SAMPLE, count)).round().astype(int)).tolist()
    return places
