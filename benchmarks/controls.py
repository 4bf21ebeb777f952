"""Known-bad tables put through the gate, seed by seed: `make controls`. The tests run three of these seeds.

Each seed draws 6,000 training rows, 6,000 holdout rows and 6,000 further rows from Adult, without overlap. Faults are planted
into the further rows, which are real and beyond reproach, or into rows of `trees` fitted on the training rows. A fault is
caught where a blocking rule of the policy fails; only the metrics that should see it are computed, so that no other can help.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

import synth
from synth.data.table import Table
from synth.gate.planted import FAULTS, Soil
from synth.gate.selftest import planting

ROWS = 6_000
Base = Literal["fresh", "trees"]


@dataclass(frozen=True)
class Draw:
    """What one seed has to work with."""

    train: Table
    holdout: Table
    fresh: Table  # a second holdout: real rows that nobody has seen
    trees: Table  # rows of `trees` fitted on the training rows
    seed: int

    def soil(self, base: Base) -> Soil:
        """What faults are planted into."""
        good = self.fresh if base == "fresh" else self.trees
        return Soil(self.train, self.holdout, good, planting(self.seed))


@dataclass(frozen=True)
class Control:
    """A fault, what it is planted into, and which metrics should see it under which policy."""

    fault: str
    metrics: tuple[str, ...]
    policy: str = "privacy-release"
    base: Base = "fresh"

    @property
    def name(self) -> str:
        return self.fault + (" in rows of trees" if self.base == "trees" else "")


COPIES = ("privacy.exact_copies", "privacy.unique_copies", "privacy.memorised", "privacy.memorised_parts")
CONTROLS = (
    Control("factorised", ("fidelity.trend", "fidelity.detection")),
    Control("scaled column", ("fidelity.shape", "fidelity.pairs")),
    Control("constant column", ("fidelity.worst_column", "fidelity.pairs")),
    Control("collapsed class", ("fidelity.missing_classes",)),
    Control("erased group", ("fairness.erased_groups", "fairness.group_share"), "fairness-audit"),
    Control("swapped labels", ("fairness.label_gap", "fairness.label_amplification"), "fairness-audit"),
    Control("leaked key", ("privacy.identifier_copies",)),
    Control("copies 0.1%", COPIES),
    Control("copies 0.5%", COPIES),
    Control("copies 1%", COPIES),
    Control("copies 10%", COPIES),
    Control("copies 100%", COPIES),
    Control("jittered copies", ("privacy.near_copies", "privacy.memorised")),
    Control("memorised outliers", ("privacy.memorised", "privacy.memorised_parts")),
    Control("copies 0.5%", COPIES, base="trees"),
    Control("copies 1%", COPIES, base="trees"),
    Control("memorised outliers", ("privacy.memorised", "privacy.memorised_parts"), base="trees"),
)
DCR_PASSES = "memorised outliers"  # whose distances to the closest record look as those of clean rows do
BELOW_POWER = ("copies 0.1%",)  # six rows of 6,000: shown for what it is, not promised


def draw(seed: int) -> Draw:
    """Three disjoint draws of 6,000 real rows, and a good synthetic table for the first."""
    data = Path(os.environ.get("SYNTH_DATA", "../shared/data"))
    table = synth.read(data / "adult.parquet", target="income", sensitive=["sex", "race"])
    rows = np.random.default_rng(seed).permutation(len(table))
    train, holdout, fresh = (table.take(rows[i * ROWS : (i + 1) * ROWS]) for i in range(3))
    return Draw(train, holdout, fresh, synth.Trees().fit(train, seed=seed).sample(ROWS, seed=seed), seed)


def caught_by(control: Control, at: Draw) -> list[str]:
    """The blocking rules that fail on the planted table."""
    fault = next(fault for fault in FAULTS if fault.name == control.fault)
    only = control.metrics + (("privacy.dcr",) if control.fault == DCR_PASSES else ())
    measured = synth.evaluate(*fault.plant(at.soil(control.base)), only=only, seed=at.seed)
    verdict = synth.Policy.load(control.policy).assess(measured)
    failed = [f.check.split("[")[0] for f in verdict.blocking if f.outcome == "fail"]
    return list(dict.fromkeys(failed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found: dict[str, list[list[str]]] = {control.name: [] for control in CONTROLS}
    for seed in range(options.seeds):
        start, at = time.perf_counter(), draw(seed)
        for control in CONTROLS:
            found[control.name].append(caught_by(control, at))
        print(f"seed {seed}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    text = "\n".join([*_head(options.seeds), *(_line(control, found[control.name]) for control in CONTROLS)]) + "\n"
    print(text)
    if options.out is not None:
        options.out.write_text(text, encoding="utf-8")


def _head(seeds: int) -> list[str]:
    return [
        "# Controls of the gate: known-bad tables",
        "",
        f"Made by `make controls`: {seeds} seeds (0 to {seeds - 1}), {ROWS:,}-row draws from Adult. Faults are planted into",
        "fresh real rows, or into rows of `trees`. Caught: a blocking rule fails, of those on metrics that should see it.",
        "How often the gate blocks clean rows is in calibration.md.",
        "",
        "| planted | policy | caught | by (seeds) |",
        "|---|---|---:|---|",
    ]


def _line(control: Control, seen: list[list[str]]) -> str:
    counts = {check: sum(check in checks for checks in seen) for checks in seen for check in checks}
    why = ", ".join(f"{check} ({count})" for check, count in sorted(counts.items(), key=lambda item: -item[1]))
    return f"| {control.name} | {control.policy} | {sum(map(bool, seen))} of {len(seen)} | {why or '–'} |"


if __name__ == "__main__":
    main()
