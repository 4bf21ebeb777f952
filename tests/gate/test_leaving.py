"""What leaves names nothing that only the real rows had: planted values are looked for in every file of an export."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import synth
from synth.approving import approve, documents, export
from synth.data.sources import write_parquet
from synth.gate.leaving import leaving_rows
from synth.gate.policy import Policy
from synth.gate.verify import verify
from synth.metrics.evaluation import evaluate

POLICY = """
name: loose
version: 1.0.0
title: A policy that lets nearly everything pass
description: For the search for planted values.
requires: {sensitive: true}
checks:
  - {measure: privacy.exact_copies, limit: 0.9, why: "Something must pass."}
  - {measure: fairness.group_share, limit: 0.9, severity: warn, insufficient: note, why: "Its groups name values."}
  - {measure: fairness.label_gap, limit: 0.9, severity: warn, insufficient: note, why: "Its groups name values."}
  - {measure: fidelity.class_share, limit: 0.9, severity: warn, insufficient: note, why: "Its groups name values."}
formats: [parquet, csv, arrow, sql, huggingface]
"""
SECRETS = (b"Planted", b"987654.25", b"7654321")


def people(n: int, seed: int, *, secret: bool) -> pd.DataFrame:
    """Rows with one value in each of six places that synthetic rows do not have."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n),
            "income": np.round(rng.normal(3_000, 500, n), 2),
            "town": rng.choice(["Bonn", "Trier"], n),
            "sex": rng.choice(["f", "m"], n),
            "grade": rng.choice(["low", "high"], n),
            "code": rng.choice([11, 22], n),
            "rich": rng.choice(["no", "yes"], n),
        }
    )
    if secret:
        frame.loc[:39, "sex"] = "PlantedSex"
        frame.loc[40:42, "town"] = "PlantedTown"
        frame.loc[43, "income"] = 987654.25
        frame.loc[44, "code"] = 7654321
        frame.loc[45:49, "rich"] = "PlantedClass"
    frame["town"] = pd.Categorical(frame["town"], categories=["Bonn", "PlantedTown", "Trier"])
    frame["grade"] = pd.Categorical(frame["grade"], categories=["low", "PlantedGrade", "high"], ordered=True)
    frame["code"] = pd.Categorical(frame["code"], categories=[11, 22, 7654321])
    return frame


def test_nothing_that_only_real_rows_have_is_in_any_exported_file(tmp_path: Path) -> None:
    train = synth.read(people(600, 0, secret=True), target="rich", sensitive=["sex", "age"])
    fake = people(300, 1, secret=False)
    measured = evaluate(train, people(400, 2, secret=True), fake)
    verdict = Policy.parse(POLICY).judge(measured)
    assert verdict.decision == "approved"
    assert "PlantedSex" in verdict.to_bytes().decode()  # who holds the real rows reads which group was lost
    approval = approve(verdict)
    folder = export(measured.synthetic, approval, tmp_path / "out", formats=("parquet", "csv", "arrow"))
    verify(folder)
    for name, document in approval.documents.items():  # those of the other layouts too
        for secret in (*SECRETS, b"data_sketch"):
            assert secret not in document, name
    for file in folder.iterdir():
        content = file.read_bytes()
        if file.name == "attestation.json":
            content = base64.b64decode(json.loads(content)["payload"])
        if file.suffix == ".parquet":
            content += str(pq.read_schema(file)).encode() + str(pq.read_table(file).columns).encode()
        for secret in SECRETS:
            assert secret not in content, file.name
    said = json.loads((folder / "verdict.json").read_bytes())["findings"]
    assert "fairness.group_share[sex=withheld 1]" in {finding["check"] for finding in said}
    assert "fairness.group_share[sex=withheld 1]" in (folder / "report.html").read_text()
    assert "fairness.group_share[sex=f]" in {finding["check"] for finding in said}
    digest = json.loads((folder / "croissant.json").read_bytes())["distribution"][0]["sha256"]
    assert digest == hashlib.sha256((folder / "data.parquet").read_bytes()).hexdigest()
    back = pq.read_table(folder / "data.parquet").column("grade")
    assert back.type.ordered
    assert back.to_pylist() == list(fake["grade"])


def test_a_waiver_names_no_group_that_only_real_rows_have(made: SimpleNamespace) -> None:
    train = synth.read(people(600, 0, secret=True), target="rich", sensitive=["sex", "age"])
    measured = evaluate(train, people(400, 2, secret=True), people(300, 1, secret=False))
    verdict = Policy.parse(POLICY).judge(measured)
    place, lost = next((i, f) for i, f in enumerate(verdict.findings) if f.check == "fairness.group_share[sex=PlantedSex]")
    waiver = {
        "check": lost.check, "owner": "Ada", "reason": "a pilot", "approver": "Bob", "keyid": "ab" * 32,
        "issued": "2026-01-01T00:00:00+00:00", "expires": "2026-02-01T00:00:00+00:00", "synthetic": "1" * 64,
        "policy_digest": verdict.policy_digest,
    }  # fmt: skip
    findings = (*verdict.findings[:place], replace(lost, waiver=waiver), *verdict.findings[place + 1 :])
    waived = replace(verdict, findings=findings, refused_waivers=("fairness.group_share[sex=PlantedSex]: not signed",))
    assert measured.synthetic is not None
    given = documents(waived, measured, measured.synthetic, terms=made.terms(), by="Ada")
    for name, document in given.items():
        assert b"PlantedSex" not in document, name
    assert b"Waived: these checks did not pass" in given["report.html"]
    card = given["README.md"].decode()
    assert re.search(r"\| \*\*fairness\.group_share\[sex=withheld \d\]\*\* \| Ada \| a pilot \| Bob \|", card)


def test_a_reason_that_may_count_or_quote_real_rows_stays(made: SimpleNamespace) -> None:
    train = people(600, 0, secret=False)
    train.loc[:4, "sex"] = "x"
    fake = people(300, 1, secret=False)
    fake.loc[:4, "sex"] = "x"
    measured = evaluate(train, people(400, 2, secret=False), fake, target="rich", sensitive=["sex"])
    verdict = Policy.parse(POLICY).judge(measured)
    few = next(f for f in verdict.findings if f.check == "fairness.group_share[sex=x]")
    assert "5" in few.message
    assert measured.synthetic is not None
    said = json.loads(documents(verdict, measured, measured.synthetic, terms=made.terms(), by="Ada")["verdict.json"])
    messages = {f["check"]: f["message"] for f in said["findings"]}
    assert messages["fairness.group_share[sex=x]"] == "could not be measured: the reason is in the private report"


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_rows_without_unused_levels_leave_as_they_are(kind: str, tmp_path: Path) -> None:
    plain = people(50, 0, secret=False)
    plain["town"] = plain["town"].cat.remove_unused_categories()
    plain["grade"] = plain["grade"].cat.remove_unused_categories()
    plain["code"] = plain["code"].cat.remove_unused_categories()
    frame = {"pandas": plain, "polars": pl.from_pandas(plain), "arrow": pa.Table.from_pandas(plain)}[kind]
    table = synth.read(frame)
    assert leaving_rows(table) is table


def test_values_nulls_order_and_types_are_kept() -> None:
    levels = pa.array(["a", "unused", "b", "c"])
    one = pa.DictionaryArray.from_arrays(pa.array([3, None, 0], pa.int8()), levels, ordered=True)
    two = pa.DictionaryArray.from_arrays(pa.array([2, 2, None], pa.int8()), levels, ordered=True)
    table = synth.read(pa.table({"x": pa.chunked_array([one, two]), "y": range(6)}))
    left = leaving_rows(table)
    assert left.column("x").to_pylist() == ["c", None, "a", "b", "b", None]
    assert left.column("x").type == table.column("x").type
    assert left.column("x").chunk(0).dictionary.to_pylist() == ["a", "b", "c"]
    assert leaving_rows(left) is left
    nothing = table.take([1, 5])
    assert leaving_rows(nothing).column("x").to_pylist() == [None, None]


def test_rows_read_back_from_a_run_folder_give_the_same_bytes(tmp_path: Path) -> None:
    table = synth.read(people(100, 0, secret=False))
    write_parquet(table, tmp_path / "kept.parquet")
    back = synth.read(tmp_path / "kept.parquet", schema=table.schema)
    assert leaving_rows(back).digest() == leaving_rows(table).digest()
