"""How time and memory grow with a table, and what 10 million sampled rows cost.

    python -m benchmarks.size [PART …]          writes reports/benchmarks/size.md; PART: rows, methods, kdd, wide, sample
    python -m benchmarks.size --small           the same with small tables, to stdout

Every cell runs in a process of its own, so that its peak memory is its own; memory is what it and its workers hold together.
Tables of any number of rows are sampled from a model of Adult. Needs the real tables (SYNTH_DATA names their folder).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

import synth
from synth.generators import create
from synth.generators._storage import serialise

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("SYNTH_DATA", ROOT / ".." / "shared" / "data"))
REPORT = ROOT / "reports" / "benchmarks" / "size.md"
ROWS = (10_000, 30_000, 100_000, 300_000, 1_000_000, 2_000_000, 5_000_000)
WIDE = (20_000, 500)  # rows and columns
MANY = 10_000_000
SMALL = {"rows": (10_000, 30_000), "wide": (2_000, 60), "many": 300_000}
Facts = dict[str, Any]


# cells: each runs alone ----------------------------------------------------------------------------------------------------


def fit(source: str, generator: str, target: str) -> Facts:
    """Fit a file and draw as many rows as it has."""
    table = synth.read(source, target=target or None)
    model = create(generator)
    expected = model.estimate(table)
    before = _now_held()
    started = time.perf_counter()
    model.fit(table, seed=0)
    fitted = time.perf_counter()
    peak = _most_held() - before
    size = sum(map(len, serialise(model).values()))
    again = time.perf_counter()
    model.sample(len(table), seed=1)
    return {
        "rows": len(table),
        "columns": len(table.schema),
        "fit": fitted - started,
        "sample": time.perf_counter() - again,
        "peak_of_fit": peak,
        "model": size,
        "expected": [expected.seconds, expected.peak_bytes, expected.model_bytes],
    }


def sample(model: str, n: str, workers: str) -> Facts:
    """Draw rows into a file."""
    loaded = synth.load(model)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        many = int(workers)
        file = loaded.sample_to(Path(folder) / "x.parquet", int(n), seed=1, workers=synth.Processes(many) if many > 1 else None)
        seconds = time.perf_counter() - started
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        return {"rows": int(n), "sample": seconds, "digest": digest, "bytes": file.stat().st_size}


CELLS: dict[str, Callable[..., Facts]] = {"fit": fit, "sample": sample}


def alone(cell: str, *arguments: str) -> Facts:
    """Run a cell in a process of its own; adds the most memory that it and its workers held together."""
    command = [sys.executable, "-m", "benchmarks.size", "--cell", cell, *arguments]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    most = [0]
    watcher = threading.Thread(target=_watch, args=(running, most))
    watcher.start()
    said, _ = running.communicate()
    watcher.join()
    if running.returncode:
        raise SystemExit(f"{cell} {' '.join(arguments)} ended with exit code {running.returncode}")
    facts: Facts = json.loads(said)
    facts["peak"] = max(most[0], facts["most_held"])
    print(cell, *arguments, json.dumps(facts), file=sys.stderr)
    return facts


def _watch(running: subprocess.Popen[str], most: list[int]) -> None:
    while running.poll() is None:
        most[0] = max(most[0], sum(_held(pid) for pid in _family(running.pid)))
        time.sleep(0.05)


def _family(pid: int) -> list[int]:
    found, at = [pid], 0
    while at < len(found):
        try:
            for task in Path(f"/proc/{found[at]}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:  # it has just ended
            pass
        at += 1
    return found


def _held(pid: int, what: str = "VmRSS") -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(what)), 0)


def _now_held() -> int:
    return _held(os.getpid())


def _most_held() -> int:
    return _held(os.getpid(), "VmHWM")


# tables --------------------------------------------------------------------------------------------------------------------


def adult(folder: Path) -> Path:
    """A model of Adult."""
    path = folder / "adult"
    if not path.exists():
        synth.Trees().fit(synth.read(DATA / "adult_train.parquet", target="income"), seed=0).save(path)
    return path


def adults(folder: Path, rows: int) -> Path:
    """So many rows of that model, as a file."""
    path = folder / f"adult-{rows}.parquet"
    return path if path.exists() else synth.load(adult(folder)).sample_to(path, rows, seed=rows)


def wide(folder: Path, rows: int, columns: int) -> Path:
    """Numbers and categories that hang together by a few hidden factors."""
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((rows, 10))
    arrays = {}
    for place in range(columns):
        value = factors @ rng.standard_normal(10) / 3 + rng.standard_normal(rows) * 0.5
        kind = place % 5
        if kind < 3:
            arrays[f"x{place}"] = pa.array(np.round(value, 3) if kind else np.rint(10 * value).astype(np.int64))
        else:
            levels = 2 if kind == 3 else 12
            arrays[f"x{place}"] = pa.array([f"level {k}" for k in np.digitize(value, np.linspace(-1.5, 1.5, levels - 1))])
    path = folder / "wide.parquet"
    pa.parquet.write_table(pa.table(arrays), path)
    return path


# parts of the report -------------------------------------------------------------------------------------------------------


def part_rows(folder: Path, sizes: tuple[int, ...]) -> str:
    cells = [alone("fit", str(adults(folder, rows)), "trees", "income") for rows in sizes]
    lines = ["## Rows", "", "Tables sampled from a model of Adult (15 columns), `trees`.", "", *_grid(cells)]
    for name in ("fit", "sample"):
        slope = np.polyfit(np.log([c["rows"] for c in cells]), np.log([c[name] for c in cells]), 1)[0]
        lines += ["", f"Slope of log {name} seconds on log rows: {slope:.2f}."]
    return "\n".join(lines)


def part_methods(folder: Path, sizes: tuple[int, ...]) -> str:
    few, many = sizes[0], min(sizes[-1], 1_000_000)
    cells = {
        f"{method}": [alone("fit", str(adults(folder, rows)), method, "income") for rows in (few, many)]
        for method in ("independent", "smote")
    }
    lines = ["## Other methods"]
    for name, found in cells.items():
        lines += ["", f"`{name}`", "", *_grid(found)]
    return "\n".join(lines)


def part_kdd() -> str:
    found = alone("fit", str(DATA / "kddcup99_10pct.parquet"), "trees", "label")
    both = found["fit"] + found["sample"]
    return "\n".join(
        [
            "## KDD'99",
            "",
            *_grid([found]),
            "",
            f"Fit and sample: {both:.0f} s (goal 60), peak {_gib(found['peak'])} GiB (goal 3).",
        ]
    )


def part_wide(folder: Path, rows: int, columns: int) -> str:
    return "\n".join(["## Many columns", "", *_grid([alone("fit", str(wide(folder, rows, columns)), "trees", "")])])


def part_sample(folder: Path, n: int) -> str:
    lines = [
        "## Rows to a file",
        "",
        "| rows | workers | s | peak GiB, all processes | file MB | SHA-256 |",
        "|---|---|---|---|---|---|",
    ]
    for workers in (1, 2):
        found = alone("sample", str(adult(folder)), str(n), str(workers))
        size = found["bytes"] / 1e6
        lines.append(
            f"| {n:,} | {workers} | {found['sample']:.0f} | {_gib(found['peak'])} | {size:,.0f} | `{found['digest'][:16]}` |"
        )
    return "\n".join([*lines, "", "Goal for 10 million rows: 120 s, 2 GiB; the same bytes."])


def _grid(cells: list[Facts]) -> list[str]:
    heads = ["rows", "columns", "fit s", "peak of fit beside the table, MB", "model MB", "sample s", "peak GiB"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for c in cells:
        seconds, peak, model = c["expected"]
        shown = (
            f"{c['rows']:,}",
            str(c["columns"]),
            f"{c['fit']:.1f} ({seconds:.1f})",
            f"{c['peak_of_fit'] / 1e6:,.0f} ({peak / 1e6:,.0f})",
            f"{c['model'] / 1e6:,.1f} ({model / 1e6:,.1f})",
            f"{c['sample']:.1f}",
            _gib(c["peak"]),
        )
        lines.append(f"| {' | '.join(shown)} |")
    return lines


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help="rows, methods, kdd, wide, sample; by default all")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--cell", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        name, *arguments = options.cell
        print(json.dumps(CELLS[name](*arguments) | {"most_held": _most_held()}))
        return
    sizes, (rows, columns), many = (SMALL["rows"], SMALL["wide"], SMALL["many"]) if options.small else (ROWS, WIDE, MANY)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        parts: dict[str, Callable[[], str]] = {
            "rows": lambda: part_rows(folder, sizes),
            "methods": lambda: part_methods(folder, sizes),
            "kdd": part_kdd,
            "wide": lambda: part_wide(folder, rows, columns),
            "sample": lambda: part_sample(folder, many),
        }
        chosen = options.parts or list(parts)
        done: list[str] = []
        for name in chosen:
            done.append(parts[name]())
            if not options.small and chosen == list(parts):
                REPORT.write_text(page(done))  # after each part: all take an hour
    print(page(done))


def page(parts: list[str]) -> str:
    return f"""# Size: what time and memory grow with

Default hyperparameters, one seed; every cell in a process of its own. In brackets what `model.estimate` said beforehand.
Made by `python -m benchmarks.size` on {os.cpu_count()} cores, Python {platform.python_version()}.

{(chr(10) * 2).join(parts)}
"""


if __name__ == "__main__":
    main()
