"""Whether an export is what was approved: offline, for whoever receives it. Needs only `cryptography`.

`docs/verify.py` does the same in one file without synth; a test holds the two to the same answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synth.errors import InputError, VerificationError
from synth.folder import home
from synth.gate.checking import (
    NO_FILE,
    POLICY,
    VERDICT,
    check_documents,
    check_files,
    check_policy,
    check_signatures,
    check_waivers,
)
from synth.gate.database import is_address
from synth.gate.dsse import ATTESTATION
from synth.gate.keys import PublicKey
from synth.gate.revocation import Revocations, own_list
from synth.gate.statement import Statement, shown
from synth.gate.waivers import Waiver

LARGEST = 16 * 2**20  # bytes of an attestation: some thousand times what a table of many groups takes

Keys = str | Path | Iterable[str | Path]


@dataclass(frozen=True)
class SignedBy:
    """One of the signers of an export."""

    keyid: str  # SHA-256 (hex) of the public key
    name: str | None  # what the reader's key folder, or the key file that was given, calls its owner

    def __str__(self) -> str:
        return f"{self.keyid[:16]}…" + (f" ({self.name})" if self.name else "")


@dataclass(frozen=True)
class Verified:
    """What a verified export, or one file of it, says of itself."""

    path: Path | str  # a folder, a file, or a table's URL
    signers: tuple[SignedBy, ...]
    approved_by: str
    approved_at: str
    expires: str
    requested_by: str
    policy: str
    policy_version: str
    policy_digest: str
    profile: str | None  # of the policy; None where only one file was checked
    attempt: Mapping[str, int]  # number: of this data under this policy; total: under any
    waivers: tuple[Waiver, ...]
    rows: int
    revocations: int  # how many were looked through
    files: tuple[str, ...]
    whole: bool  # whether all files of the export were checked, or only those named

    def __repr__(self) -> str:
        return f"Verified({self.path}: {self})"

    def to_dict(self) -> dict[str, Any]:
        """What was found, as plain JSON values."""
        plain = {"path": str(self.path), "signers": [vars(one) for one in self.signers], "files": list(self.files)}
        return {**vars(self), **plain, "waivers": [waiver.to_dict() for waiver in self.waivers], "attempt": dict(self.attempt)}

    def __str__(self) -> str:
        policy = f"{shown(self.policy)} {shown(self.policy_version)}" + (f" ({shown(self.profile)})" if self.profile else "")
        number, total = self.attempt["number"], self.attempt["total"]
        count = f"{self.revocations} revocation{'s' if self.revocations > 1 else ''}"
        looked = f"{count} looked through" if self.revocations else "no revocations were given"
        files = f"{len(self.files)} files are as they were signed: {', '.join(self.files)}"
        if not self.whole:
            files = f"{shown(self.files[0])} is as it was signed; the export's other files, its verdict too, were not checked"
        return "\n".join(
            [
                f"{self.rows:,} rows, approved under {policy} by {shown(self.approved_by)}, {self.approved_at}",
                f"holds until {self.expires}; requested by {shown(self.requested_by)}",
                f"attempt {number} of this data under this policy, {total} under any",
                *(
                    f"waived until {w.expires}: {shown(w.check)}, {shown(w.owner)} answers for it: {shown(w.reason)}"
                    for w in self.waivers
                ),
                f"signed by {' and '.join(map(str, self.signers))}; {looked}",
                files,
            ]
        )


def verify(
    path: str | Path,
    *,
    key: Keys | None = None,
    policy: str | Path | None = None,
    revocations: Keys | None = None,
    attestation: str | Path | None = None,
) -> Verified:
    """Check an export folder, or one file of it: signatures, dates, revocations, every file, the verdict, the policy.

    key: the public keys to trust, by default every one in this machine's key folder. A key inside the export is never trusted.
    policy: the policy that must have approved it: a file, a packaged name, an export's policy.json or its SHA-256.
    revocations: lists of what is no longer to be believed, by default this machine's own.
    attestation: for a file that has left its export, where the attestation lies; by default beside it.
    Raises VerificationError that says what differs, InputError for a key or list that cannot be read.
    """
    own = {file: PublicKey.load(file) for file in sorted((home() / "keys").glob("*.pub"))}
    known = own if key is None else {file: PublicKey.load(file) for file in _paths(key)}
    where = f"which is not among the {len(own)} keys in {home() / 'keys'}"
    if key is not None:
        where = f"which is not {' or '.join(map(str, known))}"
    lists = _paths(revocations) if revocations is not None else [own_list()] if own_list().is_file() else []
    revoked = Revocations.load(lists, {*known.values(), *own.values()})
    names = {one.keyid: file.stem for file, one in (own | known).items()}
    if is_address(path):
        from synth.gate.sql import verify_sql  # only here: a database needs more than `cryptography`

        return verify_sql(str(path), None, tuple(known.values()), policy=policy, where=where, revocations=revoked, names=names)
    target = Path(path)
    if target.is_dir():
        if attestation is not None:
            raise InputError(f"{target} is a folder, whose attestation is in it; --attestation goes with one file")
        return check(target, tuple(known.values()), policy=policy, where=where, revocations=revoked, names=names)
    if not target.is_file():
        raise VerificationError(f"{target} is not a folder or file that is there; give an export's folder, or a file of one")
    return _check_one(target, attestation, tuple(known.values()), policy, where, revoked, names)


def check(
    folder: Path,
    known: Collection[PublicKey],
    *,
    policy: str | Path | None = None,
    where: str = "",
    revocations: Revocations = Revocations(),  # noqa: B008 - it is frozen, and empty
    names: Mapping[str, str] | None = None,
) -> Verified:
    """`verify` of a folder with keys and revocations at hand. where: what the keys are not, said of a signature by another.

    names: what the reader calls the keys' owners, by key id. Raises VerificationError.
    """
    present = _present(folder)
    if ATTESTATION not in present:
        raise VerificationError(f"{folder} holds no {ATTESTATION}: nothing says that it was approved")
    stated, signers = check_signatures(_envelope(present.pop(ATTESTATION)), known, where=where, revocations=revocations)
    found = check_files(stated, present, lambda name: _digest(present[name]))
    verdict, rules = (_bytes(present[name], found[name]) for name in (VERDICT, POLICY))
    profile = check_documents(stated, verdict, rules, revocations)
    if policy is not None:
        check_policy(stated, policy)
    return _verified(folder, stated, signers, names, revocations, files=tuple(found), profile=profile, whole=True)


def _check_one(
    file: Path,
    attestation: str | Path | None,
    known: Collection[PublicKey],
    policy: str | Path | None,
    where: str,
    revocations: Revocations,
    names: Mapping[str, str],
) -> Verified:
    """One file of an export, by its content: under whatever name it now goes."""
    own = file.with_name(f"{file.name}.{ATTESTATION}")  # of rows that left as one file
    beside = [own, file.parent / ATTESTATION, *([file.parent.parent / ATTESTATION] if file.parent.name == "data" else [])]
    place = Path(attestation) if attestation is not None else next((one for one in beside if one.is_file()), None)
    if place is None or not place.is_file():
        raise VerificationError(
            f"nothing says that {file} was approved: no {ATTESTATION} is beside it; give it with --attestation"
        )
    for one in (file, place):
        if one.is_symlink():
            raise _link(one.name)
    stated, signers = check_signatures(_envelope(place), known, where=where, revocations=revocations)
    found = _digest(file)
    same = [name for name, digest in stated.files.items() if digest == found]
    if not same:
        meant = [name for name in stated.files if name.rsplit("/", 1)[-1] == file.name]
        signed = f"was altered: its SHA-256 is {found[:16]}…, signed was {stated.files[meant[0]][:16]}…" if meant else ""
        raise VerificationError(f"{shown(file.name)} {signed or f'is none of the {len(stated.files)} files that were signed'}")
    check_waivers(stated, revocations)
    if policy is not None:
        check_policy(stated, policy)
    return _verified(file, stated, signers, names, revocations, files=(file.name,), profile=None, whole=False)


def _verified(
    path: Path | str,
    stated: Statement,
    signers: tuple[PublicKey, ...],
    names: Mapping[str, str] | None,
    revocations: Revocations,
    **found: Any,
) -> Verified:
    return Verified(
        path=path,
        signers=tuple(SignedBy(one.keyid, (names or {}).get(one.keyid)) for one in signers),
        approved_by=stated.approved_by,
        approved_at=stated.approved_at.isoformat(),
        expires=stated.expires.isoformat(),
        requested_by=stated.requested_by,
        policy=stated.policy,
        policy_version=stated.policy_version,
        policy_digest=stated.policy_digest,
        attempt=stated.attempt,
        waivers=stated.waivers,
        rows=stated.rows,
        revocations=len(revocations),
        **found,
    )


# what is there -----------------------------------------------------------------------------------------------------------


def _present(folder: Path) -> dict[str, Path]:
    """Everything in the folder by name, and in its folder data/, if it has one. Raises VerificationError for a link."""
    found: dict[str, Path] = {}
    try:
        for entry in sorted(folder.iterdir()):
            inside = sorted(entry.iterdir()) if entry.name == "data" and entry.is_dir() and not entry.is_symlink() else []
            found |= {f"data/{file.name}": file for file in inside} or {entry.name: entry}
    except OSError as problem:
        raise _unreadable(folder, problem) from problem
    for name, file in found.items():
        if file.is_symlink():
            raise _link(name)
    return found


def _digest(file: Path) -> str:
    if not file.is_file():
        return NO_FILE
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as problem:
        raise _unreadable(file, problem) from problem


def _bytes(file: Path, digest: str | None = None) -> bytes:
    """What is in a file, which still has that digest."""
    try:
        content = file.read_bytes()
    except OSError as problem:
        raise _unreadable(file, problem) from problem
    if digest is not None and hashlib.sha256(content).hexdigest() != digest:
        raise VerificationError(f"{file} was altered while it was verified; verify where nobody else writes")
    return content


def _envelope(file: Path) -> bytes:
    if file.is_file() and file.stat().st_size > LARGEST:
        raise VerificationError(f"the attestation is garbled: it has more than {LARGEST:,} bytes, which no approval has")
    return _bytes(file)


def _link(name: str) -> VerificationError:
    return VerificationError(
        f"{shown(name)} is a link: what it leads to can change after it was verified; put the file itself there"
    )


def _unreadable(file: Path, problem: OSError) -> VerificationError:
    return VerificationError(f"{file} cannot be read ({problem.strerror}), so it cannot be verified")


def _paths(given: Keys) -> list[Path]:
    return [Path(given)] if isinstance(given, (str, Path)) else [Path(one) for one in given]
