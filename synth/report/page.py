"""The page that a person sees: the verdict, what failed, each figure against real rows, then everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from synth.data.images import ImageShape
from synth.data.table import Table
from synth.metrics.measurement import Measurement, Measurements
from synth.report import layout, plots, svg, words
from synth.report.contact import contact_sheets
from synth.report.exposure import Exposure
from synth.report.families import by_family, gaps
from synth.report.findings import Finding, card, drawing, folded, limit_of, tally, unsettled
from synth.report.groups import by_group
from synth.report.power import power_table
from synth.report.privacy import in_words
from synth.report.search import search_table

COLUMNS, PAIRS, MATRIX = 12, 6, 40  # the worst columns and pairs that are drawn; columns that a square of errors still shows
GROUPS, FOLDED = 3, 600  # groups or columns of a metric in its table, and the rows of a family that are folded below it
FIRST = 5  # open findings that are not folded, so that the figures are not pushed off the first screen
BUDGET = {  # what is shown of a privacy budget
    "epsilon": "ε",
    "delta": "δ",
    "unit": "Unit of privacy",
    "rows_per_subject": "Rows per subject, at most",
    "mechanism": "Mechanism",
    "dataset": "Data set",
    "entry": "Entry of the ledger",
    "entry_digest": "SHA-256 of the entry",
}


def render(
    measurements: Measurements,
    verdict: Any = None,
    *,
    train: Table | None = None,
    holdout: Table | None = None,
    synthetic: Table | None = None,
    title: str = "Synthetic data",
    public: bool = False,
    power: Mapping[str, Any] | None = None,
    approval: Mapping[str, str] | None = None,
    waivers: Sequence[Mapping[str, Any]] = (),
) -> str:
    """One self-contained HTML page; the same arguments give the same bytes.

    verdict: a `Verdict` as above, or None where nothing was judged. Tables that are None are not drawn; without `train`
    the synthetic rows are drawn alone. `holdout` gives the rows' number where the figures do not.
    public: the page leaves with the data, so nothing is shown of single real values: no real distribution, no detail of a
    column or pair, no real share of a group, and no group or reason that names a value which no synthetic row has.
    power: what a self-test found, as `SelfTest.to_dict` gives it: which planted faults the checks would have caught.
    approval: what an approval says of itself, each by its name. waivers: of checks that were let go, as `Waiver.to_dict` gives
    them; on a public page, by the labels that leave.
    """
    synthetic = synthetic if synthetic is not None else measurements.synthetic
    train = None if public else train
    hide = Exposure(measurements, synthetic if public else None, public)
    findings: tuple[Finding, ...] = () if verdict is None else tuple(verdict.findings)
    by_check, by_label = {finding.check: finding for finding in findings}, {m.label: m for m in measurements}
    headline, says = words.NOT_JUDGED if verdict is None else words.DECISIONS.get(verdict.decision, (verdict.decision, ""))
    changes = () if verdict is None or public else verdict.changes
    found = folded([card(f, by_label, changes, hide) for f in unsettled(findings)])
    has_images = any(m.family == "image" and m.score is not None for m in measurements)
    private = "privacy" in measurements.context
    heads = words.RELEASED_HEADLINES if private else words.IMAGE_HEADLINES if has_images else words.HEADLINES
    first = [m for name in heads for m in measurements.named(name)]
    shape, trend = _detail(measurements, "fidelity.shape"), _detail(measurements, "fidelity.trend")
    errors = [] if public else _column_errors(shape)
    pairs = [] if public else list(trend.get("worst", ()))
    sheets = contact_sheets(synthetic, None if public else holdout)
    return layout.page(
        "page.html.jinja",
        title=title,
        public=public,
        private=private,
        internal=words.INTERNAL if measurements.are_internal else "",
        decision="none" if verdict is None else verdict.decision,
        headline=headline,
        says=says,
        policy=None if verdict is None else f"{verdict.policy} {verdict.policy_version}",
        tally=tally(findings),
        made=made_by(measurements.context, holdout),
        standing=[f for f in found if f["outcome"] != "insufficient"],
        small=[f for f in found if f["outcome"] == "insufficient"],
        most=FIRST,
        figures=[_figure(m, by_check.get(m.label), hide) for m in first],
        facts=_facts(measurements.context, holdout),
        families=_families(measurements, by_check, hide),
        missing=_missing(measurements, hide),
        power=None if power is None or public else power_table(power),
        approval=approval or {},
        waivers=waivers,
        search=search_table(measurements.context["search"]) if "search" in measurements.context else None,
        sentences=[said for m in first if (said := words.sentence(m))],
        privacy=in_words(measurements, by_check, hide),
        groups=by_group(measurements, by_check, hide),
        errors=errors,
        sheets=sheets,
        pictures=bool(sheets),
        marginals=_marginals(errors, synthetic, train),
        pairs=pairs,
        matrix=None if public else _matrix(trend),
        densities=_densities(pairs, synthetic, train),
        number=words.number,
    )


def _detail(measurements: Measurements, name: str) -> Mapping[str, Any]:
    return next((m.detail for m in measurements.named(name)), {})


def _figure(m: Measurement, finding: Finding | None, hide: Exposure) -> dict[str, Any]:
    scored = str(m.detail.get("metric", "")) if m.name == "utility.tstr" else ""
    name = f"{(words.HEADLINES | words.IMAGE_HEADLINES | words.RELEASED_HEADLINES)[m.name]} {scored}".rstrip()
    return _row(m, finding, hide) | {"words": name, "drawing": drawing(m, finding, name), "whose": words.referee(m)}


def _row(m: Measurement, finding: Finding | None, hide: Exposure) -> dict[str, Any]:
    return {
        "label": hide.label(m),
        "more": 0,
        "better": words.BETTER[m.better],
        "arrow": words.ARROWS[m.better],
        "value": words.number(None if m.score is None else m.score.value, m.name),
        "interval": words.interval(m.score, m.name),
        "n": "–" if m.score is None else f"{m.score.n:,}",
        "reference": words.reference(m.reference, m.name),
        "limit": words.number(limit_of(finding), m.name),
        "outcome": "" if finding is None else finding.outcome,
        "status": words.STATUSES.get(m.status, m.status),
        "reason": hide.reason(m),
        "seconds": f"{m.seconds:.1f}",
    }


def _families(measurements: Measurements, by_check: Mapping[str, Finding], hide: Exposure) -> list[dict[str, Any]]:
    """The tables of all figures: of each metric the worst groups and columns, the others folded away below."""

    def rows(found: Sequence[Measurement]) -> list[dict[str, Any]]:
        return [_row(m, by_check.get(m.label), hide) for m in found]

    families = []
    for family in by_family(measurements, most=GROUPS, findings=by_check):
        shown = [rows(metric.shown) for metric in family.metrics]
        for row, metric in zip(shown, family.metrics):
            row[-1]["more"] = len(metric.folded)
        folded = [m for metric in family.metrics for m in metric.folded]
        families.append(
            {
                "name": family.name,
                "rows": [row for metric in shown for row in metric],
                "folded": rows(folded[:FOLDED]),
                "left": max(0, len(folded) - FOLDED),
            }
        )
    return families


def _missing(measurements: Measurements, hide: Exposure) -> list[dict[str, Any]]:
    """What could not be computed, in one line for each reason."""
    told: dict[tuple[str, str], list[str]] = {}
    for gap in gaps(measurements):
        for m in gap.figures:
            told.setdefault((words.STATUSES.get(m.status, m.status), hide.reason(m)), []).append(hide.label(m))
    return [{"status": status, "reason": reason, "figures": labels} for (status, reason), labels in told.items()]


def made_by(context: Mapping[str, Any], holdout: Table | None) -> str:
    """The rows in one line: how many, from how many, by which generator."""
    rows, made = context.get("rows") or {}, context.get("provenance") or {}
    held = len(holdout) if holdout is not None else rows.get("holdout")
    said = [f"{rows['synthetic']:,} synthetic rows" if rows.get("synthetic") is not None else ""]
    said += [f"by {made['generator']}" if made.get("generator") else ""]
    said += [f"from {rows['train']:,} training rows" if rows.get("train") is not None else ""]
    line = " ".join(part for part in said if part)
    if "privacy" in context:
        return f"{line} under a privacy budget"
    return line and line + (f"; {held:,} real rows held out" if held else "; no real rows held out")


def _facts(context: Mapping[str, Any], holdout: Table | None) -> list[tuple[str, str]]:
    rows, digests, made = (context.get(key) or {} for key in ("rows", "digests", "provenance"))
    if holdout is not None:
        rows = {"holdout": len(holdout)} | rows
    facts = [(f"{name} rows".capitalize(), f"{count:,}") for name, count in rows.items() if count is not None]
    facts += [
        ("Target", str(context.get("target") or "none")),
        ("Sensitive", ", ".join(context.get("sensitive") or ()) or "none"),
    ]
    if (spent := context.get("privacy")) is not None:
        facts += [(said, f"{spent[key]}") for key, said in BUDGET.items() if spent[key] is not None]
    facts += [
        (f"{key} of the model".capitalize(), str(made[key]))
        for key in ("generator", "seed", "where")
        if made.get(key) is not None
    ]
    facts += [("Seed of the figures", str(context.get("seed", "–"))), ("synth", str(context.get("synth", "–")))]
    facts += [(f"SHA-256 {name}", str(digest)) for name, digest in digests.items() if digest]
    return facts


def _column_errors(shape: Mapping[str, Any]) -> list[tuple[str, float, float | None]]:
    """Every column with its error and real rows' error, the largest excess first."""
    real = shape.get("reference_columns", {})
    found = [(name, error, real.get(name)) for name, error in shape.get("columns", {}).items()]
    return sorted(found, key=lambda item: (-(item[1] - (item[2] or 0.0)), item[0]))


def _marginals(errors: list[tuple[str, float, float | None]], synthetic: Table | None, train: Table | None) -> list[plots.Plot]:
    if synthetic is None:
        return []
    shape = ImageShape.of(synthetic.schema)
    names = [name for name, _, _ in errors] or [column.name for column in synthetic.schema.learned]
    pixels = set(() if shape is None else shape.names)  # whose distributions say nothing
    names = [name for name in names if name not in pixels]
    kept = [name for name in names if name in synthetic.schema and (train is None or name in train.schema)]
    drawn = [plot for name in kept[:COLUMNS] if (plot := plots.marginal(name, synthetic, train)) is not None]
    off = {name: (error, real) for name, error, real in errors}
    return [replace(plot, note=_off(plot.note, *off[plot.name])) if plot.name in off else plot for plot in drawn]


def _off(kind: str, error: float, real: float | None) -> str:
    """A column's kind, with how far its distribution is off."""
    beside = "" if real is None else f"; held-out real rows by {words.number(real)}"
    return f"{kind}; off by {words.number(error)}{beside}"


def _densities(pairs: list[Mapping[str, Any]], synthetic: Table | None, train: Table | None) -> list[plots.Plot]:
    if synthetic is None or train is None or len(synthetic) == 0:
        return []
    return [plot for worst in pairs[:PAIRS] if (plot := plots.pair(worst["columns"], synthetic, train)) is not None]


def _matrix(trend: Mapping[str, Any]) -> Any:
    names, pairs = trend.get("names", ()), trend.get("pairs")
    if not 2 <= len(names) <= MATRIX or not pairs:
        return None
    i, j, top = max(pairs, key=lambda pair: pair[2])
    note = f"Darkest: {words.number(top)}, {names[int(i)]} × {names[int(j)]}."
    note += "" if len(names) <= svg.NAMED else f" Across as down: {', '.join(names)}."
    said = f"Error of each pair of {len(names)} columns, stronger is worse; the worst pairs are in the table"
    return {"note": note, "drawing": svg.matrix(len(names), pairs, names, said)}
