"""Rows in a database: what was signed is what stands there, cell by cell, and any difference is said."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

import synth
from synth.data.table import Provenance, Table
from synth.errors import DataError, InputError, MissingExtraError, NotApprovedError, VerificationError
from synth.gate import sql
from synth.gate.export import export, export_table
from synth.gate.forms import columns_line, columns_of, signed_digests
from synth.gate.keys import default_key
from synth.gate.verify import verify

POLICY = "formats: [parquet, csv, arrow, sql, huggingface]"


@pytest.fixture
def signed(made: SimpleNamespace) -> tuple[Table, Any]:
    """A table of every kind of column, and the approval of it in every format."""
    table, approval = made.approved(table=made.kinds(), policy=made.policy.replace("formats: [parquet, csv]", POLICY))
    return table, approval


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'people.db'}"


@pytest.fixture
def exported(signed: tuple[Table, Any], url: str) -> str:
    return export_table(*signed, url, "people")


def change(exported: str, *statements: str) -> None:
    """Somebody with access to the database."""
    with closing(sqlite3.connect(exported.removeprefix("sqlite:///").split("?")[0])) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def ask(exported: str, question: str) -> list[Any]:
    with closing(sqlite3.connect(exported.removeprefix("sqlite:///").split("?")[0])) as database:
        return database.execute(question).fetchall()


def refused(exported: str) -> str:
    with pytest.raises(VerificationError) as said:
        verify(exported)
    return str(said.value)


# the round trip ---------------------------------------------------------------------------------------------------------


def test_what_is_in_the_database_is_verified(exported: str, signed: tuple[Table, Any]) -> None:
    table, approval = signed
    verified = verify(exported, key=None)
    assert str(verified.path) == exported
    assert verified.rows == len(table)
    assert "data.sql" in verified.files
    names = {name for (name,) in ask(exported, "SELECT name FROM people_synth")}
    assert names == {
        "README.md", "attestation.json", "columns.json", "croissant.json", "openlineage.json", "policy.json", "prov.json",
        "evidence.html", "provenance.parquet", "report.html", "verdict.json",
    }  # fmt: skip
    assert ask(exported, "SELECT content FROM people_synth WHERE name = 'attestation.json'") == [(approval.to_bytes(),)]
    assert ask(exported, "SELECT count(*) FROM people") == [(len(table),)]


def test_every_cell_reads_back_as_it_was(exported: str, signed: tuple[Table, Any]) -> None:
    """With SQLAlchemy's own reflection, as a user would: text and numbers as they are, moments in UTC."""
    table, _ = signed
    for name in ("whole", "small", "real", "text", "yes"):
        cells = [cell for (cell,) in ask(exported, f'SELECT "{name}" FROM people ORDER BY _row')]
        assert cells == table.column(name).to_pylist()
    exact = [cell for (cell,) in ask(exported, "SELECT exact FROM people ORDER BY _row")]
    assert exact == [None if cell is None else str(cell) for cell in table.column("exact").to_pylist()]
    when = [cell for (cell,) in ask(exported, "SELECT zoned FROM people ORDER BY _row")]
    assert when[0] == "2024-02-28 23:59:59.123456"


def test_what_is_signed_tells_any_two_tables_apart(made: SimpleNamespace) -> None:
    """Each kind of small change gives another text: null and empty, a type, an order, a name."""
    table = made.kinds()
    arrow = table.arrow

    def digest(rows: pa.Table) -> str:
        return signed_digests("sql", Table(rows, synth.read(rows).schema))["data.sql"]

    place = arrow.column_names.index("text")
    empty = pa.array([cell or "" for cell in arrow.column("text").to_pylist()])
    changed = [
        arrow,
        arrow.set_column(place, "text", empty),
        arrow.set_column(place, "other", arrow.column("text")),
        arrow.set_column(2, "small", arrow.column("small").cast(pa.int64())),
        arrow.take([1, 0, *range(2, len(arrow))]),
        arrow.slice(0, len(arrow) - 1),
        arrow.select(arrow.column_names[::-1]),
    ]
    assert len({digest(rows) for rows in changed}) == len(changed)


def test_the_line_of_types_reads_back(made: SimpleNamespace) -> None:
    schema = made.kinds().arrow.schema
    read = columns_of(columns_line(schema))
    plain = [kind.value_type if pa.types.is_dictionary(kind) else kind for kind in schema.types]
    assert read == dict(zip(schema.names, plain, strict=True))
    with pytest.raises(ValueError, match="no type"):
        columns_of(b'[["x","os.system"]]')


def test_a_table_without_rows_can_be_exported(made: SimpleNamespace, url: str) -> None:
    rules = made.policy.replace("formats: [parquet, csv]", POLICY).replace("min_synthetic: 50", "min_synthetic: 0")
    table, approval = made.approved(table=made.rows().head(0), policy=rules)
    assert verify(export_table(table, approval, url, "none")).rows == 0


def test_two_tables_of_one_database(made: SimpleNamespace, url: str) -> None:
    rules = made.policy.replace("formats: [parquet, csv]", POLICY)
    one = export_table(*made.approved(0, policy=rules), url, "one")
    two = export_table(*made.approved(1, policy=rules), f"{url}?table=two")
    assert verify(one).files == verify(two).files
    with pytest.raises(VerificationError, match="no table 'three'"):
        verify(f"{url}?table=three")


# what an attacker does to the database ----------------------------------------------------------------------------------


@pytest.mark.attack("edits a cell of the exported SQL table", "detected")
@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE people SET whole = 5 WHERE _row = 3",
        "UPDATE people SET real = real + 1e-9 WHERE _row = 0",
        "UPDATE people SET yes = 1 - yes WHERE _row = 0",
        "UPDATE people SET yes = 2 WHERE _row = 0",
        "UPDATE people SET text = '' WHERE text IS NULL",
        "UPDATE people SET text = NULL WHERE text = ''",
        "UPDATE people SET day = '0001-01-02' WHERE _row = 0",
        "UPDATE people SET at = '2024-02-28T23:59:59.123456' WHERE _row = 0",
        "UPDATE people SET zoned = NULL WHERE _row = 0",
        "UPDATE people SET exact = '0.11' WHERE _row = 0",
        "UPDATE people SET exact = 0.1 WHERE _row = 0",
        "UPDATE people SET whole = 'many' WHERE _row = 0",
        "UPDATE people SET text = x'00' WHERE _row = 0",
    ],
)
def test_an_edited_cell(exported: str, edit: str) -> None:
    change(exported, edit)
    assert "altered" in refused(exported)


@pytest.mark.attack("changes the order of the rows in the exported SQL table", "detected")
def test_rows_in_another_order(exported: str) -> None:
    change(
        exported,
        "UPDATE people SET _row = 1000000 WHERE _row = 0", "UPDATE people SET _row = 0 WHERE _row = 1",
        "UPDATE people SET _row = 1 WHERE _row = 1000000",
    )  # fmt: skip
    assert "data.sql was altered" in refused(exported)


@pytest.mark.attack("removes or adds rows of the exported SQL table", "detected")
@pytest.mark.parametrize(
    "edit",
    [
        "DELETE FROM people WHERE _row = 7",
        "DELETE FROM people WHERE _row = (SELECT max(_row) FROM people)",
        "INSERT INTO people (_row, whole) VALUES (1000, 1)",
        "INSERT INTO people (_row, whole) VALUES (-1, 1)",
        "DELETE FROM people",
    ],
)
def test_a_row_more_or_less(exported: str, edit: str) -> None:
    change(exported, edit)
    assert "altered" in refused(exported)


@pytest.mark.attack("drops, adds or renames a column of the exported SQL table", "detected")
@pytest.mark.parametrize(
    "edit", ["DROP COLUMN small", "ADD COLUMN extra TEXT", "RENAME COLUMN whole TO other", "RENAME COLUMN _row TO place"]
)
def test_a_column_more_or_less(exported: str, edit: str) -> None:
    change(exported, f"ALTER TABLE people {edit}")
    assert "its columns are not those that were signed" in refused(exported)


@pytest.mark.attack("edits a document or the types beside the exported SQL table", "detected")
@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ("UPDATE people_synth SET content = x'00' WHERE name = 'README.md'", "README.md was altered"),
        ("UPDATE people_synth SET content = x'00' WHERE name = 'attestation.json'", "garbled"),
        ("DELETE FROM people_synth WHERE name = 'verdict.json'", "verdict.json is missing"),
        ("DELETE FROM people_synth WHERE name = 'attestation.json'", "nothing says that it was approved"),
        ("DELETE FROM people_synth WHERE name = 'columns.json'", "no columns.json"),
        ("UPDATE people_synth SET content = x'5b5d' WHERE name = 'columns.json'", "its columns are not those"),
        ("INSERT INTO people_synth VALUES ('more.txt', x'00')", "more.txt is not covered"),
        ("INSERT INTO people_synth VALUES ('../../more.txt', x'00')", "not the name of a document"),
        ("INSERT INTO people_synth VALUES ('data.parquet', x'00')", "not the name of a document"),
        ("UPDATE people_synth SET content = 'text' WHERE name = 'README.md'", "not one named file"),
    ],
)
def test_what_stands_beside_is_held_to_the_signature_too(exported: str, edit: str, words: str) -> None:
    change(exported, edit)
    assert words in refused(exported)


@pytest.mark.attack("gives the types beside the rows another meaning", "detected")
def test_edited_types(exported: str) -> None:
    ((line,),) = ask(exported, "SELECT content FROM people_synth WHERE name = 'columns.json'")
    with closing(sqlite3.connect(exported.removeprefix("sqlite:///").split("?")[0])) as database:
        edited = line.replace(b'"uint8"', b'"int16"')
        assert edited != line
        database.execute("UPDATE people_synth SET content = ? WHERE name = 'columns.json'", [edited])
        database.commit()
    assert "data.sql was altered" in refused(exported)


@pytest.mark.attack("puts a view in the place of the exported table", "detected")
def test_a_view_in_the_place_of_the_table(exported: str) -> None:
    change(exported, "ALTER TABLE people RENAME TO hidden", "CREATE VIEW people AS SELECT * FROM hidden")
    assert "is a view" in refused(exported)


@pytest.mark.attack("carries the companion of one SQL export to the rows of another", "detected")
def test_the_companion_of_another_table(made: SimpleNamespace, exported: str, url: str) -> None:
    table, approval = made.approved(2, policy=made.policy.replace("formats: [parquet, csv]", POLICY))
    export_table(table, approval, url, "other")
    change(exported, "DROP TABLE people_synth", "ALTER TABLE other_synth RENAME TO people_synth")
    assert "its columns are not those" in refused(exported)


# what is refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.attack("exports over an SQL table that is there", "refused; the table stays")
@pytest.mark.parametrize("kind", ["TABLE people (x)", "TABLE people_synth (x)", "VIEW people AS SELECT 1"])
def test_a_table_that_is_there_is_never_overwritten(signed: tuple[Table, Any], url: str, kind: str) -> None:
    change(url, f"CREATE {kind}")
    with pytest.raises(DataError, match="overwrites nothing"):
        export_table(*signed, url, "people")
    assert len(ask(url, "SELECT name FROM sqlite_master")) == 1


@pytest.mark.attack("exports other rows to a database under an approval", "refused")
def test_other_rows_do_not_reach_the_database(
    made: SimpleNamespace, signed: tuple[Table, Any], url: str, tmp_path: Path
) -> None:
    table, approval = signed
    shuffled = table.take([1, 0, *range(2, len(table))])
    for other in (made.rows(1), shuffled, table.head(5)):
        with pytest.raises(NotApprovedError, match=r"data\.sql is not what was approved"):
            export_table(other, approval, url, "people")
    assert list(tmp_path.iterdir()) == []


def test_a_policy_that_does_not_allow_it(made: SimpleNamespace, url: str) -> None:
    with pytest.raises(NotApprovedError, match="may not leave as 'sql'"):
        export_table(*made.approved(), url, "people")


def test_sql_goes_alone_and_to_a_url(signed: tuple[Table, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="goes alone"):
        export(*signed, tmp_path / "out", formats=("parquet", "sql"))
    with pytest.raises(InputError, match=r"synth\.to_sql"):
        export(*signed, tmp_path / "out", formats=("sql",))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "people; DROP TABLE x", 'a"b', "näme", "x" * 41, "1st"])
def test_a_table_s_name_is_plain(signed: tuple[Table, Any], url: str, name: str) -> None:
    with pytest.raises(InputError, match=r"cannot be named|name one table"):
        export_table(*signed, url, name)


def test_what_is_no_database_is_said_in_words(signed: tuple[Table, Any], tmp_path: Path) -> None:
    for url, words in (
        ("nonsense", "no URL of a database"),
        ("nosuch://host/db", "install the driver"),
        (f"sqlite:///{tmp_path}/none/x.db", "unable to open"),
        (f"sqlite:///{tmp_path}", "unable to open"),
    ):
        with pytest.raises(InputError, match=words):
            export_table(*signed, url, "people")
    with pytest.raises(VerificationError, match="is not there"):
        verify(f"sqlite:///{tmp_path}/none.db?table=people")
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "text.db").write_text("no database at all" * 100)
    with pytest.raises(DataError, match="not a database"):
        verify(f"sqlite:///{tmp_path}/text.db?table=people")


def test_a_password_is_not_repeated(signed: tuple[Table, Any]) -> None:
    with pytest.raises(InputError) as said:
        export_table(*signed, "nosuch://ada:hunter2@host/db", "people")
    assert "hunter2" not in str(said.value)


def test_without_sqlalchemy_the_extra_is_named(signed: tuple[Table, Any], url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(MissingExtraError, match=r"synth\[sql\]"):
        export_table(*signed, url, "people")


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ({"_ROW": pa.array([1, 2])}, "the name of the key"),
        ({"x": pa.array([2**64 - 1, 1], pa.uint64())}, "cannot hold these rows"),
        ({"x": pa.array([1, 2], pa.timestamp("ns"))}, "a moment that databases do not"),
        ({"x": pa.array([-(2**62), 1], pa.timestamp("us"))}, "a moment that databases do not"),
        ({"x": pa.array([1, 2]), "X": pa.array([1, 2])}, "duplicate column"),
    ],
)
def test_what_a_database_cannot_hold_is_refused_and_leaves_nothing(
    column: dict[str, pa.Array], words: str, url: str, tmp_path: Path
) -> None:
    arrow = pa.table(column)
    table = Table(arrow, synth.read(arrow).schema, provenance=Provenance("trees", "ab" * 32, 0, 2))
    with pytest.raises(DataError, match=words):
        sql.write_table(table, url, "people", {}, lambda folder: None)
    assert list(tmp_path.iterdir()) == []


# whole or not at all -----------------------------------------------------------------------------------------------------


@pytest.mark.attack("the process fails between writing an SQL table and naming it", "nothing is left")
@pytest.mark.parametrize("step", ["_insert", "_restored", "_rename"])
def test_a_failure_on_the_way_leaves_nothing(
    signed: tuple[Table, Any], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(sql, step, fail)
        with pytest.raises(KeyboardInterrupt):
            export_table(*signed, url, "people")
    assert list(tmp_path.iterdir()) == []
    change(url, "CREATE TABLE mine (x)")
    with monkeypatch.context() as patched:
        patched.setattr(sql, step, fail)
        with pytest.raises(KeyboardInterrupt):
            export_table(*signed, url, "people")
    assert ask(url, "SELECT name FROM sqlite_master") == [("mine",)]
    verify(export_table(*signed, url, "people"))


@pytest.mark.attack("the process is killed between writing an SQL table and naming it", "nothing is left")
def test_a_killed_export_leaves_no_table(made: SimpleNamespace, signed: tuple[Table, Any], url: str, tmp_path: Path) -> None:
    from synth.data.sources import write_parquet

    table, _ = signed
    write_parquet(table, tmp_path / "rows.parquet")
    code = """
        import os, signal, sys
        import synth
        from synth.gate import sql
        sql._rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        sql.write_table(synth.read(sys.argv[1]), sys.argv[2], "people", {}, lambda folder: None)
    """
    place = url.removeprefix("sqlite:///")
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "rows.parquet"), url], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert os.path.exists(place)
    assert ask(url, "SELECT name FROM sqlite_master") == []
    verify(export_table(*signed, url, "people"))


@pytest.mark.attack("something changes the rows on their way into the database", "refused; nothing is left")
def test_rows_that_arrive_otherwise_are_not_named(
    signed: tuple[Table, Any], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = sql._insert

    def meddle(connection: Any, data: Any, rows: Table) -> None:
        insert(connection, data, rows)
        connection.exec_driver_sql(f"UPDATE {data.name} SET whole = 1 WHERE _row = 0")

    monkeypatch.setattr(sql, "_insert", meddle)
    with pytest.raises(NotApprovedError, match=r"data\.sql was altered"):
        export_table(*signed, url, "people")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.attack("the disk is full while an SQL table is written", "refused in words; nothing is left")
def test_a_full_disk(signed: tuple[Table, Any], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(url, "CREATE TABLE mine (x)")
    insert = sql._insert

    def full(connection: Any, *rest: Any) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 3")
        insert(connection, *rest)

    monkeypatch.setattr(sql, "_insert", full)
    with pytest.raises(DataError, match="full"):
        export_table(*signed, url, "people")
    assert ask(url, "SELECT name FROM sqlite_master") == [("mine",)]


@pytest.mark.attack("puts a link in the place of the SQLite file", "refused")
def test_a_linked_database_is_refused(signed: tuple[Table, Any], tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(DataError, match="is a link"):
        export_table(*signed, f"sqlite:///{tmp_path / 'link.db'}", "people")
    assert not (tmp_path / "elsewhere.db").exists()


def test_a_database_that_may_only_be_read_is_verified(exported: str) -> None:
    file = Path(exported.removeprefix("sqlite:///").split("?")[0])
    before = file.read_bytes()
    file.chmod(0o444)
    verify(exported)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


# another database --------------------------------------------------------------------------------------------------------


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[str]:
    """The URL of a PostgreSQL server of this test's own."""
    driver = next((name for name in ("psycopg", "psycopg2", "pg8000") if _is_there(name)), None)
    if driver is None:
        pytest.skip("no driver for PostgreSQL is installed (psycopg, psycopg2 or pg8000)")
    debian = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")))  # which are not on the path
    initdb, pg_ctl = (shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *debian])) for name in ("initdb", "pg_ctl"))
    if initdb is None or pg_ctl is None:
        pytest.skip("PostgreSQL is not installed on this machine (initdb, pg_ctl)")
    run: Callable[..., Any] = lambda *words: subprocess.run(words, check=True, capture_output=True)  # noqa: E731
    user = [] if os.getuid() else ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    place = tmp_path / "pg"
    place.mkdir()
    if user:
        os.chown(place, 65534, 65534)
        for parent in (tmp_path, *tmp_path.parents[:3]):
            parent.chmod(0o755)
    run(*user, initdb, "-D", str(place / "data"), "-U", "ada", "--auth=trust", "-N")
    options = "-c unix_socket_directories='' -p 54329 -c listen_addresses=127.0.0.1 -c fsync=off"
    subprocess.run(
        [*user, pg_ctl, "-D", str(place / "data"), "-l", str(place / "log"), "-w", "-o", options, "start"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield f"postgresql+{driver}://ada@127.0.0.1:54329/postgres"
    finally:
        run(*user, pg_ctl, "-D", str(place / "data"), "-m", "immediate", "stop")


def _is_there(name: str) -> bool:
    try:
        __import__(name)
    except ImportError:
        return False
    return True


def test_a_postgresql_table_is_verified_and_its_tampering_found(
    made: SimpleNamespace, signed: tuple[Table, Any], postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import create_engine, text

    where = export_table(*signed, postgres, "people")
    assert verify(where).rows == len(signed[0])
    with pytest.raises(DataError, match="overwrites nothing"):
        export_table(*signed, postgres, "people")
    engine = create_engine(postgres)
    for edit in (
        "UPDATE people SET real = real + 1e-9 WHERE _row = 0",
        "UPDATE people SET text = '' WHERE text IS NULL",
        "UPDATE people SET zoned = zoned + interval '1 microsecond' WHERE _row = 0",
        "UPDATE people SET exact = 0.11 WHERE _row = 0",
        "DELETE FROM people WHERE _row = 7",
        "ALTER TABLE people DROP COLUMN small",
    ):
        with engine.begin() as connection:
            connection.execute(text(edit))
        assert "altered" in refused(where)
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE people"))
            connection.execute(text("DROP TABLE people_synth"))
        where = export_table(*signed, postgres, "people")
    monkeypatch.setattr(sql, "_rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        export_table(*signed, postgres, "other")
    with engine.begin() as connection:
        tables = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars().all()
    engine.dispose()
    assert sorted(tables) == ["people", "people_synth"]
    assert default_key().keyid == verify(where).signers[0].keyid
