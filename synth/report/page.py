"""The page that a person sees: the verdict, what failed, each figure against real rows, then everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from synth.data.images import ImageShape
from synth.data.table import Table
from synth.metrics.measurement import Measurement, Measurements
from synth.report import plots, svg, words
from synth.report.contact import contact_sheets
from synth.report.exposure import Exposure
from synth.report.families import by_family, gaps
from synth.report.groups import by_group
from synth.report.power import power_table
from synth.report.search import search_table

COLUMNS, PAIRS, MATRIX = 12, 6, 40  # the worst columns and pairs that are drawn; columns that a square of errors still shows
GROUPS, FOLDED = 3, 600  # groups or columns of a metric in its table, and the rows of a family that are folded below it
FIRST = 5  # open findings on the first screen; the others follow further down
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
URGENCY = ("fail", "error", "missing", "skipped", "inconclusive", "insufficient")


class Finding(Protocol):
    """What the page reads of one rule's outcome."""

    @property
    def check(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def severity(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def why(self) -> str: ...
    @property
    def value(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def limit(self) -> float | None: ...
    @property
    def reference(self) -> float | None: ...
    @property
    def over_reference(self) -> bool: ...
    @property
    def meaning(self) -> str | None: ...
    @property
    def waiver(self) -> Mapping[str, Any] | None: ...
    @property
    def blocks(self) -> bool: ...


class Verdict(Protocol):
    """What the page reads of a verdict."""

    @property
    def decision(self) -> str: ...
    @property
    def policy(self) -> str: ...
    @property
    def policy_version(self) -> str: ...
    @property
    def findings(self) -> Sequence[Finding]: ...
    @property
    def changes(self) -> Sequence[str]: ...


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
    by_check = {finding.check: finding for finding in findings}
    headline, says = words.NOT_JUDGED if verdict is None else words.DECISIONS.get(verdict.decision, (verdict.decision, ""))
    found = _folded([_finding(f, hide) for f in _open(findings)])
    has_images = any(m.family == "image" and m.score is not None for m in measurements)
    private = "privacy" in measurements.context
    heads = words.RELEASED_HEADLINES if private else words.IMAGE_HEADLINES if has_images else words.HEADLINES
    first = [m for name in heads for m in measurements.named(name)]
    shape, trend = _detail(measurements, "fidelity.shape"), _detail(measurements, "fidelity.trend")
    errors = [] if public else _column_errors(shape)
    pairs = [] if public else list(trend.get("worst", ()))
    return _template().render(
        title=title,
        public=public,
        private=private,
        internal=words.INTERNAL if measurements.are_internal else "",
        decision="none" if verdict is None else verdict.decision,
        headline=headline,
        says=says,
        policy=None if verdict is None else f"{verdict.policy} {verdict.policy_version}",
        tally=_tally(findings),
        made=_made(measurements.context, holdout),
        findings=found,
        changes=() if verdict is None or public else verdict.changes,
        standing=[f for f in found if f["outcome"] != "insufficient"],
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
        groups=by_group(measurements, by_check, hide),
        errors=errors,
        sheets=contact_sheets(synthetic, None if public else holdout),
        marginals=_marginals(errors, synthetic, train),
        pairs=pairs,
        matrix=None if public else _matrix(trend),
        densities=_densities(pairs, synthetic, train),
        number=words.number,
    )


@cache
def _template() -> Template:
    env = Environment(
        loader=PackageLoader("synth.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return env.get_template("page.html.jinja")


def _open(findings: Sequence[Finding]) -> list[Finding]:
    """What did not pass, what blocks first and the surest first."""
    left = [f for f in findings if f.outcome not in ("pass", "report", "absent") and f.severity != "report"]
    return sorted(left, key=lambda f: (f.outcome == "insufficient", not f.blocks, URGENCY.index(f.outcome)))


def _folded(found: list[dict[str, str]]) -> list[dict[str, str]]:
    """Of one rule's groups with too few rows the first stands for all: there can be dozens, and nothing to do about each."""
    small: dict[str, list[dict[str, str]]] = {}
    for finding in found:
        if finding["outcome"] == "insufficient":
            small.setdefault(finding["check"].split("[", 1)[0], []).append(finding)
    first = [group[0] | {"more": str(len(group) - 1) if len(group) > 1 else ""} for group in small.values()]
    return [f for f in found if f["outcome"] != "insufficient"] + first


def _tally(findings: Sequence[Finding]) -> str:
    counts = ((sum(f.outcome == outcome for f in findings), said) for outcome, said in words.OUTCOMES.items())
    return ", ".join(f"{count} {said}" for count, said in counts if count)


def _detail(measurements: Measurements, name: str) -> Mapping[str, Any]:
    return next((m.detail for m in measurements.named(name)), {})


def _limit(finding: Finding | None) -> float | None:
    """The policy's limit on the figure's own scale."""
    if finding is None or finding.limit is None:
        return None
    if not finding.over_reference:
        return finding.limit
    return None if finding.reference is None else finding.reference + finding.limit


def _figure(m: Measurement, finding: Finding | None, hide: Exposure) -> dict[str, Any]:
    scored = str(m.detail.get("metric", "")) if m.name == "utility.tstr" else ""
    name = f"{(words.HEADLINES | words.IMAGE_HEADLINES | words.RELEASED_HEADLINES)[m.name]} {scored}".rstrip()
    row = _row(m, finding, hide) | {"words": name, "drawing": None, "whose": words.referee(m)}
    if m.score is not None:
        limit = _limit(finding)
        said = f"{name}: {row['value']}, 95% interval {row['interval']}; {row['whose']} {row['reference']}"
        said += f"; {row['better']}" + ("" if limit is None else f"; limit {row['limit']}")
        real = None if m.reference is None else (m.reference.low, m.reference.high)
        row["drawing"] = svg.band(m.score.value, m.score.low, m.score.high, real, limit, said)
    return row


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
        "limit": words.number(_limit(finding), m.name),
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


def _finding(finding: Finding, hide: Exposure) -> dict[str, str]:
    return {
        "check": hide.check(finding),
        "more": "",
        "outcome": finding.outcome,
        "message": hide.message(finding),
        "let_go": _let_go(finding),
        "why": finding.why,
        "do": words.advice(finding.outcome, finding.check, finding.value is not None),
    }


def _let_go(finding: Finding) -> str:
    """Why a finding does not stand in the way although it is no pass of a rule that can block; or nothing."""
    if finding.waiver is not None:
        said = finding.waiver
        until = f"waived by {said['approver']} until {str(said['expires'])[:10]}"
        return f"{until}: {said['reason']} ({said['owner']} answers for it)"
    if finding.severity != "block":
        return "warning"
    return "only noted" if finding.meaning == "noted" else ""


def _made(context: Mapping[str, Any], holdout: Table | None) -> str:
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
    return [plot for name in kept[:COLUMNS] if (plot := plots.marginal(name, synthetic, train)) is not None]


def _densities(pairs: list[Mapping[str, Any]], synthetic: Table | None, train: Table | None) -> list[plots.Plot]:
    if synthetic is None or train is None or len(synthetic) == 0:
        return []
    return [plot for worst in pairs[:PAIRS] if (plot := plots.pair(worst["columns"], synthetic, train)) is not None]


def _matrix(trend: Mapping[str, Any]) -> Any:
    names = trend.get("names", ())
    if not 2 <= len(names) <= MATRIX or not trend.get("pairs"):
        return None
    words = f"Error of each pair of {len(names)} columns, stronger is worse; the worst pairs are in the table"
    return {"names": list(names), "drawing": svg.matrix(len(names), trend["pairs"], names, words)}
