"""SDV's metadata says of a table what a schema says of it, in both directions."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import synth
from synth.data.example import example_table
from synth.data.schema import Column, Kind, Role, Schema
from synth.data.sdv_metadata import from_sdv_metadata, is_sdv_metadata, to_sdv_metadata
from synth.errors import SchemaError

needs_sdv = pytest.mark.skipif(
    find_spec("sdv") is None,
    reason="SDV is not installed (its licence, BUSL-1.1, is for each user to accept): pip install 'synth[sdv]'",
)

SINGLE = {  # as SDV 1.x writes one table
    "METADATA_SPEC_VERSION": "SINGLE_TABLE_V1",
    "columns": {
        "guest_email": {"sdtype": "email", "pii": True},
        "room_rate": {"sdtype": "numerical", "computer_representation": "Float"},
        "nights": {"sdtype": "numerical", "computer_representation": "Int64"},
        "room_type": {"sdtype": "categorical"},
        "stars": {"sdtype": "categorical", "order": [1, 2, 3]},
        "has_rewards": {"sdtype": "boolean"},
        "checkin": {"sdtype": "datetime", "datetime_format": "%d %b %Y"},
        "booking": {"sdtype": "id", "regex_format": "B[0-9]{4}"},
        "language": {"sdtype": "language_name", "pii": False},
        "remarks": {"sdtype": "text"},
        "other": {"sdtype": "unknown", "pii": True},
    },
    "primary_key": "guest_email",
    "alternate_keys": ["booking"],
}
SEVERAL = {  # as SDV 2 writes several
    "METADATA_SPEC_VERSION": "V2",
    "tables": {
        "hotels": {"columns": {"hotel": {"sdtype": "id"}, "city": {"sdtype": "city", "pii": True}}, "primary_key": "hotel"},
        "guests": {
            "columns": {
                "guest": {"sdtype": "id"},
                "hotel": {"sdtype": "id"},
                "age": {
                    "sdtype": "numerical",
                    "decimal_places": 0,
                    "range_min": 0,
                    "range_max": 120,
                    "range_is_nullable": True,
                },
                "paid": {"sdtype": "numerical", "decimal_places": 2},
                "came": {
                    "sdtype": "datetime",
                    "datetime_format": "%d.%m.%Y",
                    "range_min": "31.12.2019",
                    "range_max": "01.02.2024",
                },
                "tier": {"sdtype": "ordinal", "range_values": ["basic", "gold"]},
                "vip": {"sdtype": "categorical", "range_values": [False, True]},
            },
            "primary_key": ["guest", "hotel"],
            "sequence_key": "guest",
            "sequence_index": "came",
        },
    },
    "relationships": [
        {
            "parent_table_name": "hotels",
            "parent_primary_key": "hotel",
            "child_table_name": "guests",
            "child_foreign_key": "hotel",
        }
    ],
}


def test_the_older_form_of_one_table_is_read() -> None:
    said = from_sdv_metadata(SINGLE)
    kinds = {name: entry["kind"] for name, entry in said["columns"].items()}
    assert kinds == {
        "guest_email": "identifier",
        "room_rate": "decimal",
        "nights": "integer",
        "room_type": "categorical",
        "stars": "ordinal",
        "has_rewards": "boolean",
        "checkin": "datetime",
        "booking": "identifier",
        "language": "categorical",
        "remarks": "text",
        "other": "identifier",
    }
    assert said["columns"]["guest_email"]["provider"] == "email"
    assert said["columns"]["booking"] == {"kind": "identifier", "provider": "pattern", "pattern": "B[0-9]{4}"}
    assert said["columns"]["stars"]["categories"] == [1, 2, 3]
    assert said["key"] == "guest_email"
    assert said["constraints"] == ["unique(booking)"]


def test_of_several_tables_the_one_that_is_named_is_read() -> None:
    said = from_sdv_metadata(SEVERAL, table="guests")
    assert said["columns"]["age"] == {"kind": "integer", "minimum": 0, "maximum": 120, "nullable": True}
    assert said["columns"]["paid"] == {"kind": "decimal", "decimals": 2}
    assert said["columns"]["came"] == {
        "kind": "datetime",
        "minimum": "2019-12-31T00:00:00",
        "maximum": "2024-02-01T00:00:00",
    }
    assert said["columns"]["tier"] == {"kind": "ordinal", "categories": ["basic", "gold"]}
    assert said["columns"]["vip"] == {"kind": "boolean"}
    assert "key" not in said
    assert said["constraints"] == ["unique(guest, hotel)"]
    assert (said["subject"], said["time"]) == ("guest", "came")
    with pytest.raises(SchemaError, match=r"2 tables.*'guest'.*did you mean 'guests'"):
        from_sdv_metadata(SEVERAL, table="guest")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"METADATA_SPEC_VERSION": "V9"}, "V9"),
        ({"columns": {}}, "no columns"),
        ({"columns": {"a": {"kind": "integer"}}}, "no sdtype"),
        ({"columns": {"a": {"sdtype": "numerical", "range_mim": 1}}}, "did you mean 'range_min'"),
        ({"primary_key": "bokking"}, "did you mean 'booking'"),
        ({"alternate_keys": "booking"}, "alternate_keys"),
        ({"primary_keys": "booking"}, "did you mean 'primary_key'"),
    ],
)
def test_what_is_no_metadata_is_refused_by_name(change: dict[str, Any], error: str) -> None:
    with pytest.raises(SchemaError, match=error):
        from_sdv_metadata({**SINGLE, **change})


def test_a_range_that_is_not_in_its_format_is_refused() -> None:
    column = {"sdtype": "datetime", "datetime_format": "%Y-%m-%d", "range_min": "31.12.2019"}
    with pytest.raises(SchemaError, match="datetime_format"):
        from_sdv_metadata({"METADATA_SPEC_VERSION": "V2", "columns": {"a": column}})


@pytest.mark.parametrize("single", [False, True])
def test_a_schema_that_is_written_and_read_gives_the_same_kinds(single: bool) -> None:
    table = example_table()
    document = json.loads(json.dumps(to_sdv_metadata(table.schema, "people", single=single)))
    assert is_sdv_metadata(document)
    again = synth.read(table.to_pandas(), schema=document)
    for column in table.schema.columns:
        found = again.schema.column(column.name)
        assert found.kind is column.kind
        assert (found.role is Role.KEY) == (column.role is Role.KEY)
        assert found.nullable == column.nullable
        assert found.unit == column.unit
        if column.kind is Kind.ORDINAL or not single:
            assert found.categories == column.categories


def test_everything_that_metadata_can_say_survives_a_round_trip() -> None:
    schema = Schema(
        (
            Column("id", Kind.IDENTIFIER, Role.KEY, provider="pattern", pattern="[A-Z]{3}"),
            Column("mail", Kind.IDENTIFIER, provider="email", nullable=True),
            Column("phone", Kind.IDENTIFIER, provider="phone"),
            Column("n", Kind.INTEGER, minimum=1, maximum=9),
            Column("x", Kind.DECIMAL, decimals=3, minimum=-1.5),
            Column("when", Kind.DATETIME, unit="second", minimum="2020-01-01T00:00:00", maximum="2021-01-01T12:30:00"),
            Column("hour", Kind.DATETIME, unit="hour", minimum="2020-01-01T05"),
            Column("fine", Kind.DATETIME, unit="nanosecond", minimum="2020-01-01T05:00:00.123456789"),
            Column("level", Kind.ORDINAL, categories=("low", "high")),
            Column("flag", Kind.BOOLEAN, nullable=True),
            Column("note", Kind.TEXT),
        ),
        constraints=("unique(mail)",),
    )
    said = from_sdv_metadata(json.loads(json.dumps(to_sdv_metadata(schema))))
    for column in schema.columns:
        entry = said["columns"][column.name]
        assert entry["kind"] == str(column.kind)
        assert entry["nullable"] == column.nullable
        for fact in ("provider", "pattern", "decimals", "minimum", "maximum"):
            wanted = getattr(column, fact)
            if wanted is not None and column.kind is not Kind.DATETIME:
                assert entry[fact] == wanted
    assert said["columns"]["when"]["maximum"] == "2021-01-01T12:30:00"
    assert said["columns"]["hour"]["minimum"] == "2020-01-01T05:00:00"
    assert said["columns"]["fine"]["minimum"] == "2020-01-01T05:00:00.123456"
    assert said["key"] == "id"
    assert said["constraints"] == ["unique(mail)"]


def test_metadata_is_taken_wherever_a_schema_file_is(tmp_path: Path) -> None:
    people = pa.table({"guest": ["a", "b", "c"], "hotel": ["x", "x", "y"], "age": [1, None, 3]})
    synth.data.sources.write(synth.read(people), tmp_path / "guests.parquet")
    part = {
        **SEVERAL["tables"]["guests"],
        "columns": {n: SEVERAL["tables"]["guests"]["columns"][n] for n in ("guest", "hotel", "age")},
    }  # type: ignore[index]
    del part["sequence_index"]
    document = {**SEVERAL, "tables": {**SEVERAL["tables"], "guests": part}}  # type: ignore[dict-item]
    (tmp_path / "metadata.json").write_text(json.dumps(document))
    schema = synth.read(tmp_path / "guests.parquet", schema=tmp_path / "metadata.json").schema
    assert schema.column("age").kind is Kind.INTEGER
    assert schema.column("age").maximum == 120
    assert schema.subject is not None
    assert schema.subject.name == "guest"
    assert schema.constraints == ("unique(guest, hotel)",)
    (tmp_path / "guests.parquet").rename(tmp_path / "others.parquet")
    with pytest.raises(SchemaError, match="name the table's file after the one"):
        synth.read(tmp_path / "others.parquet", schema=tmp_path / "metadata.json")


def test_metadata_that_the_rows_contradict_is_refused() -> None:
    document = {
        "METADATA_SPEC_VERSION": "V2",
        "columns": {"age": {"sdtype": "numerical", "decimal_places": 0, "range_max": 50}},
    }
    with pytest.raises(SchemaError, match="maximum 50"):
        synth.read(pa.table({"age": [20, 70]}), schema=document)


@needs_sdv
@pytest.mark.filterwarnings("ignore")  # SDV warns of what it will drop, and of dates that pandas holds as objects
@pytest.mark.parametrize("single", [False, True])
def test_sdv_reads_what_is_written_and_finds_that_it_fits_the_rows(single: bool) -> None:
    from sdv.metadata import Metadata

    table = example_table()
    document = to_sdv_metadata(table.schema, "table", single=single)
    read: Any = Metadata.load_from_dict(document, "table")
    read.validate()
    read.validate_data({"table": table.to_pandas()})
    if not single:
        assert from_sdv_metadata(read.to_dict()) == from_sdv_metadata(document)


@needs_sdv
def test_what_sdv_detects_is_taken_as_a_declaration() -> None:
    from sdv.metadata import Metadata

    frame = example_table().to_pandas()
    found: Callable[..., Any] = Metadata.detect_from_dataframes
    schema = synth.read(frame, schema=found({"people": frame}).to_dict()).schema
    assert schema.column("id").role is Role.KEY
    kinds = {column.name: column.kind for column in schema.columns}
    assert kinds["age"] is Kind.INTEGER
    assert kinds["income"] is Kind.DECIMAL
    assert kinds["member"] is Kind.BOOLEAN
    assert kinds["city"] is Kind.IDENTIFIER  # SDV takes the name for personal data
