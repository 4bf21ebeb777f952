"""The page of `benchmarks.frontier`: what every setting reached on every table, and the default against its targets."""

from __future__ import annotations

import math
import os
import platform
import statistics
import subprocess
import textwrap
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.cells import HOLDOUT, ROOT, Cell

FIGURES = {  # metric: its title, the factor that it is shown with, digits
    "fidelity.shape": ("Shape %", 100.0, 2),
    "fidelity.trend": ("Trend %", 100.0, 2),
    "fidelity.detection": ("C2ST AUC", 1.0, 3),
    "utility.tstr": ("TSTR", 1.0, 3),
    "privacy.membership_auc": ("membership AUC", 1.0, 3),
    "privacy.membership_tpr": ("found at 1% false alarms, %", 100.0, 2),
    "privacy.exact_copies": ("exact copies %", 100.0, 2),
    "privacy.near_copies": ("near copies %", 100.0, 2),
}
COSTS = ("fit s", "sample s", "CPU s", "peak MB")


@dataclass(frozen=True)
class Outcome:
    """A cell with what the state file holds of its two steps."""

    cell: Cell
    made: dict[str, Any] | None
    measured: dict[str, Any] | None

    @property
    def figures(self) -> dict[str, Any]:
        """The figures by metric; empty where there are none."""
        found: dict[str, Any] = (self.measured or {}).get("figures", {})
        return found

    @property
    def cost(self) -> dict[str, float]:
        found: dict[str, float] = (self.made or {}).get("cost", {})
        return found

    def value(self, metric: str, side: str = "score") -> float | None:
        """A figure, or with side="reference" what real rows score in the synthetic ones' place."""
        interval = self.figures.get(metric, {}).get(side)
        return None if interval is None else float(interval["value"])

    @property
    def failure(self) -> str:
        """Why there are no figures; nothing where there are, or where it was not run."""
        for step, words in ((self.made, ""), (self.measured, "measuring: ")):
            if step is not None and step["outcome"] != "ok":
                return words + (f"over {step['limit']:g} s" if step["outcome"] == "over" else f"crashed: {step['why']}")
        return ""


# the targets ----------------------------------------------------------------------------------------------------------

OVER_FLOOR = (0.01, ("Adult", "Shoppers", "Beijing", "Bank", "SDNist"))  # C2ST AUC above the floor at most, and where
IN_ALL = (0.56, ("Default", "Magic"))  # C2ST AUC at most, and where
MEMBERSHIP = 0.515  # AUC of the strongest attack at most


@dataclass(frozen=True)
class Target:
    """What the default must reach: of each seed a number, whose median must not pass the limit. None: not asked there."""

    title: str
    most: float
    number: Callable[[Outcome], float | None]
    digits: int = 3
    factor: float = 1.0


def _over_floor(outcome: Outcome) -> float | None:
    return _excess(outcome, "fidelity.detection") if outcome.cell.table in OVER_FLOOR[1] else None


def _excess(outcome: Outcome, metric: str) -> float | None:
    score, real = outcome.value(metric), outcome.value(metric, "reference")
    return None if score is None or real is None else score - real


def _times_floor(metric: str) -> Callable[[Outcome], float | None]:
    def number(outcome: Outcome) -> float | None:
        score, real = outcome.value(metric), outcome.value(metric, "reference")
        return None if score is None or real is None or real <= 0 else score / real

    return number


def _detected(outcome: Outcome) -> float | None:
    return outcome.value("fidelity.detection") if outcome.cell.table in IN_ALL[1] else None


def _area_lost(outcome: Outcome) -> float | None:
    lost = _excess(outcome, "utility.tstr")
    return None if lost is None or _is_number(outcome) else -lost


def _error_grown(outcome: Outcome) -> float | None:
    """How much larger the error of a number's prediction is, as a share: both are judged on the same rows."""
    score, real = outcome.value("utility.tstr"), outcome.value("utility.tstr", "reference")
    if score is None or real is None or real >= 1 or not _is_number(outcome):
        return None
    return math.sqrt((1 - score) / (1 - real)) - 1


def _is_number(outcome: Outcome) -> bool:
    """Whether the target is a number, so that the figure is R²."""
    return bool(outcome.figures.get("utility.tstr", {}).get("unit") == "R²")


def _seconds(outcome: Outcome) -> float | None:
    small = (outcome.made or {}).get("sizes", {}).get("rows", math.inf) <= 50_000
    return outcome.cost["fit"] + outcome.cost["sample"] if outcome.cost and small else None


TARGETS = (
    Target("C2ST − floor", OVER_FLOOR[0], _over_floor),
    Target("C2ST", IN_ALL[0], _detected),
    Target("Shape ÷ floor", 1.25, _times_floor("fidelity.shape"), 2),
    Target("Trend ÷ floor", 1.25, _times_floor("fidelity.trend"), 2),
    Target("TSTR lost", 0.005, _area_lost, 4),
    Target("RMSE grown, %", 0.02, _error_grown, 1, 100.0),
    Target("membership AUC", MEMBERSHIP, lambda o: o.value("privacy.membership_auc")),
    Target("found at 1%, %", 0.015, lambda o: o.value("privacy.membership_tpr"), 2, 100.0),
    Target("exact copies − holdout's, %", 0.0, lambda o: _excess(o, "privacy.exact_copies"), 2, 100.0),
    Target("fit + sample, s", 5.0, _seconds, 1),
)


def against_targets(found: Sequence[Outcome]) -> list[str]:
    """A row for each table with the default's medians, each marked as met or not, and the count. No figure is not met."""
    heads = [f"{t.title} (≤ {t.most * t.factor:g})" for t in TARGETS]
    lines, met, asked = _table_head(["table", *heads]), 0, 0
    for table, outcomes in _by(found, lambda o: o.cell.table).items():
        cells = []
        for target in TARGETS:
            numbers = [n for n in map(target.number, outcomes) if n is not None]
            if not numbers:
                cells.append("")
                continue
            middle = statistics.median(numbers)
            good = middle <= target.most
            asked, met = asked + 1, met + good
            cells.append(f"{middle * target.factor:.{target.digits}f} {'yes' if good else '**no**'}")
        failed = [o for o in outcomes if o.failure]
        lines.append(_line([table + (f": {_failures(failed)}" if failed else ""), *cells]))
    return [f"Met: {met} of {asked}.", "", *lines]


# the page -------------------------------------------------------------------------------------------------------------


def page(found: Sequence[Outcome], *, default: str, command: str, limit: float, sdv: bool) -> str:
    """The whole page in Markdown.

    found: all cells that were asked for, run or not. default: the label of the setting that is held against the targets.
    """
    seeds, tables = {o.cell.seed for o in found}, {o.cell.table for o in found}
    shown = "the seeds' median with the smallest and the largest" if len(seeds) > 1 else "given with its 95% interval"
    ours = [o for o in found if o.cell.setting.label == default]
    parts = [
        "# The frontier: fidelity against memorisation",
        "",
        *_wrapped(
            f"Every generator with its defaults, and `{default}` with other leaf sizes, on {_count(tables, 'real table')}, "
            f"{_count(seeds, 'seed')} each; as many synthetic rows as training rows, all measured by the same code. The seed "
            f"governs the split ({1 - HOLDOUT:.0%} for training, by subject where there are subjects; Adult's is the official "
            f"one), the fit and the draw. Each figure is {shown}; seconds and memory are medians."
        ),
        "",
        *_wrapped(
            "The floor is the row *real holdout rows*: what real rows that nobody trained on score in the place of the "
            "synthetic ones (for TSTR: trained on the real training rows; TSTR is AUC, its mean over classes, or for a number "
            "R²). Membership is the strongest of all attacks; chance is .5, and 1% at 1% false alarms."
        ),
        "",
        *_wrapped(
            f"Made by `{command}` on {os.cpu_count()} cores, Python {platform.python_version()}{_commit()}. Rows are made one "
            "cell after another, each in a fresh process, and only then measured; fit counts what the method imports at first "
            f"use. {_conditions(found)}What takes over {limit:g} s to fit and sample is ended, and not tried there with "
            "other seeds."
        ),
        "",
        *_about(found, sdv),
        "",
        "![C2ST AUC over the floor against membership AUC, a panel for each table](frontier.svg)",
        "",
    ]
    if ours:
        parts += [f"## `{default}` with its defaults against its targets", "", *against_targets(ours), ""]
    for table, outcomes in _by(found, lambda o: o.cell.table).items():
        parts += [f"## {table}", "", _sizes(outcomes), "", *_rows(outcomes), ""]
    return "\n".join(parts)


def _rows(outcomes: Sequence[Outcome]) -> list[str]:
    lines = _table_head(["setting", *(title for title, _, _ in FIGURES.values()), *COSTS])
    floor = [next((o for o in seed if o.figures), None) for seed in _by(outcomes, lambda o: o.cell.seed).values()]
    real = [o for o in floor if o is not None]
    if real:
        lines.append(
            _line(["*real holdout rows*", *(_figure(real, metric, "reference") for metric in FIGURES), "", "", "", ""])
        )
    for label, several in _by(outcomes, lambda o: o.cell.setting.label).items():
        failed = [o for o in several if o.failure]
        done = [o for o in several if o.figures]
        name = f"`{label}`" + (f": {_failures(failed)}" if failed else "" if done else ": not run")
        figures = [_figure(done, metric) for metric in FIGURES] if done else [""] * len(FIGURES)
        lines.append(_line([name, *figures, *_costs([o for o in several if o.cost])]))
    return lines


def _figure(outcomes: Sequence[Outcome], metric: str, side: str = "score") -> str:
    _, factor, digits = FIGURES[metric]
    intervals = [o.figures[metric][side] for o in outcomes if o.figures[metric][side] is not None]
    if not intervals:
        return "" if side == "reference" else outcomes[0].figures[metric]["status"]
    values = [interval["value"] for interval in intervals]
    if len(outcomes) == 1:
        ends, marks = (intervals[0]["low"], intervals[0]["high"]), "[]"
    else:
        ends, marks = (min(values), max(values)), "()"
    middle, low, high = (f"{v * factor:.{digits}f}" for v in (statistics.median(values), *ends))
    return middle if low == high else f"{middle} {marks[0]}{low}–{high}{marks[1]}"


def _costs(outcomes: Sequence[Outcome]) -> list[str]:
    if not outcomes:
        return [""] * len(COSTS)
    seconds = [f"{statistics.median(o.cost[part] for o in outcomes):.1f}" for part in ("fit", "sample", "cpu")]
    return [*seconds, f"{statistics.median(o.cost['peak'] for o in outcomes) / 1e6:.0f}"]


def _failures(failed: Sequence[Outcome]) -> str:
    """What went wrong, and with which seeds."""
    told = _by(failed, lambda o: o.failure)
    return "; ".join(f"{why} (seed {', '.join(str(o.cell.seed) for o in several)})" for why, several in told.items())


def _sizes(outcomes: Sequence[Outcome]) -> str:
    sizes = [o.made["sizes"] for o in outcomes if o.made is not None and "sizes" in o.made]
    if not sizes:
        return "No rows were made."
    rows, holdout = (_range([size[side] for size in sizes]) for side in ("rows", "holdout"))
    case = outcomes[0].cell.case
    how = "official split" if case.test is not None else "split by subject" if "subject" in case.roles else "split by row"
    target = case.roles["target"]
    return f"{rows} training rows × {sizes[0]['columns']} columns, {holdout} held out ({how}); the target is `{target}`."


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


def _conditions(found: Sequence[Outcome]) -> str:
    """What the seconds and the memory have to be read with."""
    costs = [o.cost for o in found if o.cost]
    if not costs:
        return ""
    load, megabytes = [cost["load"] for cost in costs], [round(cost["before"] / 1e6) for cost in costs]
    return (
        f"Peak memory is that of the process: {_range(megabytes)} MB are the interpreter and the table before fit begins. The "
        f"load of the machine when fits began was {statistics.median(load):.1f} in the median, {max(load):.1f} at most: where "
        "that is more than one process makes, seconds are too long, and CPU seconds say more. "
    )


def _about(found: Sequence[Outcome], sdv: bool) -> list[str]:
    """The versions that were used, once for each set of methods that shares them."""
    told: dict[str, list[str]] = {}
    for outcome in found:
        about = (outcome.made or {}).get("about")
        if about:
            words = ", ".join(f"{name} {version}" for name, version in about.items())
            told.setdefault(words, []).append(outcome.cell.setting.generator)
    lines = [f"- {', '.join(f'`{name}`' for name in dict.fromkeys(names))}: {words}." for words, names in told.items()]
    if not sdv:
        lines.append("- SDV's methods were not run: no interpreter that has SDV was there (`--sdv`).")
    elif any(o.cell.setting.generator.startswith("sdv-") for o in found):
        lines.append(
            "- SDV takes no seed to fit: the global generators are seeded. It samples from a seed of its own, so that where "
            "the split does not change and the fit is not random, its rows do not either."
        )
    return [part for line in lines for part in textwrap.wrap(line, 128, subsequent_indent="  ", break_on_hyphens=False)]


def _commit() -> str:
    """At which commit the code was; nothing where there is no repository to ask."""
    asked = ["git", "describe", "--always", "--dirty=, with changes that are not committed"]
    try:
        said = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f", at commit {said}"


def _by(found: Iterable[Outcome], key: Callable[[Outcome], Any]) -> dict[Any, list[Outcome]]:
    """In the order of first appearance."""
    groups: dict[Any, list[Outcome]] = {}
    for outcome in found:
        groups.setdefault(key(outcome), []).append(outcome)
    return groups


def _count(things: Collection[Any], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def _table_head(heads: Sequence[str]) -> list[str]:
    return [_line(heads), "|---|" + "---:|" * (len(heads) - 1)]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 128, break_on_hyphens=False)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
