"""Whether an export is what was approved: offline, for whoever receives it. Needs only `cryptography`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synth.errors import VerificationError
from synth.gate.dsse import ATTESTATION, PREDICATE, STATEMENT, all_signed_by, opened
from synth.gate.keys import PublicKey, home, trusted

LARGEST = 16 * 2**20  # bytes of an attestation: some thousand times what a table of many groups takes


@dataclass(frozen=True)
class Verified:
    """What a verified export says of itself."""

    path: Path
    keyid: str  # SHA-256 (hex) of the public key that signed
    approved_by: str
    approved_at: str
    policy: str
    policy_version: str
    policy_digest: str
    rows: int
    files: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Verified({self.path}: {self})"

    def to_dict(self) -> dict[str, Any]:
        """What was found, as plain JSON values."""
        return {**vars(self), "path": str(self.path), "files": list(self.files)}

    def __str__(self) -> str:
        return (
            f"{self.rows:,} rows, approved under {self.policy} {self.policy_version} "
            f"by {_shown(self.approved_by)}, {_shown(self.approved_at)}\n"
            f"signed by key {self.keyid[:16]}…; {len(self.files)} files are as they were signed: {', '.join(self.files)}"
        )


def verify(path: str | Path, *, key: str | Path | None = None, policy: str | Path | None = None) -> Verified:
    """Check an export folder: the signature, every file, the verdict, and the policy if one is named.

    key: the public key to trust; by default every public key in this machine's key folder. A key inside the export is never
    trusted. policy: a policy (file or packaged name) that must be the one that approved it.
    Raises VerificationError that says what differs, InputError for a key that cannot be read.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise VerificationError(f"{folder} is not a folder; give the export's folder")
    known = (PublicKey.load(key),) if key is not None else trusted()
    where = f"which is not {key}" if key is not None else f"which is not among the {len(known)} keys in {home() / 'keys'}"
    return check(folder, known, policy=policy, where=where)


def check(folder: Path, known: Collection[PublicKey], *, policy: str | Path | None = None, where: str = "") -> Verified:
    """`verify` with the keys at hand. where: what they are not, said of a signature by another. Raises VerificationError."""
    links = sorted(file.name for file in folder.iterdir() if file.is_symlink())
    if links:
        raise VerificationError(
            f"{_shown(links[0])} is a link: what it leads to can change after it was verified; put the file itself there"
        )
    if not (folder / ATTESTATION).is_file():
        raise VerificationError(f"{folder} holds no {ATTESTATION}: nothing says that it was approved")
    if (folder / ATTESTATION).stat().st_size > LARGEST:
        raise VerificationError(f"the attestation is garbled: it has more than {LARGEST:,} bytes, which no approval has")
    envelope = _bytes(folder / ATTESTATION)
    payload, _ = opened(envelope)
    signer = _signer(envelope, known, where)
    statement = _statement(payload)
    files = _compare(folder, statement["files"])
    approved = _verdict(folder, statement["policy"])
    if policy is not None:
        _same_policy(policy, approved["policy"])
    return Verified(
        path=folder,
        keyid=signer.keyid,
        approved_by=statement["approvedBy"],
        approved_at=statement["approvedAt"],
        policy=approved["policy"]["name"],
        policy_version=approved["policy"]["version"],
        policy_digest=approved["policy"]["digest"],
        rows=statement["rows"],
        files=files,
    )


def _signer(envelope: bytes, known: Collection[PublicKey], where: str) -> PublicKey:
    """The trusted key whose signature holds."""
    public = all_signed_by(envelope, known)
    if public:
        return public[0]
    _, signatures = opened(envelope)
    unknown = [keyid for keyid, _ in signatures if keyid not in {one.keyid for one in known}]
    if unknown:
        raise VerificationError(
            f"signed by an unknown key ({_shown(unknown[0][:16])}…), {where};\n"
            "give the approver's public key with --key, if the approver gave it to you"
        )
    named = next(keyid for keyid, _ in signatures if not all_signed_by(envelope, [one for one in known if one.keyid == keyid]))
    raise VerificationError(f"{ATTESTATION} was altered: the signature of key {named[:16]}… does not fit its content")


def _statement(payload: bytes) -> dict[str, Any]:
    """What was signed, where it is a passed test result in the form that synth writes."""
    try:
        statement: dict[str, Any] = json.loads(payload)
        if statement["_type"] != STATEMENT or statement["predicateType"] != PREDICATE:
            raise VerificationError(f"the signed statement is a {statement['predicateType']!r}, not an approval of synth's")
        if statement["predicate"]["result"] != "PASSED":
            raise VerificationError(f"what was signed is not an approval: its result is {statement['predicate']['result']!r}")
        (policy,) = (entry for entry in statement["predicate"]["configuration"] if entry["name"].startswith("policy/"))
        found = {
            "files": {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]},
            "policy": policy["digest"]["sha256"],
            **{name: policy["annotations"][name] for name in ("approvedBy", "approvedAt", "rows")},
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise VerificationError(f"the signed statement is not an approval of synth's ({problem!r})") from problem
    return found


def _compare(folder: Path, signed: dict[str, str]) -> tuple[str, ...]:
    """Hold every file against what was signed; the names of those that fit."""
    present = {file.name: file for file in sorted(folder.iterdir()) if file.name != ATTESTATION}
    found = {name: _digest(file) for name, file in present.items() if name in signed}
    differing = [name for name, digest in found.items() if digest != signed[name]]
    if len(differing) > 1 and any(name.startswith("data.") for name in differing) and "verdict.json" in differing:
        raise VerificationError(
            f"{ATTESTATION} is about other files: {', '.join(differing)} differ from what it signs; it is of another export"
        )
    if differing:
        name = differing[0]
        if not present[name].is_file():
            raise VerificationError(f"{name} is not a file: a folder or a device stands in its place; ask for the export again")
        raise VerificationError(
            f"{name} was altered: its SHA-256 is {found[name][:16]}…, signed was {signed[name][:16]}…"
            + (f" (and {len(differing) - 1} more)" if len(differing) > 1 else "")
        )
    missing = [name for name in signed if name not in present and not name.startswith("data.")]
    if missing:
        raise VerificationError(f"{missing[0]} is missing: it was signed as a part of the export")
    if not any(name.startswith("data.") for name in present):
        raise VerificationError("the rows are missing: none of the signed data files is here")
    strange = [name for name in present if name not in signed]
    if strange:
        raise VerificationError(f"{_shown(strange[0])} is not covered by the signature: it was added afterwards; remove it")
    return tuple(present)


def _shown(name: str) -> str:
    """A name that somebody else chose, without line ends or codes that a terminal would obey."""
    return name if name.isprintable() and len(name) <= 80 else ascii(name[:80])


def _digest(file: Path) -> str:
    if not file.is_file():
        return "not a file"
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as problem:
        raise VerificationError(f"{file} cannot be read ({problem.strerror}), so it cannot be verified") from problem


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as problem:
        raise VerificationError(f"{file} cannot be read ({problem.strerror}), so it cannot be verified") from problem


def _verdict(folder: Path, policy: str) -> dict[str, Any]:
    """The verdict, where it is an approval under the policy that was signed."""
    try:
        verdict: dict[str, Any] = json.loads(_bytes(folder / "verdict.json"))
        decision, digest = verdict["decision"], verdict["policy"]["digest"]
        _ = verdict["policy"]["name"], verdict["policy"]["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise VerificationError(f"verdict.json is not a verdict of synth's: it lacks its form ({problem!r})") from problem
    if decision != "approved":
        raise VerificationError(f"verdict.json says {decision!r}: this table was not approved")
    if digest != policy:
        raise VerificationError("verdict.json names another policy than the one that was signed")
    return verdict


def _same_policy(wanted: str | Path, found: dict[str, str]) -> None:
    from synth.gate.policy import Policy  # only here: reading a policy needs more than `cryptography`

    policy = Policy.load(wanted)
    if policy.digest() != found["digest"]:
        raise VerificationError(
            f"approved under another policy: {found['name']} {found['version']} ({found['digest'][:16]}…), "
            f"asked for was {policy.name} {policy.version} ({policy.digest()[:16]}…)"
        )
