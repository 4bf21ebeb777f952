"""What an export holds in each format, and what stands in its way."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

import synth
from synth.data import files
from synth.data.table import Table
from synth.errors import DataError, InputError, NotApprovedError, VerificationError
from synth.gate import forms
from synth.gate.approval import Approval
from synth.gate.dsse import opened, seal
from synth.gate.export import export, export_file
from synth.gate.forms import format_of, formats_of, signed_digests, signed_files
from synth.gate.keys import default_key, new_key
from synth.gate.revocation import revoke
from synth.gate.verify import verify

FORMATS = "formats: [parquet, csv, arrow, sql, huggingface]"
DOCUMENTS = {
    "README.md", "attestation.json", "croissant.json", "openlineage.json", "policy.json", "prov.json", "provenance.parquet",
    "evidence.html", "report.html", "verdict.json",
}  # fmt: skip


@pytest.fixture
def approved(made: SimpleNamespace) -> Callable[..., tuple[Table, Any]]:
    """A table and its approval in every format."""

    def make(seed: int = 0, **options: Any) -> tuple[Table, Any]:
        table, approval = made.approved(seed, policy=made.policy.replace("formats: [parquet, csv]", FORMATS), **options)
        return table, approval

    return make


def names(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


# what stands where -------------------------------------------------------------------------------------------------------


def test_a_folder_for_the_hub_has_its_rows_in_parts(
    approved: Any, made: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "SHARD", 25)
    folder = synth.to_hf(*approved()[:1], tmp_path / "hub", approval=approved()[1])
    parts = {f"data/train-0000{i}-of-00003.parquet" for i in range(3)}
    assert names(folder) == DOCUMENTS | parts
    assert set(verify(folder).files) == (DOCUMENTS | parts) - {"attestation.json"}
    rows = pa.concat_tables([pq.read_table(folder / name) for name in sorted(parts)])
    assert rows.to_pylist() == made.rows().arrow.to_pylist()
    assert [pq.read_metadata(folder / name).num_rows for name in sorted(parts)] == [25, 25, 10]
    assert "data/train-*.parquet" in (folder / "README.md").read_text()


@pytest.mark.attack("takes one part out of a folder for the hub, or puts the parts in another order", "detected")
def test_parts_of_the_hub_s_folder_are_held_to_their_places(
    approved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "SHARD", 25)
    folder = export(*approved(), tmp_path / "hub", formats=("huggingface",))
    one, two = (folder / "data" / f"train-0000{i}-of-00003.parquet" for i in (0, 1))
    content, other = one.read_bytes(), two.read_bytes()
    one.write_bytes(other)
    two.write_bytes(content)
    with pytest.raises(VerificationError, match="was altered"):
        verify(folder)
    two.unlink()
    one.write_bytes(content)
    with pytest.raises(VerificationError, match="is missing"):
        verify(folder)
    two.write_bytes(other)
    (folder / "data" / "more.parquet").write_bytes(other)
    with pytest.raises(VerificationError, match="not covered by the signature"):
        verify(folder)


@pytest.mark.parametrize("form", ["parquet", "csv", "arrow"])
def test_each_layout_has_a_card_and_metadata_of_its_own(form: str, approved: Any, tmp_path: Path) -> None:
    table, approval = approved()
    folder = export(table, approval, tmp_path / form, formats=(form,))
    assert names(folder) == DOCUMENTS | {f"data.{form}"}
    assert f"data_files: data.{form}" in (folder / "README.md").read_text()
    (file,) = json.loads((folder / "croissant.json").read_text())["distribution"]
    assert file["contentUrl"] == f"data.{form}"
    assert file["sha256"] == hashlib.sha256((folder / f"data.{form}").read_bytes()).hexdigest()
    read = {"parquet": pq.read_table, "csv": csv.read_csv, "arrow": feather.read_table}[form](folder / f"data.{form}")
    assert read.to_pylist() == table.arrow.to_pylist()
    verify(folder)


def test_flat_formats_stand_together_under_the_first_one_s_documents(approved: Any, tmp_path: Path) -> None:
    folder = export(*approved(), tmp_path / "all", formats=("arrow", "csv"))
    assert names(folder) == DOCUMENTS | {"data.csv", "data.arrow"}
    assert "data_files: data.csv" in (folder / "README.md").read_text()
    verify(folder)


def test_the_hub_s_folder_goes_alone(approved: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'huggingface' goes alone"):
        export(*approved(), tmp_path / "out", formats=("parquet", "huggingface"))
    with pytest.raises(NotApprovedError, match="no format is named"):
        export(*approved(), tmp_path / "out", formats=())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.attack("carries the documents of one layout into an export of another", "detected")
def test_documents_of_another_layout(approved: Any, tmp_path: Path) -> None:
    one, other = (export(*approved(), tmp_path / form, formats=(form,)) for form in ("csv", "parquet"))
    for name in ("README.md", "croissant.json", "openlineage.json"):
        own = (one / name).read_bytes()
        (one / name).write_bytes((other / name).read_bytes())
        with pytest.raises(VerificationError, match=f"{name} was altered"):
            verify(one)
        (one / name).write_bytes(own)


@pytest.mark.attack("edits the card, the Croissant metadata, the lineage or the public report of an export", "detected")
@pytest.mark.parametrize("name", sorted(DOCUMENTS - {"attestation.json"}))
@pytest.mark.parametrize("form", ["parquet", "huggingface"])
def test_an_edited_document(form: str, name: str, approved: Any, tmp_path: Path) -> None:
    folder = export(*approved(), tmp_path / "out", formats=(form,))
    with (folder / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(VerificationError, match=f"{name} was altered"):
        verify(folder)


def test_one_csv_file_has_its_signatures_beside_it(approved: Any, made: SimpleNamespace, tmp_path: Path) -> None:
    table, approval = approved()
    file = synth.to_csv(table, tmp_path / "people.csv", approval=approval)
    assert csv.read_csv(file).to_pylist() == made.rows().arrow.to_pylist()
    assert names(tmp_path) == {"people.csv", "people.csv.attestation.json"}
    attestation = tmp_path / "people.csv.attestation.json"
    assert attestation.read_bytes() == approval.to_bytes()
    assert verify(file, attestation=attestation).files == ("people.csv",)
    with file.open("a") as opened_file:
        opened_file.write("1,2,x\n")
    with pytest.raises(VerificationError, match=r"people\.csv"):
        verify(file, attestation=attestation)


def test_names_tell_formats() -> None:
    signed = ["README.md", "csv/README.md", "data.csv", "data/train-00000-of-00001.parquet", "data.parquet", "data.sql"]
    assert formats_of(signed) == ("parquet", "csv", "sql", "huggingface")
    assert [format_of(name) for name in ("data.arrow", "data/x.parquet", "data.exe", "arrow", "verdict.json")] == [
        "arrow", None, None, None, None,
    ]  # fmt: skip


def test_digests_do_not_depend_on_how_the_rows_are_cut(made: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "SHARD", 25)
    table = made.kinds()
    cut = replace(table, arrow=pa.concat_tables([table.arrow.slice(0, 17), table.arrow.slice(17)]))
    for form in ("parquet", "csv", "arrow", "sql", "huggingface"):
        assert signed_digests(form, table) == signed_digests(form, cut)
    assert len(signed_digests("huggingface", table)) == 3


def test_sizes_are_those_of_the_files(made: SimpleNamespace, tmp_path: Path) -> None:
    table = made.rows()
    for form in ("parquet", "csv", "arrow", "sql", "huggingface"):
        for name, file in forms.write_form(form, table, tmp_path).items():
            assert signed_files(form, table)[name].size == file.stat().st_size
            assert signed_files(form, table)[name].sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_format_that_nobody_knows_is_refused(made: SimpleNamespace) -> None:
    with pytest.raises(DataError, match="no format 'xlsx'"):
        signed_digests("xlsx", made.rows())


# approvals that do not hold ----------------------------------------------------------------------------------------------


def nothing(folder: Path) -> bool:
    return not list(folder.iterdir())


@pytest.mark.attack("exports after the approval has expired", "refused")
def test_an_expired_approval(approved: Any, made: SimpleNamespace, tmp_path: Path) -> None:
    terms = made.terms(at="2026-01-01T00:00:00+00:00", expires="2026-01-02T00:00:00+00:00")
    for formats in (("parquet",), ("huggingface",)):
        with pytest.raises(NotApprovedError, match="expired on 2026-01-02"):
            export(*approved(terms=terms), tmp_path / "out", formats=formats)
    table, approval = approved(terms=terms)
    with pytest.raises(NotApprovedError, match="expired"):
        synth.to_csv(table, tmp_path / "x.csv", approval=approval)
    with pytest.raises(NotApprovedError, match="expired"):
        synth.to_sql(table, f"sqlite:///{tmp_path}/x.db", "x", approval=approval)
    assert nothing(tmp_path)


@pytest.mark.attack("sets the clock back, so that an approval of tomorrow seems to hold", "refused")
def test_an_approval_of_the_future(approved: Any, made: SimpleNamespace, tmp_path: Path) -> None:
    terms = made.terms(at="2999-01-01T00:00:00+00:00", expires="2999-02-01T00:00:00+00:00")
    with pytest.raises(NotApprovedError, match="clock"):
        export(*approved(terms=terms), tmp_path / "out")
    assert nothing(tmp_path)


@pytest.mark.attack("exports with fewer signatures than the approval asks for", "refused")
def test_a_missing_second_signature(approved: Any, made: SimpleNamespace, tmp_path: Path) -> None:
    ada, bob = new_key("ada"), new_key("bob")
    terms = made.terms(signers=2, automatic=False)
    table, approval = approved(terms=terms, key=ada)
    with pytest.raises(NotApprovedError, match="1 of 2 signatures are missing"):
        export(table, approval, tmp_path / "out")
    assert nothing(tmp_path)
    folder = export(table, approval.signed(bob), tmp_path / "out")
    assert len(verify(folder).signers) == 2


@pytest.mark.attack("exports under an approval, or by a key, that was revoked", "refused")
@pytest.mark.parametrize("what", ["key", "approval"])
def test_a_revoked_approval(what: Any, approved: Any, made: SimpleNamespace, tmp_path: Path) -> None:
    table, approval = approved()
    payload, ((keyid, _),) = opened(approval.envelope)
    digest = keyid if what == "key" else hashlib.sha256(payload).hexdigest()
    revoke(what, digest, reason="a copy was found", by="Bob", key=default_key())
    for write in writers(tmp_path):
        with pytest.raises(NotApprovedError, match="revoked"):
            write(table, approval)
    assert nothing(tmp_path)


@pytest.mark.attack("takes an approval of other rows to each of the writers", "refused")
def test_an_approval_of_other_rows(approved: Any, made: SimpleNamespace, tmp_path: Path) -> None:
    _, approval = approved()
    for rows in (made.rows(1), made.rows().head(59), made.rows().select(["age", "town"]), made.rows().to_pandas()[::-1]):
        for write in writers(tmp_path):
            with pytest.raises(NotApprovedError, match="is not what was approved"):
                write(rows, approval)
    assert nothing(tmp_path)


def writers(folder: Path) -> list[Callable[[Any, Any], Any]]:
    """Everything of ours that writes rows to a shareable place."""
    return [
        lambda rows, approval: synth.export(rows, approval, folder / "out"),
        lambda rows, approval: synth.to_csv(rows, folder / "out.csv", approval=approval),
        lambda rows, approval: synth.to_hf(rows, folder / "hub", approval=approval),
        lambda rows, approval: synth.to_sql(rows, f"sqlite:///{folder}/out.db", "people", approval=approval),
    ]


@pytest.mark.attack("signs with the trusted key a document whose name leads out of the folder", "refused")
@pytest.mark.parametrize("name", ["../outside.md", "csv/../../outside.md", "/tmp/outside.md", "parquet/a/b.md"])
def test_a_document_that_would_lie_outside(name: str, approved: Any, tmp_path: Path) -> None:
    table, approval = approved()
    statement = json.loads(opened(approval.envelope)[0])
    digest = hashlib.sha256(b"outside").hexdigest()
    statement["subject"].append({"name": name, "digest": {"sha256": digest}})
    forged = Approval(seal(statement, default_key()), {**approval.documents, name: b"outside"})
    with pytest.raises(NotApprovedError):
        export(table, forged, tmp_path / "in" / "out")
    assert nothing(tmp_path)
    assert not Path("/tmp/outside.md").exists()


@pytest.mark.attack("leaves a document out, or slips in another one, before the export", "refused")
def test_documents_are_those_that_were_signed(approved: Any, tmp_path: Path) -> None:
    table, approval = approved()
    for changed in (
        {name: content for name, content in approval.documents.items() if name != "huggingface/README.md"},
        approval.documents | {"huggingface/README.md": b"better"},
        approval.documents | {"huggingface/more.md": b"more"},
    ):
        with pytest.raises(NotApprovedError, match="huggingface/"):
            export(table, replace(approval, documents=changed), tmp_path / "out", formats=("huggingface",))
    assert nothing(tmp_path)


# places ------------------------------------------------------------------------------------------------------------------


@pytest.mark.attack(
    "puts a link in the place of the export folder, or of the one CSV file", "refused; what it leads to is left alone"
)
def test_a_link_in_the_place_of_an_export(approved: Any, tmp_path: Path) -> None:
    table, approval = approved()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "out.csv").symlink_to(tmp_path / "elsewhere.csv")
    with pytest.raises(DataError, match="is a link"):
        export(table, approval, tmp_path / "out")
    with pytest.raises(DataError, match="is a link"):
        synth.to_csv(table, tmp_path / "out.csv", approval=approval)
    assert nothing(tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere.csv").exists()


@pytest.mark.attack(
    "swaps a folder above the export for another while it is written", "noticed; nothing is left at either place"
)
def test_a_path_that_is_swapped_on_the_way(approved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "way").symlink_to(tmp_path / "one")
    write = forms.write_form

    def swap(*given: Any) -> Any:
        (tmp_path / "way").unlink()
        (tmp_path / "way").symlink_to(tmp_path / "two")
        return write(*given)

    monkeypatch.setattr("synth.gate.export.write_form", swap)
    with pytest.raises(DataError, match="no longer leads where it did"):
        export(*approved(), tmp_path / "way" / "out")
    assert nothing(tmp_path / "one")
    assert nothing(tmp_path / "two")


@pytest.mark.attack("the process fails between writing an export and naming it", "nothing is left")
@pytest.mark.parametrize("form", ["parquet", "huggingface"])
def test_a_failure_between_writing_and_naming(
    form: str, approved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("synth.gate.export.check", fail)
        with pytest.raises(KeyboardInterrupt):
            export(*approved(), tmp_path / "out", formats=(form,))
    assert nothing(tmp_path)
    verify(export(*approved(), tmp_path / "out", formats=(form,)))


@pytest.mark.attack("the disk is full while an export is written", "refused in words; nothing is left")
@pytest.mark.parametrize("form", ["parquet", "csv", "huggingface"])
def test_a_full_disk(form: str, approved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = approved()  # which is asked for what it will be before anything is full

    def full(_: Any, out: Any) -> None:
        out.write(b"some")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(forms, "WRITERS", {**files.WRITERS, "parquet": full, "csv": full})
    with pytest.raises(DataError, match="no space is left"):
        export(*given, tmp_path / "out", formats=(form,))
    assert nothing(tmp_path)
    with pytest.raises(DataError, match="no space is left"):
        export_file(*given, tmp_path / "out.csv", form="csv")
    assert nothing(tmp_path)


@pytest.mark.attack("something changes the rows between their writing and their naming", "refused; nothing is left")
def test_rows_that_reach_the_disk_otherwise(approved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = forms.write_form

    def meddle(*given: Any) -> Any:
        written = write(*given)
        for file in written.values():
            with file.open("ab") as out:
                out.write(b" ")
        return written

    monkeypatch.setattr("synth.gate.export.write_form", meddle)
    for form in ("parquet", "csv", "arrow", "huggingface"):
        with pytest.raises(NotApprovedError, match="is not what was approved"):
            export(*approved(), tmp_path / "out", formats=(form,))
    assert nothing(tmp_path)


def test_the_only_clock_in_the_documents_is_the_terms(approved: Any, made: SimpleNamespace) -> None:
    """Long before now, so that any other clock would show."""
    terms = made.terms(at="2001-02-03T04:05:06+00:00", expires="2001-03-03T04:05:06+00:00")
    _, approval = approved(terms=terms)
    year = str(datetime.now(UTC).year).encode()
    for name in ("README.md", "croissant.json", "prov.json", "openlineage.json", "huggingface/croissant.json"):
        assert b"2001-02-03" in approval.documents[name], name
        assert year + b"-" not in approval.documents[name], name
