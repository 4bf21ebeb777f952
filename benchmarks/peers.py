"""Our methods and SDV's default on Adult's official split, in one run: `python -m benchmarks.peers`.

Needs the real tables (SYNTH_DATA names their folder) and, for SDV's row, the extra `sdv` (BUSL-1.1).
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import synth
from synth.data.table import Table

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("SYNTH_DATA", ROOT / ".." / "shared" / "data"))
REPORT = ROOT / "reports" / "benchmarks" / "peers.md"
FIGURES = {
    "fidelity.shape": ("Shape %", 100.0, 2),
    "fidelity.trend": ("Trend %", 100.0, 2),
    "fidelity.detection": ("C2ST AUC", 1.0, 3),
    "utility.tstr": ("TSTR AUC", 1.0, 3),
    "privacy.membership_auc": ("membership AUC", 1.0, 3),
    "privacy.membership_tpr": ("found at 1% false alarms, %", 100.0, 1),
    "privacy.exact_copies": ("exact copies %", 100.0, 2),
}


def ours(method: type[Any]) -> Callable[[Table], tuple[Any, float, float]]:
    """Fit and sample one of our methods."""

    def make(train: Table) -> tuple[Any, float, float]:
        start = time.perf_counter()
        model = method().fit(train, seed=0)
        fitted = time.perf_counter()
        rows = model.sample(len(train), seed=0)
        return rows, fitted - start, time.perf_counter() - fitted

    return make


def copula(train: Table) -> tuple[Any, float, float]:
    """SDV's Gaussian copula with its defaults."""
    from sdv.metadata import Metadata
    from sdv.single_table import GaussianCopulaSynthesizer

    frame = train.to_pandas()
    start = time.perf_counter()
    metadata = Metadata.detect_from_dataframes({"adult": frame})
    model = GaussianCopulaSynthesizer(metadata)
    model.fit({"adult": frame})
    fitted = time.perf_counter()
    rows = model.sample(len(train))["adult"]
    return rows, fitted - start, time.perf_counter() - fitted


def main() -> None:
    methods: dict[str, Callable[[Table], tuple[Any, float, float]]] = {
        "synth `trees`": ours(synth.Trees),
        "synth `independent`": ours(synth.Independent),
        "synth `smote` (keeps training rows)": ours(synth.Smote),
    }
    if find_spec("sdv") is not None:
        methods["SDV 2.0 Gaussian copula"] = copula
    train = synth.read(DATA / "adult_train.parquet", target="income", sensitive=["sex", "race"])
    holdout = synth.read(DATA / "adult_test.parquet", schema=train.schema)
    heads = ["method", "fit s", "sample s", *(f"{title} [95%]" for title, _, _ in FIGURES.values())]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    real = ["real holdout rows", "", ""]
    for name, make in methods.items():
        rows, fit, sample = make(train)
        measured = synth.evaluate(train, holdout, rows, seed=0, only=list(FIGURES))
        cells = [name, f"{fit:.1f}", f"{sample:.1f}"]
        for metric, (_, factor, digits) in FIGURES.items():
            score, reference = measured[metric].score, measured[metric].reference
            cells.append("–" if score is None else _interval(score, factor, digits))
            if len(real) < len(heads):
                real.append("" if reference is None else f"{reference.value * factor:.{digits}f}")
        lines.append("| " + " | ".join(cells) + " |")
        print(lines[-1], file=sys.stderr)
    lines.append("| " + " | ".join(real) + " |")
    text = f"""# Peers on Adult

Official split: 32,561 training rows, 16,281 held out; as many synthetic rows as training rows; seed 0; every method with its
defaults, measured by the same code. The defaults of `trees` were chosen on this split (docs/decisions/002-trees.md).
For TSTR, real holdout rows stand for training on the real training rows.

Made by `python -m benchmarks.peers` on {os.cpu_count()} cores, Python {platform.python_version()}.

{chr(10).join(lines)}
"""
    REPORT.write_text(text, encoding="utf-8")
    print(text)


def _interval(score: Any, factor: float, digits: int) -> str:
    value, low, high = (f"{number * factor:.{digits}f}" for number in (score.value, score.low, score.high))
    return f"{value} [{low}, {high}]"


if __name__ == "__main__":
    main()
