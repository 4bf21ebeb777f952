"""The only writer of synthetic rows to a shareable place, and it wants an approval of exactly these bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from synth.data.table import Table
from synth.errors import DataError, InputError, NotApprovedError, VerificationError
from synth.folder import home, new_file, new_folder, replace, write
from synth.gate.approval import Approval
from synth.gate.checking import check_signatures
from synth.gate.dsse import ATTESTATION, all_signed_by
from synth.gate.forms import format_of, formats_of, signed_digests, signed_files, write_form, write_one
from synth.gate.keys import PublicKey, trusted
from synth.gate.leaving import leaving_rows
from synth.gate.revocation import Revocations, own_list
from synth.gate.statement import LAYOUTS, TOGETHER, Statement, is_rows
from synth.gate.verify import check

__all__ = ["export", "export_file", "export_table", "format_of", "formats_of", "signed_digests", "signed_files"]


def export(synthetic: Table, approval: Approval, to: str | Path, *, formats: Iterable[str] | None = None) -> Path:
    """Write approved rows, their documents and the signatures to a folder; whole or not at all.

    Everything is written beside `to` under a temporary name, read back from the disk, compared with what was signed, and only
    then renamed. An earlier export at `to` is kept under the next free name.
    formats: by default the first that the approval covers. Files of Parquet, CSV and Arrow may stand together; a folder for the
    Hugging Face hub goes alone.
    Raises NotApprovedError where the approval does not hold today, or a format, a document or the rows are not what was signed;
    DataError where nothing can be written, and for a link in the place of the folder.
    """
    held = _held(approval)
    chosen = _chosen(held.stated, formats)
    if chosen == ("sql",):
        raise InputError(f"rows go to a table by a database's URL, and {to} is a folder; see `synth.to_sql`")
    rows, place = leaving_rows(synthetic), _unlinked(Path(to))
    with new_folder(place, mark=ATTESTATION) as folder:
        for form in chosen:
            _compare_rows(write_form(form, rows, folder), held.stated)
        for name, content in _files(approval, held.stated, chosen[0]).items():
            write(folder / name, content)
        held.check_whole(folder)
        if _unlinked(Path(to)) != place:
            raise DataError(f"{to} no longer leads where it did when the export began; nothing was written")
    return Path(to)


def export_file(synthetic: Table, approval: Approval, to: str | Path, *, form: str) -> Path:
    """Write approved rows to one file, and the signatures beside it as NAME.attestation.json. Raises as `export` does."""
    held = _held(approval)
    _chosen(held.stated, (form,))
    rows, place = leaving_rows(synthetic), _unlinked(Path(to))
    with new_file(place) as out:
        write_one(form, rows, out)
        out.flush()
        _compare_rows({f"data.{form}": Path(out.name)}, held.stated)
    replace(place.with_name(f"{place.name}.{ATTESTATION}"), approval.to_bytes())
    return Path(to)


def export_table(synthetic: Table, approval: Approval, url: str, table: str | None = None) -> str:
    """Write approved rows as a new table of a database, with its companion; whole or not at all. Returns where it is.

    See `synth.gate.sql`. Raises as `export` does; DataError where a table of that name is there.
    """
    from synth.gate.sql import write_table  # which needs more than a folder does

    held = _held(approval)
    _chosen(held.stated, ("sql",))
    rows = leaving_rows(synthetic)
    for name, found in signed_digests("sql", rows).items():
        _check_rows(name, found, held.stated)
    return write_table(rows, url, table, _files(approval, held.stated, "sql"), held.check_whole)


# what must hold before ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Held:
    """An approval that holds today, and who this machine takes its signers from."""

    stated: Statement
    known: tuple[PublicKey, ...]
    revocations: Revocations

    def check_whole(self, folder: Path) -> None:
        """Hold the finished folder to what a recipient will hold it to. Raises NotApprovedError."""
        try:
            check(folder, self.known, revocations=self.revocations)
        except VerificationError as problem:
            raise NotApprovedError(f"what was signed would not be verified: {problem}; judge the run again") from problem


def _held(approval: Approval) -> _Held:
    """Raises NotApprovedError for an approval that lacks signatures, is not by trusted keys, has ended or was revoked."""
    if approval.missing:
        raise NotApprovedError(
            f"{approval.missing} of {approval.terms.signers} signatures are missing: nothing leaves before all are there; "
            "see `synth approve RUN --key`"
        )
    known = tuple({key.keyid: key for key in (*approval.signers, *trusted())}.values())
    lists = [own_list()] if own_list().is_file() else []
    try:
        revocations = Revocations.load(lists, known)
        stated, _ = check_signatures(
            approval.envelope, known, where=f"which is not among the keys in {home() / 'keys'}", revocations=revocations
        )
    except VerificationError as problem:
        if not all_signed_by(approval.envelope, known):
            raise NotApprovedError(
                "the approval is not signed by a key that this machine trusts, or was altered since; judge the run again,\n"
                f"or put the approver's public key in {home() / 'keys'}"
            ) from problem
        raise NotApprovedError(f"the approval does not hold: {problem}; judge and approve the run again") from problem
    return _Held(stated, known, revocations)


def _chosen(stated: Statement, formats: Iterable[str] | None) -> tuple[str, ...]:
    """The formats to write, the one that decides the layout first. Raises NotApprovedError, and InputError for a mix."""
    covered = formats_of(stated.files)
    chosen = covered[:1] if formats is None else tuple(dict.fromkeys(formats))
    if not chosen:
        raise NotApprovedError("no format is named; name at least one of " + ", ".join(covered))
    for form in chosen:
        if form not in covered:
            raise NotApprovedError(
                f"rows may not leave as {form!r}: the approval covers {', '.join(covered)}; "
                "judge the run again under a policy that allows it"
            )
    alone = [form for form in chosen if form not in TOGETHER]
    if alone and len(chosen) > 1:
        raise InputError(f"{alone[0]!r} goes alone, with documents of its own; export the other formats to another place")
    return tuple(form for form in LAYOUTS if form in chosen)


def _files(approval: Approval, stated: Statement, layout: str) -> dict[str, bytes]:
    """The documents of one layout, and the signatures, by the names that they have there.

    Raises NotApprovedError where a document is missing, or is not what was signed: before anything is written under a name
    that may lead elsewhere.
    """
    for name, content in approval.documents.items():
        found = hashlib.sha256(content).hexdigest()
        if is_rows(name) or ".." in name or stated.files.get(name) != found:
            raise _differs(name, found, stated)
    given, files = approval.documents, {}
    for name in stated.documents(layout):
        signed_as = f"{layout}/{name}" if f"{layout}/{name}" in stated.files else name
        if signed_as not in given:
            raise NotApprovedError(f"the approval covers {signed_as}, which is not here; approve again")
        if Path(name).name != name:
            raise _differs(name, "no plain name", stated)
        files[name] = given[signed_as]
    return {**files, ATTESTATION: approval.to_bytes()}


def _unlinked(path: Path) -> Path:
    """The place that a path leads to now, which cannot be swapped for another. Raises DataError for a link in its place."""
    if path.is_symlink():
        raise DataError(f"{path} is a link, and what it leads to can be swapped; give the place itself")
    return path.parent.resolve() / path.name


# what reached the disk ---------------------------------------------------------------------------------------------------


def _compare_rows(files: Mapping[str, Path], stated: Statement) -> None:
    """Hold the rows that reached the disk against what was signed. Raises NotApprovedError."""
    for name, file in files.items():
        with file.open("rb") as content:
            _check_rows(name, hashlib.file_digest(content, "sha256").hexdigest(), stated)


def _check_rows(name: str, found: str, stated: Statement) -> None:
    if stated.files.get(name) != found:
        raise _differs(name, found, stated)


def _differs(name: str, found: str, stated: Statement) -> NotApprovedError:
    about = "these rows" if is_rows(name) else "this document"
    return NotApprovedError(
        f"{name} is not what was approved (SHA-256 {found[:12]}…, signed {stated.files.get(name, 'no')[:12]}…):\n"
        f"the approval is not about {about}, or was made by another version of synth; judge and approve again"
    )
