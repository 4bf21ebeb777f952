"""How the page says things: names of figures, numbers with the digits that matter, and what to do next."""

from __future__ import annotations

import math

from synth.metrics.measurement import Interval, Measurement

HEADLINES = {
    "fidelity.shape": "Shape, each column",
    "fidelity.trend": "Trend, pairs of columns",
    "fidelity.detection": "Detection AUC",
    "utility.tstr": "Utility, TSTR",
    "utility.gap": "Utility lost",
    "privacy.exact_copies": "Exact copies",
    "privacy.membership_auc": "Membership AUC",
    "privacy.membership_tpr": "Membership at 1% FPR",
}
IMAGE_HEADLINES = {  # where images are judged, whose single columns say nothing
    "image.frechet": "Fréchet distance",
    "image.precision": "Precision",
    "image.recall": "Recall",
    "image.consistency": "Images like their label",
    "image.copies": "Near copies",
    "privacy.exact_copies": "Exact copies",
    "privacy.membership_auc": "Membership AUC",
    "privacy.membership_tpr": "Membership at 1% FPR",
}
RELEASED_HEADLINES = {  # of rows made under a budget, which are held against nothing else
    "fidelity.noisy_marginals": "Noisy marginals, mean",
    "fidelity.worst_noisy_marginal": "Noisy marginals, worst",
}
DECISIONS = {
    "approved": ("Approved", "Every rule that can block is met."),
    "rejected": ("Rejected", "At least one rule that can block is broken; these rows stay inside."),
    "inconclusive": ("Inconclusive", "Too uncertain to approve: more rows or missing figures are needed."),
}
INTERNAL = (
    "These rows were made under a privacy budget, and these figures are exact and on real rows, outside of it: "
    "they stay in this folder, and nothing leaves on their word."
)
NOT_JUDGED = ("Not judged", "No policy has been applied to these figures.")
ARROWS = {"lower": "↓", "higher": "↑", "nearer": "→"}
BETTER = {"lower": "lower is better", "higher": "higher is better", "nearer": "nearer to real rows is better"}
OUTCOMES = {  # in the order of a count
    "pass": "met",
    "fail": "broken",
    "inconclusive": "inconclusive",
    "missing": "missing",
    "error": "in error",
    "skipped": "skipped",
    "insufficient": "on too few rows",
    "report": "reported only",
    "absent": "not applicable",
}
STATUSES = {"ok": "", "absent": "not applicable"}  # the other two are their own words
RISKS = (  # fractions of what was left to find
    "privacy.attribute_inference",
    "privacy.singling_out_",
    "privacy.linkability",
    "fairness.group_attribute_inference",
)
RATES = (  # and every "…_copies": fractions of rows, cells or groups
    "validity.",
    "image.copies",
    "image.precision",
    "image.recall",
    "image.consistency",
    "fidelity.missing_",
    "fidelity.rare_",
    "privacy.membership_tpr",
    "privacy.memorised",
    "privacy.rare_combinations",
    "privacy.dcr",
    "fairness.erased_groups",
    "fairness.shrunk_groups",
    *RISKS,
)
POINTS = (  # differences of two shares
    "fidelity.class_share",
    "fairness.group_share",
    "fairness.label_gap",
    "fairness.label_amplification",
    "fairness.selection_rate_gap",
    "fairness.tpr_gap",
    "fairness.fpr_gap",
    "fairness.ppv_gap",
    "fairness.accuracy_gap",
    "fairness.demographic_parity",
    "fairness.demographic_parity_gap",
    "fairness.equalized_odds",
    "fairness.equalized_odds_gap",
    "fairness.spread_share",
    "fairness.spread_labels",
    "fairness.spread_models",
)
REAL = "real rows"
REFEREES = {
    "chance": "by chance",
    "by definition": "by definition",
    "copies": "copies of real rows",
    "the whole table": "the whole table",
    "noise alone": "noise alone",
}  # how such a reference begins
SMALLEST = 1e-9  # below it a float is rounding noise around zero

NEXT: dict[str, dict[str, str]] = {
    "fail": {
        "privacy": "Fit with less detail or on more rows, or drop the columns that name a person; do not release these rows.",
        "fidelity": "Look at the worst columns and pairs, then try another generator or more training rows.",
        "image": "Look at the contact sheet; train longer or with wider levels, or, against copies, shorter or on more images.",
        "utility": "Try another generator, or keep real rows for the model that this table was meant for.",
        "fairness": "Look at the group's own figures; condition the sampling on the group, or collect more of its rows.",
        "balance": "Take the remedy that the figure's sentence names, or none: added rows are no benefit by themselves.",
        "validity": "Correct the schema or its constraints, then fit and sample again.",
        "other": "Look at the figure, then fit and sample again.",
    },
    "inconclusive": {"other": "The interval crosses the limit: evaluate on more holdout or synthetic rows."},
    "unmeasured": {"other": "Nothing was put beside the limit: give what the reason names, mostly real rows held out."},
    "insufficient": {"other": "Too few rows to say: hold out more rows of this group."},
    "missing": {"other": "The policy asks for what was not given or taken: supply it and evaluate again."},
    "error": {"other": "The figure could not be computed: see the reason, then evaluate again."},
}


def advice(outcome: str, check: str, measured: bool) -> str:
    """What to do about a rule with that outcome."""
    by_family = NEXT["unmeasured" if outcome == "skipped" or (outcome == "inconclusive" and not measured) else outcome]
    return by_family.get(check.split(".")[0], by_family["other"])


def number(value: float | None, name: str = "") -> str:
    """A figure of the metric `name`: at least two significant digits, never "0.000" for what is not zero."""
    if value is None:
        return "–"
    scale, least, unit = _unit(name)
    return _digits(scale * value, _places(scale * value, least)) + unit


def share(value: float | None) -> str:
    """A fraction of rows."""
    return "–" if value is None else number(value, "_copies")


def interval(found: Interval | None, name: str) -> str:
    """The ends, with as many decimals as the value itself and without its unit."""
    return "–" if found is None else _ends(found.value, found.low, found.high, name)


def reference(found: Interval | None, name: str) -> str:
    """What real rows score, with the interval where they were measured and not known beforehand."""
    if found is None:
        return "–"
    spread = "" if found.low == found.high else f" {interval(found, name)}"
    return number(found.value, name) + spread


def referee(m: Measurement) -> str:
    """Whose score the reference is."""
    told = str(m.detail.get("reference", ""))
    return next((said for start, said in REFEREES.items() if told.startswith(start)), REAL)


def _unit(name: str) -> tuple[float, int, str]:
    """What a metric's values are multiplied by, the decimals that they have at least, and their unit."""
    if name in POINTS:
        return 100.0, 1, "\u00a0pp"
    if name.startswith(RATES) or name.endswith("_copies"):
        return 100.0, 1, "%"
    return 1.0, 3, ""


def _places(value: float, least: int) -> int:
    """Decimals for two significant digits, of the value as it is rounded: 0.996 is 1.0, not 1.00."""
    return least if abs(value) < SMALLEST else max(least, 1 - math.floor(math.log10(abs(float(f"{value:.1e}")))))


def _digits(value: float, places: int) -> str:
    if abs(value) < SMALLEST:
        return "0"
    if value == 100:  # all of them
        return "100"
    return (f"{value:.{places}f}" if places <= 6 else f"{value:.1e}").replace("-", "−")


def _ends(value: float, low: float, high: float, name: str, least: int = 0) -> str:
    scale, usual, _ = _unit(name)
    wanted = max(_places(scale * value, usual), least)
    ends = [(end, max(wanted, 0 if end == 0 else math.ceil(-math.log10(abs(end))))) for end in (scale * low, scale * high)]
    return f"[{', '.join(_digits(end, places) for end, places in ends)}]"


def compared(m: Measurement, value: float, low: float, high: float, limit: float | None, over: float | None) -> str:
    """What a rule compared: a figure, or (`over` the reference) its excess, with the limit that no rounding makes it meet."""
    scale, least, unit = _unit(m.name)
    places = _places(scale * value, least)
    while limit is not None and places < 6 and _meets((value, low, high), limit, scale, places):
        places += 1
    said = f"{_digits(scale * value, places)}{unit} {_ends(value, low, high, m.name, places)}"
    whose = REFEREES["noise alone"] if referee(m) == REFEREES["noise alone"] else REAL
    said += "" if over is None else f" beyond the {number(over, m.name)} of {whose}"
    if limit is None:
        return f"{said}; reported only"
    bound = "at least" if m.better == "higher" else "at most"
    return f"{said}; {bound} {number(limit, m.name)} is allowed"


def _meets(figures: tuple[float, ...], limit: float, scale: float, places: int) -> bool:
    """Whether a figure that is not the limit would be written like it."""
    return any(f != limit and _digits(scale * f, places) == _digits(scale * limit, places) for f in figures)


def sentence(m: Measurement) -> str | None:
    """A headline figure on fidelity or utility in a sentence; None for the others."""
    if m.score is None or m.name not in SENTENCES:
        return None
    beside = "" if m.reference is None else f" {BESIDE[m.name]} {number(m.reference.value, m.name)}."
    unit = f"{m.detail['metric']} " if "metric" in m.detail else ""
    return SENTENCES[m.name].format(f"{unit}{number(m.score.value, m.name)} {interval(m.score, m.name)}") + beside


SENTENCES = {
    "fidelity.shape": "A column's distribution is off by {} on average: 0 is the same, 1 has nothing in common.",
    "fidelity.trend": "A pair of columns is off by {} on average, on the same scale.",
    "fidelity.detection": "Boosted trees tell synthetic from real rows with AUC {}: 0.5 is guessing, 1 is never wrong.",
    "utility.tstr": "A model trained on the synthetic rows reaches {} on real rows that it never saw.",
}
BESIDE = {
    "fidelity.shape": "Held-out real rows:",
    "fidelity.trend": "Held-out real rows:",
    "fidelity.detection": "Held-out real rows:",
    "utility.tstr": "Trained on real rows:",
}
