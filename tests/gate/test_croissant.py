"""Croissant: read by mlcroissant, without an error or a warning, and its records are the rows."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from synth.data.table import Table
from synth.gate import forms
from synth.gate.croissant import croissant
from synth.gate.export import export

FILES = ("parquet", "csv", "huggingface")
POLICY = "formats: [parquet, csv, arrow, sql, huggingface]"


def opened(folder: Path) -> Any:
    """The data set as its reader sees it: what it is based on warns of its own age."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlcroissant

        return mlcroissant.Dataset(str(folder / "croissant.json"))


def records(folder: Path) -> list[dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            {name.removeprefix("rows/"): value.decode() if isinstance(value, bytes) else value for name, value in row.items()}
            for row in opened(folder).records("rows")
        ]


@pytest.fixture
def exported(made: SimpleNamespace, tmp_path: Path) -> Any:
    def make(layout: str, table: Table | None = None) -> Path:
        table, approval = made.approved(table=table, policy=made.policy.replace("formats: [parquet, csv]", POLICY))
        return export(table, approval, tmp_path / layout, formats=(layout,))

    return make


@pytest.mark.parametrize("layout", FILES)
def test_its_reader_finds_no_fault(layout: str, exported: Any) -> None:
    issues = opened(exported(layout)).metadata.ctx.issues
    assert issues.errors == set()
    assert issues.warnings == set()


@pytest.mark.parametrize("layout", FILES)
def test_its_reader_finds_no_fault_with_columns_of_every_kind(layout: str, exported: Any, made: SimpleNamespace) -> None:
    issues = opened(exported(layout, made.kinds())).metadata.ctx.issues
    assert issues.errors == set()
    assert issues.warnings == set()


@pytest.mark.parametrize("layout", FILES)
def test_its_records_are_the_rows(layout: str, exported: Any, made: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "SHARD", 25)  # so that the folder for the hub has three parts
    assert records(exported(layout)) == made.rows().arrow.to_pylist()


@pytest.mark.parametrize("layout", ["parquet", "csv"])
def test_its_digests_are_those_of_the_files(layout: str, exported: Any) -> None:
    folder = exported(layout)
    document = json.loads((folder / "croissant.json").read_text())
    (file,) = document["distribution"]
    content = (folder / file["contentUrl"]).read_bytes()
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert file["contentSize"] == f"{len(content)} B"


def test_a_broken_document_is_found_by_the_reader(exported: Any) -> None:
    folder = exported("parquet")
    document = json.loads((folder / "croissant.json").read_text())
    del document["distribution"][0]["sha256"]
    document["recordSet"][0]["field"][0]["source"]["fileObject"]["@id"] = "other.parquet"
    (folder / "croissant.json").write_text(json.dumps(document))
    with pytest.raises(Exception, match="Found the following"):
        opened(folder)


def test_it_says_what_is_responsible_to_say(made: SimpleNamespace) -> None:
    document = json.loads(croissant(made.release(made.kinds())))
    assert document["conformsTo"] == ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
    assert document["rai:dataCollectionType"] == ["Synthetic"]
    assert "trees" in document["rai:dataCollection"]
    assert document["rai:dataUseCases"] == ["A small policy"]
    assert document["rai:dataBiases"][0] == "No figure on fairness was judged."
    assert document["rai:personalSensitiveInformation"] == ["No column was named as sensitive."]
    assert document["datePublished"] == made.terms().at[:10]
    assert document["recordSet"][0]["key"] == {"@id": "rows/id"}
    types = {field["name"]: field["dataType"] for field in document["recordSet"][0]["field"]}
    assert types["whole"] == "sc:Text" or types["whole"] == "sc:Integer"
    assert (types["small"], types["real"], types["yes"], types["day"], types["at"]) == (
        "sc:Integer", "sc:Float", "sc:Boolean", "sc:Date", "sc:DateTime",
    )  # fmt: skip
    used = {key for key in _keys(document) if not key.startswith("@") and ":" not in key}
    known = set(document["@context"]) | {
        "name", "description", "license", "url", "version", "distribution", "contentUrl", "contentSize", "encodingFormat",
        "sha256", "datePublished", "keywords",
    }  # fmt: skip
    assert used <= known


def _keys(value: object) -> set[str]:
    """Every key of a JSON document, outside its context."""
    if isinstance(value, dict):
        return {key for key in value if key != "@context"}.union(*(_keys(v) for k, v in value.items() if k != "@context"), ())
    return set().union(*(_keys(v) for v in value), ()) if isinstance(value, list) else set()
