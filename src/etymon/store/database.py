"""A database opened by its URL, its tables made where they are not there: SQLite, or PostgreSQL."""

from typing import Any

from sqlalchemy import Engine, MetaData, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError, NoSuchModuleError, ProgrammingError
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from etymon.errors import EtymonError


def open_database(url: str | URL, called: str, remedy: str, **postgresql: Any) -> Engine:
    """``called``: what it is to the user, such as "The catalog". ``postgresql``: settings of its driver.

    Raises EtymonError where the URL is none or its driver is missing. Nothing is connected yet.
    """
    try:
        address = make_url(url)
        sqlite = address.get_backend_name() == "sqlite"
        return create_engine(address, connect_args={"timeout": 30} if sqlite else postgresql)
    except ImportError as error:
        raise EtymonError(
            f"{called} {shown(url)} needs the Python package {error.name}, which is not installed.",
            "For PostgreSQL: pip install 'etymon[postgresql]' and a URL such as postgresql+psycopg://user@host/database.",
        ) from error
    except (ArgumentError, NoSuchModuleError) as error:
        raise _not_opened(url, called, remedy, error) from error


def create_tables(engine: Engine, metadata: MetaData, called: str, remedy: str) -> None:
    """Create what is not there yet. Another process may be doing so just now. Raises EtymonError where that fails.

    SQLite decides ``IF NOT EXISTS`` under its lock. In PostgreSQL the slower of two fails when the other has committed.
    """
    tables = metadata.sorted_tables
    creations: list[ExecutableDDLElement] = [CreateTable(table, if_not_exists=True) for table in tables]
    creations += [CreateIndex(index, if_not_exists=True) for table in tables for index in table.indexes]

    def create() -> None:
        with engine.begin() as connection:
            for creation in creations:
                connection.execute(creation)

    try:
        try:
            create()
        except (ProgrammingError, IntegrityError):
            create()
    except DatabaseError as error:
        raise _not_opened(engine.url, called, remedy, error) from error


def shown(url: str | URL) -> str:
    """The URL without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return str(url)


def _not_opened(url: str | URL, called: str, remedy: str, error: Exception) -> EtymonError:
    return EtymonError(f"{called} {shown(url)} cannot be opened: {str(error).splitlines()[0]}.", remedy)
