"""Known-bad and known-good tables put through the gate: `make controls`.

Each seed draws 6,000 training rows, 6,000 holdout rows and 6,000 further rows from Adult, without overlap, fits `trees` on the
training rows where a control needs good rows, and judges every control. The tests run three of these seeds.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

import synth
from synth.data.encoding import decode, encode
from synth.data.table import Table

ROWS = 6_000


@dataclass(frozen=True)
class Draw:
    """What one seed has to work with."""

    train: Table
    holdout: Table
    fresh: Table  # a second holdout: real rows that nobody has seen
    good: Table  # rows of `trees` fitted on the training rows
    rng: np.random.Generator


def draw(seed: int) -> Draw:
    """Three disjoint draws of 6,000 real rows, and a good synthetic table for the first."""
    data = Path(os.environ.get("SYNTH_DATA", "../shared/data"))
    table = synth.read(data / "adult.parquet", target="income", sensitive=["sex", "race"])
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(table))
    train, holdout, fresh = (table.take(rows[i * ROWS : (i + 1) * ROWS]) for i in range(3))
    good = synth.Trees().fit(train, seed=seed).sample(ROWS, seed=seed)
    return Draw(train, holdout, fresh, good, rng)


def copy_of_train(at: Draw) -> Table:
    """The training rows themselves, in another order."""
    return at.train.take(at.rng.permutation(len(at.train)))


def one_percent_copied(at: Draw) -> Table:
    """Good rows, of which 1% are replaced by training rows."""
    copies = ROWS // 100
    return Table.concat([at.good.take(np.arange(ROWS - copies)), at.train.take(at.rng.permutation(ROWS)[:copies])])


def jittered_copy(at: Draw) -> Table:
    """The training rows with every number moved by up to 1% of its column's spread."""
    rows = encode(at.train)
    moved = {}
    for column in rows.columns:
        values = column.values
        if not column.is_category:
            noise = at.rng.uniform(-0.01, 0.01, len(values)) * np.nanstd(values)
            values = np.clip(values + noise, np.nanmin(values), np.nanmax(values))
        moved[column.name] = values
    return Table(decode(rows.with_values(moved), at.train.schema, at.train.arrow.schema), at.train.schema)


def shuffled_columns(at: Draw) -> Table:
    """The training rows with every column shuffled by itself: right margins, no relations."""
    arrays = [at.train.arrow.column(name).take(pa.array(at.rng.permutation(ROWS))) for name in at.train.columns]
    return Table(pa.table(arrays, schema=at.train.arrow.schema), at.train.schema)


def scaled_column(at: Draw) -> Table:
    """Good rows with one number a thousand times too large."""
    name = "hours_per_week"
    position = at.good.columns.index(name)
    scaled = pa.array(at.good.arrow.column(name).to_numpy() * 1_000)
    return Table(at.good.arrow.set_column(position, at.good.arrow.schema.field(name), scaled), at.good.schema)


def rare_class_missing(at: Draw) -> Table:
    """Good rows without any of the rarer target class."""
    common = np.asarray(at.good.arrow.column("income")) == "<=50K"
    kept = np.flatnonzero(common)
    return at.good.take(at.rng.choice(kept, ROWS))


def fresh_rows(at: Draw) -> Table:
    """Real rows that nobody has seen."""
    return at.fresh


def good_rows(at: Draw) -> Table:
    """Rows of `trees`."""
    return at.good


CONTROLS: dict[str, tuple[Callable[[Draw], Table], str, str]] = {
    "a copy of the training rows": (copy_of_train, "privacy-release", "rejected"),
    "1% copied rows inside good ones": (one_percent_copied, "privacy-release", "rejected"),
    "a jittered copy": (jittered_copy, "privacy-release", "rejected"),
    "independently shuffled columns": (shuffled_columns, "privacy-release", "rejected"),
    "one numeric column ×1000": (scaled_column, "privacy-release", "rejected"),
    "the rare class missing": (rare_class_missing, "privacy-release", "rejected"),
    "fresh real rows": (fresh_rows, "research", "approved"),
    "rows of trees": (good_rows, "privacy-release", "approved"),
}


def decide(control: str, at: Draw, seed: int) -> tuple[str, list[str]]:
    """The verdict on one control, and the checks that did not pass."""
    make, policy, _ = CONTROLS[control]
    fake = make(at)
    verdict = synth.Policy.load(policy).judge(synth.evaluate(at.train, at.holdout, fake, seed=seed))
    return verdict.decision, [finding.check for finding in verdict.blocking]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    counts = {name: dict.fromkeys(("approved", "rejected", "inconclusive"), 0) for name in CONTROLS}
    reasons: dict[str, dict[str, int]] = {name: {} for name in CONTROLS}
    start = time.perf_counter()
    for seed in range(options.seeds):
        at = draw(seed)
        for name in CONTROLS:
            decision, blocking = decide(name, at, seed)
            counts[name][decision] += 1
            for check in blocking:
                reasons[name][check] = reasons[name].get(check, 0) + 1
        print(f"seed {seed}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    lines = [
        "# Controls of the gate",
        "",
        f"Made by `make controls`: {options.seeds} seeds (0 to {options.seeds - 1}), {ROWS:,}-row draws from Adult.",
        "",
        "| control | policy | wanted | approved | rejected | inconclusive | what stopped it (seeds) |",
        "|---|---|---|---:|---:|---:|---|",
    ]
    for name, (_, policy, wanted) in CONTROLS.items():
        count = counts[name]
        why = ", ".join(f"{check} ({n})" for check, n in sorted(reasons[name].items(), key=lambda item: -item[1])[:5])
        said = f"{count['approved']} | {count['rejected']} | {count['inconclusive']}"
        lines.append(f"| {name} | {policy} | {wanted} | {said} | {why or '–'} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out is not None:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
