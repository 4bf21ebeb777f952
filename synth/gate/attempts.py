"""The log of attempts: every judgement of this machine, the failed ones too, since trying until it passes is selection.

It lies in $SYNTH_HOME: `attempts.jsonl`, one line of JSON for each thing that happened, only ever appended to, and beside it
`attempts.head.json`. Each line has its number, the time, the SHA-256 of the line before it and this machine's Ed25519
signature, so no line can be edited, removed, moved or put in between, and none written without the key. The head says how many
lines there are and the last one's SHA-256, signed as well, so that no line can be cut off at the end. One process writes at a
time (`attempts.lock`), and each holds all that is there against the head before it adds to it.

What a crash leaves. A writer puts an empty head there before the first line, then always the line first, on the disk, then the
head, under a temporary name that is then renamed. So a crash leaves one of three states, and the next writer mends each:
  - half a line at the end (the disk was full, the power went): nobody was told a number for it, and it is cut off;
  - a whole line that lacks only its end: it is signed and follows the one before, so it counts, and its end is put there;
  - the log one line ahead of the head: that line counts, and the head is written anew.
Anything else was done to the files: a log behind its head, two or more ahead of it, or without any head.

What it cannot see by itself is a log that is gone together with its head, or an older copy of both. So every run keeps the hash
of its attempt's line, and `knows` tells whether the log still has it. Whoever holds the key can write a log of his own, as he
can sign anything.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from synth.data import sketch
from synth.errors import InputError, VerificationError
from synth.folder import home, in_words, replace
from synth.gate.keys import PrivateKey, default_key
from synth.gate.log_lines import START, Entry, Head, canonical
from synth.gate.terms import CLOCK_SKEW, now

SKETCH = sketch.SKETCH  # where the figures say which real rows they are about
_MEND = "put back both files from a backup; without one move them away: attempts then count from 1, and older runs do not fit"


@dataclass(frozen=True)
class Logged:
    """An attempt that is in the log."""

    number: int  # of this data under this policy's name, from 1
    total: int  # of this data under any policy
    entry: str  # SHA-256 of its line
    _log: AttemptLog = field(repr=False, compare=False)

    def decided(self, decision: str) -> None:
        """Log what came of it; the same decision once more is not logged again."""
        self._log._decide(self.entry, decision)


@dataclass(frozen=True)
class _State:
    """What lies on the disk, held against its head."""

    entries: tuple[Entry, ...]
    head: Head | None  # None before the first line
    size: int  # bytes of the log up to and with its last whole line
    ended: bool  # whether that line has its end


class AttemptLog:
    """The log in a folder, by default signed with this machine's own key."""

    def __init__(self, folder: str | Path, *, key: PrivateKey | None = None) -> None:
        self.path = Path(folder) / "attempts.jsonl"
        self.head_path = Path(folder) / "attempts.head.json"
        self._given = key

    @classmethod
    def of_machine(cls) -> AttemptLog:
        """This machine's log, in $SYNTH_HOME."""
        return cls(home())

    # writing -------------------------------------------------------------------------------------------------------

    @contextmanager
    def attempt(
        self,
        *,
        data: Sequence[str],
        policy: str,
        policy_version: str,
        policy_digest: str,
        measurements: str,
        synthetic: str,
    ) -> Iterator[Logged]:
        """Log an attempt before its block runs; it stays logged, and counts, whatever comes of the block.

        data: which real rows it is about (`Measurements.context[SKETCH]`); policy: the policy's name, since an edited policy of
        the same name does not start again. policy_digest, measurements, synthetic: SHA-256 of each. The same measurements under
        the same policy digest are the same attempt: its line is found, and no further one written.
        Raises InputError for data that is no sketch and for a clock that was set back, VerificationError where the log was
        altered, DataError where it cannot be written.
        """
        rows = sketch.checked(data)
        facts = {
            "data": hashlib.sha256("\n".join(rows).encode()).hexdigest(),
            "policy": policy,
            "policy_version": policy_version,
            "policy_digest": policy_digest,
            "measurements": measurements,
            "synthetic": synthetic,
        }
        with self._open() as opened:
            found = _same_attempt(opened.entries, policy_digest, measurements)
            if found is None:
                number, total, new = _counted(opened.entries, policy, facts["data"], rows)
                sketched = {"sketch": list(rows)} if new else {}
                found = self._append(opened, "attempt", {**facts, "number": number, "total": total, **sketched})
        yield Logged(found.facts["number"], found.facts["total"], found.digest, self)

    def note(self, kind: str, attempt: str, **facts: Any) -> Entry:
        """Append something else that befell an attempt (an approval, a waiver, an export).

        attempt: the hash of its line. Raises VerificationError where the log has no such attempt, or was altered; InputError
        for facts that are not JSON values and for the kinds that the log writes itself.
        """
        if kind in ("attempt", "decision") or not kind:
            raise InputError(f"a line of the kind {kind!r} is written by the log itself; name another kind")
        with self._open() as opened:
            return self._append(opened, kind, {**facts, "attempt": _attempt(opened.entries, attempt, self.path).digest})

    def _decide(self, attempt: str, decision: str) -> None:
        with self._open() as opened:
            made = [e for e in opened.entries if e.kind == "decision" and e.facts["attempt"] == attempt]
            if not made or made[-1].facts["decision"] != decision:
                _attempt(opened.entries, attempt, self.path)
                self._append(opened, "decision", {"attempt": attempt, "decision": decision})

    # reading -------------------------------------------------------------------------------------------------------

    def entries(self) -> tuple[Entry, ...]:
        """Every line, oldest first. Raises VerificationError where the log was altered."""
        return self._state(thorough=False).entries

    def check(self) -> int:
        """Hold every line's signature, place and time, and the head, against each other; how many lines there are.

        Raises VerificationError, which says which line and what is wrong with it.
        """
        return len(self._state(thorough=True).entries)

    def knows(self, entry: str, number: int) -> bool:
        """Whether the log has that attempt under that number, as a run has it on record; if not, it is not the log it was.

        Raises VerificationError where the log was altered.
        """
        return any(e.kind == "attempt" and e.digest == entry and e.facts["number"] == number for e in self.entries())

    # the files -----------------------------------------------------------------------------------------------------

    @cached_property
    def _key(self) -> PrivateKey:
        return default_key() if self._given is None else self._given

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        lock = self.path.with_name("attempts.lock")
        with in_words(lock):
            lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with in_words(lock):
                fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)  # which lets go of the lock

    def _state(self, *, thorough: bool) -> _State:
        if not self.path.exists() and not self.head_path.exists():
            return _State((), None, 0, True)
        with self._locked(fcntl.LOCK_SH):
            return self._read(thorough=thorough)

    @contextmanager
    def _open(self) -> Iterator[_State]:
        """The log for one writer, after what a crash left is mended."""
        with self._locked(fcntl.LOCK_EX):
            state = self._read(thorough=False)
            if self.path.exists():
                with in_words(self.path), self.path.open("r+b") as file:
                    file.truncate(state.size)
                    if not state.ended:
                        file.seek(0, os.SEEK_END)
                        file.write(b"\n")
                    file.flush()
                    os.fsync(file.fileno())
            if state.head is None or state.head.count < len(state.entries):
                self._write_head(state.entries)
            yield state

    def _append(self, state: _State, kind: str, facts: Mapping[str, Any]) -> Entry:
        """One more line, on the disk when this returns. Called once for each time that the log is opened."""
        at, latest = now(), max((entry.when for entry in state.entries), default=None)
        if latest is not None and at < latest - CLOCK_SKEW:
            raise InputError(
                f"this machine's clock reads {at.isoformat()}, but the last attempt was logged at {latest.isoformat()}: "
                f"set it right;\nif it was wrong then, move {self.path} and {self.head_path.name} away, and attempts count anew"
            )
        previous = state.entries[-1].digest if state.entries else START
        plain = _plain(facts)
        unsigned = Entry(len(state.entries) + 1, at.isoformat(), kind, previous, plain)
        signature = self._key.sign(unsigned.message).hex()
        entry = Entry(unsigned.line, unsigned.at, kind, previous, plain, signature)
        with in_words(self.path):
            _write_at_end(self.path, entry.to_bytes() + b"\n")
        self._write_head((*state.entries, entry))
        return entry

    def _write_head(self, entries: Sequence[Entry]) -> None:
        head = Head(len(entries), entries[-1].digest if entries else START)
        signed = Head(head.count, head.last, self._key.sign(head.message).hex())
        replace(self.head_path, canonical(asdict(signed)) + b"\n")
        _sync_folder(self.head_path.parent)

    def _read(self, *, thorough: bool) -> _State:
        """What is on the disk. Lines that a signed head vouches for are signed through it: each names the one before."""
        content = self.path.read_bytes() if self.path.exists() else b""
        head = self._head(exists=bool(content))
        *lines, tail = content.split(b"\n")
        try:
            entries = self._entries(lines, head, thorough)
        except VerificationError:
            self._entries(lines, head, thorough=True)  # which may know better what was done to it
            raise
        size, ended = len(content) - len(tail), True
        if tail and (last := Entry.from_bytes(tail)) is not None and self._follows(last, entries):
            entries, size, ended = (*entries, last), len(content), False
        self._against_head(head, entries, torn=bool(tail) and ended)
        return _State(entries, head, size, ended)

    def _head(self, *, exists: bool) -> Head | None:
        if not self.head_path.exists():
            if exists:
                raise VerificationError(
                    f"{self.path} has lines but its head {self.head_path.name} is gone: somebody removed it;\n{_MEND}"
                )
            return None
        try:
            head = Head(**json.loads(self.head_path.read_bytes()))
            if self._signed(head.message, head.signature):
                return head
        except (ValueError, TypeError, RecursionError):
            pass
        raise VerificationError(f"{self.head_path} is not what this machine's key signed: it was altered;\n{_MEND}")

    def _entries(self, lines: Sequence[bytes], head: Head | None, thorough: bool) -> tuple[Entry, ...]:
        entries: list[Entry] = []
        settled = 0 if thorough or head is None else head.count
        latest: datetime | None = None
        for number, line in enumerate(lines, 1):
            entry = Entry.from_bytes(line)
            if entry is None or (number > settled and not self._signed(entry.message, entry.signature)):
                raise self._altered(number, "is not what this machine's key signed: it was edited, or somebody else wrote it")
            if entry.line != number or entry.previous != (entries[-1].digest if entries else START):
                raise self._altered(number, "does not follow the line before it: a line was edited, removed, moved or put in")
            if latest is not None and entry.when < latest - CLOCK_SKEW:
                raise self._altered(number, f"is from {entry.at}, before what comes before it")
            latest = entry.when if latest is None else max(latest, entry.when)
            entries.append(entry)
        return tuple(entries)

    def _follows(self, entry: Entry, entries: Sequence[Entry]) -> bool:
        previous = entries[-1].digest if entries else START
        return (entry.line, entry.previous) == (len(entries) + 1, previous) and self._signed(entry.message, entry.signature)

    def _against_head(self, head: Head | None, entries: Sequence[Entry], torn: bool) -> None:
        """Raise VerificationError unless a crash at most lies between the lines and what the head says of them."""
        if head is None:
            return
        there = len(entries)
        if there < head.count:
            raise VerificationError(
                f"{self.path} has {there} lines where its head counts {head.count}: "
                f"{'all' if not there else f'those from line {there + 1} on'} were removed;\n{_MEND}"
            )
        if there + torn > head.count + 1:
            raise VerificationError(
                f"{self.path} has {there} lines where its head counts {head.count}: an older head was put back;\n{_MEND}"
            )
        if (entries[head.count - 1].digest if head.count else START) != head.last:
            raise self._altered(head.count, "is not the one that the head names: it was edited, or the head is of another log")

    def _altered(self, number: int, what: str) -> VerificationError:
        return VerificationError(f"line {number} of {self.path} {what};\n{_MEND}")

    def _signed(self, message: bytes, signature: str) -> bool:
        """Whether this machine's key signed exactly this; a signature has one way to be written."""
        try:
            raw = bytes.fromhex(signature)
        except (ValueError, TypeError):
            return False
        return raw.hex() == signature and self._key.public.signed(message, raw)


# what the lines say ------------------------------------------------------------------------------------------------------


def _same_attempt(entries: Sequence[Entry], policy_digest: str, measurements: str) -> Entry | None:
    for entry in entries:
        if entry.kind == "attempt" and (entry.facts["policy_digest"], entry.facts["measurements"]) == (
            policy_digest,
            measurements,
        ):
            return entry
    return None


def attempts_on(entries: Sequence[Entry], rows: Sequence[str] | None) -> tuple[Entry, ...]:
    """The attempts on the data that a sketch is of, or all of them; oldest first. Raises InputError for what is no sketch."""
    attempts = tuple(entry for entry in entries if entry.kind == "attempt")
    if rows is None:
        return attempts
    wanted = sketch.checked(rows)
    sketches = {entry.facts["data"]: entry.facts["sketch"] for entry in attempts if "sketch" in entry.facts}
    alike = {data for data, numbers in sketches.items() if sketch.same_data(numbers, wanted)}
    return tuple(entry for entry in attempts if entry.facts["data"] in alike)


def _counted(entries: Sequence[Entry], policy: str, data: str, rows: Sequence[str]) -> tuple[int, int, bool]:
    """Which attempt this is of its data under the policy's name, and under any; and whether these very rows are new."""
    before = attempts_on(entries, rows)
    number = 1 + sum(entry.facts["policy"] == policy for entry in before)
    return number, 1 + len(before), all(entry.facts["data"] != data for entry in before)


def _attempt(entries: Sequence[Entry], digest: str, path: Path) -> Entry:
    for entry in entries:
        if entry.kind == "attempt" and entry.digest == digest:
            return entry
    raise VerificationError(f"{path} has no attempt {digest[:16]}…: the log was replaced or put back;\n{_MEND}")


# bytes -------------------------------------------------------------------------------------------------------------------


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts as they will be read back. Raises InputError where they are not JSON values."""
    try:
        return dict(json.loads(canonical(facts)))
    except (TypeError, ValueError) as problem:
        raise InputError(f"what is to be logged is not JSON ({problem}); give texts, numbers, lists and mappings") from problem


def _write_at_end(path: Path, line: bytes) -> None:
    """Append to a file and wait for the disk; where that fails, take back what was written of it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        try:
            written = 0
            while written < len(line):
                written += os.write(descriptor, line[written:])
            os.fsync(descriptor)
        except OSError:
            with suppress(OSError):  # a half-written line is mended by the next writer as well
                os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)
    if size == 0:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Wait until the folder's entries are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
