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
from etymon.progress import Clocks
from etymon.recipe import Train
from etymon.store import Artifact
from etymon.text.rows import Row, UnusableRow
from etymon.train.examples import Examples, ExamplesBuilder, Ids
from etymon.train.packing import split_points
from etymon.train.row_tokens import RowTokens, tokenize_rows

_BATCH = 1024
_KIND = {"sft": "conversation", "dpo": "pair", "orpo": "pair", "kto": "judged"}
_TEMPLATES_FAULT = ("template-refuses", "template-rewrites-the-prompt", "no-end-of-turn")


@dataclass(frozen=True)
class Dropped:
    """A row that gave no example, or one that is not the row as it is."""

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
    """Rows that are learned otherwise than they are in the corpus: conversations that end earlier, answers that are not
    supervised or are tokenised by themselves."""
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
    tokenizer: PreTrainedTokenizerBase,
    settings: Train,
    clock: Clocks,
) -> Encoded:
    """The examples of a corpus's training documents, in the order of their ids.

    Raises EtymonError where the corpus has nothing the objective can learn from.
    """
    table = parquet.read_table(corpus.file("train.parquet"), columns=["id", "source", "unit", "text", "row"])
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
            elif len(ids) < 2:
                dropped.append(Dropped(names[number], "shorter-than-two-tokens", "a first token cannot be predicted"))
            else:
                points = split_points(len(ids), longest)
                split += len(points) > 1
                builder.add_pieces(number, ids, points)
        tick(begin + len(batch))
    return Encoded(builder.done(), names, dropped, split=split)


def _rows(
    documents: list[dict[str, str]], names: list[str], tokenizer: PreTrainedTokenizerBase, settings: Train, tick: Tick
) -> Encoded:
    builder, judged = ExamplesBuilder(), list[_Judged]()
    encoded = Encoded(builder.done(), names)
    last_only = settings.objective != "sft" or settings.sft.supervise == "last"
    for begin in range(0, len(documents), _BATCH):
        rows = [_row(document, settings) for document in documents[begin : begin + _BATCH]]
        tokenized = iter(tokenize_rows(tokenizer, [row for row in rows if isinstance(row, Row)], last_only=last_only))
        for number, row in enumerate(rows, start=begin):
            sides = next(tokenized) if isinstance(row, Row) else row
            try:
                if isinstance(row, UnusableRow):
                    raise row
                if isinstance(sides, UnusableRow):
                    raise sides
                notes = _add(row, sides, number, builder, judged, settings.sequence_length)
                encoded.shortened += [Dropped(names[number], note) for note in notes]
            except UnusableRow as unusable:
                encoded.dropped.append(Dropped(names[number], unusable.reason, unusable.detail))
        tick(begin + len(rows))
    if judged:
        encoded.mismatched = _add_judged(builder, judged, settings)
    encoded.examples = builder.done()
    return encoded


def _row(document: dict[str, str], settings: Train) -> Row | UnusableRow:
    wanted = _KIND[settings.objective]
    row = Row.from_json(document["row"]) if document["row"] is not None else None
    if row is None or row.kind != wanted:
        reason = "document-not-a-row" if row is None else f"{row.kind}-row"
        return UnusableRow(reason, f"objective {settings.objective} learns from {wanted} rows")
    return row


@dataclass(frozen=True)
class _Judged:
    """A prompt with an answer that was liked or not, in token ids."""

    number: int
    prompt: list[int]
    answer: list[int]
    liked: bool


def _add(
    row: Row, sides: Sequence[RowTokens], number: int, builder: ExamplesBuilder, judged: list[_Judged], longest: int
) -> Sequence[str]:
    """Add a row's example, or keep it among ``judged``; returns what is not learned as the row has it."""
    if row.kind == "conversation":
        ids, supervised, notes = _conversation(sides[0], longest)
        builder.add(number, [(ids, supervised)])
        return notes
    prompt, answers = _prompt_and_answers(sides, longest)
    if row.kind == "pair":
        builder.add(number, [(prompt, [False] * len(prompt)), *((ids, [True] * len(ids)) for ids in answers)], (-1, 0, 0))
    else:
        judged.append(_Judged(number, prompt, answers[0], bool(row.liked)))
    return list(dict.fromkeys(note for side in sides for note in side.notes))


def _conversation(tokens: RowTokens, longest: int) -> tuple[list[int], list[bool], Sequence[str]]:
    """A conversation up to its last answer that fits: ids, which are supervised, and notes."""
    ids: list[int] = []
    supervised: list[bool] = []
    for before, answer in tokens.turns:
        end = len(ids) + len(before) + len(answer)
        if end > longest:
            if not ids:
                raise UnusableRow("longer-than-sequence-length", f"its first answer ends at token {end}")
            return ids, supervised, (*tokens.notes, "shortened-after-an-answer")
        ids += before + answer
        supervised += [False] * len(before) + [True] * len(answer)
    return ids, supervised, tokens.notes


def _prompt_and_answers(sides: Sequence[RowTokens], longest: int) -> tuple[list[int], list[list[int]]]:
    """The ids of the prompt that all sides share, and of each side's answer."""
    prompt, answers = sides[0].turns[0][0], [side.turns[0][1] for side in sides]
    if any(side.turns[0][0] != prompt for side in sides):
        raise UnusableRow("template-rewrites-the-prompt", "the prompt's tokens depend on the answer")
    if len(answers) == 2 and answers[0] == answers[1]:
        raise UnusableRow("equal-sides", "both answers have the same tokens")
    tokens = len(prompt) + max(map(len, answers))
    if tokens > longest:
        raise UnusableRow("longer-than-sequence-length", f"prompt and longest answer have {tokens} tokens")
    return prompt, answers


def _add_judged(builder: ExamplesBuilder, rows: Sequence[_Judged], settings: Train) -> Examples:
    """Add the examples, and return those in which every prompt has the answer of another row, drawn by the seed."""
    others = ExamplesBuilder()
    order = np.random.default_rng([settings.seed, 1]).permutation(len(rows))
    partner = dict(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))
    for index, row in enumerate(rows):
        start = (row.prompt, [False] * len(row.prompt))
        other = rows[partner[index]].answer[: settings.sequence_length - len(row.prompt)]
        builder.add(row.number, [start, (row.answer, [True] * len(row.answer))], (-1, 0), row.liked)
        others.add(row.number, [start, (other, [True] * len(other))], (-1, 0), row.liked)
    return others.done()


def _marks(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    start, end = document_marks(tokenizer)
    return [start] if start is not None else [], [end] if end is not None else []


def _nothing(corpus: Artifact, settings: Train, documents: Sequence[dict[str, str]], encoded: Encoded) -> EtymonError:
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in encoded.counts.items()) or "it is empty"
    first = next((each for each in encoded.dropped if each.reason == next(iter(encoded.counts))), None)
    if first:
        reasons += f"; the first is {first.row}" + (f": {first.detail}" if first.detail else "")
    problem = f"None of the {len(documents):,} training documents of {corpus.name} can be used ({reasons})."
    if first and first.reason in _TEMPLATES_FAULT:
        return EtymonError(problem, "Set train.chat_template to a Jinja file that writes such conversations.")
    if first and first.reason == "longer-than-sequence-length":
        return EtymonError(problem, f"Raise train.sequence_length (now {settings.sequence_length}).")
    needs = {"pretrain": "documents (sources of kind `files`)", "sft": "conversations (a source of kind `chat`)"}
    source = needs.get(settings.objective, "preferences (a source of kind `preference`)")
    return EtymonError(problem, f"train.objective {settings.objective} learns from {source}.")
