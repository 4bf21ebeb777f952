"""What sequential trees reach on real tables, with real rows offered in place of synthetic ones beside each figure.

    python -m benchmarks.trees [TABLE …]          writes reports/benchmarks/trees.md

Needs the real tables (SYNTH_DATA names their folder). KDD'99 is timed only: most of its rows are duplicates.
"""

from __future__ import annotations

import os
import platform
import sys
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import synth
from synth.data.table import Table
from synth.metrics.measurement import Measurements

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("SYNTH_DATA", ROOT / ".." / "shared" / "data"))
REPORT = ROOT / "reports" / "benchmarks" / "trees.md"
METRICS = {
    "fidelity.shape": ("Shape %", 100, 2),
    "fidelity.trend": ("Trend %", 100, 2),
    "fidelity.detection": ("C2ST AUC", 1, 3),
    "utility.tstr": ("TSTR", 1, 3),
    "privacy.membership_knn": ("member. kNN", 1, 3),
    "privacy.membership_domias": ("member. DOMIAS", 1, 3),
    "privacy.exact_copies": ("exact copies %", 100, 2),
    "privacy.near_copies": ("near copies %", 100, 2),
}


@dataclass(frozen=True)
class Case:
    """A real table: its training file, its test file (None: 70/30 by row), target and sensitive columns."""

    train: str
    test: str | None
    target: str
    sensitive: tuple[str, ...] = ()
    judged: bool = True


CASES = {
    "Adult": Case("adult_train", "adult_test", "income", ("sex", "race")),
    "Bank": Case("bank_marketing", None, "y"),
    "Shoppers": Case("online_shoppers", None, "Revenue"),
    "Default": Case("default_credit", None, "default payment next month", ("SEX",)),
    "Magic": Case("magic_gamma", None, "class"),
    "Beijing": Case("beijing_pm25", None, "pm2.5"),
    "KDD'99": Case("kddcup99_10pct", None, "label", judged=False),
}


def tables(case: Case) -> tuple[Table, Table | None]:
    train = synth.read(DATA / f"{case.train}.parquet", target=case.target, sensitive=list(case.sensitive))
    if not case.judged:
        return train, None
    if case.test is None:
        return train.split(holdout=0.3, seed=0)
    return train, synth.read(DATA / f"{case.test}.parquet", schema=train.schema)


def cell(figures: Measurements | None, name: str) -> str:
    if figures is None:
        return "–"
    measured, (_, factor, digits) = figures[name], METRICS[name]
    if measured.score is None:
        return measured.status
    value, low, high = (f"{n * factor:.{digits}f}" for n in (measured.score.value, measured.score.low, measured.score.high))
    real = "" if measured.reference is None else f" ({measured.reference.value * factor:.{digits}f})"
    return f"{value} [{low}, {high}]{real}"


def row(name: str, case: Case) -> str:
    train, holdout = tables(case)
    started, cpu = time.perf_counter(), time.process_time()
    model = synth.Trees().fit(train, seed=0)
    fitted = time.perf_counter()
    fake = model.sample(len(train), seed=1)
    sampled, cpu = time.perf_counter(), time.process_time() - cpu
    figures = None if holdout is None else synth.evaluate(train, holdout, fake, seed=0, only=list(METRICS))
    peak = memory(train) if case.judged else "–"
    parts = [
        name,
        f"{len(train):,} × {len(train.schema)}",
        f"{fitted - started:.1f}",
        f"{sampled - fitted:.1f}",
        f"{cpu:.1f}",
        peak,
    ]
    return "| " + " | ".join([*parts, *(cell(figures, metric) for metric in METRICS)]) + " |"


def memory(train: Table) -> str:
    """Peak MB of Python and numpy while fitting and sampling; a run of its own, since counting slows it down."""
    tracemalloc.start()
    synth.Trees().fit(train, seed=0).sample(len(train), seed=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return f"{peak / 1e6:.0f}"


def main(names: list[str]) -> None:
    names = names or list(CASES)
    columns = ["table", "rows × columns", "fit s", "sample s", "CPU s", "peak MB", *(title for title, _, _ in METRICS.values())]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for name in names:
        if not (DATA / f"{CASES[name].train}.parquet").is_file():
            print(f"{name}: the real table is not here; point SYNTH_DATA at the folder that holds it", file=sys.stderr)
            continue
        lines.append(row(name, CASES[name]))
        print(lines[-1], file=sys.stderr)
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text(page(lines))  # after each table: KDD'99 takes minutes
    print(page(lines))


def page(lines: list[str]) -> str:
    return f"""# Sequential trees on real tables

Default hyperparameters, one seed, as many synthetic rows as training rows. Each figure with its 95% interval, and in round
brackets the same figure with real holdout rows in place of the synthetic ones (for TSTR: trained on the real training rows).
TSTR is AUC, for Beijing R². The defaults were chosen on Adult's split (docs/decisions/002-trees.md), so its row is selected.

Made by `python -m benchmarks.trees` on {os.cpu_count()} cores, Python {platform.python_version()}. Times are of a shared
machine: CPU s (fit and sample, all threads) says more than the clock.

{chr(10).join(lines)}
"""


if __name__ == "__main__":
    main(sys.argv[1:])
