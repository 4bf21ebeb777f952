"""What an approval says once its signatures hold: read from the signed payload, each part held to its form at birth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from synth.errors import VerificationError
from synth.gate.dsse import PREDICATE, STATEMENT
from synth.gate.waivers import Waiver

LAYOUTS = ("parquet", "csv", "arrow", "sql", "huggingface")  # an export has that of its first format in this order
TOGETHER = ("parquet", "csv", "arrow")  # the formats that may stand in one export; the others go alone


@dataclass(frozen=True)
class Statement:
    """A signed approval's own words."""

    files: Mapping[str, str]  # SHA-256 (hex) of every file that an export may hold, by name
    policy: str
    policy_version: str
    policy_digest: str
    approved_by: str
    approved_at: datetime
    expires: datetime
    requested_by: str
    requester: str  # key id
    signers: int  # how many must have signed
    automatic: bool  # whether the requester's own signature is enough
    attempt: Mapping[str, int]
    waivers: tuple[Waiver, ...]
    rows: int

    @classmethod
    def parse(cls, payload: bytes) -> Statement:
        """Raises VerificationError for what is signed but is no approval: a rejection, another statement, another form."""
        try:
            document = json.loads(payload)
            if document["_type"] != STATEMENT or document["predicateType"] != PREDICATE:
                raise VerificationError(f"the signed statement is a {document['predicateType']!r}, not an approval of synth's")
            (policy,) = (e for e in document["predicate"]["configuration"] if e["name"].startswith("policy/"))
            said = policy["annotations"]
            if (result := document["predicate"]["result"]) != "PASSED":
                why = f"it is a rejection: {shown(said['reason'])}" if "reason" in said else f"its result is {result!r}"
                raise VerificationError(f"what was signed is not an approval: {why}")
            return cls(
                files={subject["name"]: subject["digest"]["sha256"] for subject in document["subject"]},
                policy=_text(policy["name"].removeprefix("policy/")),
                policy_version=_text(said["version"]),
                policy_digest=_text(policy["digest"]["sha256"]),
                approved_by=_text(said["approvedBy"]),
                approved_at=_time(said["approvedAt"]),
                expires=_time(said["expiresAt"]),
                requested_by=_text(said["requestedBy"]),
                requester=_text(said["requester"]),
                signers=_count(said["signers"]),
                automatic=_flag(said["automatic"]),
                attempt={name: _count(said["attempt"][name]) for name in ("number", "total")},
                waivers=tuple(_waiver(waiver) for waiver in said["waivers"]),
                rows=_count(said["rows"], least=0),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
            raise VerificationError(f"the signed statement is not an approval of synth's ({problem!r})") from problem

    def signed(self, name: str, layout: str) -> str | None:
        """The SHA-256 (hex) that a file must have in an export of that layout; None where the signature does not cover it."""
        return self.files.get(f"{layout}/{name}", self.files.get(name))

    def documents(self, layout: str) -> tuple[str, ...]:
        """What an export of that layout must hold beside its rows."""
        own = {name.removeprefix(f"{layout}/") for name in self.files if name.startswith(f"{layout}/")}
        common = {name for name in self.files if not is_rows(name) and name.split("/", 1)[0] not in LAYOUTS}
        return tuple(sorted(own | common))

    def rows_in(self, layout: str) -> tuple[str, ...]:
        """The files of rows that an export of that layout may hold; of layout huggingface, must hold all of."""
        forms = TOGETHER if layout in TOGETHER else (layout,)
        if layout == "huggingface":
            return tuple(sorted(name for name in self.files if name.startswith("data/")))
        return tuple(f"data.{form}" for form in forms if f"data.{form}" in self.files)


def is_rows(name: str) -> bool:
    """Whether a signed file holds rows, and is no document."""
    return name.startswith(("data.", "data/"))


def layout_of(names: Mapping[str, Any]) -> str | None:
    """The layout of an export with these files, or None where no rows are among them."""
    if any(name.startswith("data/") for name in names):
        return "huggingface"
    return next((form for form in LAYOUTS if f"data.{form}" in names), None)


def shown(text: Any) -> str:
    """Words that somebody else chose, without line ends or codes that a terminal would obey."""
    words = str(text)
    return words if words.isprintable() and len(words) <= 80 else ascii(words[:80])


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _waiver(value: Any) -> Waiver:
    waiver = Waiver(**{name: _text(text) for name, text in value.items()})
    _ = _time(waiver.expires)
    return waiver


def _time(value: Any) -> datetime:
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError(f"{value!r} names no time zone")
    return moment


def _count(value: Any, *, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{value!r} is no number from {least} up")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value
