"""Records on their way to the database: taken without waiting, written in batches by a thread of its own.

A database that goes away costs the service nothing. Records wait in a bounded queue and are tried again for a bounded time;
those that are lost are counted and logged.
"""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy.exc import SQLAlchemyError

from etymon.serve.audit.records import Record, Records, reason
from etymon.serve.audit.texts import Texts

MOST_WAITING = 20_000
"""Records; a service of 100 requests a second outlasts three minutes without its database."""
MOST_BYTES = 256_000_000
"""Of the texts of records that wait."""
RETRY_SECONDS = 600.0
"""After which records that could not be written are lost."""
_BACK_OFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
_TOGETHER = 500
_BYTES_TOGETHER = 32_000_000
_GATHERING_SECONDS = 0.2
_CLOSING_SECONDS = 10.0
_DAY, _HOUR = 86_400.0, 3_600.0


class Count(Protocol):
    """Told how many records were written, or lost."""

    def __call__(self, *, written: int = 0, lost: int = 0) -> None: ...


@dataclass(frozen=True)
class Entry:
    """One record as it is put in the queue."""

    record: Record
    texts: Texts | None

    @property
    def size(self) -> int:
        """Bytes of its texts."""
        return self.texts.size if self.texts else 0

    def row(self) -> dict[str, Any]:
        """By the columns of the table. Texts are read here, in the writer's thread."""
        texts = self.texts
        return {**self.record, "question": texts.question if texts else None, "answer": texts.answer if texts else None}


class Writer:
    """Of one service. ``close`` at its end, or what waits is lost."""

    def __init__(
        self,
        records: Records,
        days: Callable[[], int],
        log: Callable[..., None],
        count: Count,
        *,
        most_waiting: int = MOST_WAITING,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """``days``: how long records are kept, asked each time. ``log`` is told what happens, as named values."""
        self._records, self._days, self._log, self._count = records, days, log, count
        self._queue: queue.Queue[Entry] = queue.Queue(most_waiting)
        self._most_bytes = most_bytes
        self._bytes = 0
        """Of texts in the queue, and of those that are being written."""
        self._closing = threading.Event()
        self._give_up_at = float("inf")
        self._lost = 0
        """Not yet told in the log."""
        self._counting = threading.Lock()
        self._pruned: float | None = None
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def put(self, record: Record, texts: Texts | None = None) -> None:
        """Take a record. It never waits: where too much waits already the record is lost, and counted."""
        entry = Entry(record, texts)
        with self._counting:
            fits = self._bytes + entry.size <= self._most_bytes
        try:
            if not fits:
                raise queue.Full
            self._queue.put_nowait(entry)
        except queue.Full:
            self._lose(1)
        else:
            with self._counting:
                self._bytes += entry.size

    @property
    def waiting(self) -> int:
        """Records in the queue."""
        return self._queue.qsize()

    def close(self, seconds: float = _CLOSING_SECONDS) -> None:
        """Write what waits, for so long at most."""
        self._give_up_at = time.monotonic() + seconds
        self._closing.set()
        self._thread.join(seconds + 1)
        if left := self.waiting:
            self._lose(left)
            self._log(state="closed", lost=left)
        self._records.close()

    def _run(self) -> None:
        while not (self._closing.is_set() and self._queue.empty()) and time.monotonic() < self._give_up_at:
            self._prune()
            if entries := self._gathered():
                self._write_or_lose(entries)
                with self._counting:
                    self._bytes -= sum(entry.size for entry in entries)

    def _write_or_lose(self, entries: list[Entry]) -> None:
        """A record that no database would take is lost alone: this thread goes on."""
        try:
            self._write([entry.row() for entry in entries])
        except Exception as error:
            if len(entries) == 1:
                self._lose(1)
                self._log(state="not written", lost=1, reason=type(error).__name__)
            else:
                for entry in entries:
                    self._write_or_lose([entry])

    def _gathered(self) -> list[Entry]:
        """What comes within a moment, up to a batch."""
        entries: list[Entry] = []
        end = time.monotonic() + _GATHERING_SECONDS
        while len(entries) < _TOGETHER and sum(entry.size for entry in entries) < _BYTES_TOGETHER:
            try:
                left = 0.0 if self._closing.is_set() else max(0.0, end - time.monotonic())
                entries.append(self._queue.get(timeout=left) if left else self._queue.get_nowait())
            except queue.Empty:
                break
        return entries

    def _write(self, rows: list[dict[str, Any]]) -> None:
        began, attempt = time.monotonic(), 0
        while True:
            try:
                self._records.write(rows)
                break
            except SQLAlchemyError as error:
                if attempt == 0:
                    self._log(state="unreachable", reason=reason(error))
                now = time.monotonic()
                if now - began > RETRY_SECONDS or now > self._give_up_at:
                    self._lose(len(rows))
                    self._log(state="given up", lost=len(rows), reason=reason(error))
                    return
                wait = _BACK_OFF_SECONDS[min(attempt, len(_BACK_OFF_SECONDS) - 1)]
                if self._closing.wait(wait):
                    time.sleep(0.1)  # the event is set from then on
                attempt += 1
        self._count(written=len(rows))
        with self._counting:
            lost, self._lost = self._lost, 0
        if attempt or lost:
            self._log(state="written again", seconds=round(time.monotonic() - began, 1), lost=lost)

    def _prune(self) -> None:
        """Remove what is too old, at the start and then once a day; after an hour where it did not work."""
        now = time.monotonic()
        if self._pruned is not None and now - self._pruned < _DAY:
            return
        self._pruned = now
        try:
            if removed := self._records.prune(self._days()):
                self._log(state="pruned", removed=removed)
        except SQLAlchemyError as error:
            self._pruned = now - _DAY + _HOUR
            self._log(state="not pruned", reason=reason(error))

    def _lose(self, count: int) -> None:
        with self._counting:
            self._lost += count
        self._count(lost=count)
