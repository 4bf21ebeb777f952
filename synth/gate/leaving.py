"""The form in which rows and their verdict leave: nothing in them that only the real rows had."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from synth.data.facts import plain
from synth.data.frames import DTYPE
from synth.data.table import Table
from synth.gate.verdict import Finding, Verdict
from synth.metrics.exposure import KEPT_BACK, Withheld
from synth.metrics.measurement import Measurement


def leaving_rows(table: Table) -> Table:
    """The same rows, whose dictionaries and dtype notes name only categories that some row has.

    A dictionary of pandas or polars lists every category of the real rows, a person's own among them, whether or not it was
    drawn; a reader of the file sees them all.
    """
    arrow = table.arrow
    for place, field in enumerate(arrow.schema):
        given = arrow.column(place)
        values = _narrowed(given)
        noted = _noted(field, values)
        if values is not given or noted is not field:
            arrow = arrow.set_column(place, noted.with_type(values.type), values)
    return table if arrow is table.arrow else replace(table, arrow=arrow)


def _narrowed(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """A dictionary-encoded column without the levels that no row has; the others keep their order."""
    if not pa.types.is_dictionary(values.type) or values.num_chunks == 0:
        return values
    unified = values.unify_dictionaries()
    codes = [chunk.indices.cast(pa.int64()) for chunk in unified.chunks]
    used = pc.unique(pa.chunked_array(codes)).drop_null()
    used = used.take(pc.array_sort_indices(used))
    levels = unified.chunk(0).dictionary
    if len(used) == len(levels) and all(len(chunk.dictionary) == len(levels) for chunk in values.chunks):
        return values
    kind = values.type
    moved = [pc.index_in(code, value_set=used).cast(kind.index_type) for code in codes]
    kept = levels.take(used)
    return pa.chunked_array([pa.DictionaryArray.from_arrays(code, kept, ordered=kind.ordered) for code in moved])


def _noted(field: pa.Field, values: pa.ChunkedArray) -> pa.Field:
    """The field, whose note of a pandas categorical lists only numbers that occur."""
    metadata = field.metadata or {}
    note = json.loads(metadata.get(DTYPE, b"{}"))
    if "values" not in note:
        return field
    there = set(pc.unique(plain(values)).to_pylist())
    kept = [value for value in note["values"] if value in there]
    if len(kept) == len(note["values"]):
        return field
    return field.with_metadata({**metadata, DTYPE: json.dumps(note | {"values": kept}).encode()})


def leaving_verdict(verdict: Verdict, synthetic: Table) -> Verdict:
    """The same verdict, whose findings name a group's value only where a synthetic row has it, and no reason that can hold one.

    The numbers of withheld values are those of the page that leaves. A waiver names the check as its finding does; why others
    were refused stays, since those words may name a group too.
    """
    measurements = verdict.measurements
    if measurements is None:
        findings = tuple(_said(finding, None, None) for finding in verdict.findings)
    else:
        hide, by_label = Withheld(measurements, synthetic), {m.label: m for m in measurements}
        findings = tuple(_said(finding, by_label.get(finding.check), hide) for finding in verdict.findings)
    refused = tuple("a waiver was offered and does not count; the private verdict says why" for _ in verdict.refused_waivers)
    return replace(verdict, findings=findings, refused_waivers=refused)


def _said(finding: Finding, m: Measurement | None, hide: Withheld | None) -> Finding:
    if m is None or hide is None:  # whose the label is, is not known: what it is about may be a real value
        known = finding.value is not None or finding.outcome == "missing"
        return _labelled(finding, finding.check.split("[")[0], finding.message if known else KEPT_BACK)
    message = finding.message if m.status == "ok" else f"could not be measured: {hide.reason(m)}"
    return _labelled(finding, hide.label(m), message)


def _labelled(finding: Finding, label: str, message: str) -> Finding:
    """The finding under another label; a waiver of this finding alone goes by the same."""
    waiver = finding.waiver
    if waiver is not None and waiver["check"] == finding.check:
        waiver = {**waiver, "check": label}
    return replace(finding, check=label, message=message, waiver=waiver)
