"""What rows brought toward parity do to models on real people: before and after, on two real tables.

    python -m benchmarks.repair [--tables arrests,adult] [--draws 8] [--seed 0] [--out reports/benchmarks/repair.md]

`trees` learns the training rows and draws as many rows eight times over as they come, and eight times toward parity: of
counts (every group of sex × race equally many rows) or of labels (every group the outcome as often as all). A boosted model is
trained on each table and asked about the same held-out real rows. Changes have 95% intervals, paired on the test rows and with
the spread between draws; "better" and "worse" hold for all lines of one repair together (Bonferroni). Groups under 30 test rows
are not judged, and those under 30 training rows, or of the outcome that they lack, keep their natural share. Adult's official
split; the bundled arrests split 60:40. Adult needs the real tables (SYNTH_DATA names their folder).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import synth
from synth.data.table import Table
from synth.repair import Repaired

DATA = Path(os.environ.get("SYNTH_DATA", "../shared/data"))


def arrests() -> tuple[Table, Table]:
    """Training and holdout rows of the bundled table."""
    return synth.read("bundled:arrests", target="released", sensitive=["sex", "colour"]).split(0.4, seed=0)


def adult() -> tuple[Table, Table]:
    """The official split."""
    train = synth.read(DATA / "adult_train.parquet", target="income", sensitive=["sex", "race"])
    return train, synth.read(DATA / "adult_test.parquet", schema=train.schema)


TABLES = {"arrests": arrests, "adult": adult}


def main() -> None:
    """Print the page, and write it where --out says."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--tables", default="arrests,adult")
    reader.add_argument("--draws", type=int, default=8)
    reader.add_argument("--seed", type=int, default=0)
    reader.add_argument("--out", type=Path)
    asked = reader.parse_args()
    sections = []
    for name in asked.tables.split(","):
        train, holdout = TABLES[name]()
        model = synth.Trees().fit(train, seed=asked.seed)
        for toward in ("counts", "labels"):
            begun = time.process_time()
            done = synth.repair(model, train, holdout, toward=toward, draws=asked.draws, seed=asked.seed)
            seconds = time.process_time() - begun
            print(f"{name}, {toward}: {seconds:.0f} s of CPU; {done.answer}", file=sys.stderr)
            sections.append(section(f"{name.capitalize()}, parity of {toward}", done, seconds))
    command = f"python -m benchmarks.repair --tables {asked.tables} --draws {asked.draws} --seed {asked.seed}"
    about = (__doc__ or "").split("\n\n")[2]
    page = f"# Rows toward parity, and models on real people\n\nMade by `{command}`. {about}\n\n" + "\n".join(sections)
    print(page)
    if asked.out is not None:
        asked.out.write_text(page, encoding="utf-8")


def section(title: str, done: Repaired, seconds: float) -> str:
    """What is said of one repair, and the figures that it is said of."""
    most = max(done.plan.cells, key=lambda cell: cell.times)
    group = " × ".join(most.group.values()) + (f", {most.outcome}" if most.outcome else "")
    lines = [f"## {title}", "", done.answer, ""]
    lines += [
        f"{seconds:.0f} s of CPU. Most multiplied: {group}, {most.times:.1f} times, from {most.seen:,} training rows.",
        "",
    ]
    lines += ["| figure | of | trained on real rows | before | after | change | |", "|---|---|---:|---:|---:|---:|---|"]
    for e in done.effects:
        change = f"{e.change.value:+.3f} [{e.change.low:+.3f}, {e.change.high:+.3f}]".replace("-", "−")
        lines.append(f"| {e.what} | {e.of} | {e.real:.3f} | {e.before:.3f} | {e.after:.3f} | {change} | {e.says} |")
    lines += ["", "Accuracy of each group:", "", "| group | trained on real rows | before | after | change | |"]
    lines += ["|---|---:|---:|---:|---:|---|"]
    for e in done.groups:
        if e.what == "accuracy":
            change = f"{e.change.value:+.3f} [{e.change.low:+.3f}, {e.change.high:+.3f}]".replace("-", "−")
            lines.append(f"| {e.of} | {e.real:.3f} | {e.before:.3f} | {e.after:.3f} | {change} | {e.says} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
