"""The lines of the log of attempts, and its head: what is signed of each, and the one form that each is written in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

START = "0" * 64  # what the first line follows
_LINE, _HEAD = b"synth attempt log line v1\n", b"synth attempt log head v1\n"  # what is signed says what it is


@dataclass(frozen=True)
class Entry:
    """One line of the log.

    kind: "attempt" (facts: data, policy, policy_version, policy_digest, measurements, synthetic, number, total, and the sketch
    where no line before it is about exactly these rows), "decision" (facts: decision), or what `note` was given. All but an
    attempt name the line of theirs in `facts["attempt"]`.
    """

    line: int  # from 1
    at: str  # ISO 8601, UTC, to the second
    kind: str
    previous: str  # SHA-256 of the line before
    facts: Mapping[str, Any]
    signature: str = ""  # hex

    @property
    def message(self) -> bytes:
        """The bytes that are signed."""
        return _LINE + canonical(self._unsigned)

    def to_bytes(self) -> bytes:
        """The line, without its end."""
        return canonical({**self._unsigned, "signature": self.signature})

    @property
    def _unsigned(self) -> dict[str, Any]:
        return {"line": self.line, "at": self.at, "kind": self.kind, "previous": self.previous, "facts": self.facts}

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the line: what the next line, the head and the run name it by."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @cached_property
    def when(self) -> datetime:
        return datetime.fromisoformat(self.at)

    @classmethod
    def from_bytes(cls, content: bytes) -> Entry | None:
        """The inverse of `to_bytes`, to the bit; None where the bytes are no line."""
        try:
            entry = cls(**json.loads(content))
            return entry if entry.when.tzinfo is not None and entry.to_bytes() == content else None
        except (ValueError, TypeError, AttributeError, RecursionError):
            return None

    def to_dict(self) -> dict[str, Any]:
        """The line as plain values with its digest; without the numbers that name rows."""
        facts = {key: value for key, value in self.facts.items() if key != "sketch"}
        return {"line": self.line, "at": self.at, "kind": self.kind, "entry": self.digest, "facts": facts}


@dataclass(frozen=True)
class Head:
    """How long the log is, and what its last line is."""

    count: int
    last: str  # SHA-256 of the last line
    signature: str = ""  # hex

    @property
    def message(self) -> bytes:
        return _HEAD + canonical({"count": self.count, "last": self.last})


def canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
