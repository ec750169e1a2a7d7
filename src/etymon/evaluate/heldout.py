"""The task ``heldout``: bits per byte on documents of the corpus that training never saw.

A document begins with the model's own start mark and is scored to its last token; the mark that would end it is not scored.
Bits per byte do not depend on the tokenizer (Gao et al., arXiv 2101.00027, §3.1), so different models can be compared.
"""

import math
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from etymon.errors import EtymonError
from etymon.evaluate.identity import data_digest, task_identity
from etymon.evaluate.records import ItemRecord, Records, RequestRecord
from etymon.evaluate.rolling import rolling_requests
from etymon.foundation.documents import document_marks, text_ids
from etymon.store import Artifact

if TYPE_CHECKING:
    from etymon.evaluate.examinee import Examinee, Progress

LEAST_UNITS = 5
"""Documents of one file are not independent: fewer files give no usable interval (Student's t with 3 degrees of freedom
reaches 3.2 standard errors)."""
_SHARE_OF_ONE = 10
"""No document takes more than a tenth of the text that is scored; of a longer one the beginning is."""
_FORM = "document/1: start mark, document, no end mark"


@dataclass(frozen=True)
class Document:
    """A held-out document, or its beginning."""

    id: str
    unit: str
    text: str


@dataclass(frozen=True)
class HeldoutChoice:
    """What is scored, and what the held-out side holds in all."""

    documents: tuple[Document, ...]
    of_documents: int
    of_units: int
    cut: int
    """Documents of which only the beginning is scored."""
    name: str = "heldout"

    @property
    def units(self) -> int:
        return len({document.unit for document in self.documents})

    @property
    def identity(self) -> str:
        data = data_digest([(document.id, document.unit, document.text) for document in self.documents])
        return task_identity(self.name, data=data, form=_FORM, shots=0, template="none", judge="etymon bits per byte/1")

    @property
    def notes(self) -> list[str]:
        notes = []
        if len(self.documents) < self.of_documents:
            notes.append(
                f"{len(self.documents)} of {self.of_documents} held-out documents are scored, from {self.units} of "
                f"{self.of_units} files or modules (corpus.heldout.characters limits them)."
            )
        if self.cut:
            notes.append(f"Of {self.cut} long documents only the beginning is scored.")
        return notes


def choose_heldout(corpus: Artifact, characters: int) -> HeldoutChoice:
    """Choose at most ``characters`` of held-out text, the same ones every time, in turn from all units.

    Raises EtymonError where fewer than ``LEAST_UNITS`` units are held out, and says how many are needed.
    """
    columns = ["id", "source", "unit", "text"]
    by_unit: dict[str, list[Document]] = {}
    for row in pq.read_table(corpus.file("heldout.parquet"), columns=columns).to_pylist():
        unit = f"{row['source']}/{row['unit']}"
        by_unit.setdefault(unit, []).append(Document(row["id"], unit, row["text"]))
    if len(by_unit) < LEAST_UNITS:
        raise _too_few(corpus, len(by_unit))
    limit = max(1, characters // _SHARE_OF_ONE)
    chosen: list[Document] = []
    cut = 0
    left = characters
    queues = [sorted(by_unit[unit], key=lambda d: _draw(d.id)) for unit in sorted(by_unit, key=_draw)]
    for turn in range(max(map(len, queues))):
        for document in (queue[turn] for queue in queues if turn < len(queue)):
            text = _beginning(document.text, limit)
            if len(text) <= left:
                chosen.append(Document(document.id, document.unit, text))
                left -= len(text)
                cut += len(text) < len(document.text)
    choice = HeldoutChoice(tuple(chosen), sum(map(len, queues)), len(queues), cut)
    if choice.units < LEAST_UNITS:
        raise EtymonError(
            f"corpus.heldout.characters is {characters}: that holds documents of {choice.units} files or modules only.",
            f"Documents of at least {LEAST_UNITS} are needed; raise corpus.heldout.characters.",
        )
    return choice


def _draw(name: str) -> bytes:
    """A fixed order that has nothing to do with the names."""
    return sha256(name.encode()).digest()


def _beginning(text: str, limit: int) -> str:
    """At most ``limit`` characters, cut at white space where there is some."""
    if len(text) <= limit:
        return text
    words, space, _ = text[: limit + 1].rpartition(" ")
    return words if space and len(words) > limit // 2 else text[:limit]


def _too_few(corpus: Artifact, heldout: int) -> EtymonError:
    rows = pq.read_table(corpus.file("train.parquet"), columns=["source", "unit"]).to_pylist()
    total = heldout + len({(row["source"], row["unit"]) for row in rows})
    problem = f"Only {heldout} of the corpus's {total} files or modules are held out; {LEAST_UNITS} are needed for a score."
    if total >= 2 * LEAST_UNITS:
        share = math.ceil(100 * LEAST_UNITS / total + 1) / 100
        remedy = f"Set corpus.heldout.share to {share:.2f} or more, or leave `heldout` out of evaluate.tasks."
        return EtymonError(problem, remedy)
    return EtymonError(
        problem, f"Add documents (at least {2 * LEAST_UNITS} files in all), or leave `heldout` out of evaluate.tasks."
    )


def score_heldout(choice: HeldoutChoice, examinee: "Examinee", progress: "Progress") -> Records:
    """Bits per byte of every chosen document, weighted by its bytes."""
    start, _ = document_marks(examinee.tokenizer)
    start = examinee.prefix_token if start is None else start
    windows = [
        rolling_requests(ids, start, examinee.max_length)
        for ids in text_ids(examinee.tokenizer, [document.text for document in choice.documents])
    ]
    requests = [request for of_document in windows for request in of_document]
    scores, usage = examinee.scorer.score(requests, lambda done, total: progress("scoring held-out documents", done, total))
    answers = iter(scores)
    request_records: list[RequestRecord] = []
    items: list[ItemRecord] = []
    for document, of_document in zip(choice.documents, windows, strict=True):
        size = len(document.text.encode())
        nats = 0.0
        for number in range(len(of_document)):
            score = next(answers)
            nats += score.logprob
            request_records.append(
                RequestRecord(
                    item=document.id,
                    request=number,
                    logprob=score.logprob,
                    tokens=score.tokens,
                    bytes=size if number == 0 else 0,
                    characters=len(document.text) if number == 0 else 0,
                    is_greedy=score.is_greedy,
                    target=None,
                    seconds=score.seconds,
                )
            )
        items.append(ItemRecord(document.id, document.unit, "bits_per_byte", -nats / math.log(2) / size, size))
    return Records(request_records, items, {"bits_per_byte": False}, usage, choice.notes)
