"""Tables come in from files as they are, or not at all; and leave whole, or not at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synth.data.encoding import encode
from synth.data.schema import Kind, Role
from synth.data.sources import read, read_claimed, write, write_csv, write_parquet
from synth.data.table import Table
from synth.errors import DataError, SchemaError

LINES = [f"{i % 17},{'pqr'[i % 3]},{'yes' if i % 5 else 'no'}" for i in range(300)]
GOOD = "\n".join(["a,b,y", *LINES]) + "\n"


@pytest.fixture
def csv(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def save(content: str | bytes, name: str = "t.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return save


@pytest.fixture
def table() -> Table:
    return read(
        pd.DataFrame(
            {
                "age": pd.array([31, None, 47], dtype="Int64"),
                "name": ["a", None, "b"],
                "grade": pd.Categorical(["low", "high", None], categories=["low", "mid", "high"], ordered=True),
                "paid": [1.5, None, 2.25],
            }
        )
    )


# CSV ------------------------------------------------------------------------------------------------------------------


def test_each_column_of_a_csv_gets_the_type_of_all_its_cells(csv: Callable[..., Path]) -> None:
    path = csv(
        "i,f,code,long,flag,day,moment,zoned,text,missing\n"
        "1,0.5,01234,12345678901234567890,true,2020-02-29,2020-02-29 12:00:00,2020-02-29T12:00:00Z,a,\n"
        "-2,1e3,00012,12345678901234567891,False,1900-01-01,2020-02-29 12:00:00.25,2020-02-29T12:00:00Z,NA,x\n"
        "?,,98765,12345678901234567892,NULL,NaN,n/a,,None,y\n"
    )
    arrow = read(path).arrow
    kinds = "int64 double string string bool date32[day] timestamp[ms] timestamp[s,tz=UTC] string string"
    assert [str(kind).replace(" ", "") for kind in arrow.schema.types] == kinds.split()
    assert arrow.column("code").to_pylist() == ["01234", "00012", "98765"]
    assert arrow.column("text").to_pylist() == ["a", None, "None"]
    assert arrow.column("i").to_pylist() == [1, -2, None]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(csv: Callable[..., Path], delimiter: str) -> None:
    path = csv(f'a{delimiter}"b{delimiter}c"\n1{delimiter}"x{delimiter}y\nz"\n2{delimiter}q\n')
    assert read(path).arrow.to_pydict() == {"a": [1, 2], f"b{delimiter}c": [f"x{delimiter}y\nz", "q"]}


def test_line_ends_in_quotes_are_kept_however_long_the_file(csv: Callable[..., Path]) -> None:
    text = "one\n" * 20
    assert read(csv("a,b\n" + f'1.5,"{text}"\n' * 150_000)).arrow.column("b").unique().to_pylist() == [text]


def test_decimal_commas_are_read_where_semicolons_part_the_columns(csv: Callable[..., Path]) -> None:
    assert read(csv("a;b\n1,5;x\n-2,25;y\n")).arrow.column("a").to_pylist() == [1.5, -2.25]


def test_spaces_after_every_delimiter_belong_to_the_delimiter(csv: Callable[..., Path]) -> None:
    rows = read(csv("age, work, pay\n39, Private, 10\n40, ?, 20\n41, Own, 30\n")).arrow
    assert rows.to_pydict() == {"age": [39, 40, 41], "work": ["Private", None, "Own"], "pay": [10, 20, 30]}


def test_a_mark_of_utf8_and_windows_line_ends_are_no_data(csv: Callable[..., Path]) -> None:
    assert read(csv(b"\xef\xbb\xbfa,b\r\n1,x\r\n2,y\r\n")).arrow.to_pydict() == {"a": [1, 2], "b": ["x", "y"]}


def test_one_column_needs_no_delimiter(csv: Callable[..., Path]) -> None:
    assert read(csv("a\n1\n2\n")).arrow.to_pydict() == {"a": [1, 2]}


def test_a_table_written_as_csv_reads_back_as_it_was(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    for name in ("adult_train", "baseball_players", "online_shoppers"):
        there = read(shared_data(f"{name}.parquet"))
        back = read(write(there, tmp_path / f"{name}.csv"))
        for column in there.columns:
            if there.column(column).type == back.column(column).type:
                assert back.column(column).equals(there.column(column)), column
            else:  # nominal codes kept as text are numbers to a CSV
                assert back.column(column).cast(pa.string()).equals(there.column(column)), column


BAD = {
    "empty": (b"", "is empty"),
    "blank lines": (b"\n\n\n", "blank lines only"),
    "header only": (b"a,b,y\n", "a header and no rows"),
    "ragged": (GOOD.encode() + b"1,p\n", "line 302 has 2 columns where the header has 3"),
    "too wide": (GOOD.replace("\n3,r,yes", "\n3,r,yes,more", 1).encode(), "line 73 has 4 columns"),
    "wrong encoding": (GOOD.replace("p", "é").encode("latin-1"), r"byte 8 \(line 2\) is 0xe9; save it as UTF-8"),
    "UTF-16": (GOOD.encode("utf-16"), "UTF-16"),
    "duplicate column names": (GOOD.replace("a,b,y", "a,a,y").encode(), "'a' appears twice"),
    "a column without a name": (GOOD.replace("a,b,y", ",b,y").encode(), "column 1 has no name"),
    "all-null column": (b"a,c,y\n" + b"1,,no\n" * 300, r"'c' is null in every row.*drop=\['c'\]"),
    "infinite": (
        GOOD.replace("\n3,", "\ninf,", 1).replace("\n1,", "\n1.5,", 1).encode(),
        "inf in row 4; numbers must be finite",
    ),
    "mixed types": (GOOD.replace("\n3,", "\nthree,", 1).encode(), "holds numbers, but 'three' in row 4"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_csv_is_refused_in_words(case: str, csv: Callable[..., Path]) -> None:
    content, words = BAD[case]
    with pytest.raises(DataError, match=words) as caught:
        read(csv(content))
    assert len(str(caught.value).splitlines()) <= 3


def test_the_byte_of_a_wrong_encoding_is_found_far_into_the_file(csv: Callable[..., Path]) -> None:
    content = b"a,b\n" + b"1,x\n" * 3_000_000 + b"2,\xff\n"
    with pytest.raises(DataError, match=r"byte 12,000,006 \(line 3,000,002\) is 0xff"):
        read(csv(content))


def test_codes_with_a_few_letters_can_be_declared(csv: Callable[..., Path]) -> None:
    path = csv(GOOD.replace("\n3,", "\nthree,", 1))
    assert read(path, kinds={"a": "categorical"}).schema.column("a").kind is Kind.CATEGORICAL


def test_a_constant_column_and_a_single_row_are_read(csv: Callable[..., Path]) -> None:
    table = read(csv("a,b,y\n1,same,2.5\n"))
    assert [column.why.split(":")[0] for column in table.schema.columns] == ["constant"] * 3


# other files ----------------------------------------------------------------------------------------------------------


def test_a_path_that_is_no_file_of_rows_is_refused_in_words(tmp_path: Path, csv: Callable[..., Path]) -> None:
    cases = {
        tmp_path / "gone.csv": r"gone\.csv is not there",
        tmp_path: "is a folder",
        csv("x", "t.xlsx"): r"ends in '\.xlsx', no known format",
        csv("x", "t.parqet"): r"did you mean '\.parquet'",
        csv("x", "noending"): "no suffix",
        csv("PAR1 but not really", "t.parquet"): "is no Parquet file that can be read",
        csv("nothing of the kind", "t.arrow"): "is no Arrow file that can be read",
        csv("", "e.parquet"): "is empty",
    }
    for path, words in cases.items():
        with pytest.raises(DataError, match=words) as caught:
            read(path)
        assert len(str(caught.value).splitlines()) <= 3


def test_a_parquet_file_damaged_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write(read(pa.table({"a": np.random.default_rng(0).normal(size=10_000)})), path)
    content = bytearray(path.read_bytes())
    content[2000:4000] = bytes(2000)
    path.write_bytes(content)
    with pytest.raises(DataError, match="no Parquet file that can be read"):
        read(path)


def test_the_index_that_pandas_saves_is_no_column(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3]}, index=[7, 8, 9])
    frame.to_parquet(tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet").columns == ("a",)


# writing --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_file_gives_the_same_rows_and_the_same_digest(table: Table, tmp_path: Path, suffix: str) -> None:
    again = read(write(table, tmp_path / f"t.{suffix}"))
    pd.testing.assert_frame_equal(again.to_pandas(), table.to_pandas())
    assert again.digest() == table.digest()


def test_chunks_leave_no_trace_in_the_bytes(table: Table, tmp_path: Path) -> None:
    chunked = Table(pa.concat_tables([table.arrow.slice(i, 1) for i in range(3)]), table.schema, table.frame)
    assert chunked.arrow.column(0).num_chunks == 3
    write(table, tmp_path / "whole.parquet")
    write(chunked, tmp_path / "chunked.parquet")
    assert (tmp_path / "whole.parquet").read_bytes() == (tmp_path / "chunked.parquet").read_bytes()


def test_another_process_writes_the_same_bytes(table: Table, tmp_path: Path) -> None:
    write(table, tmp_path / "here.parquet")
    code = "import sys; from synth.data.sources import read, write; print(write(read(sys.argv[1]), sys.argv[2]))"
    subprocess.run([sys.executable, "-c", code, tmp_path / "here.parquet", tmp_path / "there.parquet"], check=True)
    assert (tmp_path / "here.parquet").read_bytes() == (tmp_path / "there.parquet").read_bytes()


def test_rows_beyond_one_row_group_come_back_with_the_same_digest(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    levels = [f"level {i:06}" for i in range(60_000)]
    codes = pa.array(rng.integers(0, len(levels), 250_000), pa.int32())
    rows = pa.table({"x": rng.normal(size=250_000), "c": pa.DictionaryArray.from_arrays(codes, pa.array(levels))})
    table = read(rows, kinds={"c": "categorical"})
    again = read(write(table, tmp_path / "t.parquet"), schema=table.schema)
    assert pq.ParquetFile(tmp_path / "t.parquet").num_row_groups == 3
    assert again.equals(table)
    assert again.digest() == table.digest()


def test_metadata_is_written_and_a_change_of_one_value_changes_the_digest(table: Table, tmp_path: Path) -> None:
    write_parquet(table, tmp_path / "t.parquet", metadata={"synth.quarantined": "true"})
    assert pq.read_schema(tmp_path / "t.parquet").metadata[b"synth.quarantined"] == b"true"
    assert read(tmp_path / "t.parquet").digest() == table.digest()
    changed = table.arrow.set_column(3, "paid", pa.array([1.5, None, 2.26]))
    assert Table(changed, table.schema).digest() != table.digest()


def test_a_table_without_rows_can_be_written_and_read(table: Table, tmp_path: Path) -> None:
    empty = table.head(0)
    again = read(write(empty, tmp_path / "t.parquet"), schema=table.schema)
    assert len(again) == 0
    assert again.digest() == empty.digest()


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write(read(pd.DataFrame({"x": [1.5, 2.5]})), path)
    before = path.read_bytes()
    code = (
        "import sys, numpy as np, pyarrow as pa\n"
        "from synth.data.sources import read, write\n"
        "from synth.errors import DataError\n"
        "table = read(pa.table({'x': np.random.default_rng(0).normal(size=100_000)}))\n"
        "try: write(table, sys.argv[1])\n"
        "except DataError as problem: print(problem)\n"
    )
    for name in ("t.parquet", "t.csv", "t.arrow"):
        command = f'ulimit -f 64; exec {sys.executable} -c "$0" {tmp_path / name}'
        ended = subprocess.run(["bash", "-c", command, code], capture_output=True, text=True, check=True)
        assert f"cannot write {tmp_path / name}: the file would pass the size limit" in ended.stdout
        assert len(ended.stdout.strip().splitlines()) <= 3
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.parquet"]


@pytest.mark.parametrize("to", ["/proc/nowhere/t.parquet", "/dev/full/t.csv", "missing/t.arrow"])
def test_a_place_that_cannot_be_written_is_named(table: Table, tmp_path: Path, to: str) -> None:
    with pytest.raises(DataError, match=r"cannot write \S*t\.\w+: "):
        write(table, tmp_path / to)
    assert list(tmp_path.iterdir()) == []


def test_what_goes_wrong_while_writing_leaves_nothing_behind(table: Table, tmp_path: Path) -> None:
    nested = Table(pa.table({"x": [[1], [2]]}), read(pd.DataFrame({"x": [1, 2]})).schema)
    with pytest.raises(DataError, match="cannot write"):
        write_csv(nested, tmp_path / "t.csv")
    assert list(tmp_path.iterdir()) == []


# under a schema -------------------------------------------------------------------------------------------------------


def test_a_schema_that_is_given_keeps_kinds_and_roles_and_widens_what_was_read_off() -> None:
    train = read(pd.DataFrame({"c": ["a", "b"] * 20, "x": range(5, 45), "y": [0, 1] * 20}), target="y")
    other = read(pd.DataFrame({"y": [1, 2], "c": ["z", None], "x": [-5, 99]}), schema=train.schema)
    assert other.columns == train.columns
    assert other.schema.target == train.schema.target or other.schema.column("y").categories == (0, 1, 2)
    column = other.schema.column("c")
    assert column.categories == ("a", "b", "z")
    assert column.nullable
    assert (other.schema.column("x").minimum, other.schema.column("x").maximum) == (-5, 99)


def test_rows_of_somebody_else_are_read_under_the_schema_as_it_is() -> None:
    schema = read(pd.DataFrame({"c": ["a", "b"] * 20, "x": range(5, 45)})).schema
    fake = read_claimed(pd.DataFrame({"x": [-5, 99], "c": ["z", None]}), schema)
    assert fake.schema is schema
    assert fake.column("c").to_pylist() == ["z", None]
    with pytest.raises(DataError, match=r"no column 'x'.*did you mean 'xx'|no column 'x'"):
        read_claimed(pd.DataFrame({"xx": [1, 2], "c": ["a", "b"]}), schema)
    with pytest.raises(DataError, match="'extra' that its schema has not"):
        read_claimed(pd.DataFrame({"x": [1, 2], "c": ["a", "b"], "extra": [1, 2]}), schema)


def test_codes_kept_as_text_stay_text_in_a_csv_read_under_their_schema(csv: Callable[..., Path]) -> None:
    schema = read(pd.DataFrame({"code": ["1", "2", "10"], "x": [1, 2, 3]})).schema
    again = read(csv("code,x\n10,1\n2,2\n"), schema=schema)
    assert again.column("code").to_pylist() == ["10", "2"]
    assert again.schema.column("code").categories == ("1", "2", "10")


def test_a_column_that_is_null_throughout_is_read_under_its_schema(csv: Callable[..., Path]) -> None:
    content = "i,f,b,c,d,t\n1,0.5,true,p,2020-01-01,2020-01-01 10:00:00\n2,1.5,false,q,2020-01-02,2020-01-02 11:30:00\n"
    schema = read(csv(content)).schema
    for rows in (csv("i,f,b,c,d,t\n,,,,,\n,,,,,\n"), pd.DataFrame({name: [None, None] for name in "ifbcdt"})):
        table = read(rows, schema=schema)
        assert all(column.null.all() for column in encode(table).columns)
        assert all(column.nullable for column in table.schema.columns)


def test_roles_named_in_the_call_win_over_the_schema() -> None:
    frame = pd.DataFrame({"a": ["p", "q"] * 20, "b": ["r", "s"] * 20, "x": range(5, 45)})
    schema = read(frame, target="a").schema
    again = read(frame, schema=schema, target="b", sensitive=["a"])
    assert [again.schema.column(name).role for name in "abx"] == [Role.SENSITIVE, Role.TARGET, Role.FEATURE]


def test_overrides_on_a_table_keep_what_it_already_declares() -> None:
    frame = pd.DataFrame({"a": ["p", "q"] * 20, "b": ["r", "s"] * 20, "x": range(5, 45)})
    table = read(frame, target="a", kinds={"x": "decimal"})
    again = read(table, schema={"columns": {"b": {"categories": ["r", "s", "t"]}}})
    assert again.schema.target is not None
    assert again.schema.target.name == "a"
    assert again.schema.column("x").kind is Kind.DECIMAL
    assert again.schema.column("b").categories == ("r", "s", "t")


def test_an_unknown_column_names_the_nearest() -> None:
    frame = pd.DataFrame({"income": ["a", "b"], "x": [1, 2]})
    for wrong in ({"target": "incme"}, {"drop": ["incme"]}, {"kinds": {"incme": "text"}}, {"time": "incme"}):
        with pytest.raises(SchemaError, match="no column 'incme'; did you mean 'income'"):
            read(frame, **wrong)
    with pytest.raises(SchemaError, match="named both target and key"):
        read(frame, target="income", key="income")


def test_parquet_is_read_through_no_python_file(tmp_path: Path, table: Table) -> None:
    """Arrow's threads let go of a file when they like: of a Python one at the end of the process too, which aborts it."""
    file = tmp_path / "rows.parquet"
    write(table, file)
    look = (
        "import sys; from synth.data.files import read_file; from pathlib import Path\n"
        "opened = []; sys.addaudithook(lambda event, args: opened.append(args[0]) if event == 'open' else None)\n"
        "read_file(Path(sys.argv[1])); print([str(path) for path in opened if str(path) == sys.argv[1]])"
    )
    done = subprocess.run([sys.executable, "-c", look, str(file)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
