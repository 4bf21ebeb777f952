"""The documents that go with exported rows: data card, Croissant metadata, provenance. They hold no clock and no real value."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from synth.data.schema import Column, Kind
from synth.data.table import Table
from synth.gate.verdict import Finding, Verdict

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))
CROISSANT_TYPES = {
    Kind.INTEGER: "sc:Integer",
    Kind.DECIMAL: "sc:Float",
    Kind.BOOLEAN: "sc:Boolean",
    Kind.DATETIME: "sc:DateTime",
}


def readme(verdict: Verdict, synthetic: Table) -> bytes:
    """A data card in Markdown, with the YAML front matter that the Hugging Face hub reads."""
    rows = len(synthetic)
    front = {
        "pretty_name": f"Synthetic table, approved under {verdict.policy}",
        "license": "other",
        "annotations_creators": ["machine-generated"],
        "size_categories": [next((name for limit, name in SIZES if rows < limit), "n>10M")],
        "tags": ["synthetic", "tabular"],
        "configs": [{"config_name": "default", "data_files": "data.parquet"}],
    }
    origin = verdict.context.get("provenance")
    made = f"made by the generator `{origin['generator']}` of synth" if origin else "from a source that synth did not make"
    caution = "They were drawn from a model, not taken from records; by chance some may equal one."
    if origin is None:
        caution = "They were judged by the figures below; how they came about is for their maker to say."
    under = f" under the condition `{origin['where']}`" if origin and origin.get("where") else ""
    measured = "\n".join(_figure_row(f) for f in verdict.findings if f.score is not None)
    text = f"""---
{yaml.safe_dump(front, sort_keys=False).strip()}
---

# Synthetic table, approved under {verdict.policy} {verdict.policy_version}

{rows:,} synthetic rows, {made}{under}. {caution}

## Columns

| column | kind | role | in these rows |
|---|---|---|---|
{chr(10).join(_column_row(column, synthetic) for column in synthetic.schema.columns)}
{_search_part(verdict)}
## What was measured

Each figure stands beside what real rows, never seen by the generator, score in the place of the synthetic ones.

| check | outcome | figure | real rows |
|---|---|---:|---:|
{measured}

## What is not claimed

- The figures hold for the attacks and models that were run; they are evidence, not a proof of anonymity.
- No differential privacy is claimed.
- Conclusions about single records, or about groups that the figures do not name, are not supported.

## How to check it

    pip install synth
    synth verify . --key approver.pub

The signature in `attestation.json` covers every file of this folder. Policy digest: `{verdict.policy_digest}`.
"""
    return text.encode()


def croissant(verdict: Verdict, synthetic: Table, *, data_digest: str) -> bytes:
    """Croissant 1.1 metadata with the RAI vocabulary, as JSON-LD."""
    file = {
        "@type": "cr:FileObject",
        "@id": "data.parquet",
        "name": "data.parquet",
        "contentUrl": "data.parquet",
        "encodingFormat": "application/x-parquet",  # the name that Croissant readers know, not the registered one
        "sha256": data_digest,
    }
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"rows/{column.name}",
            "name": column.name,
            "description": f"{column.kind}, {column.role}",
            "dataType": CROISSANT_TYPES.get(column.kind, "sc:Text"),
            "source": {"fileObject": {"@id": "data.parquet"}, "extract": {"column": column.name}},
        }
        for column in synthetic.schema.columns
    ]
    document = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": f"synthetic-{verdict.policy}",
        "description": f"{len(synthetic):,} synthetic rows, approved under {verdict.policy} {verdict.policy_version}.",
        "license": "https://spdx.org/licenses/LicenseRef-other",
        "url": "https://localhost/",
        "version": "1.0.0",
        "distribution": [file],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "rows", "name": "rows", "field": fields}],
        "rai:dataCollection": "Synthetic: drawn from a generator fitted to a real table.",
        "rai:dataLimitations": "No conclusion about single records; README.md says what was measured and what is not claimed.",
        "rai:personalSensitiveInformation": [column.name for column in synthetic.schema.sensitive],
    }
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def provenance(synthetic: Table) -> bytes:
    """A Parquet table with one row per synthetic row: which model, seed and condition gave it, and its place there."""
    origin, rows = synthetic.provenance, len(synthetic)
    columns = {
        "row": pa.array(range(rows), pa.int64()),
        "generator": _same(origin.generator if origin else None, rows),
        "model_digest": _same(origin.model_digest if origin else None, rows),
        "seed": pa.repeat(pa.scalar(origin.seed if origin else None, pa.int64()), rows),
        "where": _same(origin.where if origin else None, rows),
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()


def _same(value: str | None, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, pa.string()), rows)


def _column_row(column: Column, synthetic: Table) -> str:
    """What the column holds in these rows; the real table's own extremes stay where they are."""
    values = synthetic.column(column.name)
    if column.kind.is_number and values.null_count < len(values):
        ends = pc.min_max(values).as_py()
        shown = f"{ends['min']} to {ends['max']}"
    elif column.kind.is_category:
        shown = f"{len(pc.unique(values.drop_null()))} categories"
    else:
        shown = "issued anew"
    nulls = f", {values.null_count / len(values):.1%} null" if values.null_count else ""
    return f"| {_cell(column.name)} | {column.kind} | {column.role} | {_cell(shown)}{nulls} |"


def _search_part(verdict: Verdict) -> str:
    """How the generator's setting was chosen, where a search chose it."""
    search = verdict.context.get("search")
    if search is None:
        return ""
    setting = ", ".join(f"`{name}` {value}" for name, value in search["chosen"].items())
    return f"""
## How the generator's setting was chosen

Among {search["ladder"]} settings, by {len(search["attempts"])} attempts on inner splits of the training rows, under the
limits on membership and copies of {search["policy"]["name"]} {search["policy"]["version"]}: {setting};
{search["why"]}. The figures below are on rows that the search never saw.
"""


def _figure_row(finding: Finding) -> str:
    reference = "" if finding.reference is None else f"{finding.reference:.3f}"
    return f"| {_cell(finding.check)} | {finding.outcome} | {finding.score:.3f} | {reference} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


# The context that the specification prescribes, key by key, so that readers without a network know it.
_CR = (
    "arrayShape citeAs column containedIn equivalentProperty extract field fileObject fileProperty fileSet format "
    "includes isArray isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace "
    "samplingRate separator source subField transform"
)
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    **{name: f"cr:{name}" for name in _CR.split()},
}
