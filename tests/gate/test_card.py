"""The data card that goes with exported rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import DatasetCard

from synth.data.table import Table
from synth.gate import card
from synth.gate.verdict import Attempt, Finding

LAYOUTS = ("parquet", "csv", "arrow", "sql", "huggingface")


def test_the_data_card_has_front_matter_figures_and_limits(made: SimpleNamespace) -> None:
    release = made.release()
    text = card.readme(release).decode()
    _, front, body = text.split("---\n", 2)
    fields = yaml.safe_load(front)
    assert fields["license"] == "other"
    assert fields["size_categories"] == ["n<1K"]
    assert "synthetic" in fields["tags"]
    assert "| fidelity.shape | pass | 0.020 | 0.010 |" in body
    assert "| town | categorical | feature | 3 categories |" in body
    assert "What is not claimed" in body
    assert "synth verify" in body
    assert "verify.py" in body
    assert "drawn from a model" in body
    assert release.verdict.policy_digest in body


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_hub_s_own_parser_reads_the_front_matter(made: SimpleNamespace, layout: str) -> None:
    found = DatasetCard(card.readme(made.release(layout=layout)).decode()).data.to_dict()
    assert found["pretty_name"] == "Synthetic table, approved under small"
    assert found["annotations_creators"] == ["machine-generated"]
    files = {
        "parquet": "data.parquet",
        "csv": "data.csv",
        "arrow": "data.arrow",
        "huggingface": [{"split": "train", "path": "data/train-*.parquet"}],
    }
    if layout == "sql":
        assert "configs" not in found  # a database is nothing that the hub could load
    else:
        assert found["configs"] == [{"config_name": "default", "data_files": files[layout]}]


def test_the_card_says_which_attempt_and_until_when(made: SimpleNamespace) -> None:
    terms = made.terms(requested_by="Bob of the data office", signers=2, automatic=False)
    text = card.readme(made.release(under=terms, attempt=Attempt(3, 5))).decode()
    assert "| attempt | attempt 3 on this data under this policy, 5 under any |" in text
    assert "| requested by | Bob of the data office |" in text
    assert "2 people's keys, none of them the requester's" in text
    assert f"from {terms.at} until {terms.expires}" in text
    assert "No check was waived." in text


def test_waivers_stand_before_the_figures(made: SimpleNamespace) -> None:
    release = made.release()
    waiver = {
        "check": "fidelity.trend", "owner": "Ada", "reason": "a pilot | of\n# two weeks", "approver": "Bob",
        "keyid": "ab" * 32, "issued": "2026-01-01T00:00:00+00:00", "expires": "2026-02-01T00:00:00+00:00",
        "synthetic": "1" * 64, "policy_digest": "2" * 64,
    }  # fmt: skip
    let_go = Finding("fidelity.trend", "fail", "block", "too far", "why not", score=0.5, reference=0.1, waiver=waiver)
    verdict = replace(release.verdict, findings=(*release.verdict.findings[:2], let_go))
    text = card.readme(replace(release, verdict=verdict)).decode()
    assert "| **fidelity.trend** | Ada | a pilot \\| of # two weeks | Bob | 2026-02-01T00:00:00+00:00 |" in text
    assert "| fidelity.trend | **fail, waived** | 0.500 | 0.100 |" in text
    assert text.index("## Waived") < text.index("## What was measured")
    assert "No check was waived" not in text


def test_a_table_of_unknown_origin_is_not_said_to_come_from_a_model(made: SimpleNamespace) -> None:
    text = card.readme(made.release(replace(made.rows(), provenance=None))).decode()
    assert "from a source that synth did not make" in text
    assert "drawn from a model" not in text


def test_a_column_name_cannot_break_the_card(made: SimpleNamespace) -> None:
    table = made.rows()
    names = ["age", "in|come\n# Approved", "<b>town`"]
    odd = table.arrow.rename_columns(names)
    columns = tuple(replace(column, name=name) for column, name in zip(table.schema.columns, names, strict=True))
    release = made.release(Table(odd, replace(table.schema, columns=columns), provenance=table.provenance))
    text = card.readme(release).decode()
    assert "\n# Approved" not in text
    assert "in\\|come" in text
    assert "<b>" not in text


def test_documents_depend_on_the_verdict_the_rows_and_the_terms_alone(made: SimpleNamespace) -> None:
    (_, one), (_, two) = made.approved(), made.approved()
    assert one.documents == two.documents
    _, other = made.approved(terms=made.terms(expires="2100-01-01T00:00:00+00:00"))
    differing = {name for name in other.documents if other.documents[name] != one.documents[name]}
    assert {"README.md", "csv/README.md", "croissant.json", "prov.json", "report.html"} <= differing
    assert not differing & {"verdict.json", "policy.json", "provenance.parquet"}


def test_no_document_says_what_the_real_rows_are(exported: Callable[..., Path]) -> None:
    """The extremes that stand in the card are those of the released rows."""
    folder = exported()
    ages = pq.read_table(folder / "data.parquet").column("age").to_pylist()
    assert f"{min(ages)} to {max(ages)}" in (folder / "README.md").read_text()


def test_no_document_names_a_place_on_this_machine(made: SimpleNamespace) -> None:
    _, approval = made.approved()
    for name, content in approval.documents.items():
        assert str(Path.home()).encode() not in content, name
        assert str(Path(__file__).parents[2]).encode() not in content, name
