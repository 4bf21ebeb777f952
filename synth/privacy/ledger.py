"""The ledger: how much may become known about each data set, and every spending, written before the data is touched.

One SQLite file: $SYNTH_LEDGER, else `ledger.sqlite` in $SYNTH_HOME. Whoever spends holds the only lock to write, from before he
reads what is left until his entry is on the disk, so that no two spend the same rest. A process that dies before that has
spent nothing and seen nothing; one that dies after it has spent, whatever it saw. A fit that is tried again pays again.

What is noticed. The table `entries` has one row for each thing that happened, and `heads` that row's SHA-256. Triggers refuse
to change or delete. Each entry names the SHA-256 of the one before it, so that whoever next opens the file finds what was done
past the triggers: an entry that was edited, removed, moved or put in, an end cut off one of the tables, a trigger that is gone.

What the file cannot show by itself: both tables cut to the same length, an older copy put back, the last entry or all of it
computed anew, or the file gone. Whoever keeps an entry's number and digest, as the artefact of a fit can, may ask whether the
ledger `knows` them. Two machines have two ledgers, and nothing adds them up. A data set is what is declared to be one: the same
rows under two names have two caps.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from synth.errors import DataError, InputError, VerificationError
from synth.folder import home, in_words, write_once
from synth.privacy.accounting import Curve
from synth.privacy.accounts import Account, Entry, account_in, accounts_in
from synth.privacy.budget import Budget, Unit, check_unit

PATIENCE = 60.0  # seconds to wait for others who write; each takes some hundredths
START = "0" * 64  # what the first entry follows

_VERSION = 1  # of the tables
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MEND = "put back a copy that has every spending since; nothing can be spent until then"


class Ledger:
    """The ledger in a file, by default this machine's; the file is made when a first account is opened.

    Whatever is asked of it, it raises VerificationError where it was altered, and DataError where it cannot be read or written.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path or os.environ.get("SYNTH_LEDGER") or home() / "ledger.sqlite")

    # writing -------------------------------------------------------------------------------------------------------

    def open_account(self, dataset: str, cap: Budget, *, by: str) -> Entry:
        """Set the cap of a data set, once: it holds for all models, retries, tuning and reports together.

        dataset: its declared name; by: who sets it. Raises InputError for a name that cannot be one, and where there is an
        account under that name, in whatever capitals.
        """
        if not isinstance(dataset, str) or not _NAME.fullmatch(dataset):
            raise InputError(f"a data set cannot be called {dataset!r}; use letters, digits, dots, hyphens and underscores")
        facts = {"cap": cap.to_dict(), "by": _words("by", by)}
        with self._writing() as book:
            for account in accounts_in(book.entries):
                if account.dataset.casefold() == dataset.casefold():
                    raise InputError(
                        f"{account.dataset!r} has an account, with a cap of {account.cap.in_words}; "
                        f"to change that: synth ledger {account.dataset} --cap-epsilon E --by NAME --reason TEXT"
                    )
            return book.append(dataset, "account", facts)

    def change_cap(self, dataset: str, cap: Budget, *, by: str, reason: str) -> Entry:
        """Raise or lower the cap of a data set. Who did it and why stays on record.

        Raises InputError where it has no account, for the cap that it has, and for another unit once something was spent,
        since that was spent on the old one.
        """
        facts = {"cap": cap.to_dict(), "by": _words("by", by), "reason": _words("reason", reason)}
        with self._writing() as book:
            account = account_in(book.entries, dataset)
            if cap == account.cap:
                raise InputError(f"the cap of {dataset!r} is {cap.in_words} already; give another one")
            if cap.about != account.cap.about and account.spent != Curve():
                raise InputError(
                    f"the unit of {dataset!r} is a {account.cap.about}, and something was spent on that: it cannot become a "
                    f"{cap.about};\nkeep the unit, or open an account under another name for rows that nothing was spent on"
                )
            return book.append(dataset, "cap", facts)

    def spend(
        self, dataset: str, cost: int | Curve, *, what: str, by: str, unit: Unit = "row", rows_per_subject: int | None = None
    ) -> Entry:
        """Write a spending down. Only when this has returned may the data be touched.

        cost: micro-ρ of zCDP, or a `Curve`; what: the job; by: who runs it; unit, rows_per_subject: what the job's noise hides,
        as its `Budget` says. Raises BudgetError where the cap would be passed, or where the noise hides less than the
        account's unit; InputError for a data set without an account and for a cost of nothing.
        """
        curve = cost if isinstance(cost, Curve) else Curve(cost)
        check_unit(unit, rows_per_subject)
        facts = {
            "cost": curve.to_dict(),
            "unit": unit,
            "rows_per_subject": rows_per_subject,
            "what": _words("what", what),
            "by": _words("by", by),
        }
        if curve == Curve():
            raise InputError(f"{what} is said to cost nothing; whatever looks at the data costs at least one micro-ρ")
        with self._writing() as book:
            account_in(book.entries, dataset).check(curve, unit, rows_per_subject, what=what)
            return book.append(dataset, "spending", facts)

    # reading -------------------------------------------------------------------------------------------------------

    def entries(self) -> tuple[Entry, ...]:
        """Everything that happened, oldest first."""
        if not self.path.exists():
            return ()
        with self._transaction("BEGIN") as connection:
            return _Book(self.path, connection).entries

    def accounts(self) -> tuple[Account, ...]:
        """Every data set's account, in the order in which they were opened."""
        return accounts_in(self.entries())

    def account(self, dataset: str) -> Account:
        """A data set's cap, its entries, and what is spent and left. Raises InputError where it has no account."""
        return account_in(self.entries(), dataset)

    def knows(self, number: int, digest: str) -> bool:
        """Whether it has that entry, as an artefact has it on record; if not, it is not the ledger it was."""
        entries = self.entries()
        return 0 < number <= len(entries) and entries[number - 1].digest == digest

    # the file ------------------------------------------------------------------------------------------------------

    @contextmanager
    def _writing(self) -> Iterator[_Book]:
        """The book, for one writer; what he appends is on the disk when the block has ended, or not at all."""
        with in_words(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with suppress(FileExistsError):
                write_once(self.path, b"", mode=0o600)
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield _Book(self.path, connection, make=True)

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        """On a connection of its own, so that no thread or fork shares one."""
        address = f"{self.path.absolute().as_uri()}?mode=rw"
        try:
            with closing(sqlite3.connect(address, timeout=PATIENCE, isolation_level=None, uri=True)) as connection:
                connection.text_factory = _text
                connection.execute("PRAGMA synchronous = EXTRA")  # FULL would let a cut of the power undo the last entry
                connection.execute("PRAGMA fullfsync = ON")  # where the disk answers before it has written (macOS)
                connection.execute("PRAGMA trusted_schema = OFF")
                connection.execute(begin)
                try:
                    yield connection
                    connection.execute("COMMIT")
                finally:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
        except sqlite3.OperationalError as problem:
            mend = "let the others who spend end first" if "locked" in str(problem) else "see that it can be read and written"
            raise DataError(f"cannot use the ledger {self.path}: {problem}; nothing was read; {mend}") from problem
        except (sqlite3.DatabaseError, UnicodeDecodeError) as problem:  # the latter where its words quote damaged text
            raise VerificationError(f"{self.path} is no ledger, or was damaged: {problem};\n{_MEND}") from problem


class _Book:
    """All entries, held against each other and their heads, and what appends one; within a transaction."""

    def __init__(self, path: Path, connection: sqlite3.Connection, *, make: bool = False) -> None:
        self._path = path
        self._connection = connection
        if make and self._is_empty():
            for statement in _statements().values():
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        self.entries = () if self._is_empty() else self._read()

    def append(self, dataset: str, kind: str, facts: Mapping[str, Any]) -> Entry:
        """Write one more entry; it counts when the transaction has ended."""
        number, previous = len(self.entries) + 1, self.entries[-1].digest if self.entries else START
        entry = Entry(number, datetime.now(UTC).isoformat(timespec="seconds"), dataset, kind, previous, facts)
        self._connection.execute("INSERT INTO entries VALUES (?, ?)", (number, entry.line))
        self._connection.execute("INSERT INTO heads VALUES (?, ?)", (number, entry.digest))
        self.entries = (*self.entries, entry)
        return entry

    def _is_empty(self) -> bool:
        return not self._version() and not self._schema()

    def _version(self) -> int:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        return int(version)

    def _schema(self) -> dict[str, str]:
        return dict(self._connection.execute("SELECT name, sql FROM sqlite_master WHERE name NOT GLOB 'sqlite_*'"))

    def _read(self) -> tuple[Entry, ...]:
        if self._version() > _VERSION:
            raise InputError(f"the ledger {self._path} was written by a newer synth (format {self._version()}); use that one")
        found, made = self._schema(), _statements()
        if found != made:
            wrong = ", ".join(sorted(name for name in found.keys() | made.keys() if found.get(name) != made.get(name)))
            raise VerificationError(f"{self._path} is not as synth made it: {wrong} was changed, added or removed;\n{_MEND}")
        lines = self._connection.execute("SELECT number, line FROM entries ORDER BY number").fetchall()
        heads = self._connection.execute("SELECT number, digest FROM heads ORDER BY number").fetchall()
        entries: list[Entry] = []
        for place, (number, line) in enumerate(lines, 1):
            entry = Entry.of_line(line)
            follows = (place, place, entries[-1].digest if entries else START)
            if entry is None or (number, entry.number, entry.previous) != follows:
                raise self._altered(place, "does not follow the one before it: one was edited, removed, moved or put in")
            if place <= len(heads) and heads[place - 1] != (place, entry.digest):
                raise self._altered(place, "is not the one that its head names: one of the two was edited")
            entries.append(entry)
        if len(lines) != len(heads):
            raise VerificationError(
                f"{self._path} has {len(lines)} entries and {len(heads)} heads: the end of one was removed;\n{_MEND}"
            )
        return tuple(entries)

    def _altered(self, number: int, what: str) -> VerificationError:
        return VerificationError(f"entry {number} of {self._path} {what};\n{_MEND}")


def _statements() -> dict[str, str]:
    """What makes each table and trigger, by name: the file has to hold exactly these."""
    made = {}
    for table, content in (("entries", "line"), ("heads", "digest")):
        made[table] = f"CREATE TABLE {table} (number INTEGER PRIMARY KEY, {content} TEXT NOT NULL)"
        triggers = {
            "unchanged": f"BEFORE UPDATE ON {table}",
            "kept": f"BEFORE DELETE ON {table}",
            "in_order": f"BEFORE INSERT ON {table} "  # also for INSERT OR REPLACE, which deletes without asking
            f"WHEN NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM {table})",
        }
        for trigger, when in triggers.items():
            name = f"{table}_{trigger}"
            made[name] = f"CREATE TRIGGER {name} {when} BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END"
    return made


def _text(content: bytes) -> str:
    """A text of the file; where it is none, another one, which no digest fits."""
    return content.decode("utf-8", "replace")


def _words(name: str, text: str) -> str:
    """What stays on record. Raises InputError for what says nothing, or is not one line."""
    if not isinstance(text, str) or not text.strip() or not text.isprintable():
        raise InputError(f"{name} is {text!r}; say it in words, on one line: it stays on record")
    return text.strip()
