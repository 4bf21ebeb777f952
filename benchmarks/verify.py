"""How long a recipient waits: the standalone verifier, `synth verify` and `sha256sum` on an export of 10 million rows.

    python -m benchmarks.verify              writes reports/benchmarks/verify.md
    python -m benchmarks.verify --small      the same with few rows, to stdout

The rows are drawn from a model of Adult, measured, judged, approved and exported as any are, in memory (some GiB) and under a
policy of one rule, since what verification costs does not depend on the figures. Every time is that of a fresh process, with
the files in the page cache; the least of three. Needs the real tables (SYNTH_DATA names their folder) and GNU coreutils.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import synth
from synth.folder import home

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("SYNTH_DATA", ROOT / ".." / "shared" / "data"))
REPORT = ROOT / "reports" / "benchmarks" / "verify.md"
ROWS, FEW = 10_000_000, 300_000
GOAL = 30  # seconds
POLICY = """
name: one-rule
version: 1.0.0
title: One rule
description: For the benchmark of verification, whose cost does not depend on what was measured.
checks:
  - {measure: fidelity.shape, excess: 0.5, why: "Some rule there must be."}
approvers: {automatic: true}
formats: [parquet, csv, huggingface]
"""

STOPWATCH = """
import resource, subprocess, sys, time
started = time.perf_counter()
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@dataclass(frozen=True)
class Cost:
    """What one verification took."""

    seconds: float
    peak: int  # bytes


def exports(folder: Path, rows: int) -> dict[str, Path]:
    """The same rows exported in three layouts."""
    train = synth.read(DATA / "adult_train.parquet", target="income")
    holdout = synth.read(DATA / "adult_test.parquet", schema=train.schema)
    table = synth.Trees().fit(train, seed=0).sample(rows, seed=1)
    measured = synth.evaluate(train, holdout, table, only=["fidelity.shape"])
    approval = synth.approve(synth.Policy.parse(POLICY).judge(measured))
    layouts = ("parquet", "csv", "huggingface")
    return {layout: synth.export(table, approval, folder / layout, formats=(layout,)) for layout in layouts}


def alone(command: Iterable[str]) -> Cost:
    """The least of three fresh processes, and the most memory that one held."""
    found = []
    for _ in range(3):  # each begun by a small process, since memory that is inherited counts as held
        said = subprocess.run([sys.executable, "-c", STOPWATCH, *command], capture_output=True, text=True, check=True, cwd=ROOT)
        seconds, peak = said.stdout.split()
        found.append(Cost(float(seconds), int(peak) * 1024))
    return Cost(min(cost.seconds for cost in found), max(cost.peak for cost in found))


def measure(export: Path) -> dict[str, Cost]:
    """What each way to verify an export costs."""
    key = str(home() / "keys" / "synth.pub")
    files = sorted(str(file) for file in export.rglob("*") if file.is_file())
    return {
        "`docs/verify.py`": alone([sys.executable, "docs/verify.py", str(export), "--key", key]),
        "`synth verify`": alone([sys.executable, "-m", "synth", "verify", str(export), "--key", key]),
        "`sha256sum`, for comparison": alone(["sha256sum", *files]),
    }


def page(found: dict[str, dict[str, Cost]], sizes: dict[str, int], rows: int) -> str:
    lines = [
        f"| {layout} | {sizes[layout] / 1e6:,.0f} | {way} | {cost.seconds:.2f} | {cost.peak / 2**20:,.0f} |"
        for layout, costs in found.items()
        for way, cost in costs.items()
    ]
    slowest = max(costs["`docs/verify.py`"].seconds for costs in found.values())
    return f"""# What a recipient waits for

{rows:,} rows of a model of Adult (15 columns). Fresh processes, files in the page cache, the least of three.
Made by `python -m benchmarks.verify` on {os.cpu_count()} cores, Python {platform.python_version()}.

| layout | MB in all files | with | s | peak MiB |
|---|---:|---|---:|---:|
{chr(10).join(lines)}

The standalone verifier takes at most {slowest:.2f} s (goal for 10 million rows: {GOAL} s). All three read every byte
once; Python hashes with OpenSSL, coreutils may do it in plain C. Other jobs ran beside these.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="few rows, and the page to stdout")
    options = parser.parse_args()
    rows = FEW if options.small else ROWS
    with tempfile.TemporaryDirectory() as place:
        os.environ["SYNTH_HOME"] = str(Path(place) / "home")  # a key and a log of attempts of its own
        found, sizes = {}, {}
        for layout, export in exports(Path(place), rows).items():
            sizes[layout] = sum(file.stat().st_size for file in export.rglob("*") if file.is_file())
            found[layout] = measure(export)
        text = page(found, sizes, rows)
    if options.small:
        print(text)
    else:
        REPORT.write_text(text)


if __name__ == "__main__":
    main()
