"""Approval and export: what signs a verdict, and what an export folder holds beside its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import synth
from synth.data.frames import as_table
from synth.data.quarantine import write_quarantined
from synth.data.table import Table
from synth.errors import InputError, NotApprovedError
from synth.gate import approval as gate_approval
from synth.gate import card
from synth.gate import export as gate_export
from synth.gate.approval import Approval
from synth.gate.keys import PrivateKey, default_key
from synth.gate.leaving import leaving_rows, leaving_verdict
from synth.gate.verdict import Verdict
from synth.metrics.measurement import Measurements
from synth.report.page import render

Notice = Callable[[str], None]


def approve(
    verdict: Verdict,
    *,
    by: str | None = None,
    key: PrivateKey | str | Path | None = None,
    notice: Notice = lambda text: None,
) -> Approval:
    """Sign a verdict that a policy approved: the exact bytes of every file that an export will hold.

    verdict: from `Policy.judge`, on measurements that still hold their synthetic table.
    by: who approves; by default the key's owner is named as a machine.
    key: a private key or its file; by default this machine's own, made on first use (`notice` is told where it lies).
    Raises NotApprovedError for a verdict that is not an approval, InputError for what is not a verdict.
    """
    if not isinstance(verdict, Verdict):
        raise InputError(
            f"a {type(verdict).__name__} cannot be approved; give a Verdict: synth.Policy.load(name).judge(measurements)"
        )
    measured = verdict.measurements
    if measured is None or measured.synthetic is None:
        raise NotApprovedError(
            "this verdict no longer holds the table that it judged; judge the measurements of `synth.evaluate`, or open its run"
        )
    private = key if isinstance(key, PrivateKey) else PrivateKey.load(key) if key is not None else default_key(notice=notice)
    return gate_approval.approve(
        verdict,
        measured.synthetic,
        by=by or f"synth {synth.__version__}, by policy {verdict.policy} alone",
        key=private,
        documents=documents(verdict, measured, measured.synthetic),
    )


def documents(verdict: Verdict, measured: Measurements, synthetic: Table) -> dict[str, bytes]:
    """What an export holds beside its rows: the same verdict and rows give the same bytes."""
    page = render(measured, verdict, synthetic=synthetic, title=f"Synthetic data: {verdict.policy}", public=True)
    rows = leaving_rows(synthetic)
    same = rows is synthetic
    said = leaving_verdict(verdict, synthetic)
    return {
        "verdict.json": said.to_bytes(),
        "report.html": page.encode(),
        "README.md": card.readme(said, rows),
        "croissant.json": card.croissant(
            said, rows, data_digest=verdict.context["digests"]["synthetic"] if same else rows.digest()
        ),
        "provenance.parquet": card.provenance(synthetic),
    }


def export(synthetic: Any, approval: Approval, to: str | Path, *, formats: Iterable[str] | None = None) -> Path:
    """Write approved rows, their documents and the signature to a folder; whole or not at all.

    Raises NotApprovedError where the approval is none, or is not for exactly these rows.
    """
    if not isinstance(approval, Approval):
        raise NotApprovedError(
            f"rows leave with an Approval, and this is a {type(approval).__name__}; sign a verdict: synth.approve(verdict)"
        )
    return gate_export.export(as_table(synthetic), approval, to, formats=formats)


def quarantine(synthetic: Table, folder: Path) -> None:
    """Keep synthetic rows in a run folder, marked in their own metadata as not approved for release."""
    write_quarantined(synthetic, folder / "synthetic.parquet")
