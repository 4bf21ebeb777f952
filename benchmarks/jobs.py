"""How long a person with a CSV waits for each of the three jobs, on the machine that this runs on.

    python -m benchmarks.jobs [TABLE …]

Writes jobs.md under reports/benchmarks. Needs the real tables (SYNTH_DATA names their folder). Each table is written as a plain
CSV, and each job is the one command that the README gives, in a process of its own, timed by the clock from its start to its
end: reading, planning, fitting, measuring, the page and, where a policy approves, the signed export. Nothing is set but what a
person has to say. Peak memory is of the whole process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet as pq

from benchmarks.cells import DATA, ROOT
from synth.folder import replace

OUT = ROOT / "reports" / "benchmarks" / "jobs.md"
GOAL = 300  # seconds
OUTCOMES = {0: "approved", 1: "rejected", 3: "inconclusive"}


@dataclass(frozen=True)
class Case:
    """A table and what its owner has to say of it: the target, a rare class's column, groups, and whom a row is about."""

    file: str
    target: str
    sensitive: str
    rare: str = ""  # where another column than the target has the rare class
    subject: str = "none"


CASES = {
    "bank_marketing": Case("bank_marketing.parquet", "y", "age,marital"),
    "mammography": Case("mammography.parquet", "class", "attr3"),
    "diabetes130": Case("diabetes130.parquet", "readmitted", "race,gender,age", subject="patient_nbr"),
    "sdnist_national2019": Case("sdnist_national2019.parquet", "PINCP_DECILE", "SEX,RAC1P", rare="DREM"),
}


def commands(name: str, file: str) -> dict[str, list[str]]:
    """The one command of each job."""
    case = CASES[name]
    people = ["--subject", case.subject, "--sensitive", case.sensitive, "--no-budget"]
    outcome = case.rare or case.target
    return {
        "balance": ["balance", file, "--target", outcome],
        "release": ["release", file, "--target", case.target, *people],
        "audit": ["audit", file, "--target", outcome, "--sensitive", case.sensitive],
    }


def main() -> None:
    """Run them all, one after the other, and write the page."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("tables", nargs="*", metavar="TABLE", default=[])
    options.add_argument("--out", type=Path, default=OUT)
    asked = options.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.tables or CASES:
            table = pq.read_table(DATA / CASES[name].file)
            pyarrow.csv.write_csv(table, Path(folder) / f"{name}.csv")
            for job, command in commands(name, f"{name}.csv").items():
                lines.append(_line(Path(folder), name, table.num_rows, table.num_columns, job, command))
                print(lines[-1], file=sys.stderr, flush=True)
    replace(asked.out, page(lines))


def _line(folder: Path, name: str, rows: int, columns: int, job: str, command: list[str]) -> str:
    """Run a job and say what came of it."""
    home = {"SYNTH_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
    done, seconds, peak = timed(["-m", "synth", *command, "--json", "--quiet"], folder, {**os.environ, **home})
    if done.returncode not in OUTCOMES or not done.stdout:
        found = f"failed: {(done.stderr.strip().splitlines() or ['?'])[-1][:100]}"
    else:
        found = said(job, json.loads(done.stdout), OUTCOMES[done.returncode])
    mark = "" if seconds <= GOAL else " **over**"
    return (
        f"| {name}, {rows:,} × {columns} | `synth {' '.join(command)}` | {seconds:.0f}{mark} | {peak / 2**30:.1f} | {found} |"
    )


def timed(command: list[str], folder: Path, env: dict[str, str]) -> tuple[subprocess.CompletedProcess[str], float, int]:
    """How a Python process ended, its seconds, and the most memory that it held, in bytes."""
    peak, begun = folder / "peak", time.perf_counter()
    wrapped = [sys.executable, str(Path(__file__).with_name("peak_of.py")), str(peak), sys.executable, *command]
    done = subprocess.run(wrapped, cwd=folder, env=env, capture_output=True, text=True)
    return done, time.perf_counter() - begun, int(peak.read_text())


def said(job: str, told: dict[str, Any], ended: str) -> str:
    """What a job told its caller, in a few words."""
    if job == "balance":
        return str(told["answer"]["sentence"]).replace("|", "/")
    return ended


def page(lines: list[str]) -> str:
    """The page that is committed."""
    about = (__doc__ or "").split("\n\n")[2].split("folder). ")[1]
    rows = "\n".join(lines)
    return f"""# The three jobs, by the clock

Made by `python -m benchmarks.jobs`, Python {platform.python_version()}, {os.cpu_count()} cores.
The goal is {GOAL // 60} minutes.

{about}
| table | command | seconds | peak GB | what came of it |
|---|---|---:|---:|---|
{rows}
"""


if __name__ == "__main__":
    main()
