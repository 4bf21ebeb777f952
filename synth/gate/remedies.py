"""What would have to change: for each finding that stands in the way, how far it is from its limit, and what moves it.

Only true statements: a number of rows is said where the metric looks at so many, a lever where this toolkit has it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synth.gate.verdict import Finding, Verdict

HOPELESS = 1_000.0  # times as many rows: whoever needs more needs another figure instead
SAID = {"train": "training", "holdout": "held-out", "synthetic": "synthetic"}


@dataclass(frozen=True)
class Sample:
    """Which rows the interval of a metric narrows with."""

    sides: tuple[str, ...]
    most: int | None  # rows of a side that the metric looks at, or all
    alike: bool = False  # it takes equally many of each side, as many as the smallest has


def changes(verdict: Verdict) -> tuple[str, ...]:
    """A sentence for each finding that stands in the way of an approval; none where nothing does."""
    return tuple(f"{finding.check}: {_change(finding, verdict)}" for finding in verdict.blocking)


def _change(finding: Finding, verdict: Verdict) -> str:
    measure = finding.check.split("[", 1)[0]
    if measure.startswith("requires."):
        return f"{finding.message}{_then(REQUIRED.get(measure, ''))}"
    if finding.outcome == "fail":
        return f"{_distance(finding)}{_then(_lever(measure, verdict))}"
    if finding.outcome == "inconclusive" and finding.value is not None:
        return _rows_that_decide(finding, measure, verdict.context.get("rows", {}))
    if finding.outcome == "missing" and finding.message.startswith("was not measured"):
        return "was not measured; evaluate again without `only`, or with this measure in it"
    reason = finding.message.removeprefix("could not be measured: ")
    if finding.outcome == "missing":
        return f"{reason}; hold real rows out (`--holdout`, or `split.holdout` in a run config) and evaluate again"
    if finding.outcome == "error":
        return f"could not be computed ({reason}); mend what the reason names, then evaluate again"
    return f"{reason}; give what is lacking, then evaluate again"


def _then(what: str) -> str:
    return f"; {what}" if what else ""


def _distance(finding: Finding) -> str:
    """How far a figure is beyond its limit."""
    value, limit = finding.value, finding.limit
    if value is None or limit is None:
        return finding.message
    over = " beyond what real rows score" if finding.over_reference else ""
    way, bound = ("fall", "at most") if value > limit else ("rise", "at least")
    return f"the figure would have to {way} by {abs(value - limit):.4g}, from {value:.4g} to {bound} {limit:.4g}{over}"


# more rows -------------------------------------------------------------------------------------------------------------


def _rows_that_decide(finding: Finding, measure: str, rows: Mapping[str, Any]) -> str:
    """How many rows would decide if the figure stays: half of an interval shrinks with the root of their number."""
    value, limit = finding.value, finding.limit
    assert value is not None
    if limit is None or finding.bound is None:
        return finding.message
    room, half = abs(limit - value), abs(finding.bound - value)
    if room == 0 or (half / room) ** 2 > HOPELESS:
        return f"the figure lies on its limit of {limit:.4g}, which no number of rows decides; {_other(value, finding)}"
    factor, narrower = (half / room) ** 2, f"its interval would have to be {half / room:.1f} times narrower"
    sample = SAMPLES.get(measure) or next((sample for start, sample in BEGINNINGS.items() if measure.startswith(start)), None)
    have = {} if sample is None else {side: int(rows.get(side) or 0) for side in sample.sides}
    if sample is None or not all(have.values()):
        return f"{narrower} if the figure stays"
    least = min(have.values())
    need = {side: factor * (least if sample.alike else count) for side, count in have.items()}
    if sample.most is not None and max(need.values()) > sample.most:
        return f"{narrower} if the figure stays, which the {sample.most:,} rows looked at do not give; {_other(value, finding)}"
    more = [
        f"{_rounded(need[side]):,} {SAID[side]} rows instead of {count:,}" for side, count in have.items() if need[side] > count
    ]
    return f"about {' and '.join(more)} would decide, if the figure stays {room:.4g} within its limit of {limit:.4g}"


def _other(value: float, finding: Finding) -> str:
    assert finding.bound is not None
    return f"a {'lower' if finding.bound > value else 'higher'} figure would"


def _rounded(number: float) -> int:
    """To two digits, upwards."""
    step = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return int(math.ceil(number / step - 1e-9) * step)


ATTACKED = 8_000  # members, and controls, that attacks look at: `synth.metrics.membership.CAP`
SAMPLES = {
    "validity.range": Sample(("synthetic", "holdout"), None),
    "fidelity.detection": Sample(("synthetic", "holdout"), 16_000, alike=True),
    "fidelity.coverage": Sample(("synthetic", "holdout", "train"), 10_000, alike=True),
    "utility.gap": Sample(("holdout",), None),
    **{
        f"fidelity.{name}": Sample(("synthetic", "holdout"), most)
        for most, named in (
            (500_000, ("shape", "worst_column", "missingness", "rare_categories", "tails", "class_share")),
            (100_000, ("trend", "pairs", "worst_pair", "mutual_information")),
        )
        for name in named
    },
}
BEGINNINGS = {"privacy.membership_": Sample(("holdout", "train"), ATTACKED, alike=True)}


# levers ----------------------------------------------------------------------------------------------------------------

REQUIRED = {
    "requires.public_figures": "measure what may leave with `synth evaluate --public --model MODEL`, and judge that under "
    "private-release",
    "requires.min_train": "give more training rows",
    "requires.min_holdout": "hold more real rows out (`split.holdout` in a run config, `--holdout` of `synth evaluate`)",
    "requires.min_synthetic": "sample more rows (`synth sample -n`, `sample.n` in a run config)",
    "requires.seeds": "fit again with other seeds (`evaluate.fits` in a run config, `--also` of `synth evaluate`)",
}
REMEMBERED = ("membership_", "exact_copies", "unique_copies", "near_copies", "memorised", "dcr", "nndr")
GROUPS = ("fairness.erased_groups", "fairness.shrunk_groups", "fairness.group_share")
OTHERS = {
    "validity.schema": "the rows must have the columns, types and legal values of the schema (`synth schema`)",
    "validity.constraints": "declare the rule in the schema before the fit (`synth schema --out`), so that it holds",
    "validity.keys": "name the key before the fit (`data.key` in a run config), so that it is issued anew",
    "privacy.identifier_copies": "declare the column an identifier before the fit, so that it is issued anew",
    "privacy.rare_combinations": "leave columns out that name a person (`data.drop` in a run config)",
    "privacy.attribute_inference": "leave columns out that give the sensitive one away (`data.drop` in a run config)",
    "fairness.group_attribute_inference": "leave columns out that give the sensitive one away (`data.drop` in a run config)",
    "privacy.linkability": "leave columns out that name a person (`data.drop` in a run config)",
    "privacy.singling_out_": "leave columns out that name a person (`data.drop` in a run config)",
    "fidelity.missing_classes": "ask for the class's rows (`synth sample --where \"TARGET = 'CLASS'\"`)",
    "fidelity.class_share": "ask for each class's share of rows (`synth sample --where \"TARGET = 'CLASS'\"`)",
}


def _lever(measure: str, verdict: Verdict) -> str:
    """What of this toolkit moves a measure, or nothing."""
    family, _, name = measure.partition(".")
    if family == "privacy" and name.startswith(REMEMBERED):
        return _larger_leaves(verdict)
    if measure in GROUPS:
        return "ask for the group's rows (`synth sample --where \"COLUMN = 'GROUP'\"`)"
    for start, said in OTHERS.items():
        if measure.startswith(start):
            return said
    if family in ("fidelity", "utility"):
        return _smaller_leaves(verdict)
    return ""


def _larger_leaves(verdict: Verdict) -> str:
    if "search" in verdict.context:
        return "the search has looked for larger leaves already: give more training rows, or leave columns out (`data.drop`)"
    if any(f.check.startswith("privacy.membership_") and f.severity == "block" for f in verdict.findings):
        return "`synth fit --policy` looks for leaves large enough to keep it (`fit_to_policy: true` in a run config)"
    return "larger leaves remember less (`min_samples_leaf`, by `synth fit --set`)" if _is_trees(verdict) else ""


def _smaller_leaves(verdict: Verdict) -> str:
    if _is_trees(verdict):
        return "smaller leaves follow the rows more closely, and remember more (`min_samples_leaf`, by `synth fit --set`)"
    return "try another generator (`synth generators`)"


def _is_trees(verdict: Verdict) -> bool:
    return (verdict.context.get("provenance") or {}).get("generator") == "trees"
