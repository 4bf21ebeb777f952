"""Exports written by hand, for what no run would leave: other people's keys, other dates, other layouts, tampering."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from synth.gate.dsse import PREDICATE, STATEMENT, add_signature, seal
from synth.gate.keys import PrivateKey

NOW = datetime.now(UTC).replace(microsecond=0)
SYNTHETIC = "5" * 64
RULES: dict[str, Any] = {
    "approvers": {"automatic": True, "count": 1, "days": 365, "separate": True},
    "attempts": {"person_after": 5, "widen": True},
    "name": "small",
    "profile": "public",
    "version": "1.0.0",
}
LAYOUTS: Mapping[str, Mapping[str, bytes]] = {  # the files of rows
    "parquet": {"data.parquet": b"rows as parquet"},
    "csv": {"data.csv": b"rows as csv"},
    "arrow": {"data.arrow": b"rows as arrow"},
    "huggingface": {f"data/train-0000{i}-of-00002.parquet": f"part {i}".encode() for i in (0, 1)},
}


@cache
def key_of(name: str) -> PrivateKey:
    """A person's key; the same name is the same person all through the tests."""
    return PrivateKey(Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest()))


def public_file(name: str, folder: Path, *, called: str | None = None) -> Path:
    """A person's public key as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{called or name}.pub"
    file.write_bytes(key_of(name).public.to_pem())
    return file


def canonical(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def waiver(**changed: str) -> dict[str, str]:
    """A waiver as the statement and the verdict state it."""
    given = {
        "check": "fidelity.trend",
        "owner": "Olga",
        "reason": "the trend is not used",
        "approver": "Ada",
        "keyid": key_of("ada").keyid,
        "issued": (NOW - timedelta(days=5)).isoformat(),
        "expires": (NOW + timedelta(days=50)).isoformat(),
        "synthetic": SYNTHETIC,
        "policy_digest": hashlib.sha256(canonical(RULES)).hexdigest(),
    }
    return given | changed


@dataclass
class Export:
    """What an export will be; tests change a part of it before `write`."""

    layout: str = "parquet"
    also: tuple[str, ...] = ()  # further formats that are there
    rules: dict[str, Any] = field(default_factory=lambda: json.loads(canonical(RULES)))
    waivers: list[dict[str, str]] = field(default_factory=list)
    said: dict[str, Any] = field(default_factory=dict)  # annotations, over those that are usual
    verdict: dict[str, Any] = field(default_factory=dict)  # ... and the verdict
    predicate: dict[str, Any] = field(default_factory=dict)
    statement: dict[str, Any] = field(default_factory=dict)
    signers: tuple[str, ...] = ("ada",)
    rows: bytes = b""  # put before the rows, so that another table's are others

    def write(self, folder: Path) -> Path:
        """The export in a folder, with its attestation."""
        folder.mkdir(parents=True)
        own, signed = f"{self.layout}/", self.files()
        placed = {name: content for name, content in signed.items() if "/" not in name and not name.startswith("data.")}
        placed |= {name.removeprefix(own): content for name, content in signed.items() if name.startswith(own)}
        placed |= {name: signed[name] for form in (self.layout, *self.also) for name in LAYOUTS[form]}
        for name, content in placed.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        (folder / "attestation.json").write_bytes(self.envelope())
        return folder

    def files(self) -> dict[str, bytes]:
        """All that is signed."""
        rules = canonical(self.rules)
        verdict = {
            "decision": "approved",
            "policy": {"name": "small", "version": "1.0.0", "digest": hashlib.sha256(rules).hexdigest()},
            "attempt": {"number": 1, "total": 2},
            "findings": [{"check": "fidelity.shape", "waiver": None}]
            + [{"check": f"{one['check']}[{group}]", "waiver": one} for one in self.waivers for group in "ab"],
            "context": {"digests": {"synthetic": SYNTHETIC}},
        } | self.verdict
        cards = {
            f"{head}{name}": f"{name} of {head or 'parquet'}".encode()
            for head in ("", "csv/", "arrow/", "huggingface/")
            for name in ("README.md", "croissant.json")
        }
        rows = {name: self.rows + content for forms in LAYOUTS.values() for name, content in forms.items()}
        return (
            {
                "verdict.json": json.dumps(verdict, indent=1).encode(),
                "policy.json": rules,
                "provenance.parquet": b"rows' origin",
            }
            | cards
            | rows
        )

    def envelope(self) -> bytes:
        """The attestation, signed."""
        said = {
            "version": "1.0.0",
            "approvedBy": "Ada",
            "approvedAt": (NOW - timedelta(hours=1)).isoformat(),
            "expiresAt": (NOW + timedelta(days=100)).isoformat(),
            "requestedBy": "machine",
            "requester": key_of("machine").keyid,
            "signers": len(self.signers),
            "automatic": not self.waivers,
            "attempt": {"number": 1, "total": 2},
            "waivers": self.waivers,
            "synth": "0.1.0",
            "rows": 60,
        } | self.said
        policy = {
            "name": "policy/small",
            "digest": {"sha256": hashlib.sha256(canonical(self.rules)).hexdigest()},
            "annotations": said,
        }
        files = {name: hashlib.sha256(content).hexdigest() for name, content in self.files().items()}
        statement = {
            "_type": STATEMENT,
            "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(files.items())],
            "predicateType": PREDICATE,
            "predicate": {
                "result": "PASSED",
                "configuration": [policy],
                "passedTests": [],
                "warnedTests": [],
                "failedTests": [],
            }
            | self.predicate,
        } | self.statement
        envelope = seal(statement, key_of(self.signers[0]))
        for name in self.signers[1:]:
            envelope = add_signature(envelope, key_of(name))
        return envelope


def rewritten(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change an attestation's envelope as JSON, and leave it in the form that it is written in."""
    file = folder / "attestation.json"
    document = json.loads(file.read_bytes())
    change(document)
    file.write_text(json.dumps(document, indent=1) + "\n")
