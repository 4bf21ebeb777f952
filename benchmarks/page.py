"""How large the report of a hundred columns is, and how soon a browser shows it.

    python -m benchmarks.page [--columns 100] [--rows 1000] [--out reports/benchmarks/page.md]

A simulated table (half numbers in correlated blocks, half categories, two sensitive columns) is split, fitted by `trees`,
evaluated and judged, as `synth run` does; the page is then opened nine times, each in a new headless Chromium. First paint is
the browser's own First Contentful Paint (W3C Paint Timing), counted from the start of the navigation. Needs Chromium and
playwright.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

import synth
from synth.report.page import render

LOADS = 9
METRICS = (  # a figure for each column or pair, and the families that fill the sections; none that only takes long
    *("validity", "fidelity.shape", "fidelity.worst_column", "fidelity.trend", "fidelity.pairs", "fidelity.tails"),
    *(
        "fidelity.class_share",
        "privacy.exact_copies",
        "privacy.near_copies",
        "privacy.membership_knn",
        "privacy.membership_auc",
    ),
    *("fairness.group_share", "fairness.label_gap", "fairness.group_fidelity"),
)
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"


def simulated(rows: int, columns: int) -> synth.Table:
    """Numbers in blocks of five that share a cause, categories that follow them, and long names."""
    rng = np.random.default_rng(0)
    causes = rng.normal(size=(rows, columns // 10 + 1))
    named: dict[str, np.ndarray] = {}
    for place in range(columns - 3):
        value = causes[:, place // 10] + rng.normal(size=rows)
        name = f"a_rather_long_name_of_column_{place}"
        named[name] = np.round(value, 3) if place % 2 else np.array([f"level {int(v)}" for v in np.clip(value * 2, -6, 6)])
    named |= {"sex": rng.choice(["Female", "Male"], rows), "region": rng.choice(list("ABCDEF"), rows)}
    named["outcome"] = np.where(causes[:, 0] + rng.normal(size=rows) > 0, "yes", "no")
    return synth.read(pa.table(named), target="outcome", sensitive=["sex", "region"])


def paints(page: Path) -> list[float]:
    """Seconds from navigation to the first contentful paint, one for each load in a browser of its own."""
    from playwright.sync_api import sync_playwright

    path = next(found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name)))
    seconds: list[float] = []
    with sync_playwright() as driver:
        for _ in range(LOADS):
            browser = driver.chromium.launch(executable_path=path, args=["--disable-gpu", "--no-first-run"])
            tab = browser.new_page(viewport={"width": 1920, "height": 1080})
            tab.goto(page.as_uri())
            while (painted := tab.evaluate(PAINT)) is None:
                time.sleep(0.02)
            seconds.append(painted / 1_000)
            browser.close()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    train, holdout = simulated(2 * asked.rows, asked.columns).split(holdout=0.5, seed=0)
    fake = synth.Trees().fit(train, seed=0).sample(asked.rows, seed=1)
    measured = synth.evaluate(train, holdout, fake, seed=0, only=list(METRICS))
    verdict = synth.Policy.load("privacy-release").assess(measured)
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for name, public in (("run folder", False), ("export", True)):
            began = time.perf_counter()
            page = render(measured, verdict, train=train, holdout=holdout, synthetic=measured.synthetic, public=public)
            rendered = time.perf_counter() - began
            file = Path(folder, "page.html")
            file.write_text(page)
            taken = paints(file)
            lines.append(
                f"| {name} | {len(page.encode()) / 1_000:,.0f} kB | {rendered:.1f} s | {statistics.median(taken):.2f} s "
                f"| {max(taken):.2f} s |"
            )
    text = "\n".join(
        [
            f"# The report of a table of {asked.columns} columns",
            "",
            f"{asked.columns} columns, {asked.rows:,} training rows, {len(measured)} figures, {len(verdict.findings)} "
            f"findings; {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}; {LOADS} loads in fresh browsers "
            "(`python -m benchmarks.page`). The aim: at most 1,000 kB and 2 s.",
            "",
            "| page of | size | rendered in | first paint, median | slowest |",
            "|---|---:|---:|---:|---:|",
            *lines,
        ]
    )
    print(text)
    if asked.out is not None:
        asked.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
