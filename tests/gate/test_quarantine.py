"""Rows that nobody approved are marked wherever they lie, can be read, and leave through none of our writers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import synth
from synth.approving import quarantine
from synth.data.quarantine import REAL, mark_of, write_quarantined
from synth.data.sources import write_parquet
from synth.data.table import Table
from synth.errors import NotApprovedError
from synth.gate.policy import Policy


@pytest.fixture
def run(made: SimpleNamespace, tmp_path: Path) -> Path:
    """A folder with quarantined rows."""
    folder = tmp_path / "run"
    folder.mkdir()
    quarantine(made.rows(), folder)
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared"


def writers(folder: Path) -> dict[str, Callable[..., Any]]:
    """Everything of ours that writes rows to a shareable place."""
    return {
        "export": lambda rows, approval=None: synth.export(rows, approval, folder / "out"),
        "to_csv": lambda rows, **approval: synth.to_csv(rows, folder / "out.csv", **approval),
        "to_hf": lambda rows, **approval: synth.to_hf(rows, folder / "hub", **approval),
        "to_sql": lambda rows, **approval: synth.to_sql(rows, f"sqlite:///{folder}/out.db", "people", **approval),
    }


WRITERS = tuple(writers(Path()))


def test_rows_in_a_run_are_marked_by_name_and_in_their_metadata(run: Path) -> None:
    assert {file.name for file in run.iterdir()} == {"synthetic.parquet", "synthetic.parquet.quarantined"}
    said = (run / "synthetic.parquet.quarantined").read_text()
    assert len(said.splitlines()) == 3
    assert "nobody has approved" in said
    assert "synth export RUN" in said
    assert b"quarantined" in pq.read_schema(run / "synthetic.parquet").metadata[b"synth:status"]


def test_quarantined_rows_can_be_read_and_stay_marked_in_all_that_is_made_of_them(run: Path, made: SimpleNamespace) -> None:
    table = synth.read(run / "synthetic.parquet")
    assert table.to_pandas().equals(made.rows().to_pandas())
    assert table.digest() == made.rows().digest()
    for rows in (table, table.head(5), table.select(["age"]), table.where("age >= 30"), synth.read(table, target="town")):
        assert rows.is_synthetic
        assert rows.mark == "quarantined"
    assert not synth.read(made.rows().to_pandas()).is_synthetic


@pytest.mark.attack("takes quarantined rows from a run folder to each of the writers", "refused")
@pytest.mark.parametrize("writer", WRITERS)
def test_quarantined_rows_leave_through_no_writer(writer: str, run: Path, out: Path, made: SimpleNamespace) -> None:
    for rows in (run / "synthetic.parquet", synth.read(run / "synthetic.parquet"), made.rows()):
        with pytest.raises(NotApprovedError, match="60 synthetic rows are quarantined: they leave with an Approval"):
            writers(out)[writer](rows)
        with pytest.raises(NotApprovedError, match="a dict"):
            writers(out)[writer](rows, approval={"decision": "approved"})
    assert list(out.iterdir()) == []


@pytest.mark.attack(
    "removes the mark of quarantined rows before it takes them to a writer", "refused all the same: nothing approves them"
)
@pytest.mark.parametrize("writer", WRITERS)
def test_rows_that_nothing_is_known_of_leave_through_no_writer(writer: str, run: Path, out: Path) -> None:
    write_parquet(synth.read(run / "synthetic.parquet"), run / "washed.parquet")
    assert mark_of(run / "washed.parquet") is None
    with pytest.raises(NotApprovedError, match="for a real table there is no approval"):
        writers(out)[writer](run / "washed.parquet")
    (run / "real.csv").write_text("a,b\n1,2\n3,4\n")
    with pytest.raises(NotApprovedError, match="for a real table there is no approval"):
        writers(out)[writer](synth.read(run / "real.csv"))
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("writer", WRITERS)
def test_the_same_rows_leave_once_they_are_approved(writer: str, run: Path, out: Path, made: SimpleNamespace) -> None:
    policy = made.policy.replace("formats: [parquet, csv]", "formats: [parquet, csv, sql, huggingface]")
    _, approval = made.approved(policy=policy)
    writers(out)[writer](run / "synthetic.parquet", approval=approval)
    left = [file for file in out.rglob("*.parquet") if file.name != "provenance.parquet"]
    assert all(mark_of(file) is None for file in left)
    assert list(out.rglob("*.quarantined")) == []
    assert list(out.iterdir())


@pytest.mark.attack("takes real rows with filled-in cells to each of the writers, with an approval of the same rows", "refused")
@pytest.mark.parametrize("writer", WRITERS)
def test_filled_in_real_rows_leave_under_no_approval(writer: str, out: Path, tmp_path: Path, made: SimpleNamespace) -> None:
    write_parquet(made.rows(), tmp_path / "filled.parquet", metadata=REAL)
    _, approval = made.approved()
    table = synth.read(tmp_path / "filled.parquet")
    assert table.mark == "real"
    assert not table.is_synthetic
    for rows in (tmp_path / "filled.parquet", table):
        with pytest.raises(NotApprovedError, match="hold real cells"):
            writers(out)[writer](rows, approval=approval)
    assert list(out.iterdir()) == []


@pytest.mark.attack("has filled-in real rows measured as if they were synthetic, and approved", "refused")
def test_filled_in_real_rows_are_not_approved(made: SimpleNamespace) -> None:
    table = made.rows()
    filled = Table(table.arrow, table.schema, provenance=table.provenance, mark="real")
    verdict = Policy.parse(made.policy).judge(made.measured(filled, made.good()))
    with pytest.raises(NotApprovedError, match="hold real cells"):
        synth.approve(verdict)


def test_what_impute_returns_is_marked_as_real() -> None:
    table = synth.read(pa.table({"a": [1, 2, 3, None] * 20, "b": ["x", "y", "z", "x"] * 20}))
    filled = synth.Trees().fit(table, seed=0).impute(table, seed=1)
    assert filled.mark == "real"


def test_a_file_that_is_no_parquet_has_no_mark(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("none")
    assert mark_of(tmp_path / "x.parquet") is None
    assert mark_of(tmp_path / "not there.parquet") is None


def test_a_file_of_its_own_has_the_mark_within_alone(made: SimpleNamespace, tmp_path: Path) -> None:
    write_quarantined(made.rows(), tmp_path / "mine.parquet")
    assert [file.name for file in tmp_path.iterdir()] == ["mine.parquet"]
    assert synth.read(tmp_path / "mine.parquet").is_synthetic
