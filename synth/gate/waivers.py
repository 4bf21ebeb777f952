"""`Waiver`: somebody's signed word that one check of one table need not hold for a while, and why.

It is a DSSE envelope around an in-toto Statement v1 whose subject is the synthetic rows. Whether it counts is the policy's to
say (`Policy.judge`): which checks may be waived at all, for how long, and whether there is anything to waive.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from synth.errors import InputError, VerificationError
from synth.folder import new_file
from synth.gate.dsse import STATEMENT, all_signed_by, opened, seal
from synth.gate.keys import PublicKey, Signer
from synth.gate.terms import now

WAIVER = "urn:synth:waiver:v1"
FOLDER = "waivers"  # of a run
MOST_DAYS = 90


@dataclass(frozen=True)
class Waiver:
    """One check of one table, let go for at most 90 days."""

    check: str  # the finding's label, or the measure's name for all of its groups
    owner: str  # who answers for what follows
    reason: str
    approver: str  # who signed, in words
    keyid: str  # ... and with which key
    issued: str  # ISO 8601, UTC, to the second
    expires: str
    synthetic: str  # SHA-256 of the rows that it is about
    policy_digest: str  # of the policy whose check it waives

    def to_dict(self) -> dict[str, Any]:
        """The facts by name."""
        return asdict(self)

    def is_about(self, label: str) -> bool:
        """Whether it covers a finding."""
        return self.check in (label, label.split("[")[0])


def waive(
    check: str, *, owner: str, reason: str, approver: str, days: int, synthetic: str, policy_digest: str, key: Signer
) -> tuple[Waiver, bytes]:
    """A waiver from now on, and its signed envelope. synthetic, policy_digest: what it is bound to, as SHA-256 (hex).

    Raises InputError for a time that is too long, and for words that say nothing.
    """
    if not 1 <= days <= MOST_DAYS:
        raise InputError(f"a waiver of {days} days is refused: it holds for 1 to {MOST_DAYS} days, and can be given again")
    for what, text in (("check", check), ("owner", owner), ("reason", reason), ("approver", approver)):
        if not text.strip():
            raise InputError(f"a waiver needs its {what} in words; none was given")
    issued = now()
    expires = issued + timedelta(days=days)
    waiver = Waiver(
        check, owner, reason, approver, key.public.keyid, issued.isoformat(), expires.isoformat(), synthetic, policy_digest
    )
    return waiver, seal(_statement(waiver), key)


def _statement(waiver: Waiver) -> dict[str, Any]:
    return {
        "_type": STATEMENT,
        "subject": [{"name": "synthetic", "digest": {"sha256": waiver.synthetic}}],
        "predicateType": WAIVER,
        "predicate": waiver.to_dict(),
    }


def keep(envelope: bytes, waiver: Waiver, run: Path) -> Path:
    """Put a waiver into a run folder, beside the earlier ones."""
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    label = re.sub(r"[^A-Za-z0-9._-]+", "-", waiver.check).strip("-")
    path = folder / f"{label}-{hashlib.sha256(envelope).hexdigest()[:8]}.json"
    with new_file(path) as file:
        file.write(envelope)
    return path


def kept(run: Path, known: Iterable[PublicKey]) -> tuple[Waiver, ...]:
    """The waivers of a run folder, in the order of their names.

    Raises VerificationError for one that is not signed by a known key, was altered, or is no waiver: it was put there by
    somebody who could not sign it, and is to be removed by hand.
    """
    keys = tuple(known)
    return tuple(_read(file, keys) for file in sorted((run / FOLDER).glob("*.json")))


def _read(file: Path, keys: tuple[PublicKey, ...]) -> Waiver:
    content = file.read_bytes()
    signers = all_signed_by(content, keys)
    if len(signers) != 1:
        raise VerificationError(
            f"{file} is not signed by a key that this machine trusts, or was altered; remove it, or trust the approver's key\n"
            "with `synth keys trust`"
        )
    try:
        statement = json.loads(opened(content)[0])
        waiver = Waiver(**statement["predicate"])
    except (ValueError, KeyError, TypeError) as problem:
        raise VerificationError(f"{file} is signed but is no waiver ({problem}); remove it") from problem
    if statement != _statement(waiver) or waiver.keyid != signers[0].keyid:
        raise VerificationError(f"{file} is signed but is no waiver of {signers[0].keyid[:16]}…; remove it")
    return waiver
