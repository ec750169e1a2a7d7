"""The records of requests in their database: SQLite, or PostgreSQL by URL."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import BigInteger, ColumnElement, delete, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from etymon.errors import EtymonError
from etymon.store.database import create_tables, open_database
from etymon.store.folders import make_folder

_CALLED = (
    "The audit database",
    "Give --audit a URL such as postgresql+psycopg://user@host/database, or leave it out for SQLite.",
)
_SECONDS = 10
"""That PostgreSQL may take to connect."""
_UNANSWERED_MS = 30_000
"""After which a connection that says nothing is given up."""

Record = Mapping[str, Any]
"""One request by the columns of the table."""
By = Literal["model", "key", "day"]


class _Base(DeclarativeBase):
    pass


class RequestRow(_Base):
    """One request, and what became of it."""

    __tablename__ = "request"
    id: Mapped[str] = mapped_column(primary_key=True)
    """As in the log, the answer's header ``x-request-id`` and its label."""
    time: Mapped[str] = mapped_column(index=True)
    """When it came: ISO 8601, UTC, milliseconds."""
    key: Mapped[str | None] = mapped_column(index=True)
    """The id of the client's key."""
    endpoint: Mapped[str]
    model: Mapped[str | None]
    digest: Mapped[str | None]
    """Of the model's weights."""
    stream: Mapped[bool]
    status: Mapped[int]
    code: Mapped[str | None]
    outcome: Mapped[str]
    rule: Mapped[str | None]
    """Of the policy, that the request or its answer broke."""
    side: Mapped[str | None]
    unlabelled: Mapped[bool]
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    first_token_ms: Mapped[float | None]
    ms: Mapped[float]
    question: Mapped[str | None]
    """Where the policy has texts kept: messages as JSON, or what else was asked."""
    answer: Mapped[str | None]


@dataclass(frozen=True)
class Wanted:
    """Which records; None: whatever is there."""

    since: datetime | None = None
    id: str | None = None
    keys: tuple[str, ...] | None = None
    """Any of these, by their ids."""
    model: str | None = None
    outcome: str | None = None
    rule: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found = [RequestRow.time >= stamp(self.since)] if self.since else []
        if self.keys is not None:
            found.append(RequestRow.key.in_(self.keys))
        named = {"id": self.id, "model": self.model, "outcome": self.outcome, "rule": self.rule}
        return found + [getattr(RequestRow, name) == value for name, value in named.items() if value is not None]


@dataclass(frozen=True)
class Total:
    """Sums over the requests of one model, key or day."""

    of: str | None
    requests: int
    answered: int
    refused: int
    failed: int
    left: int
    """By clients, before their answer was complete."""
    prompt_tokens: int
    completion_tokens: int


class Records:
    """One database of records."""

    def __init__(self, url: str | URL) -> None:
        """Raises EtymonError where it cannot be opened."""
        self._engine = open_database(url, *_CALLED, connect_timeout=_SECONDS, tcp_user_timeout=_UNANSWERED_MS)
        self._sqlite = self._engine.dialect.name == "sqlite"
        if self._sqlite:
            _make_private(self._engine.url.database)
            event.listen(self._engine, "connect", _prepare)
        create_tables(self._engine, _Base.metadata, *_CALLED)

    def write(self, records: Sequence[Record]) -> None:
        """All of them or none; one that is there already stays as it is. Raises SQLAlchemyError."""
        insert = sqlite.insert(RequestRow) if self._sqlite else postgresql.insert(RequestRow)
        with self._engine.begin() as connection:
            connection.execute(insert.on_conflict_do_nothing(), [*records])

    def prune(self, days: int) -> int:
        """Remove what is older; returns how many. Raises SQLAlchemyError."""
        with self._engine.begin() as connection:
            old = RequestRow.time < stamp(datetime.now(UTC) - timedelta(days=days))
            return connection.execute(delete(RequestRow).where(old)).rowcount

    def count(self, wanted: Wanted) -> int:
        with self._engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(RequestRow).where(*wanted.conditions())).scalar_one()

    def known(self, name: Literal["model", "rule"]) -> list[str]:
        """Every value that there is, in order."""
        column = RequestRow.__table__.c[name]
        with self._engine.connect() as connection:
            return list(connection.execute(select(column).distinct().where(column.is_not(None)).order_by(column)).scalars())

    def read(self, wanted: Wanted, newest: int | None = None) -> Iterator[dict[str, Any]]:
        """Oldest first; of many the ``newest``."""
        table = RequestRow.__table__
        query = select(table).where(*wanted.conditions())
        if newest is not None:
            chosen = query.order_by(table.c.time.desc(), table.c.id.desc()).limit(newest).subquery()
            query = select(chosen).order_by(chosen.c.time, chosen.c.id)
        else:
            query = query.order_by(table.c.time, table.c.id)
        with self._engine.connect().execution_options(yield_per=500) as connection:
            for row in connection.execute(query).mappings():
                yield dict(row)

    def totals(self, wanted: Wanted, by: By) -> list[Total]:
        """Sums by model, key or day, in their order."""
        group = {"model": RequestRow.model, "key": RequestRow.key, "day": func.substr(RequestRow.time, 1, 10)}[by]

        def ended(outcome: str) -> Any:
            return func.count().filter(RequestRow.outcome == outcome)

        sums = [func.coalesce(func.sum(each), 0) for each in (RequestRow.prompt_tokens, RequestRow.completion_tokens)]
        outcomes = [ended(each) for each in ("answered", "refused", "failed", "left")]
        query = select(group, func.count(), *outcomes, *sums).where(*wanted.conditions()).group_by(group).order_by(group)
        with self._engine.connect() as connection:
            return [Total(row[0], *(int(each) for each in row[1:])) for row in connection.execute(query)]

    def close(self) -> None:
        self._engine.dispose()


def open_records(workspace: Path, url: str | None, *, new: bool) -> Records:
    """Those of a workspace, or of a URL. Raises EtymonError; where ``new`` is False also for a file that is not there."""
    if url is not None:
        return Records(url)
    path = workspace / "serve" / "audit.sqlite"
    if not new and not path.is_file():
        raise EtymonError(
            f"Nothing was recorded in {path}.", "`etymon serve` writes it; --workspace or --audit name another."
        )
    make_folder(path.parent, "Name another workspace with --workspace.")
    return Records(URL.create("sqlite", database=str(path)))


def stamp(time: datetime) -> str:
    """As it is stored: in UTC, so that texts sort as times do."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(given: str, now: datetime) -> datetime:
    """``7d``, ``24h`` or ``30m`` ago, or a day or time as ISO 8601, of this machine's zone unless it names one.

    Raises EtymonError.
    """
    if found := re.fullmatch(r"(\d{1,5})([dhm])", given.strip()):
        unit = {"d": "days", "h": "hours", "m": "minutes"}[found[2]]
        return now - timedelta(**{unit: int(found[1])})
    try:
        return datetime.fromisoformat(given.strip()).astimezone(UTC)
    except ValueError:
        raise EtymonError(f"{given} is no time.", "Give 7d, 24h, 30m, or a day such as 2026-11-29.") from None


def reason(error: SQLAlchemyError) -> str:
    """The driver's own words, without the statement and its values, which may be texts of clients."""
    return " ".join(str(getattr(error, "orig", None) or type(error).__name__).split())[:300]


def _make_private(path: str | None) -> None:
    """A new file is its owner's alone: it may hold what people asked."""
    if path and not Path(path).exists():
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise EtymonError(f"The audit database {path} cannot be made: {error.strerror}.", _CALLED[1]) from None


def _prepare(connection: Any, _: object) -> None:
    """What is removed is overwritten, for it may be text; readers do not keep the writer waiting."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA secure_delete=ON")
