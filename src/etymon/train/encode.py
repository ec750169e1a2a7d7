"""The corpus becomes training examples: documents are cut into pieces, conversations and preferences go through the template.

What cannot be used is dropped with its reason and the row's place; a conversation that is too long ends after the last
answer that fits. Nothing is cropped.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow.parquet as parquet
from transformers import PreTrainedTokenizerBase

from etymon.errors import EtymonError
from etymon.foundation.documents import document_marks, text_ids
from etymon.foundation.template import TemplateFailure, answer_spans
from etymon.recipe import Train
from etymon.store import Artifact
from etymon.text.rows import Message, Row
from etymon.train.examples import Examples, ExamplesBuilder, Ids
from etymon.train.packing import split_points

_BATCH = 1024
_KIND = {"sft": "conversation", "dpo": "pair", "orpo": "pair", "kto": "judged"}


@dataclass(frozen=True)
class Dropped:
    """A row that gave no example, or not its whole."""

    row: str
    """``source/file#line``."""
    reason: str
    detail: str = ""


@dataclass
class Encoded:
    """The examples of a corpus, and what became of the rest."""

    examples: Examples
    names: list[str]
    """Of each document of the corpus, in the order of their ids: ``source/unit``."""
    dropped: list[Dropped] = field(default_factory=list)
    shortened: list[Dropped] = field(default_factory=list)
    """Conversations that end earlier than in the corpus, and answers that are not supervised."""
    split: int = 0
    """Documents cut into more than one piece."""
    mismatched: Examples | None = None
    """For KTO: each example's prompt with another example's answer."""

    @property
    def counts(self) -> dict[str, int]:
        """How many rows were dropped, shortened or split, by reason."""
        counted = Counter(each.reason for each in [*self.dropped, *self.shortened])
        return dict(counted.most_common()) | ({"split": self.split} if self.split else {})


Tick = Callable[[float], None]


def encode_corpus(
    corpus: Artifact,
    side: str,
    tokenizer: PreTrainedTokenizerBase,
    settings: Train,
    clock: Callable[..., Tick],
) -> Encoded:
    """The examples of one side (``train`` or ``heldout``) of a corpus, in the order of document ids.

    Raises EtymonError where the corpus has nothing the objective can learn from.
    """
    table = parquet.read_table(corpus.file(f"{side}.parquet"), columns=["id", "source", "unit", "text", "row"])
    documents = table.sort_by("id").to_pylist()
    names = [f"{each['source']}/{each['unit']}" for each in documents]
    tick = clock("tokenizing", total=len(documents), unit="documents")
    if settings.objective == "pretrain":
        encoded = _documents(documents, names, tokenizer, settings.sequence_length, tick)
    else:
        encoded = _rows(documents, names, tokenizer, settings, tick)
    if not len(encoded.examples):
        raise _nothing(corpus, settings, documents, encoded)
    return encoded


def encode_documents(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[Ids]:
    """Token ids of whole documents, each between its start and end mark."""
    head, tail = _marks(tokenizer)
    return [np.array(head + ids + tail, np.int32) for ids in text_ids(tokenizer, texts)]


def _documents(
    documents: list[dict[str, str]], names: list[str], tokenizer: PreTrainedTokenizerBase, longest: int, tick: Tick
) -> Encoded:
    builder, split, dropped = ExamplesBuilder(), 0, []
    for begin in range(0, len(documents), _BATCH):
        batch = documents[begin : begin + _BATCH]
        for number, ids in enumerate(encode_documents(tokenizer, [each["text"] for each in batch]), start=begin):
            if documents[number]["row"] is not None:
                dropped.append(Dropped(names[number], "row-not-a-document", "objective pretrain learns from documents"))
            elif len(ids) > 1:  # one token alone has nothing to predict
                points = split_points(len(ids), longest)
                split += len(points) > 1
                builder.add_pieces(number, ids, points)
        tick(begin + len(batch))
    return Encoded(builder.done(), names, dropped, split=split)


@dataclass(frozen=True)
class _Sequence:
    """A tokenised conversation: its ids and, in tokens, where its answers are."""

    ids: list[int]
    spans: list[tuple[int, int]]


class _Unusable(Exception):
    """Why a row gives no example."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def _rows(
    documents: list[dict[str, str]], names: list[str], tokenizer: PreTrainedTokenizerBase, settings: Train, tick: Tick
) -> Encoded:
    encoder = _RowEncoder(tokenizer, settings)
    builder = ExamplesBuilder()
    encoded = Encoded(builder.done(), names)
    judged: list[tuple[int, list[int], list[int], bool]] = []
    wanted = _KIND[settings.objective]
    for number, (document, name) in enumerate(zip(documents, names, strict=True)):
        tick(number + 1)
        try:
            if document["row"] is None:
                raise _Unusable("document-not-a-row", f"objective {settings.objective} learns from {wanted} rows")
            row = Row.from_json(document["row"])
            if row.kind != wanted:
                raise _Unusable(f"{row.kind}-row", f"objective {settings.objective} learns from {wanted} rows")
            if wanted == "conversation":
                sequence, notes = encoder.conversation(row)
                supervised = np.zeros(len(sequence.ids), np.bool_)
                for begin, end in sequence.spans:
                    supervised[begin:end] = True
                builder.add(number, [(sequence.ids, supervised)])
                encoded.shortened += [Dropped(name, note) for note in notes]
            else:
                prompt, answers = encoder.prompt_and_answers(row)
                if wanted == "pair":
                    parts = [(prompt, [False] * len(prompt)), *((ids, [True] * len(ids)) for ids in answers)]
                    builder.add(number, parts, (-1, 0, 0))
                else:
                    judged.append((number, prompt, answers[0], bool(row.liked)))
        except _Unusable as found:
            encoded.dropped.append(Dropped(name, found.reason, found.detail))
    if wanted == "judged":
        encoded.mismatched = _judged(judged, builder, settings)
    encoded.examples = builder.done()
    return encoded


def _judged(rows: list[tuple[int, list[int], list[int], bool]], builder: ExamplesBuilder, settings: Train) -> Examples:
    """Add the examples, and return those in which every prompt has the answer of another row, drawn by the seed."""
    others = ExamplesBuilder()
    order = np.random.default_rng([settings.seed, 1]).permutation(len(rows))
    partner = dict(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))
    for index, (number, prompt, answer, liked) in enumerate(rows):
        start = (prompt, [False] * len(prompt))
        other = rows[partner[index]][2][: settings.sequence_length - len(prompt)]
        builder.add(number, [start, (answer, [True] * len(answer))], (-1, 0), liked)
        others.add(number, [start, (other, [True] * len(other))], (-1, 0), liked)
    return others.done()


class _RowEncoder:
    """Rows as token ids, under one tokenizer and its template."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, settings: Train) -> None:
        self._tokenizer, self._settings = tokenizer, settings
        self._controls = sorted({str(each) for each in tokenizer.added_tokens_decoder.values() if each.special})

    def conversation(self, row: Row) -> tuple[_Sequence, list[str]]:
        """A whole conversation, cut after the last supervised answer that fits; and what was changed."""
        sequence, notes = self._sequence(row.prompt, row.answers[0], last_only=self._settings.sft.supervise == "last")
        longest = self._settings.sequence_length
        fitting = [span for span in sequence.spans if span[1] <= longest]
        if not fitting:
            raise _Unusable("longer-than-sequence-length", f"its first answer ends at token {sequence.spans[0][1]}")
        if len(fitting) < len(sequence.spans):
            notes.append("shortened-after-an-answer")
        return _Sequence(sequence.ids[: fitting[-1][1]], fitting), notes

    def prompt_and_answers(self, row: Row) -> tuple[list[int], list[list[int]]]:
        """The ids of a prompt, and of each answer after it."""
        sequences = [self._sequence(row.prompt, answer, last_only=True)[0] for answer in row.answers]
        begin = sequences[0].spans[0][0]
        prompt = sequences[0].ids[:begin]
        if any(each.ids[: each.spans[0][0]] != prompt for each in sequences):
            raise _Unusable("template-rewrites-the-prompt", "the prompt's tokens depend on the answer")
        answers = [each.ids[begin : each.spans[0][1]] for each in sequences]
        if len(answers) == 2 and answers[0] == answers[1]:
            raise _Unusable("equal-sides", "both answers have the same tokens")
        longest = len(prompt) + max(map(len, answers))
        if longest > self._settings.sequence_length:
            raise _Unusable("longer-than-sequence-length", f"{longest} tokens")
        return prompt, answers

    def _sequence(self, prompt: tuple[Message, ...] | str, answer: str, last_only: bool) -> tuple[_Sequence, list[str]]:
        """Token ids, and where the answers are. The prompt's tokens are those that the model is given when it serves."""
        if isinstance(prompt, str):
            return self._continued(prompt, answer), []
        messages = (*prompt, Message("assistant", answer))
        for message in messages:
            if control := next((each for each in self._controls if each in message.content), None):
                raise _Unusable("control-token-in-text", f"a message holds {control}")
        try:
            text, spans, unsupervisable, unended = answer_spans(self._tokenizer, messages, last_only=last_only)
        except TemplateFailure as failure:
            raise _Unusable("template-refuses", failure.reason) from None
        if not spans:
            raise _Unusable("template-rewrites-the-prompt", "the template writes the turns before an answer otherwise")
        if unended:
            raise _Unusable("no-end-of-turn", "the template writes no end mark after an answer")
        notes = ["earlier-answer-not-supervised"] if unsupervisable else []
        return self._tokens(text, spans), notes

    def _continued(self, prompt: str, completion: str) -> _Sequence:
        """Plain text: document start, prompt, completion, document end."""
        head, tail = _marks(self._tokenizer)
        inner = self._tokens(prompt + completion, [(len(prompt), len(prompt) + len(completion))], plain=True)
        begin = len(head) + inner.spans[0][0]
        ids = [*head, *inner.ids, *tail]
        return _Sequence(ids, [(begin, len(ids))])

    def _tokens(self, text: str, spans: list[tuple[int, int]], plain: bool = False) -> _Sequence:
        """Tokenise the whole and find the spans in it; a token that reaches over the start of an answer is refused."""
        found = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=plain)
        begins = [begin for begin, _ in found["offset_mapping"]]
        ends = [end for _, end in found["offset_mapping"]]
        places = []
        for begin, end in spans:
            first = int(np.searchsorted(ends, begin, "right"))
            last = int(np.searchsorted(begins, end, "left"))
            if begins[first] < begin:
                raise _Unusable("token-over-the-boundary", f"a token joins the prompt and {text[begin : begin + 20]!r}")
            places.append((first, last))
        return _Sequence(found["input_ids"], places)


def _marks(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    start, end = document_marks(tokenizer)
    return [start] if start is not None else [], [end] if end is not None else []


def _nothing(corpus: Artifact, settings: Train, documents: Sequence[dict[str, str]], encoded: Encoded) -> EtymonError:
    reasons = ", ".join(f"{reason} {count}" for reason, count in encoded.counts.items())
    needs = {"pretrain": "documents (sources of kind `files`)", "sft": "conversations (a source of kind `chat`)"}
    remedy = f"train.objective {settings.objective} learns from "
    remedy += needs.get(settings.objective, "preferences (a source of kind `preference`)") + "."
    first = next(iter(encoded.dropped), None)
    example = f"; the first is {first.row}: {first.detail}" if first and first.detail else ""
    return EtymonError(
        f"None of the {len(documents)} training documents of {corpus.name} can be used ({reasons or 'it is empty'}{example}).",
        remedy,
    )
