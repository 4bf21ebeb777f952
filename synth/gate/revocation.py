"""Revocations: signed lines that say of a key, or of one approval, that it is no longer to be believed.

A list is a file of JSON Lines, one DSSE envelope a line around an in-toto Statement v1. Each line holds the SHA-256 of all
that stands before it, so that no line can be taken out, changed or moved but those at the end: whoever is handed a list cannot
see whether it is the whole of it, only how recent its last line is.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synth.errors import InputError, VerificationError
from synth.folder import home
from synth.gate.dsse import STATEMENT, all_signed_by, from_line, opened, seal, to_line
from synth.gate.keys import PublicKey
from synth.gate.terms import now

if TYPE_CHECKING:
    from synth.gate.keys import Signer

REVOCATION = "urn:synth:revocation:v1"
LARGEST = 64 * 2**20  # bytes of a list: some hundred thousand lines

What = Literal["key", "approval"]


@dataclass(frozen=True)
class Revocation:
    """One line of a list."""

    what: What
    digest: str  # the key id, or the SHA-256 (hex) of the approval's payload
    reason: str
    by: str
    at: str  # ISO 8601, UTC, to the second

    def __str__(self) -> str:
        return f"{self.what} {self.digest[:16]}… was revoked by {_shown(self.by)} at {self.at}: {_shown(self.reason)}"


@dataclass(frozen=True)
class Revocations:
    """What lists say, in their order."""

    entries: tuple[Revocation, ...] = ()

    @classmethod
    def load(cls, paths: Iterable[str | Path], known: Iterable[PublicKey]) -> Revocations:
        """Read lists whose lines are signed by keys that the reader trusts, each of which may revoke any key and any approval.

        Raises VerificationError for a list with a line that is by a stranger, altered or out of its place; InputError for one
        that cannot be read.
        """
        keys = tuple(known)
        return cls(tuple(entry for path in paths for entry in _read(Path(path), keys)))

    def reason(self, *, keyid: str | None = None, payload: str | None = None) -> str | None:
        """In words, why a key or an approval is no longer to be believed; None where nothing says so.

        payload: the SHA-256 (hex) of what the approval's signatures are about (`dsse.opened`).
        """
        revoked = {("key", keyid), ("approval", payload)}
        return next((str(entry) for entry in self.entries if (entry.what, entry.digest) in revoked), None)

    def __len__(self) -> int:
        return len(self.entries)


def own_list() -> Path:
    """Where this machine keeps its list."""
    return home() / "revocations.jsonl"


def revoke(what: What, digest: str, *, reason: str, by: str, key: Signer, path: str | Path | None = None) -> Revocation:
    """Append a signed line to a list, by default this machine's; from then on it counts for whoever reads the list.

    what, digest: "key" and its id, or "approval" and the SHA-256 (hex) of its payload. reason, by: in words.
    Raises InputError for words that say nothing and for what is no digest, VerificationError for a list that was altered.
    """
    if what not in ("key", "approval") or not re.fullmatch("[0-9a-f]{64}", digest):
        raise InputError(f"{what} {digest!r} cannot be revoked; give a key's id or an approval's SHA-256: 64 digits 0-9, a-f")
    for name, text in (("reason", reason), ("revoker", by)):
        if not text.strip():
            raise InputError(f"a revocation needs its {name} in words; none was given")
    entry = Revocation(what, digest, reason, by, now().isoformat())
    file = own_list() if path is None else Path(path)
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with file.open("a+b") as lines:
            fcntl.flock(lines, fcntl.LOCK_EX)  # so that of two at once, the second stands behind the first
            lines.seek(0)
            before = lines.read()
            for line in before.splitlines(keepends=True):
                from_line(line)
            try:
                lines.write(to_line(seal(_statement(entry, before), key)))
                lines.flush()
                os.fsync(lines.fileno())
            except OSError:
                os.ftruncate(lines.fileno(), len(before))
                raise
    except OSError as problem:
        raise InputError(f"{file} cannot be written: {problem.strerror}; give a place where it can") from problem
    return entry


def _statement(entry: Revocation, before: bytes) -> dict[str, Any]:
    return {
        "_type": STATEMENT,
        "subject": [{"name": entry.what, "digest": {"sha256": entry.digest}}],
        "predicateType": REVOCATION,
        "predicate": {
            "reason": entry.reason,
            "revokedBy": entry.by,
            "revokedAt": entry.at,
            "before": hashlib.sha256(before).hexdigest(),
        },
    }


def _read(file: Path, keys: tuple[PublicKey, ...]) -> list[Revocation]:
    try:
        if file.stat().st_size > LARGEST:
            raise VerificationError(f"{file} is no revocation list: it has more than {LARGEST:,} bytes")
        content = file.read_bytes()
    except OSError as problem:
        raise InputError(f"the revocation list {file} cannot be read: {problem.strerror}; check the path") from problem
    found, end = [], 0
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        try:
            found.append(_entry(line, content[:end], keys))
        except VerificationError as problem:
            raise VerificationError(f"the revocation list {file} is refused, for its line {number}: {problem}") from problem
        end += len(line)
    return found


def _entry(line: bytes, before: bytes, keys: tuple[PublicKey, ...]) -> Revocation:
    """What a line says. Raises VerificationError."""
    envelope = from_line(line)
    if not all_signed_by(envelope, keys):
        raise VerificationError("it is not signed by a key that is trusted here, or was altered")
    try:
        stated = json.loads(opened(envelope)[0])
        said, (subject,) = stated["predicate"], stated["subject"]
        entry = Revocation(subject["name"], subject["digest"]["sha256"], said["reason"], said["revokedBy"], said["revokedAt"])
        follows = said["before"] == hashlib.sha256(before).hexdigest()
        sound = stated == _statement(entry, before) and all(isinstance(text, str) for text in vars(entry).values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise VerificationError(f"it is signed, but is no revocation ({problem!r})") from problem
    if not follows:
        raise VerificationError("it is not about the lines before it: one was taken out, added or changed")
    if not sound or entry.what not in ("key", "approval"):
        raise VerificationError("it is signed, but is no revocation")
    return entry


def _shown(text: str) -> str:
    return text if text.isprintable() and len(text) <= 200 else ascii(text[:200])
