"""A database by its SQLAlchemy URL: where a table is, one transaction, and what goes wrong in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synth.errors import DataError, InputError, MissingExtraError, VerificationError

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")  # with what is added to it, within the limit of every database
COMPANION = "_synth"


@dataclass(frozen=True)
class Address:
    """A table of a database."""

    url: URL
    table: str

    @property
    def companion(self) -> str:
        """The table beside it, which holds the attestation and the documents."""
        return self.table + COMPANION

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database; None for any other."""
        name = self.url.database
        return Path(name) if self.url.get_backend_name() == "sqlite" and name not in (None, "", ":memory:") else None

    def __str__(self) -> str:
        """The URL without its password, with the table's name as ?table=NAME."""
        return self.url.update_query_dict({"table": self.table}).render_as_string(hide_password=True)


def is_address(text: str | Path) -> bool:
    """Whether this names a database rather than a file or folder."""
    return "://" in str(text)


def address(url: str, table: str | None = None) -> Address:
    """A table by its database's URL, with the table's name apart or as ?table=NAME.

    Raises InputError for what is no such URL or name, MissingExtraError without SQLAlchemy.
    """
    try:
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError
    except ImportError as problem:
        raise MissingExtraError("a table of a database", "sqlalchemy", "sql") from problem
    try:
        parsed = make_url(url)
    except ArgumentError as problem:
        raise InputError(
            "that is no URL of a database; write one as sqlite:///folder/file.db or postgresql://host/name"
        ) from problem
    within = parsed.query.get("table")
    names = {name for name in (table, within) if name is not None}
    if len(names) != 1:
        raise InputError(f"{len(names)} tables are named; name one, with --table NAME or as ?table=NAME at the end of the URL")
    (name,) = names
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(f"a table cannot be named {name!r} here; use at most 40 letters, digits and underscores")
    return Address(parsed.difference_update_query(["table"]), name)


@contextmanager
def begun(place: Address, *, write: bool = False, create: bool = False) -> Iterator[Connection]:
    """A connection in one transaction, which is undone if the block fails, and where nothing is to be written.

    create: whether an SQLite database may be made; one that was is gone again if the block fails.
    Raises VerificationError for an SQLite file that is not there and may not be made.
    """
    file = place.file
    is_new = file is not None and not file.exists()
    if is_new and not create:
        raise VerificationError(f"{place} is not there: no file {file}; check the path")
    if write and file is not None and file.is_symlink():
        raise DataError(f"{file} is a link, and what it leads to can be swapped; give the database file itself")
    try:
        with in_words(place):
            engine = _engine(place, write)
            connection = engine.connect()
        try:
            with connection, connection.begin() as transaction:
                yield connection
                if not write:
                    transaction.rollback()
        finally:
            engine.dispose()
    except BaseException:
        if is_new and file is not None:
            with suppress(OSError):
                file.unlink()
        raise


@contextmanager
def in_words(place: Address) -> Iterator[None]:
    """Turn what a database or its driver says into a DataError of one line, without the URL's password."""
    from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

    try:
        yield
    except (ModuleNotFoundError, NoSuchModuleError) as problem:
        raise InputError(
            f"{place}: {problem}; install the driver of this database, or write its URL as database+driver://…"
        ) from problem
    except SQLAlchemyError as problem:
        said = " ".join(str(getattr(problem, "orig", None) or problem).split())[:160]
        raise DataError(f"{place}: {said}; mend that, or choose another database") from problem
    except OverflowError as problem:
        raise DataError(f"{place} cannot hold these rows: {problem}; leave such a column out") from problem


def _engine(place: Address, write: bool) -> Engine:
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool

    engine = create_engine(place.url, poolclass=NullPool)
    if engine.dialect.name == "sqlite":  # whose Python driver would begin no transaction before a table is made

        @event.listens_for(engine, "connect")
        def _by_hand(connection: Any, record: Any) -> None:
            connection.isolation_level = None

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine
