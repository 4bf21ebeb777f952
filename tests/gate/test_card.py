"""The documents that go with exported rows."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import yaml

from synth.gate import card
from synth.gate.policy import Policy
from synth.gate.verdict import Verdict


@pytest.fixture
def verdict(made: SimpleNamespace) -> Verdict:
    judged = Policy.parse(made.policy).judge(made.measured(made.rows(), made.good()))
    assert isinstance(judged, Verdict)
    return judged


def test_the_data_card_has_front_matter_figures_and_limits(verdict: Verdict, made: SimpleNamespace) -> None:
    text = card.readme(verdict, made.rows()).decode()
    _, front, body = text.split("---\n", 2)
    fields = yaml.safe_load(front)
    assert fields["license"] == "other"
    assert fields["size_categories"] == ["n<1K"]
    assert "synthetic" in fields["tags"]
    assert "| fidelity.shape | pass | 0.020 | 0.010 |" in body
    assert "| town | categorical | feature | 3 categories |" in body
    assert "What is not claimed" in body
    assert "synth verify" in body
    assert "drawn from a model" in body
    assert verdict.policy_digest in body


def test_a_table_of_unknown_origin_is_not_said_to_come_from_a_model(verdict: Verdict, made: SimpleNamespace) -> None:
    foreign = replace(verdict, context={**verdict.context, "provenance": None})
    text = card.readme(foreign, replace(made.rows(), provenance=None)).decode()
    assert "from a source that synth did not make" in text
    assert "drawn from a model" not in text


def test_a_column_name_cannot_break_the_card(verdict: Verdict, made: SimpleNamespace) -> None:
    table = made.rows()
    names = ["age", "in|come\n# Approved", "town"]
    odd = table.arrow.rename_columns(names)
    columns = tuple(replace(column, name=name) for column, name in zip(table.schema.columns, names, strict=True))
    text = card.readme(verdict, replace(table, arrow=odd, schema=replace(table.schema, columns=columns))).decode()
    assert "\n# Approved" not in text
    assert "in\\|come" in text


def test_croissant_describes_the_file_and_every_column(exported: Callable[..., Path]) -> None:
    folder = exported()
    document = json.loads((folder / "croissant.json").read_text())
    assert "http://mlcommons.org/croissant/1.1" in document["conformsTo"]
    file = document["distribution"][0]
    assert file["sha256"] == hashlib.sha256((folder / "data.parquet").read_bytes()).hexdigest()
    fields = {field["name"]: field["dataType"] for field in document["recordSet"][0]["field"]}
    assert fields == {"age": "sc:Integer", "income": "sc:Float", "town": "sc:Text"}
    used = {key for key in _keys(document) if not key.startswith("@") and ":" not in key}
    known = set(document["@context"]) | {
        "name", "description", "license", "url", "version", "distribution", "contentUrl", "encodingFormat", "sha256"
    }  # fmt: skip
    assert used <= known


def _keys(value: object) -> set[str]:
    """Every key of a JSON document, outside its context."""
    if isinstance(value, dict):
        return {key for key in value if key != "@context"}.union(*(_keys(v) for k, v in value.items() if k != "@context"), ())
    return set().union(*(_keys(v) for v in value), ()) if isinstance(value, list) else set()


def test_provenance_has_a_line_for_every_row(made: SimpleNamespace) -> None:
    table = made.rows(3)
    lines = pq.read_table(io.BytesIO(card.provenance(table))).to_pylist()
    assert len(lines) == len(table)
    assert lines[7] == {"row": 7, "generator": "trees", "model_digest": "ab" * 32, "seed": 3, "where": None}


def test_documents_depend_on_the_verdict_and_the_rows_alone(verdict: Verdict, made: SimpleNamespace) -> None:
    assert made.documents(verdict, made.rows()) == made.documents(verdict, made.rows())


def test_no_document_says_what_the_real_rows_are(exported: Callable[..., Path]) -> None:
    """The extremes that stand in the card are those of the released rows."""
    folder = exported()
    ages = pq.read_table(folder / "data.parquet").column("age").to_pylist()
    assert f"{min(ages)} to {max(ages)}" in (folder / "README.md").read_text()
