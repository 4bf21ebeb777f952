"""How long the whole evaluation takes, and what it covers, beside others': `python -m benchmarks.suite`.

On Adult (its official split) and on the 10% file of KDD'99 (70% for training, 30% held out), with as many rows of `trees` as
there are training rows: `synth.evaluate`, sdmetrics' quality and diagnostic reports, and mostlyai-qa's report, each with its
defaults, in a process of its own, one after another.

The others need an interpreter that has them (with pyarrow), named by --sdmetrics and --mostlyai or by SDMETRICS_PYTHON and
MOSTLYAI_QA_PYTHON; without one, or where it takes longer than --limit, the table says so. --rows tries it all on a part.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

import synth
from synth.data.table import Table

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("SYNTH_DATA", ROOT / ".." / "shared" / "data"))
REPORT = ROOT / "reports" / "benchmarks" / "suite.md"
TABLES = {"adult": ("income", ["sex", "race"]), "kddcup99_10pct": ("label", [])}
POLL = 0.1  # seconds between two looks at the memory

# Each of these runs in a fresh interpreter, in a folder with train.parquet, holdout.parquet and synthetic.parquet. It prints
# one line of JSON; the seconds are those of the evaluation, after everything was imported and read.
HEAD = """
import json, resource, sys, time, warnings
warnings.simplefilter("ignore")
target, sensitive = json.loads(sys.argv[1])
def done(started, cpu, **facts):
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    spent = sum(u.ru_utime + u.ru_stime for u in used) - cpu
    print("RESULT", json.dumps({"seconds": time.perf_counter() - started, "cpu": spent, **facts}))
def begin():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(u.ru_utime + u.ru_stime for u in used)
"""
OURS = """
import synth
train = synth.read("train.parquet", target=target, sensitive=sensitive or None)
holdout, made = (synth.read(f"{side}.parquet", schema=train.schema) for side in ("holdout", "synthetic"))
began = begin()
found = synth.evaluate(train, holdout, made, seed=0)
done(*began, version=synth.__version__, figures=[
    [m.name, m.status, m.score is not None, m.reference is not None, m.seconds] for m in found])
"""
SDMETRICS = """
import importlib.metadata, pyarrow as pa, pyarrow.parquet as pq
from sdmetrics.reports.single_table import DiagnosticReport, QualityReport
train, made = (pq.read_table(f"{side}.parquet") for side in ("train", "synthetic"))
text = [f.name for f in train.schema if f.name == target or not (pa.types.is_integer(f.type) or pa.types.is_floating(f.type))]
columns = {name: {"sdtype": "categorical" if name in text else "numerical"} for name in train.column_names}
train, made = train.to_pandas(), made.to_pandas()
began, figures = begin(), 0
for kind in (QualityReport, DiagnosticReport):
    report = kind()
    report.generate(train, made, {"columns": columns}, verbose=False)
    figures += sum(len(report.get_details(name)) for name in report.get_properties()["Property"])
done(*began, version=importlib.metadata.version("sdmetrics"), count=figures)
"""
MOSTLYAI = """
import importlib.metadata, pyarrow.parquet as pq
from mostlyai import qa
train, holdout, made = (pq.read_table(f"{side}.parquet").to_pandas() for side in ("train", "holdout", "synthetic"))
began = begin()
path, metrics = qa.report(syn_tgt_data=made, trn_tgt_data=train, hol_tgt_data=holdout, report_path="report.html")
count = sum(v is not None for part in metrics.model_dump().values() for v in part.values())
from joblib.externals.loky import get_reusable_executor
get_reusable_executor().shutdown(wait=True)  # what a process has used is known once it has ended
done(*began, version=importlib.metadata.version("mostlyai-qa"), count=count)
"""
COVERS = {
    "sdmetrics": ("column shapes, pair trends, data validity, data structure", "none", "none; no holdout", "none", "none"),
    "mostlyai-qa": (
        "accuracy of columns, pairs and triples; similarity of embeddings; distances",
        "none",
        "similarity and distances: holdout; accuracy: a formula for the noise",
        "none; share of rows nearer to training than to holdout rows",
        "none",
    ),
}


def prepare(name: str, rows: int | None, folder: Path) -> dict[str, int]:
    """Write the three tables of one run; their sizes."""
    target, sensitive = TABLES[name]
    roles: dict[str, Any] = {"target": target, "sensitive": sensitive or None}
    if name == "adult":
        train = synth.read(DATA / "adult_train.parquet", **roles)
        holdout = synth.read(DATA / "adult_test.parquet", schema=train.schema)
    else:
        table = synth.read(DATA / f"{name}.parquet", **roles)
        order = np.random.default_rng(0).permutation(len(table))
        cut = round(0.7 * len(table))
        train, holdout = table.take(np.sort(order[:cut])), table.take(np.sort(order[cut:]))
    if rows is not None:
        train, holdout = _some(train, rows), _some(holdout, rows // 2)
    made = synth.Trees().fit(train, seed=0).sample(len(train), seed=0)
    tables = {"train": train, "holdout": holdout, "synthetic": made}
    for side, table in tables.items():
        pq.write_table(table.arrow, folder / f"{side}.parquet")
    return {side: len(table) for side, table in tables.items()}


def _some(table: Table, rows: int) -> Table:
    return table.take(np.sort(np.random.default_rng(1).permutation(len(table))[:rows]))


def run(python: str | None, script: str, table: str, folder: Path, limit: float) -> dict[str, Any]:
    """What one tool printed of itself, with the most memory that its processes held together; or why there is nothing."""
    if not python:
        return {"why": "not run: no interpreter was given"}
    roots = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    environment = {**os.environ, "PYTHONPATH": roots} if script is OURS else dict(os.environ)
    with (folder / "errors.txt").open("w+b") as errors, (folder / "output.txt").open("w+b") as output:
        child = subprocess.Popen(
            [python, "-c", HEAD + script, json.dumps(TABLES[table])], cwd=folder, env=environment, stdout=output, stderr=errors
        )
        watch = Watch(child.pid)
        try:
            child.wait(limit)
        except subprocess.TimeoutExpired:
            watch.end_all()
            child.wait()
            return {"why": f"not finished in {limit:,.0f} s", "memory": watch.stop()}
        memory = watch.stop()
    text = (folder / "output.txt").read_text(encoding="utf-8", errors="replace")
    told = [line for line in text.splitlines() if line.startswith("RESULT ")]
    if child.returncode != 0 or not told:
        last = (folder / "errors.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        return {"why": f"failed: {last[0][:120] if last else child.returncode}", "memory": memory}
    return {**json.loads(told[-1].removeprefix("RESULT ")), "memory": memory}


class Watch(threading.Thread):
    """The most memory that a process and all its descendants held at one time, in bytes (on Linux)."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak, self.going = pid, 0, True
        self.start()

    def run(self) -> None:
        while self.going:
            self.peak = max(self.peak, sum(map(_resident, self._all())))
            time.sleep(POLL)

    def stop(self) -> int:
        self.going = False
        self.join()
        return self.peak

    def end_all(self) -> None:
        """End the process and what it started."""
        for pid in self._all():
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue

    def _all(self) -> list[int]:
        found, next_ones = [], [self.pid]
        while next_ones:
            pid = next_ones.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                try:
                    next_ones += map(int, task.read_text().split())
                except OSError:
                    continue
        return found


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _row(name: str, facts: dict[str, Any]) -> str:
    title = f"{name} {facts['version']}" if "version" in facts else name
    memory = f"{facts['memory'] / 1e9:.2f}" if facts.get("memory") else ""
    if "seconds" not in facts:
        return f"| {title} | {facts['why']} | | {memory} | |"
    count = len(facts["figures"]) if "figures" in facts else facts["count"]
    return f"| {title} | {facts['seconds']:.1f} | {facts['cpu']:.1f} | {memory} | {count:,} |"


def _ours(facts: dict[str, Any]) -> list[str]:
    """What our own figures consist of, and the costliest metrics."""
    if "figures" not in facts:
        return []
    figures = facts["figures"]
    families = Counter(name.split(".")[0] for name, *_ in figures)
    score, reference = (sum(1 for f in figures if f[place]) for place in (2, 3))
    seconds: Counter[str] = Counter()
    for name, *_, spent in figures:
        seconds[name] += spent
    slowest = ", ".join(f"`{name}` {spent:.1f} s" for name, spent in seconds.most_common(8))
    statuses = Counter(status for _, status, *_ in figures if status != "ok")
    rest = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())) or "none"
    return [
        f"`synth.evaluate`: {', '.join(f'{count} figures of {family}' for family, count in families.items())}; {score} with a "
        f"95% interval, {reference} beside what real rows score; without a score: {rest}.",
        "",
        f"Costliest (seconds while others ran beside it): {slowest}.",
        "",
    ]


def _covered(figures: list[Any]) -> tuple[str, ...]:
    """What our own figures are about: the families, and the metrics of privacy and fairness that had a score."""
    scored = [name for name, _, score, *_ in figures if score]
    families = ", ".join(dict.fromkeys(name.split(".")[0] for name in scored))
    privacy, fairness = (
        ", ".join(dict.fromkeys(f"`{name.split('.')[1]}`" for name in scored if name.startswith(family)))
        for family in ("privacy.", "fairness.")
    )
    return families, "every score", "holdout rows in the synthetic ones' place", privacy or "none", fairness or "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, help="training rows; half as many are held out (all of both by default)")
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--sdmetrics", default=os.environ.get("SDMETRICS_PYTHON"), help="an interpreter that has sdmetrics")
    parser.add_argument("--mostlyai", default=os.environ.get("MOSTLYAI_QA_PYTHON"), help="an interpreter that has mostlyai-qa")
    parser.add_argument("--limit", type=float, default=3_600.0, help="seconds after which a tool is ended")
    parser.add_argument("--out", type=Path, default=REPORT)
    chosen = parser.parse_args()
    tools = {
        "synth.evaluate": (sys.executable, OURS),
        "sdmetrics": (chosen.sdmetrics, SDMETRICS),
        "mostlyai-qa": (chosen.mostlyai, MOSTLYAI),
    }
    lines: list[str] = []
    ours: list[Any] = []
    for table in chosen.tables:
        with tempfile.TemporaryDirectory() as temporary:
            sizes = prepare(table, chosen.rows, Path(temporary))
            lines += [f"## {table}", "", ", ".join(f"{size:,} {side} rows" for side, size in sizes.items()) + ".", ""]
            lines += ["| | seconds | CPU seconds | peak memory, GB | figures |", "|---|---:|---:|---:|---:|"]
            results = {}
            for name, (python, script) in tools.items():
                results[name] = run(python, script, table, Path(temporary), chosen.limit)
                lines.append(_row(name, results[name]))
                print(table, lines[-1], file=sys.stderr)
            lines += ["", *_ours(results["synth.evaluate"])]
            ours += results["synth.evaluate"].get("figures", [])
    heads = ("", "covers", "intervals", "real-vs-real reference", "privacy attacks", "fairness")
    covers = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    covers += ["| " + " | ".join((name, *what)) + " |" for name, what in {"synth.evaluate": _covered(ours), **COVERS}.items()]
    text = f"""# The evaluation suite beside others

Rows of `trees` with its defaults, seed 0; every tool with its defaults, in a process of its own, one after another. Seconds are
those of the evaluation, after everything was imported and read; memory is the most that a tool's processes held together,
tables included. sdmetrics: its quality and its diagnostic report, figures by column and pair; mostlyai-qa: its report, which
draws an HTML page.

Made by `python -m benchmarks.suite` on {os.cpu_count()} cores, Python {platform.python_version()}.

{chr(10).join(lines)}
## What each covers

{chr(10).join(covers)}
"""
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
