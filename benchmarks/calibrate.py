"""How often the gate blocks tables that are beyond reproach, and whether intervals cover: `make calibrate`.

Each resplit draws 6,000 training rows, 6,000 holdout rows and 6,000 fresh rows of one real table without overlap (of
Diabetes130 whole patients), offers the fresh rows as if they were synthetic, measures everything and judges it under every
packaged policy for tables without a budget. Whatever blocks, blocks falsely.

Every metric is computed on the first 20 resplits of a table, those that a policy judges on all. Figures go to a state file, one
line a resplit, so that an interrupted run goes on where it stopped and a changed policy can be judged again without measuring
again (`--judge`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

import synth
from synth.data.table import Table
from synth.folder import replace
from synth.gate.policy import packaged
from synth.gate.verdict import Verdict
from synth.metrics.intervals import clopper_pearson
from synth.metrics.measurement import Interval, Measurement, Measurements

ROWS = 6_000
STATE = Path("reports/runs/calibration.jsonl")
ALLOWED = {"policy": 0.05, "check": 0.01}  # false blocks
FULL = 20  # resplits on which every metric is computed, for its coverage; on the others those that a policy can block on
NOMINAL = (0.90, 0.98)  # where the coverage of a 95% interval must lie


@dataclass(frozen=True)
class Source:
    """A real table and how it is drawn from."""

    file: str
    roles: dict[str, Any]
    draw: Callable[[Table, np.random.Generator], list[np.ndarray]]


def by_row(table: Table, rng: np.random.Generator) -> list[np.ndarray]:
    """Three disjoint draws of ROWS rows."""
    order = rng.permutation(len(table))
    return [order[i * ROWS : (i + 1) * ROWS] for i in range(3)]


def by_subject(table: Table, rng: np.random.Generator) -> list[np.ndarray]:
    """Three draws of about ROWS rows that share no subject."""
    subject = next(c.name for c in table.schema.columns if c.role == "subject")
    _, code = np.unique(table.column(subject).to_numpy(zero_copy_only=False), return_inverse=True)
    place = rng.permutation(int(code.max()) + 1)[code]  # of each row's subject in a random order
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], place[order][[0, ROWS, 2 * ROWS, 3 * ROWS]])  # whole subjects only
    return [order[a:b] for a, b in pairwise(starts)]


SOURCES = {
    "adult": Source("adult.parquet", {"target": "income", "sensitive": ["sex", "race"]}, by_row),
    "diabetes130": Source(
        "diabetes130.parquet",
        {"target": "readmitted", "sensitive": ["race", "gender", "age"], "subject": "patient_nbr"},
        by_subject,
    ),
}


@cache
def whole(name: str) -> Table:
    """The real table, read once a process."""
    source = SOURCES[name]
    return synth.read(Path(os.environ.get("SYNTH_DATA", "../shared/data")) / source.file, **source.roles)


def resplit(name: str, seed: int) -> tuple[Table, Table, Table]:
    """Training, holdout and fresh rows of one resplit."""
    table = whole(name)
    train, holdout, fresh = (table.take(rows) for rows in SOURCES[name].draw(table, np.random.default_rng([seed, 3])))
    return train, holdout, fresh


def measure(job: tuple[str, int]) -> dict[str, Any]:
    """One resplit's figures, without their details."""
    name, seed = job
    started = time.perf_counter()
    figures = synth.evaluate(*resplit(name, seed), seed=seed, workers=1, only=None if seed < FULL else judged()).to_dict()
    for figure in figures["measurements"]:
        figure["detail"] = {}
    return {"table": name, "seed": seed, "seconds": time.perf_counter() - started, "figures": figures}


def measure_again(job: tuple[str, int, tuple[str, ...]]) -> dict[str, Any]:
    """The figures of some metrics on one resplit."""
    name, seed, only = job
    figures = synth.evaluate(*resplit(name, seed), seed=seed, workers=1, only=only).to_dict()["measurements"]
    return {"table": name, "seed": seed, "figures": [figure | {"detail": {}} for figure in figures]}


def renew(only: tuple[str, ...], state: Path, workers: int) -> None:
    """Measure some metrics again on every resplit of the state file, after they were changed, and put them in their places."""
    held = {(line["table"], line["seed"]): line for line in lines(state)}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for line in pool.map(measure_again, [(*key, only) for key in held]):
            before = held[line["table"], line["seed"]]["figures"]
            before["measurements"] = [m for m in before["measurements"] if m["name"] not in only] + line["figures"]
            print(f"again {line['table']} {line['seed']}", file=sys.stderr)
    replace(state, "".join(json.dumps(line, allow_nan=False) + "\n" for line in held.values()))


def policies() -> list[synth.Policy]:
    """The packaged policies that tables made without a budget are judged by."""
    every = [synth.Policy.load(name) for name in packaged()]
    return [p for p in every if not p.requires.dp.required and not any(c.measure.startswith("image.") for c in p.checks)]


def judged() -> tuple[str, ...]:
    """The metrics that some packaged policy judges."""
    checks = (check for policy in policies() for check in policy.checks)
    return tuple(dict.fromkeys(check.measure for check in checks if check.severity != "report"))


def collect(names: list[str], resplits: int, state: Path, workers: int) -> None:
    """Measure what the state file does not hold yet."""
    state.parent.mkdir(parents=True, exist_ok=True)
    have = {(line["table"], line["seed"]) for line in lines(state)}
    jobs = [(name, seed) for seed in range(resplits) for name in names if (name, seed) not in have]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool, state.open("a", encoding="utf-8") as file:
        for done, line in enumerate(pool.map(measure, jobs), 1):
            file.write(json.dumps(line, allow_nan=False) + "\n")
            file.flush()
            print(f"{done}/{len(jobs)} {line['table']} {line['seed']}: {line['seconds']:.0f} s", file=sys.stderr)


def lines(state: Path) -> Iterator[dict[str, Any]]:
    """What was measured so far; a line that was cut off is measured again."""
    if not state.exists():
        return
    with state.open(encoding="utf-8") as file:
        for text in file:
            try:
                yield json.loads(text)
            except ValueError:
                continue


# what is made of it ----------------------------------------------------------------------------------------------------


def report(found: list[dict[str, Any]], command: str) -> str:
    """The page that is committed."""
    parts = ["# Calibration: fresh real rows in place of synthetic ones", ""]
    about = (__doc__ or "").split("\n\n")[1]
    made = f"Made by `{command}`, Python {sys.version.split()[0]}, synth {synth.__version__}."
    parts += [made, about, ""]
    for name in dict.fromkeys(line["table"] for line in found):
        taken = [Measurements.from_dict(line["figures"]) for line in found if line["table"] == name]
        seconds = float(np.median([line["seconds"] for line in found if line["table"] == name]))
        parts += [f"## {name}: {len(taken)} resplits, {seconds:.0f} s each (median, one core)", ""]
        parts += [*_false_blocks(taken), "", *_coverage(taken), ""]
    return "\n".join(parts)


def _false_blocks(taken: list[Measurements]) -> list[str]:
    rows = ["| policy | approved | rejected | inconclusive | false blocks [95%] | checks that blocked (resplits) |"]
    rows.append("|---|---:|---:|---:|---|---|")
    for policy in policies():
        verdicts = [policy.assess(one) for one in taken]
        count = Counter(verdict.decision for verdict in verdicts)
        blocked = len(verdicts) - count["approved"]
        low, high = clopper_pearson(blocked, len(verdicts))
        checks = Counter(check for verdict in verdicts for check in _blocking(verdict))
        said = ", ".join(f"{check} ({n})" for check, n in checks.most_common()) or "–"
        over = [check for check, n in checks.items() if n > ALLOWED["check"] * len(verdicts)]
        mark = " **over**" if blocked > ALLOWED["policy"] * len(verdicts) or over else ""
        share = f"{blocked / len(verdicts):.1%} [{low:.1%}, {high:.1%}]{mark}"
        rows.append(
            f"| {policy.name} | {count['approved']} | {count['rejected']} | {count['inconclusive']} | {share} | {said} |"
        )
    return rows


def _blocking(verdict: Verdict) -> set[str]:
    """The checks that stand in the way, without their groups."""
    return {f"{finding.check.split('[')[0]} {finding.outcome}" for finding in verdict.blocking}


def _coverage(taken: list[Measurements]) -> list[str]:
    """For each metric: how often the interval of the excess over real rows holds 0, and that of the figure its own mean."""
    by_label: dict[str, list[Measurement]] = defaultdict(list)
    for one in taken:
        for m in one:
            if m.score is not None and m.score.low < m.score.high:
                by_label[m.label].append(m)
    zero: dict[str, list[bool]] = defaultdict(list)
    mean: dict[str, list[bool]] = defaultdict(list)
    size: dict[str, list[float]] = defaultdict(list)
    for found in by_label.values():
        centre = float(np.mean([m.score.value for m in found if m.score]))
        for m in found:
            assert m.score is not None
            size[m.name].append(m.score.value)
            if len(found) >= 0.9 * len(taken):  # a group that is often too small would be one of the larger ones only
                mean[m.name].append(m.score.low <= centre <= m.score.high)
            if m.reference is not None:
                zero[m.name].append(_holds_zero(m.score, m.reference))
    rows = [
        "| metric | figures | mean | excess interval holds 0 | interval holds its expectation |",
        "|---|---:|---:|---:|---:|",
    ]
    rows += [
        f"| {name} | {len(size[name])} | {np.mean(size[name]):.4f} | {_share(zero[name])} | {_share(mean[name])} |"
        for name in dict.fromkeys(m.name for m in taken[0])
        if size[name]
    ]
    return rows


def _holds_zero(score: Interval, reference: Interval) -> bool:
    value = score.value - reference.value
    low = value - float(np.hypot(score.value - score.low, reference.high - reference.value))
    high = value + float(np.hypot(score.high - score.value, reference.value - reference.low))
    return low <= 0 <= high


def _share(held: list[bool]) -> str:
    if not held:
        return "–"
    share = float(np.mean(held))
    return f"{share:.1%}" + ("" if share >= NOMINAL[0] else " **low**")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", default=",".join(SOURCES), help="with commas between them")
    parser.add_argument("--resplits", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--state", type=Path, default=STATE)
    parser.add_argument("--judge", action="store_true", help="only judge what the state file holds")
    parser.add_argument("--again", default="", help="metrics to measure again on what the state file holds, with commas")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    names = options.tables.split(",")
    if options.again:
        renew(tuple(options.again.split(",")), options.state, options.workers)
    elif not options.judge:
        collect(names, options.resplits, options.state, options.workers)
    found = sorted(
        (line for line in lines(options.state) if line["table"] in names and line["seed"] < options.resplits),
        key=lambda line: (names.index(line["table"]), line["seed"]),
    )
    text = report(found, "make calibrate")
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
