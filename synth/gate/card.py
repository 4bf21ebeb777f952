"""The data card that goes with exported rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow.compute as pc
import yaml

from synth.data.schema import Column
from synth.data.table import Table
from synth.gate.budget_words import privacy_part
from synth.gate.released import Release
from synth.gate.verdict import Finding, Verdict

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))
NO_CLAIM = "No differential privacy is claimed."
EVIDENCE = "The figures hold for the attacks and models that were run; they are evidence, not a proof of anonymity."
NO_ATTACK = "The figures say that the rows keep the counts that were released, not that they are of use beyond these."
ONLY_PRIVACY = "The budget protects who is in the data set; it makes no figure right, and no use of it fair."
CONFIGS: Mapping[str, Any] = {  # what the hub loads in each layout; a table of a database is nothing that it could
    "parquet": "data.parquet",
    "csv": "data.csv",
    "arrow": "data.arrow",
    "huggingface": [{"split": "train", "path": "data/train-*.parquet"}],
}


def readme(release: Release) -> bytes:
    """A data card in Markdown, with the YAML front matter that the Hugging Face hub reads."""
    verdict, rows = release.verdict, release.rows
    text = f"""---
{yaml.safe_dump(_front(release), sort_keys=False, allow_unicode=True).strip()}
---

# {_line(release.title)} {verdict.policy_version}

{len(rows):,} synthetic rows, {_made(release)}

## How it was approved

| | |
|---|---|
{chr(10).join(f"| {name} | {_cell(said)} |" for name, said in release.words.items())}

{_waived(verdict)}
## Columns

| column | kind | role | in these rows |
|---|---|---|---|
{chr(10).join(_column_row(column, rows) for column in rows.schema.columns)}
{_search_part(verdict)}
## What was measured

{_beside(release)}

| check | outcome | figure | {"noise alone" if release.privacy else "real rows"} |
|---|---|---:|---:|
{chr(10).join(_figure_row(f) for f in verdict.findings if f.score is not None)}
{"" if release.privacy is None else privacy_part(release.privacy)}
## What is not claimed

- {EVIDENCE if release.privacy is None else NO_ATTACK}
- {NO_CLAIM if release.privacy is None else ONLY_PRIVACY}
- Conclusions about single records, or about groups that the figures do not name, are not supported.
- An approval that came after several attempts says less than one at the first: the best of several was chosen.

## How to check it

{_how_to_check(release)}
The signatures in `attestation.json` cover every file. Policy digest: `{verdict.policy_digest}`; the rules are in `policy.json`.
`provenance.parquet` has a line for each row, `prov.json` (W3C PROV) and `openlineage.json` say what came from what.
"""
    return text.encode()


def _beside(release: Release) -> str:
    if release.privacy is None:
        return (
            "Each figure stands beside what real rows, never seen by the generator, score in the place of the synthetic ones."
        )
    return (
        "No real row was looked at: the figures compare these rows with noisy counts that were paid for out of the budget, "
        "each\nbeside what noise alone explains."
    )


def _front(release: Release) -> dict[str, Any]:
    """What the hub reads."""
    rows = len(release.rows)
    front: dict[str, Any] = {
        "pretty_name": release.title,
        "license": "other",
        "annotations_creators": ["machine-generated"],
        "size_categories": [next((name for limit, name in SIZES if rows < limit), "n>10M")],
        "tags": ["synthetic", "tabular"],
    }
    if release.layout in CONFIGS:
        front["configs"] = [{"config_name": "default", "data_files": CONFIGS[release.layout]}]
    return front


def _made(release: Release) -> str:
    origin = release.origin
    if origin is None:
        return (
            "from a source that synth did not make. They were judged by the figures below; how they came about is for their "
            "maker to say."
        )
    under = f" under the condition `{_line(origin.condition)}`" if origin.condition else ""
    return (
        f"made by the generator `{origin.generator}` of {release.made_by}{under}. They were drawn from a model, not taken from "
        "records; by chance some may equal one."
    )


def _waived(verdict: Verdict) -> str:
    """What somebody let go, before any figure."""
    if not verdict.waivers:
        return "No check was waived.\n"
    lines = [
        f"| **{_cell(w['check'])}** | {_cell(w['owner'])} | {_cell(w['reason'])} | {_cell(w['approver'])} | {w['expires']} |"
        for w in verdict.waivers
    ]
    return f"""## Waived: these checks did not pass, and were let go

| check | who answers for it | why | approved by | until |
|---|---|---|---|---|
{chr(10).join(lines)}
"""


def _how_to_check(release: Release) -> str:
    if release.layout == "sql":
        return """    synth verify "URL?table=NAME" --key approver.pub

makes the signed text of the rows again from the database, and holds it, and every file in NAME_synth, to what was signed.
"""
    return """    synth verify . --key approver.pub
    python verify.py . --key approver.pub

The second needs no synth: `verify.py` is one file of synth's documentation, which uses the package `cryptography` alone.
"""


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
    rules = "rules on likeness and use" if search.get("prefer") == "private" else "limits on membership and copies"
    setting = ", ".join(f"`{name}` {value}" for name, value in search["chosen"].items())
    return f"""
## How the generator's setting was chosen

Among {search["ladder"]} settings, by {len(search["attempts"])} attempts on inner splits of the training rows, under the
{rules} of {search["policy"]["name"]} {search["policy"]["version"]}: {setting};
{search["why"]}. The figures below are on rows that the search never saw.
"""


def _figure_row(finding: Finding) -> str:
    reference = "" if finding.reference is None else f"{finding.reference:.3f}"
    outcome = f"**{finding.outcome}, waived**" if finding.waiver is not None else finding.outcome
    return f"| {_cell(finding.check)} | {outcome} | {finding.score:.3f} | {reference} |"


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")


def _line(text: str) -> str:
    """Somebody's words on one line, as words and not as markup."""
    return " ".join(text.replace("<", "&lt;").replace("`", "'").split())
