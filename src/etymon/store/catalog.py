"""The catalog: an index of artifacts with generic facts and edges. It can always be rebuilt from the artifacts.

SQLite by default, PostgreSQL by URL (``postgresql+psycopg://user@host/database``).
"""

import sqlite3
from collections.abc import Iterable
from typing import Any

from sqlalchemy import JSON, ForeignKey, delete, event, select
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from etymon.errors import EtymonError
from etymon.store.artifact import Artifact
from etymon.store.database import create_tables, open_database

_CALLED = (
    "The catalog",
    "Give a SQLAlchemy URL such as postgresql+psycopg://user@host/database, or unset ETYMON_CATALOG for SQLite.",
)


class _Base(DeclarativeBase):
    pass


class ArtifactRow(_Base):
    """One artifact."""

    __tablename__ = "artifact"
    name: Mapped[str] = mapped_column(primary_key=True)
    stage: Mapped[str] = mapped_column(index=True)
    address: Mapped[str]
    digest: Mapped[str] = mapped_column(index=True)
    created: Mapped[str]
    seconds: Mapped[float]
    bytes: Mapped[int]


class FactRow(_Base):
    """One fact of an artifact: a key of its stage and a plain value."""

    __tablename__ = "fact"
    artifact: Mapped[str] = mapped_column(ForeignKey("artifact.name", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)


class EdgeRow(_Base):
    """One input of an artifact. ``input_digest`` is the digest of another artifact, or of something from outside."""

    __tablename__ = "edge"
    artifact: Mapped[str] = mapped_column(ForeignKey("artifact.name", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    input_digest: Mapped[str] = mapped_column(index=True)
    label: Mapped[str]


class Catalog:
    """The index of one store."""

    def __init__(self, url: str | URL) -> None:
        self._engine = open_database(url, *_CALLED)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", lambda c, _: c.execute("PRAGMA foreign_keys=ON"))
            event.listen(self._engine, "handle_error", _damage_explained)
        create_tables(self._engine, _Base.metadata, *_CALLED)

    def add(self, artifact: Artifact) -> None:
        """Index an artifact; an older entry of the same name is replaced."""
        try:
            with Session(self._engine) as session, session.begin():
                self._add(session, artifact)
        except IntegrityError:  # another process indexed it between our delete and insert: now there is one to replace
            with Session(self._engine) as session, session.begin():
                self._add(session, artifact)

    def add_missing(self, artifact: Artifact) -> None:
        """Index an artifact unless it is."""
        with Session(self._engine) as session:
            known = session.get(ArtifactRow, artifact.name)
        if known is None or known.digest != artifact.digest:
            self.add(artifact)

    def remove(self, name: str) -> None:
        with Session(self._engine) as session, session.begin():
            session.execute(delete(ArtifactRow).where(ArtifactRow.name == name))

    def rebuild(self, artifacts: Iterable[Artifact]) -> int:
        """Forget everything and index these artifacts; returns how many."""
        count = 0
        with Session(self._engine) as session, session.begin():
            for table in (EdgeRow, FactRow, ArtifactRow):
                session.execute(delete(table))
            for artifact in artifacts:
                self._add(session, artifact)
                count += 1
        return count

    def rows(self, stage: str | None = None) -> list[ArtifactRow]:
        """Artifacts, newest last; of one stage if it is named."""
        query = select(ArtifactRow).order_by(ArtifactRow.created, ArtifactRow.name)
        if stage is not None:
            query = query.where(ArtifactRow.stage == stage)
        with Session(self._engine, expire_on_commit=False) as session:
            return list(session.scalars(query))

    def facts(self, name: str) -> dict[str, Any]:
        with Session(self._engine) as session:
            return {row.key: row.value for row in session.scalars(select(FactRow).where(FactRow.artifact == name))}

    def users_of(self, digest: str) -> list[str]:
        """Names of the artifacts that were built on content with this digest."""
        with Session(self._engine) as session:
            return sorted(session.scalars(select(EdgeRow.artifact).where(EdgeRow.input_digest == digest)))

    def _add(self, session: Session, artifact: Artifact) -> None:
        manifest = artifact.manifest
        session.execute(delete(ArtifactRow).where(ArtifactRow.name == artifact.name))
        session.add(
            ArtifactRow(
                name=artifact.name,
                stage=manifest.stage,
                address=manifest.address,
                digest=manifest.digest,
                created=manifest.created,
                seconds=manifest.seconds,
                bytes=sum(record.bytes for record in manifest.files.values()),
            )
        )
        session.flush()
        session.add_all(FactRow(artifact=artifact.name, key=key, value=value) for key, value in manifest.facts.items())
        session.add_all(
            EdgeRow(artifact=artifact.name, role=role, input_digest=given.digest, label=given.label)
            for role, given in manifest.inputs.items()
        )


def _damage_explained(context: ExceptionContext) -> None:
    """Raise EtymonError where an SQLite file turns out to be damaged: at its opening, or at any later query."""
    error = context.original_exception
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest of an extended code says where in the file
    if primary in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT) and context.engine is not None:
        path = context.engine.url.database
        raise EtymonError(
            f"The catalog {path} is damaged: {error}.",
            f"Remove {path} and run `etymon rebuild-catalog`: everything in it comes from the artifacts.",
        ) from error
