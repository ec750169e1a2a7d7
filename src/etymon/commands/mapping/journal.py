"""What was answered so far, beside the output: a kill costs the answers that were being written, and no others.

An SQLite file in one table. An answer counts for a row as long as the job and what is asked about the row are the same.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etymon.errors import EtymonError

_TABLES = (
    "CREATE TABLE IF NOT EXISTS job (what TEXT PRIMARY KEY, digest TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS answer (row INTEGER PRIMARY KEY, asked TEXT NOT NULL, answer TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS failed (row INTEGER PRIMARY KEY, reason TEXT NOT NULL, detail TEXT NOT NULL)",
)


@dataclass(frozen=True)
class Failure:
    """A row without an answer, and why."""

    row: int
    reason: str
    detail: str


class Journal:
    """Of one output. Whoever holds it open is the only one."""

    def __init__(self, path: Path) -> None:
        """Raises EtymonError where another run has it, or the file is something else."""
        self.path = path
        self._job = ""
        try:
            self._file = sqlite3.connect(path, timeout=1, isolation_level=None)
        except sqlite3.OperationalError as error:
            raise EtymonError(f"{path} cannot be written: {error}.", "Give another --output.") from None
        try:
            self._file.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute("PRAGMA synchronous=NORMAL")
            self._file.execute("BEGIN EXCLUSIVE")
            for table in _TABLES:
                self._file.execute(table)
            self._file.execute("DELETE FROM failed")
            self._file.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            self._file.close()
            if "locked" in str(error):
                raise EtymonError(
                    f"Another run is writing {path.with_suffix('')}.", "Wait for it, or give another --output."
                ) from None
            raise EtymonError(f"{path} is no journal of answers: {error}.", "Remove it: rows are asked again.") from None

    def close(self) -> None:
        self._file.close()

    def begin(self, job: dict[str, str]) -> tuple[list[str], int]:
        """Say what is asked, by its parts; what of it has changed, and how many answers are therefore not used.

        They stay until their rows are asked anew: a job that turns out to be impossible costs none.
        """
        digests = {what: digest_of(content) for what, content in job.items()}
        before = dict(self._file.execute("SELECT what, digest FROM job"))
        changed = [what for what in digests if before and before.get(what) != digests[what]]
        self._file.executemany("INSERT OR REPLACE INTO job VALUES (?, ?)", digests.items())
        self._job = digest_of(json.dumps(digests, sort_keys=True))
        (unused,) = self._file.execute("SELECT count(*) FROM answer WHERE asked NOT LIKE ?", (f"{self._job}:%",)).fetchone()
        return changed, int(unused) if changed else 0

    def has(self, row: int, asked: str) -> bool:
        """Whether this question about this row was answered."""
        found = self._file.execute("SELECT 1 FROM answer WHERE row = ? AND asked = ?", (row, self._named(asked)))
        return found.fetchone() is not None

    def answer_of(self, row: int) -> dict[str, Any] | None:
        """What was answered about this row, whatever was asked: once all rows are asked, there is no older answer left."""
        found = self._file.execute("SELECT answer FROM answer WHERE row = ?", (row,)).fetchone()
        return dict(json.loads(found[0])) if found else None

    def write(self, row: int, asked: str, answer: dict[str, Any]) -> None:
        text = json.dumps(answer, ensure_ascii=False)
        self._file.execute("INSERT OR REPLACE INTO answer VALUES (?, ?, ?)", (row, self._named(asked), text))

    def _named(self, asked: str) -> str:
        return f"{self._job}:{digest_of(asked)}"

    def fail(self, failure: Failure) -> None:
        """An older answer, to another question about this row, is forgotten."""
        self._file.execute("DELETE FROM answer WHERE row = ?", (failure.row,))
        values = (failure.row, failure.reason, failure.detail.encode("utf-8", "replace").decode())
        self._file.execute("INSERT OR REPLACE INTO failed VALUES (?, ?, ?)", values)

    def failed(self) -> Iterator[Failure]:
        """In the order of the rows."""
        for row in self._file.execute("SELECT row, reason, detail FROM failed ORDER BY row"):
            yield Failure(*row)

    def reasons(self) -> dict[str, int]:
        """How many rows failed for each reason, the most frequent first."""
        return dict(self._file.execute("SELECT reason, count(*) FROM failed GROUP BY reason ORDER BY 2 DESC, 1"))


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
