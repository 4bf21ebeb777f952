"""The only writer of synthetic rows to a shareable place, and it wants an approval of exactly these bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from synth.data.files import WRITERS
from synth.data.table import Table
from synth.errors import NotApprovedError, VerificationError
from synth.folder import new_folder, write
from synth.gate.approval import Approval
from synth.gate.dsse import ATTESTATION, all_signed_by
from synth.gate.keys import PublicKey, home, trusted
from synth.gate.leaving import leaving_rows
from synth.gate.verify import check


def export(synthetic: Table, approval: Approval, to: str | Path, *, formats: Iterable[str] | None = None) -> Path:
    """Write approved rows, their documents and the signature to a folder; whole or not at all.

    Everything is written beside `to` under a temporary name, read back from the disk, compared with what was signed, and only
    then renamed. An earlier export at `to` is kept under the next free name.
    Raises NotApprovedError where a format, a document or the rows are not what was signed, DataError where nothing can be
    written.
    """
    known = _signers(approval)
    chosen = _chosen(approval, formats)
    rows = leaving_rows(synthetic)
    with new_folder(to, mark=ATTESTATION) as folder:
        for form in chosen:
            WRITERS[form](rows, folder / f"data.{form}")
        for name, content in approval.documents.items():
            _check_document(name, content, approval)
            write(folder / name, content)
        _compare(folder, approval)
        write(folder / ATTESTATION, approval.to_bytes())
        _check_whole(folder, known)
    return Path(to)


def _signers(approval: Approval) -> tuple[PublicKey, ...]:
    """The key that just signed, or those that this machine trusts. Raises NotApprovedError unless the signature is by one."""
    known = approval.signers or trusted()
    if not all_signed_by(approval.envelope, known):
        raise NotApprovedError(
            "the approval is not signed by a key that this machine trusts, or was altered since; judge the run again,\n"
            f"or put the approver's public key in {home() / 'keys'}"
        )
    return known


def _chosen(approval: Approval, formats: Iterable[str] | None) -> tuple[str, ...]:
    chosen = tuple(approval.formats[:1] if formats is None else dict.fromkeys(formats))
    if not chosen:
        raise NotApprovedError("no format is named; name at least one of " + ", ".join(approval.formats))
    for form in chosen:
        if form not in approval.formats:
            known = f"the approval covers {', '.join(approval.formats)}"
            raise NotApprovedError(
                f"rows may not leave as {form!r}: {known}; judge the run again under a policy that allows it"
            )
    return chosen


def _check_document(name: str, content: bytes, approval: Approval) -> None:
    """Raise NotApprovedError before anything is written under a name that was not signed, which may lead elsewhere."""
    found = hashlib.sha256(content).hexdigest()
    if approval.subjects.get(name) != found or Path(name).name != name:
        raise _differs(name, found, approval.subjects)


def _check_whole(folder: Path, known: tuple[PublicKey, ...]) -> None:
    """Hold the finished folder to what a recipient will hold it to."""
    try:
        check(folder, known)
    except VerificationError as problem:
        raise NotApprovedError(f"what was signed would not be verified: {problem}; judge the run again") from problem


def _compare(folder: Path, approval: Approval) -> None:
    """Hold what reached the disk against what was signed."""
    signed = approval.subjects
    for file in sorted(folder.iterdir()):
        with file.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if signed.get(file.name) != found:
            raise _differs(file.name, found, signed)
    absent = [name for name in signed if not name.startswith("data.") and not (folder / name).exists()]
    if absent:
        raise NotApprovedError(f"the approval covers {absent[0]}, which is not here; approve again")


def _differs(name: str, found: str, signed: Mapping[str, str]) -> NotApprovedError:
    about = "these rows" if name.startswith("data.") else "this document"
    return NotApprovedError(
        f"{name} is not what was approved (SHA-256 {found[:12]}…, signed {signed.get(name, 'no')[:12]}…):\n"
        f"the approval is not about {about}, or was made by another version of synth; judge and approve again"
    )
