"""Rows drawn for a rare slice of a real table, against the slice's real rows: figures for the docs.

    python -m benchmarks.conditions [--generators trees,copula,autoregressive,diffusion,gan] [--n 10000] [--seed 0]
        [--where "income = '>50K' and race = 'Other'"] [--out reports/benchmarks/conditions.md]

Each method learns Adult's training rows and draws n rows for each condition. Every other column of the slice's real rows,
training and test together, is held against the drawn ones: the mean KS distance of numbers and total variation of categories
(Shape). A slice of a few dozen rows is far from any law by chance alone; so beside it stands what as many of the drawn rows
score against all of them (mean and 95th percentile of 200 such draws), and last what the real slice scores against real rows
without the condition, which a method that ignored it would get. "Held out" is the same for the test rows of the slice alone.
Needs the real tables (SYNTH_DATA names their folder).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import synth
from synth.data.conditions import Where
from synth.data.encoding import encode
from synth.data.table import Table
from synth.generators import create

DATA = Path(os.environ.get("SYNTH_DATA", "../shared/data"))
SLICES = ("income = '>50K' and race = 'Other'", "income = '>50K' and sex = 'Female'")
METHODS = ("trees", "copula", "autoregressive", "diffusion", "gan")
REDRAWN = 200


def main() -> None:
    """Print the tables, and write them where --out says."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--generators", default=",".join(METHODS))
    reader.add_argument("--where", action="append", help="a condition; may be given several times")
    reader.add_argument("--n", type=int, default=10_000)
    reader.add_argument("--seed", type=int, default=0)
    reader.add_argument("--out", type=Path)
    asked = reader.parse_args()
    roles: dict[str, Any] = {"target": "income", "sensitive": ["sex", "race"]}
    train, test = (synth.read(DATA / f"adult_{part}.parquet", **roles) for part in ("train", "test"))
    test = Table(test.arrow, train.schema)
    slices = asked.where or list(SLICES)
    lines: dict[str, list[str]] = {where: [] for where in slices}
    for name in asked.generators.split(","):
        begun = time.perf_counter()
        model = create(name, {}).fit(train, seed=asked.seed)
        print(f"{name}: fitted in {time.perf_counter() - begun:.0f} s", file=sys.stderr)
        for where in slices:
            begun = time.perf_counter()
            drawn = model.sample(asked.n, where=where, seed=asked.seed)
            seconds = time.perf_counter() - begun
            condition = Where.parse(where, train.schema)
            assert condition.mask(drawn).all(), "a row does not satisfy the condition"
            lines[where].append(line(name, drawn, train, test, condition, seconds))
            print(where, lines[where][-1], file=sys.stderr)
    page = "\n".join(section(where, train, test, lines[where], asked.n) for where in slices)
    print(page)
    if asked.out is not None:
        command = f"python -m benchmarks.conditions --generators {asked.generators} --n {asked.n} --seed {asked.seed}"
        about = (__doc__ or "").split("\n\n")[2]
        asked.out.write_text(f"# Rows for a rare slice, against its real rows\n\nMade by `{command}`. {about}\n{page}")


def section(where: str, train: Table, test: Table, lines: list[str], n: int) -> str:
    """The table of one slice."""
    condition = Where.parse(where, train.schema)
    here = [int(condition.mask(part).sum()) for part in (train, test)]
    sizes = f"{here[0]} of {len(train):,} training rows, {here[1]} of {len(test):,} test rows; {n:,} rows drawn. Shape in %."
    head = "| | exact | seconds | real slice | drawn instead | held out | drawn instead | without the condition |"
    return "\n".join([f"## `{where}`", "", sizes, "", head, "|---|---|---:|---:|---:|---:|---:|---:|", *lines, ""])


def line(name: str, drawn: Table, train: Table, test: Table, condition: Where, seconds: float) -> str:
    """One method on one slice."""
    others = [column.name for column in train.schema.learned if column.name not in {c.column for c in condition.clauses}]
    made, parts = encode(drawn), [encode(part) for part in (train, test)]
    real = [part.take(np.flatnonzero(condition.mask(table))) for part, table in zip(parts, (train, test), strict=True)]
    everything = {name: np.concatenate([part[name].values for part in parts]) for name in others}
    whole = {name: np.concatenate([part[name].values for part in real]) for name in others}
    held = {name: real[1][name].values for name in others}
    fake = {name: made[name].values for name in others}
    kinds = {name: made[name].levels for name in others}
    figures = []
    for slice_ in (whole, held):
        rows, rng = len(slice_[others[0]]), np.random.default_rng(0)
        again = []
        for _ in range(REDRAWN):
            picked = rng.integers(0, len(fake[others[0]]), rows)
            again.append(apart({name: fake[name][picked] for name in others}, fake, kinds))
        figures += [f"{apart(slice_, fake, kinds):.1%}", f"{np.mean(again):.1%}, {np.quantile(again, 0.95):.1%}"]
    ignored = f"{apart(whole, everything, kinds):.1%}"
    return f"| `{name}` | all | {seconds:.1f} | {' | '.join(figures)} | {ignored} |".replace("%", "")


def apart(a: dict[str, np.ndarray], b: dict[str, np.ndarray], kinds: dict[str, int | None]) -> float:
    """Mean distance of the columns: KS of numbers, total variation of categories; a null is a level, or the least number."""
    return float(np.mean([_apart(a[name], b[name], levels) for name, levels in kinds.items()]))


def _apart(a: np.ndarray, b: np.ndarray, levels: int | None) -> float:
    if levels is not None:
        shares = [np.bincount(part + 1, minlength=levels + 1) / len(part) for part in (a, b)]
        return float(np.abs(shares[0] - shares[1]).sum() / 2)
    a, b = (np.sort(np.where(np.isnan(part), -np.inf, part)) for part in (a, b))
    at = np.concatenate([a, b])
    return float(np.abs(np.searchsorted(a, at, "right") / len(a) - np.searchsorted(b, at, "right") / len(b)).max())


if __name__ == "__main__":
    main()
