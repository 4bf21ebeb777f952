"""What a privacy budget buys on wide tables: `network` beside AIM and MST, independent columns and real rows.

    python -m benchmarks.wide [TABLE …] [--methods independent,mst,aim,network] [--epsilons 1,10] [--again]

Writes private_wide.md under reports/benchmarks. Needs the real tables (SYNTH_DATA names their folder). Each cell is a process
of its own, so that its peak memory is its own, and ends where its fit has taken 600 s of CPU; what is finished is kept in a
state file, and an interrupted run goes on where it stopped.

KDD is a seeded sample of 40,000 rows of the 10% file of KDD Cup 1999 (42 columns, target `label`). Diabetes130 is the first
encounter of each patient, so that a row is a person, of these a seeded sample of 40,000 rows, without the two numbers that
name patient and encounter (48 columns, target `readmitted`; three diagnoses have about 700 categories each). 30% of the rows
are held out. δ, the facts taken as public, the share for bins and the two errors are those of `benchmarks.private`, and so is
TSTR. `real` is the held-out rows in place of synthetic ones. "fit" and "sample" are seconds of CPU on one thread; peak memory
is read before anything is measured. One fit for each cell; noise has no seed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import synth
from benchmarks.cells import DATA, ROOT
from benchmarks.private import DELTA, OUT, Singles, codebook, known, private
from benchmarks.private_measures import tvd
from synth.data.table import Table

TABLES = {"KDD": "label", "Diabetes130": "readmitted"}
METHODS = ("independent", "mst", "aim", "network")
EPSILONS = (1.0, 10.0)
ROWS = 40_000
LIMIT = 600  # seconds of CPU that a fit may take
STATE = ROOT / "reports" / "runs" / "private_wide.jsonl"


def main() -> None:
    """Run what is not in the state file, and write the page."""
    if len(sys.argv) > 1 and sys.argv[1] == "cell":
        print(json.dumps(cell(sys.argv[2], sys.argv[3], float(sys.argv[4]))))
        return
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("tables", nargs="*", default=[], metavar="TABLE")
    reader.add_argument("--methods", default=",".join(METHODS))
    reader.add_argument("--epsilons", default=",".join(f"{epsilon:g}" for epsilon in EPSILONS))
    reader.add_argument("--again", action="store_true", help="forget what is in the state file")
    reader.add_argument("--state", type=Path, default=STATE)
    reader.add_argument("--out", type=Path, default=OUT)
    asked = reader.parse_args()
    if asked.again:
        asked.state.unlink(missing_ok=True)
    cells = [
        (table, method, float(epsilon), 0)
        for table in asked.tables or TABLES
        for method in ("real", *asked.methods.split(","))
        for epsilon in (asked.epsilons.split(",") if method != "real" else ["0"])
    ]
    for place, one in enumerate(cells, 1):
        if one not in known(asked.state):
            run(one, asked.state)
            print(f"{place}/{len(cells)} {' '.join(map(str, one))}", file=sys.stderr, flush=True)
    held = known(asked.state)
    tables = " ".join(asked.tables or TABLES)
    command = f"python -m benchmarks.wide {tables} --methods {asked.methods} --epsilons {asked.epsilons}"
    write_page(asked.out, [held[one] for one in cells], command)


def run(one: tuple[str, str, float, int], state: Path) -> None:
    """Run a cell in a process and add its line to the state file; a crash or a cell that overruns says so there."""
    table, method, epsilon, seed = one
    command = [sys.executable, "-m", "benchmarks.wide", "cell", table, method, str(epsilon)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    said: dict[str, Any] = {"table": table, "method": method, "epsilon": epsilon, "seed": seed}
    if done.returncode == 0:
        said |= json.loads(done.stdout)
    else:
        said["failed"] = [f"code {done.returncode}", *done.stderr.strip().splitlines()][-1][:160]
    state.parent.mkdir(parents=True, exist_ok=True)
    with state.open("a", encoding="utf-8") as file:
        file.write(json.dumps(said) + "\n")


def cell(name: str, method: str, epsilon: float) -> dict[str, Any]:
    """Fit, draw as many rows as there are training rows, and measure."""
    train, holdout = tables(name)
    if method == "real":
        return {"fit": 0.0, "sample": 0.0, "peak": 0, **measured(train, holdout, holdout)}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SYNTH_HOME"] = folder  # a ledger of its own: benchmarks of public tables spend nobody's budget
        model = Singles() if method == "independent" else private(method)
        begun = time.process_time()

        def limited(step: str, done: int, total: int) -> None:
            if time.process_time() - begun > LIMIT:
                print(f"over {LIMIT} s of CPU, at {done / total:.0%} of the budget", file=sys.stderr)
                sys.exit(1)

        model.fit(train, budget=synth.Budget(epsilon, DELTA), dataset=name, progress=limited)
        fit = time.process_time() - begun
        fake = model.sample(len(train), seed=0)
        draw = time.process_time() - begun - fit
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"fit": fit, "sample": draw, "peak": peak, **measured(train, holdout, fake)}


def measured(train: Table, holdout: Table, fake: Table) -> dict[str, Any]:
    """The errors of pairs and triples, and TSTR with its interval."""
    found = {m.name: m.score for m in synth.evaluate(train, holdout, fake, only=["utility.tstr"]) if m.group is None}
    score = found["utility.tstr"]
    return {
        "tvd2": tvd(train, fake, 2),
        "tvd3": tvd(train, fake, 3),
        "tstr": None if score is None else [score.value, score.low, score.high],
    }


def tables(name: str) -> tuple[Table, Table]:
    """Training and held-out rows under a schema in which all is declared."""
    if name == "KDD":
        rows = pq.read_table(DATA / "kddcup99_10pct.parquet")
    else:
        rows = pq.read_table(DATA / "diabetes130.parquet")
        rows = rows.take(np.sort(np.unique(rows.column("patient_nbr").to_numpy(), return_index=True)[1]))
        rows = rows.drop_columns(["patient_nbr", "encounter_id"])
    rows = rows.take(pa.array(np.sort(np.random.default_rng(0).choice(len(rows), ROWS, replace=False))))
    table = synth.read(rows, target=TABLES[name])
    return synth.read(rows, schema=codebook([table]), check=False).split(holdout=0.3, seed=0)


def write_page(out: Path, found: Sequence[dict[str, Any]], command: str) -> None:
    """private_wide.md in a folder."""
    about = (__doc__ or "").split("\n\n", 3)[3].strip()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    lines = [
        "# What a privacy budget buys on wide tables\n",
        f"Made by `{command}` at commit {commit}, Python {platform.python_version()}.\n",
        about + "\n",
    ]
    for table in dict.fromkeys(each["table"] for each in found):
        lines += [
            f"## {table}\n",
            "| ε | method | 2-way TVD | 3-way TVD | TSTR (95%) | fit, CPU s | sample, CPU s | peak MB |",
            "|---:|---|---:|---:|---:|---:|---:|---:|",
        ]
        lines += [line(each) for each in sorted(found, key=lambda each: each["epsilon"]) if each["table"] == table]
        lines.append("")
    left_out = [table for table in TABLES if all(each["table"] != table for each in found)]
    lines += [f"Not run: {', '.join(left_out)}."] if left_out else []
    out.mkdir(parents=True, exist_ok=True)
    (out / "private_wide.md").write_text("\n".join(lines), encoding="utf-8")


def line(each: dict[str, Any]) -> str:
    """A cell as a line of the table."""
    head = f"| {each['epsilon'] or '–':{'g' if each['epsilon'] else ''}} | `{each['method']}` |"
    if "failed" in each:
        return f"{head} {each['failed']} | | | | | |"
    tstr = "–" if each["tstr"] is None else "{:.3f} [{:.3f}–{:.3f}]".format(*each["tstr"])
    costs = f"{each['fit']:.1f} | {each['sample']:.1f} | {each['peak'] / 1e6:.0f}" if each["peak"] else "– | – | –"
    return f"{head} {each['tvd2']:.4f} | {each['tvd3']:.4f} | {tstr} | {costs} |"


if __name__ == "__main__":
    main()
