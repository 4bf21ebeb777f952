"""The page that a person sees: the verdict, what failed, each figure against real rows, then everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from synth.data.table import Table
from synth.metrics.measurement import Measurement, Measurements
from synth.report import plots, svg

HEADLINES = {
    "fidelity.shape": "Columns one by one",
    "fidelity.trend": "Pairs of columns",
    "fidelity.detection": "Told apart from real rows",
    "utility.tstr": "Use for training a model",
    "utility.gap": "Lost by training on it",
    "privacy.exact_copies": "Exact copies of training rows",
    "privacy.membership_auc": "Finding out who was in it",
    "privacy.membership_tpr": "The same, surest one in a hundred",
}
DECISIONS = {
    "approved": ("Approved", "Every rule that can block is met."),
    "rejected": ("Rejected", "At least one rule that can block is broken; these rows stay inside."),
    "inconclusive": ("Inconclusive", "Too uncertain to approve: more rows or missing figures are needed."),
}
NOT_JUDGED = ("Not judged", "No policy has been applied to these figures.")
COLUMNS, PAIRS, MATRIX = 12, 6, 40  # the worst columns and pairs that are drawn; columns that a square of errors still shows
WITHHELD = "(withheld)"


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
    def limit(self) -> float | None: ...
    @property
    def reference(self) -> float | None: ...
    @property
    def over_reference(self) -> bool: ...


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


def render(
    measurements: Measurements,
    verdict: Any = None,
    *,
    train: Table | None = None,
    holdout: Table | None = None,
    synthetic: Table | None = None,
    title: str = "Synthetic data",
    public: bool = False,
) -> str:
    """One self-contained HTML page; the same arguments give the same bytes.

    verdict: a `Verdict` as above, or None where nothing was judged. Tables that are None are not drawn; without `train`
    the synthetic rows are drawn alone. `holdout` gives the rows' number where the figures do not.
    public: the page leaves with the data, so nothing is shown of single real values: no real distribution, no detail of a
    column or pair, and no group or reason that names a value which no synthetic row has.
    """
    synthetic = synthetic if synthetic is not None else measurements.synthetic
    train = None if public else train
    hide = _Hide(measurements, synthetic if public else None, public)
    findings = () if verdict is None else tuple(verdict.findings)
    by_check = {finding.check: finding for finding in findings}
    open_findings = [f for f in findings if f.outcome not in ("pass", "report", "absent") and f.severity != "report"]
    headline, says = NOT_JUDGED if verdict is None else DECISIONS.get(verdict.decision, (verdict.decision, ""))
    figures = [_figure(m, by_check.get(m.label), hide) for m in measurements if m.name in HEADLINES]
    families: dict[str, list[dict[str, Any]]] = {}
    for m in measurements:
        families.setdefault(m.family, []).append(_row(m, by_check.get(m.label), hide))
    shape, trend = _detail(measurements, "fidelity.shape"), _detail(measurements, "fidelity.trend")
    errors = [] if public else _column_errors(shape)
    pairs = [] if public else list(trend.get("worst", ()))
    return _template().render(
        title=title,
        public=public,
        decision="none" if verdict is None else verdict.decision,
        headline=headline,
        says=says,
        policy=None if verdict is None else f"{verdict.policy} (version {verdict.policy_version})",
        passed=sum(f.outcome == "pass" for f in findings),
        judged=len(findings),
        findings=[_finding(f, hide) for f in open_findings],
        figures=figures,
        facts=_facts(measurements.context, holdout),
        families=families,
        privacy=[words for m in measurements if (words := _in_words(m))],
        errors=errors,
        marginals=_marginals(errors, synthetic, train),
        pairs=pairs,
        matrix=None if public else _matrix(trend),
        densities=_densities(pairs, synthetic, train),
        number=_number,
    )


class _Hide:
    """Takes out of an exported page's words each group value that no synthetic row has."""

    def __init__(self, measurements: Measurements, synthetic: Table | None, public: bool) -> None:
        self.public = public
        seen: dict[str, set[str]] = {}
        secret: set[str] = set()
        for name, value in ((k, str(v)) for m in measurements for k, v in (m.group or {}).items()) if public else ():
            if name not in seen:
                known = synthetic is not None and name in synthetic.schema
                found = synthetic.column(name).unique().to_pylist() if known and synthetic is not None else []
                seen[name] = {str(v) for v in found}
            if value not in seen[name] and value.lower() not in {s.lower() for s in seen[name]}:
                secret.add(value)
        self.secret = sorted(secret, key=lambda value: (-len(value), value))

    def __call__(self, words: str) -> str:
        for value in self.secret:
            words = words.replace(value, WITHHELD)
        return words

    def reason(self, words: str) -> str:
        """Why something has no figure: an error's text can hold a real value."""
        return "the reason is in the private report" if self.public and words else words


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


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("-0.000", "0.000").replace("-", "−")


def _detail(measurements: Measurements, name: str) -> Mapping[str, Any]:
    return next((m.detail for m in measurements.named(name)), {})


def _limit(finding: Finding | None) -> float | None:
    """The policy's limit on the figure's own scale."""
    if finding is None or finding.limit is None:
        return None
    if not getattr(finding, "over_reference", False):
        return finding.limit
    return None if finding.reference is None else finding.reference + finding.limit


def _figure(m: Measurement, finding: Finding | None, hide: _Hide) -> dict[str, Any]:
    row = _row(m, finding, hide) | {"words": HEADLINES[m.name], "drawing": None}
    if m.score is not None:
        limit = _limit(finding)
        said = f"{HEADLINES[m.name]}: {row['value']}, 95% interval {row['interval']}; real rows {row['reference']}"
        said += "" if limit is None else f"; limit {_number(limit)}"
        real = None if m.reference is None else (m.reference.low, m.reference.high)
        row["drawing"] = svg.band(m.score.value, m.score.low, m.score.high, real, limit, said)
    return row


def _row(m: Measurement, finding: Finding | None, hide: _Hide) -> dict[str, Any]:
    score, reference = m.score, m.reference
    return {
        "label": hide(m.label),
        "better": {"lower": "lower is better", "higher": "higher is better"}.get(m.better, "nearer to real rows is better"),
        "value": "–" if score is None else _number(score.value),
        "interval": "–" if score is None else f"[{_number(score.low)}, {_number(score.high)}]",
        "n": "–" if score is None else f"{score.n:,}",
        "reference": (
            "–" if reference is None else f"{_number(reference.value)} [{_number(reference.low)}, {_number(reference.high)}]"
        ),
        "limit": _number(_limit(finding)),
        "outcome": "" if finding is None else finding.outcome,
        "status": m.status,
        "reason": hide.reason(m.reason),
        "seconds": "–" if hide.public else f"{m.seconds:.1f}",
    }


def _finding(finding: Finding, hide: _Hide) -> dict[str, str]:
    told = finding.message if finding.outcome not in ("error", "missing") else hide.reason(finding.message)
    return {
        "check": hide(finding.check),
        "outcome": finding.outcome,
        "severity": finding.severity,
        "message": hide(told),
        "why": hide(finding.why),
        "do": NEXT.get(finding.outcome, NEXT["fail"]).get(finding.check.split(".")[0], NEXT["fail"]["other"]),
    }


NEXT: dict[str, dict[str, str]] = {
    "fail": {
        "privacy": "Fit with less detail or more rows, or remove what names a person; do not release these rows.",
        "fidelity": "Look at the worst columns and pairs below, then try another generator or more training rows.",
        "utility": "Try another generator, or keep real rows for the model that this table was meant for.",
        "fairness": "Look at the group's rows below; condition the sampling on the group, or collect more of them.",
        "validity": "Correct the schema or its constraints, then fit and sample again.",
        "other": "Look at the figure below, then fit and sample again.",
    },
}
NEXT["inconclusive"] = dict.fromkeys(
    NEXT["fail"], "The interval crosses the limit: evaluate on more holdout or synthetic rows."
)
NEXT["insufficient"] = dict.fromkeys(NEXT["fail"], "Too few rows to say: hold out more rows of this group.")
NEXT["missing"] = dict.fromkeys(NEXT["fail"], "The policy asks for a figure that was not taken: evaluate again with it.")
NEXT["error"] = dict.fromkeys(NEXT["fail"], "The figure could not be computed: see the reason, then evaluate again.")


def _in_words(m: Measurement) -> str | None:
    if m.score is None or m.name not in ("privacy.membership_auc", "privacy.membership_tpr", "privacy.exact_copies"):
        return None
    figure = f"{_number(m.score.value)} [{_number(m.score.low)}, {_number(m.score.high)}]"
    real = None if m.reference is None else _number(m.reference.value)
    if m.name == "privacy.membership_auc":
        return (
            f"An attacker who holds a person's row and guesses whether it was trained on does AUC {figure}; a coin does 0.500."
        )
    if m.name == "privacy.membership_tpr":
        return (
            f"Allowed to be wrong about one outsider in a hundred, the attacker names {figure} of the members; a coin, 0.010."
        )
    beside = "" if real is None else f"; of real rows that were held out, {real} do"
    return f"A share of {figure} of the synthetic rows equal a training row{beside}."


def _facts(context: Mapping[str, Any], holdout: Table | None) -> list[tuple[str, str]]:
    rows, digests, made = (context.get(key) or {} for key in ("rows", "digests", "provenance"))
    if holdout is not None:
        rows = {"holdout": len(holdout)} | rows
    facts = [(f"{name} rows".capitalize(), f"{count:,}") for name, count in rows.items() if count is not None]
    facts += [
        ("Target", str(context.get("target") or "none")),
        ("Sensitive", ", ".join(context.get("sensitive") or ()) or "none"),
    ]
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
    names = [name for name, _, _ in errors] or [column.name for column in synthetic.schema.learned]
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
    words = f"Error of each pair of {len(names)} columns, darker is worse; the worst pairs are in the table"
    return {"names": list(names), "drawing": svg.matrix(len(names), trend["pairs"], names, words)}
