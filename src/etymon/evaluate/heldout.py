"""The task ``heldout``: bits per byte on documents and rows of the corpus that training never saw.

A document begins with the model's own start mark and is scored to its last token; the mark that would end it is not scored.
Of a conversation the last answer is scored, given the turns before it under the model's own chat template; of a preference
the better answer, and of judged answers those that were liked. Bits per byte do not depend on the tokenizer (Gao et al.,
arXiv 2101.00027, §3.1), so different models can be compared.
"""

import math
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from etymon.errors import EtymonError
from etymon.evaluate.identity import data_digest, task_identity
from etymon.evaluate.records import Records
from etymon.evaluate.rolling import rolling_requests
from etymon.evaluate.texts import ScoredText, score_texts
from etymon.foundation.documents import document_marks, text_ids
from etymon.store import Artifact
from etymon.text.rows import Message, Row

if TYPE_CHECKING:
    from etymon.evaluate.examinee import Examinee, Progress
    from etymon.evaluate.tree import TokenRequest

LEAST_UNITS = 5
"""Documents of one file are not independent; a row is a unit of its own. Fewer units give no usable interval (Student's t
with 3 degrees of freedom reaches 3.2 standard errors)."""
_SHARE_OF_ONE = 10
"""No document takes more than a tenth of the text that is scored; of a longer one the beginning is."""
_DOCUMENT_FORM = "document/1: start mark, document, no end mark"
_ROW_FORM = (
    "row/1: the last, better or liked answer, stripped, without end mark, after its prompt: turns by the model's own chat "
    "template on 26 July 2024; plain text after the start mark, the answer as it is"
)

Prompt = tuple[Message, ...] | str


@dataclass(frozen=True)
class Document:
    """A held-out document, or its beginning; or the answer of a held-out row."""

    id: str
    unit: str
    text: str
    """What is scored."""
    prompt: Prompt | None = None
    """What a row's answer is given; None for a document."""

    @property
    def characters(self) -> int:
        """Of all that the model is fed, prompt and answer."""
        return _length(self.prompt) + len(self.text)


@dataclass(frozen=True)
class HeldoutChoice:
    """What is scored, and what the held-out side holds in all."""

    documents: tuple[Document, ...]
    of_documents: int
    of_units: int
    cut: int
    """Documents and answers of which only the beginning is scored."""
    disliked: int = 0
    """Rows that are not scored because their answer was not liked."""
    long_prompts: int = 0
    """Rows that are not scored because their prompt leaves no room for the answer."""
    name: str = "heldout"

    @property
    def units(self) -> int:
        return len({document.unit for document in self.documents})

    @property
    def identity(self) -> str:
        data = data_digest([_asked(document) for document in self.documents])
        rows = any(document.prompt is not None for document in self.documents)
        form = {"document": _DOCUMENT_FORM, "row": _ROW_FORM} if rows else _DOCUMENT_FORM
        template = "the model's own" if self.needs_chat_template else "none"
        return task_identity(self.name, data=data, form=form, shots=0, template=template, judge="etymon bits per byte/1")

    @property
    def needs_chat_template(self) -> bool:
        """Whether any of them is a conversation: a model without a chat template cannot be put to the task."""
        return any(isinstance(document.prompt, tuple) for document in self.documents)

    @property
    def notes(self) -> list[str]:
        notes = []
        if len(self.documents) < self.of_documents:
            notes.append(
                f"{len(self.documents)} of {self.of_documents} held-out documents are scored, from {self.units} of "
                f"{self.of_units} files, modules or rows (corpus.heldout.characters limits them)."
            )
        if self.cut:
            notes.append(f"Of {self.cut} long documents or answers only the beginning is scored.")
        if self.disliked:
            notes.append(f"{self.disliked} held-out answers that were not liked are not scored.")
        if self.long_prompts:
            notes.append(f"{self.long_prompts} held-out rows are not scored: their prompts leave no room for an answer.")
        return notes


def choose_heldout(corpus: Artifact, characters: int) -> HeldoutChoice:
    """Choose at most ``characters`` of held-out text, the same ones every time, in turn from all units.

    Raises EtymonError where fewer than ``LEAST_UNITS`` units are held out, and says how many are needed.
    """
    found = _heldout_documents(corpus)
    documents = [document for document in found if document is not None]
    by_unit: dict[str, list[Document]] = {}
    for document in documents:
        by_unit.setdefault(document.unit, []).append(document)
    if len(by_unit) < LEAST_UNITS:
        raise _too_few(corpus, len(by_unit), len(documents) / max(1, len(found)))
    limit = max(1, characters // _SHARE_OF_ONE)
    chosen: list[Document] = []
    cut = long_prompts = 0
    left = characters
    queues = [sorted(by_unit[unit], key=lambda d: _draw(d.id)) for unit in sorted(by_unit, key=_draw)]
    for turn in range(max(map(len, queues))):
        for document in (queue[turn] for queue in queues if turn < len(queue)):
            short = _shortened(document, limit)
            if short is None:
                long_prompts += 1
            elif short.characters <= left:
                chosen.append(short)
                left -= short.characters
                cut += short is not document
    choice = HeldoutChoice(tuple(chosen), len(documents), len(queues), cut, len(found) - len(documents), long_prompts)
    if choice.units < LEAST_UNITS:
        raise EtymonError(
            f"corpus.heldout.characters is {characters}: that holds documents of {choice.units} files, modules or rows only.",
            f"Documents of at least {LEAST_UNITS} are needed; raise corpus.heldout.characters.",
        )
    return choice


def _heldout_documents(corpus: Artifact) -> list[Document | None]:
    """What is held out, in the corpus's order; None for an answer that was not liked."""
    columns = ["id", "source", "unit", "text", "row"]
    file = corpus.file("heldout.parquet")
    known = [name for name in columns if name in pq.read_schema(file).names]  # a corpus made before there were rows has none
    documents: list[Document | None] = []
    for held in pq.read_table(file, columns=known).to_pylist():
        unit, line = f"{held['source']}/{held['unit']}", held.get("row")
        documents.append(Document(held["id"], unit, held["text"]) if line is None else _of_row(held["id"], unit, line))
    return documents


def _of_row(name: str, unit: str, line: str) -> Document | None:
    row = Row.from_json(line)
    if row.liked is False:
        return None
    answer = row.answers[0]  # of a pair, the better one
    # many templates strip what they are given, so that no model ever learns the white space around an answer
    return Document(name, unit, answer if isinstance(row.prompt, str) else answer.strip(), row.prompt)


def _shortened(document: Document, limit: int) -> Document | None:
    """The document, or its beginning, within the limit; None where a prompt leaves less than half of it to the answer."""
    if document.characters <= limit:
        return document
    room = limit - _length(document.prompt)
    if document.prompt is not None and room < limit // 2:
        return None
    text = _beginning(document.text, room)
    return replace(document, text=text.rstrip() or text if isinstance(document.prompt, tuple) else text)


def _length(prompt: Prompt | None) -> int:
    """Characters."""
    return sum(len(turn.content) for turn in prompt) if isinstance(prompt, tuple) else len(prompt or "")


def _asked(document: Document) -> tuple[Any, ...]:
    """What makes the document this one and no other."""
    plain = (document.id, document.unit, document.text)
    if document.prompt is None:
        return plain
    prompt = document.prompt
    return (*plain, prompt if isinstance(prompt, str) else [(turn.role, turn.content) for turn in prompt])


def _draw(name: str) -> bytes:
    """A fixed order that has nothing to do with the names."""
    return sha256(name.encode()).digest()


def _beginning(text: str, limit: int) -> str:
    """At most ``limit`` characters, cut at white space where there is some."""
    if len(text) <= limit:
        return text
    words, space, _ = text[: limit + 1].rpartition(" ")
    return words if space and len(words) > limit // 2 else text[:limit]


def _too_few(corpus: Artifact, heldout: int, scored: float) -> EtymonError:
    """``scored``: share of the held-out documents that can be scored."""
    rows = pq.read_table(corpus.file("train.parquet"), columns=["source", "unit"]).to_pylist()
    total = heldout + len({(row["source"], row["unit"]) for row in rows})
    liked = " and liked" if scored < 1 else ""
    problem = f"Only {heldout} of the corpus's {total} files, modules or rows are held out{liked}; "
    problem += f"{LEAST_UNITS} are needed for a score."
    share = math.ceil(100 * LEAST_UNITS / total / max(scored, 0.01) + 1) / 100
    if total >= 2 * LEAST_UNITS and share < 1:
        remedy = f"Set corpus.heldout.share to {share:.2f} or more, or leave `heldout` out of evaluate.tasks."
        return EtymonError(problem, remedy)
    return EtymonError(
        problem, f"Add documents (at least {2 * LEAST_UNITS} files in all), or leave `heldout` out of evaluate.tasks."
    )


def score_heldout(choice: HeldoutChoice, examinee: "Examinee", progress: "Progress") -> Records:
    """Bits per byte of every chosen document or answer, weighted by its bytes.

    Raises EtymonError where there are conversations and the model has no chat template that can write them.
    """
    windows = [_requests(document, examinee) for document in choice.documents]
    if empty := [document.id for document, asked in zip(choice.documents, windows, strict=True) if not asked]:
        raise EtymonError(
            f"The held-out document {empty[0]} has no token to score ({len(empty)} such documents).",
            "Take it out of the corpus.",
        )
    texts = [
        ScoredText(document.id, document.unit, document.text, tuple(asked))
        for document, asked in zip(choice.documents, windows, strict=True)
    ]
    request_records, items, usage = score_texts(texts, examinee, progress, "scoring held-out documents")
    notes = choice.notes
    notes += usage.truncation_notes("prompt")
    return Records(request_records, items, {"bits_per_byte": False}, usage, notes, {"bits_per_byte": "bits_per_byte"})


def _requests(document: Document, examinee: "Examinee") -> list["TokenRequest"]:
    if document.prompt is not None:
        from etymon.evaluate.answers import answer_requests  # imports Transformers

        return answer_requests(document.prompt, document.text, examinee)
    start, _ = document_marks(examinee.tokenizer)
    start = examinee.prefix_token if start is None else start
    (ids,) = text_ids(examinee.tokenizer, [document.text])
    return rolling_requests(ids, start, examinee.max_length)
