"""What a person declares wins over what was read off the rows, unless the rows contradict it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from synth.data.declaration import declare, dump_schema, load_schema
from synth.data.schema import Kind, Role, Schema
from synth.data.sources import read
from synth.data.table import Table
from synth.errors import SchemaError

FRAME = pd.DataFrame(
    {
        "age": [17, 30, 90, 41] * 10,
        "paid": [0.5, 1.25, None, 3.0] * 10,
        "grade": ["low", "mid", "high", "mid"] * 10,
        "flag": ["no", "yes", "no", "yes"] * 10,
        "code": ["01", "02", "03", "04"] * 10,
        "seen": pd.to_datetime(["2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01"] * 10),
        "who": [f"p{i % 20}" for i in range(40)],
    }
)


def declared(**columns: Any) -> Table:
    return read(FRAME, schema={"columns": columns})


def test_every_key_is_taken_and_noted() -> None:
    table = read(
        FRAME,
        schema={
            "target": "flag",
            "sensitive": ["grade"],
            "subject": "who",
            "time": "seen",
            "columns": {
                "age": {"minimum": 0, "maximum": 120, "nullable": True},
                "paid": {"kind": "decimal", "decimals": 2},
                "grade": {"kind": "ordinal", "categories": ["low", "mid", "high", "top"]},
                "code": {"pattern": "[0-9]{2}"},
                "seen": {"unit": "hour", "minimum": "2019-01-01"},
                "who": {"kind": "identifier", "provider": "uuid"},
            },
            "constraints": ["age >= 17"],
        },
    )
    schema = table.schema
    assert (schema.column("age").minimum, schema.column("age").maximum, schema.column("age").nullable) == (0, 120, True)
    assert set(schema.column("age").declared) == {"minimum", "maximum", "nullable"}
    assert schema.column("grade").kind is Kind.ORDINAL
    assert schema.column("grade").role is Role.SENSITIVE
    assert schema.column("grade").categories == ("low", "mid", "high", "top")
    assert set(schema.column("grade").declared) == {"kind", "role", "categories"}
    assert schema.column("seen").unit == "hour"
    assert schema.column("who").provider == "uuid"
    assert schema.column("who").role is Role.SUBJECT
    assert (schema.time, schema.constraints) == ("seen", ("age >= 17",))
    assert schema.target is not None
    assert schema.target.name == "flag"
    assert schema.column("paid").minimum == 0.5
    assert "minimum" not in schema.column("paid").declared


def test_a_role_column_by_column_is_the_same_as_one_at_the_top() -> None:
    one = read(FRAME, schema={"columns": {"flag": {"role": "target"}, "code": {"role": "dropped"}}}).schema
    other = read(FRAME, schema={"target": "flag", "drop": ["code"]}).schema
    assert one.digest() == other.digest()
    assert declared(age={"role": "target"}).schema.column("age").kind is Kind.CATEGORICAL  # four whole numbers: classes


def test_a_column_taken_for_a_key_can_be_declared_a_feature() -> None:
    frame = pd.DataFrame({"row_id": range(40), "x": [1, 2] * 20})
    schema = read(frame, schema={"columns": {"row_id": {"kind": "integer", "role": "feature"}}}).schema
    assert schema.column("row_id").is_learned


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"colums": {}}, "unknown key 'colums'; did you mean 'columns'"),
    ({"columns": {"age": {"knd": "integer"}}}, "unknown key 'knd'; did you mean 'kind'"),
    ({"columns": {"agee": {"kind": "integer"}}}, "'agee' that is not there; did you mean 'age'"),
    ({"target": "flagg"}, "no column 'flagg'; did you mean 'flag'"),
    ({"columns": {"age": {"kind": "intger"}}}, "'intger'; did you mean 'integer'"),
    ({"columns": {"age": {"role": "targt"}}}, "'targt'; did you mean 'target'"),
    ({"columns": {"age": "integer"}}, "write it as a mapping"),
    ({"columns": {False: {"kind": "integer"}}}, "put it in quotes"),
    ({"columns": "age"}, "one entry per column"),
    ({"constraints": "a <= b"}, "list them as text"),
    ({"columns": {"age": {"minimum": 18}}}, "declared minimum 18, above the value 17"),
    ({"columns": {"age": {"maximum": 80}}}, "declared maximum 80, below the value 90"),
    ({"columns": {"age": {"minimum": "young"}}}, "minimum is 'young'; give a number"),
    ({"columns": {"age": {"minimum": float("nan")}}}, "give a number"),
    ({"columns": {"paid": {"nullable": False}}}, "nullable: false, but it holds nulls"),
    ({"columns": {"paid": {"nullable": "no"}}}, "write true or false"),
    ({"columns": {"paid": {"decimals": 20}}}, "from 0 to 17"),
    ({"columns": {"grade": {"categories": ["low", "high"]}}}, "holds 'mid', which is not among"),
    ({"columns": {"grade": {"categories": ["low", "mid", "hgh"]}}}, "holds 'high'.*did you mean 'hgh'"),
    ({"columns": {"grade": {"categories": []}}}, "list its legal values"),
    ({"columns": {"grade": {"categories": ["low", "mid", "high", "low"]}}}, "lists a category twice"),
    (
        {"columns": {"flag": {"categories": [False, True]}}},
        "holds text, but its categories list False .bool.; put it in quotes",
    ),
    ({"columns": {"grade": {"kind": "ordinal"}}}, "list them from low to high"),
    ({"columns": {"grade": {"kind": "integer"}}}, "cannot be integer"),
    ({"columns": {"grade": {"minimum": 3}}}, "is categorical, so 'minimum' says nothing of it"),
    ({"columns": {"age": {"categories": [1, 2]}}}, "is integer, so 'categories' says nothing of it"),
    ({"columns": {"code": {"pattern": "[0-9"}}}, "no regular expression"),
    ({"columns": {"code": {"pattern": "0[1-3]"}}}, "holds '04', which does not match"),
    ({"columns": {"seen": {"minimum": "2020-01-15"}}}, "declared minimum 2020-01-15, above the value 2020-01-01"),
    ({"columns": {"seen": {"minimum": "soon"}}}, "write a moment as"),
    ({"columns": {"seen": {"unit": "week"}}}, "unit 'week' is not one of"),
    (
        {"columns": {"age": {"minimum": 17, "maximum": 90}, "flag": {"role": "target"}, "code": {"role": "target"}}},
        "2 columns as target",
    ),
]


@pytest.mark.parametrize(("overrides", "words"), WRONG)
def test_a_wrong_declaration_is_refused_in_words(overrides: dict[str, Any], words: str) -> None:
    with pytest.raises(SchemaError, match=words) as caught:
        read(FRAME, schema=overrides)
    assert len(str(caught.value).splitlines()) <= 3


def test_declare_needs_no_rows() -> None:
    schema = read(FRAME).schema
    again = declare(schema, {"target": "flag", "columns": {"age": {"kind": "decimal", "maximum": 99.5}}})
    assert again.column("age").kind is Kind.DECIMAL
    assert again.column("flag").role is Role.TARGET
    assert again.column("flag").declared == ("role",)
    with pytest.raises(SchemaError, match="list its categories"):
        declare(schema, {"columns": {"age": {"kind": "categorical"}}})
    with pytest.raises(SchemaError, match="no column 'agee'"):
        declare(schema, {"columns": {"agee": {"kind": "decimal"}}})


def test_a_schema_printed_as_yaml_is_read_back_as_it_was(tmp_path: Path) -> None:
    frame = FRAME.assign(**{"no": ["no", "1"] * 20, "1990": [1, 2] * 20, "ü: {x}": [True, False] * 20, "# c": [1.5, 2.5] * 20})
    table = read(frame, target="flag", sensitive=["grade"], subject="who", time="seen", drop=["code"])
    schema = Schema(table.schema.columns, ("age >= 17",), table.schema.time)
    path = tmp_path / "schema.yaml"
    path.write_text(dump_schema(schema), encoding="utf-8")
    again = read(frame, schema=path).schema

    def plain(schema: Schema) -> dict[str, Any]:
        out = schema.to_dict()
        for column in out["columns"]:
            column.pop("why", None)
            column.pop("declared", None)
        return out

    assert plain(again) == plain(schema)
    assert "# 4 distinct whole numbers in 40 rows" in path.read_text()
    assert {"kind", "minimum", "maximum"} <= set(again.column("age").declared)


def test_a_schema_as_a_run_saves_it_is_read_whole(tmp_path: Path) -> None:
    schema = read(FRAME, target="flag", kinds={"age": "decimal"}).schema
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(schema.to_dict()))
    assert read(FRAME, schema=path).schema == schema
    path.write_text(json.dumps({"columns": [{"name": "age", "knd": "integer"}]}))
    with pytest.raises(SchemaError, match="'knd'; did you mean 'kind'"):
        read(FRAME, schema=path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("s.yaml", b"columns: [", "is not YAML"),
        ("s.json", b"{", "is not JSON"),
        ("s.yaml", b"just words", "is not a mapping"),
        ("s.yaml", b"", "is not a mapping"),
        ("s.yaml", b"target: \xff", "no UTF-8"),
    ],
)
def test_a_file_that_is_no_schema_is_refused_in_words(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SchemaError, match=words) as caught:
        load_schema(tmp_path / name)
    assert len(str(caught.value).splitlines()) <= 3


def test_a_missing_schema_is_named(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"gone\.yaml cannot be read"):
        read(FRAME, schema=tmp_path / "gone.yaml")
