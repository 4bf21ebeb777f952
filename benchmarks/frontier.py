"""Fidelity against memorisation: every generator on eight real tables, beside real rows and beside SDV's methods.

    python -m benchmarks.frontier [TABLE …] [--generators trees,smote] [--seeds 0,1,2] [--again]

Writes frontier.md and frontier.svg under reports/benchmarks. Needs the real tables (SYNTH_DATA names their folder) and, for
SDV's rows, an interpreter that has it (`--sdv`, else SDV_PYTHON, else this one). Networks (autoregressive, gan, diffusion) take
minutes a fit: they are run only where --generators names them, with a higher --limit and an --out of their own.

First rows are made, one cell after another, so that seconds and memory are those of a machine with nothing else to do; then
they are measured, several cells side by side. Each cell is a process of its own, which may crash or take too long: that is then
what the page says of it. What is finished is kept in a state file, a line a step: an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import frontier_page, frontier_picture
from benchmarks.cells import DATA, ROOT, SDV, Case, Cell, Setting
from benchmarks.processes import Ended, side_by_side
from synth.errors import did_you_mean
from synth.generators import names

# What is compared -----------------------------------------------------------------------------------------------------

NETWORKS = ("autoregressive", "diffusion", "gan")  # minutes a fit: only where they are named by --generators
CASES = {
    "Adult": Case("adult_train.parquet", "adult_test.parquet", {"target": "income", "sensitive": ["sex", "race"]}),
    "Default": Case("default_credit.parquet", None, {"target": "default payment next month", "sensitive": ["SEX"]}),
    "Shoppers": Case("online_shoppers.parquet", None, {"target": "Revenue"}),
    "Magic": Case("magic_gamma.parquet", None, {"target": "class"}),
    "Beijing": Case("beijing_pm25.parquet", None, {"target": "pm2.5"}),
    "Bank": Case("bank_marketing.parquet", None, {"target": "y"}),
    "SDNist": Case("sdnist_national2019.parquet", None, {"target": "PINCP_DECILE", "sensitive": ["SEX", "RAC1P"]}),
    "Diabetes130": Case(
        "diabetes130.parquet",
        None,
        {"target": "readmitted", "sensitive": ["race", "gender", "age"], "subject": "patient_nbr"},
    ),
}
CURVE = (  # settings of one generator, from the most faithful to the most private: the picture joins them by a line
    Setting("trees, leaves of 30/7", "trees", {"min_samples_leaf": 30, "min_samples_leaf_smooth": 7}),
    Setting("trees", "trees"),
    Setting("trees, leaves of 160/40", "trees", {"min_samples_leaf": 160, "min_samples_leaf_smooth": 40}),
)
DEFAULT = "trees"  # the setting that the limits are held against

# ----------------------------------------------------------------------------------------------------------------------

STATE = ROOT / "reports" / "runs" / "frontier.jsonl"
OUT = ROOT / "reports" / "benchmarks"
SEEDS = (0, 1, 2)
LIMIT = 120.0  # seconds for fitting and sampling; CTGAN and TVAE would take the better part of an hour on Adult
MEASURING = 1_200.0  # seconds for measuring, on one thread


def settings() -> tuple[Setting, ...]:
    """Every registered generator of tables, and the curve's settings of one."""
    others = {setting.generator for setting in CURVE} | {"image-diffusion"}
    return (*CURVE, *(Setting(name, name) for name in names() if name not in others))


@dataclass(frozen=True)
class Plan:
    """What is asked for, and by which interpreters and within which time it is done."""

    tables: tuple[str, ...]
    settings: tuple[Setting, ...]
    seeds: tuple[int, ...]
    limit: float = LIMIT
    jobs: int = 1
    sdv: str | None = None  # an interpreter that has SDV

    def cells(self) -> list[Cell]:
        """All cells, in the order in which their rows are made: a table at a time."""
        ours, measured, theirs = (
            code("data", "generators"),
            code("data", "metrics"),
            f"sdv {sdv_version(self.sdv)} {code('data', 'generators')}",
        )
        return [
            Cell(table, CASES[table], setting, seed, theirs if setting.generator in SDV else ours, measured)
            for table in self.tables
            for setting in self.settings
            for seed in self.seeds
        ]

    def python(self, cell: Cell) -> str:
        """The interpreter that makes the cell's rows; all are measured by this one."""
        return (self.sdv if cell.setting.generator in SDV else None) or sys.executable


def code(*rooms: str) -> str:
    """A digest of the sources of some rooms of `synth`, committed or not, in 12 hex digits."""
    digest = hashlib.sha256()
    for room in rooms:
        for path in sorted((ROOT / "synth" / room).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def by_default() -> tuple[Setting, ...]:
    """What is run where nothing is named."""
    return tuple(setting for setting in settings() if setting.generator not in NETWORKS)


def sdv_version(python: str | None) -> str:
    """SDV's version in an interpreter; nothing where it has none."""
    if python is None:
        return ""
    asked = [python, "-c", "import importlib.metadata as m; print(m.version('sdv'))"]
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip()


class State:
    """The steps that are finished, in a file of JSON lines; rows that wait to be measured lie in a folder beside it."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, path.with_suffix(".rows")
        self.rows.mkdir(parents=True, exist_ok=True)
        self.steps: dict[str, dict[str, Any]] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            with suppress(ValueError):  # cut off as it was written: that step is done again
                step = json.loads(line)
                self.steps[step["key"]] = step

    def forget(self, cells: Iterable[Cell]) -> None:
        """Leave these cells out of the file, so that they are run again."""
        gone = {cell.key(step) for cell in cells for step in ("make", "measure")}
        self.steps = {key: step for key, step in self.steps.items() if key not in gone}
        self.path.write_text("".join(json.dumps(step) + "\n" for step in self.steps.values()), encoding="utf-8")

    def add(self, cell: Cell, step: str, ended: Ended, limit: float, found: dict[str, Any]) -> None:
        said = {"table": cell.table, "label": cell.setting.label, "seed": cell.seed, "step": step}
        line = {"key": cell.key(step), **said, "outcome": ended.outcome, "why": ended.why, "limit": limit, **found}
        self.steps[line["key"]] = line
        before = "" if not self.path.is_file() or self.path.read_bytes()[-1:] in (b"", b"\n") else "\n"  # after a line cut off
        with self.path.open("a", encoding="utf-8") as file:
            file.write(before + json.dumps(line, allow_nan=False) + "\n")

    def get(self, cell: Cell, step: str) -> dict[str, Any] | None:
        return self.steps.get(cell.key(step))

    def rows_of(self, cell: Cell) -> Path:
        """Where the rows of a cell lie between the two steps."""
        return self.rows / f"{cell.key('make')}.parquet"


def make(plan: Plan, cells: Sequence[Cell], state: State) -> None:
    """Make the rows that are neither measured nor there, one cell after another, so that the seconds are honest.

    A method that overran on a table is not run there with the other seeds.
    """
    late = {(c.table, c.setting.label) for c in cells if _is_late(state.get(c, "make"), plan.limit)}
    for count, cell in enumerate(cells, 1):
        if (cell.table, cell.setting.label) in late or _is_made(cell, state, plan.limit):
            continue
        with tempfile.TemporaryDirectory() as temporary:
            folder = _folder(Path(temporary), cell)
            [(_, ended)] = side_by_side([(cell, _command(plan.python(cell), "make", folder))], 1, plan.limit, {})
            found = _read(folder / "begun.json") | _read(folder / "made.json")
            if ended.outcome == "ok":
                shutil.move(folder / "rows.parquet", state.rows_of(cell))
            state.add(cell, "make", ended, plan.limit, found)
        if ended.outcome == "over":
            late.add((cell.table, cell.setting.label))
        _tell(f"made {count}/{len(cells)}", cell, ended)


def measure(plan: Plan, cells: Sequence[Cell], state: State) -> None:
    """Measure the rows that were made, several cells side by side, each on one thread."""
    waiting = [c for c in cells if state.get(c, "measure") is None and state.rows_of(c).is_file()]
    with tempfile.TemporaryDirectory() as temporary:
        folders = {id(cell): _folder(Path(temporary), cell, state.rows_of(cell)) for cell in waiting}
        commands = [(cell, _command(sys.executable, "measure", folders[id(cell)])) for cell in waiting]
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        with closing(side_by_side(commands, plan.jobs, MEASURING, one_thread)) as finished:
            for count, (cell, ended) in enumerate(finished, 1):
                state.add(cell, "measure", ended, MEASURING, _read(folders[id(cell)] / "measured.json"))
                state.rows_of(cell).unlink()
                _tell(f"measured {count}/{len(waiting)}", cell, ended)


def _is_late(made: dict[str, Any] | None, limit: float) -> bool:
    return made is not None and made["outcome"] == "over" and made["limit"] >= limit


def _is_made(cell: Cell, state: State, limit: float) -> bool:
    """Whether the step is finished, and its rows are measured or there to be."""
    made = state.get(cell, "make")
    if made is None or made["outcome"] == "over":
        return _is_late(made, limit)  # an overrun says nothing about a longer limit
    return made["outcome"] != "ok" or state.get(cell, "measure") is not None or state.rows_of(cell).is_file()


def _folder(parent: Path, cell: Cell, rows: Path | None = None) -> Path:
    """A folder with all that the cell's process reads."""
    folder = parent / cell.key("make")
    folder.mkdir()
    cell.write(folder / "job.json")
    if rows is not None:
        (folder / "rows.parquet").symlink_to(rows.resolve())
    return folder


def _command(python: str, step: str, folder: Path) -> list[str]:
    return [python, "-m", "benchmarks.cells", step, str(folder)]


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _tell(done: str, cell: Cell, ended: Ended) -> None:
    how = "" if ended.outcome == "ok" else f" ({ended.outcome}: {ended.why})"
    print(f"{done}: {cell.table}, {cell.setting.label}, seed {cell.seed}, {ended.seconds:.0f} s{how}", file=sys.stderr)


# the command ----------------------------------------------------------------------------------------------------------


def write(plan: Plan, cells: Sequence[Cell], state: State, out: Path) -> None:
    """The page and the picture."""
    found = [frontier_page.Outcome(cell, state.get(cell, "make"), state.get(cell, "measure")) for cell in cells]
    page = frontier_page.page(found, default=DEFAULT, command=said(plan), limit=plan.limit, sdv=plan.sdv is not None)
    picture = frontier_picture.draw(
        found, default=DEFAULT, curve=[setting.label for setting in CURVE if setting in plan.settings]
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "frontier.md").write_text(page, encoding="utf-8")
    (out / "frontier.svg").write_text(picture, encoding="utf-8")


def said(plan: Plan) -> str:
    """The command that makes the same page."""
    words = ["python -m benchmarks.frontier", *(plan.tables if plan.tables != tuple(CASES) else ())]
    if plan.settings != by_default():
        words.append("--generators " + ",".join(dict.fromkeys(setting.generator for setting in plan.settings)))
    if plan.seeds != SEEDS:
        words.append("--seeds " + ",".join(map(str, plan.seeds)))
    if plan.limit != LIMIT:
        words.append(f"--limit {plan.limit:g}")
    return " ".join(words)


def _chosen(parser: argparse.ArgumentParser, given: Iterable[str], known: Iterable[str], what: str) -> tuple[str, ...]:
    """The names that are given, in the order of the known ones; all of them where none is given."""
    known, given = list(known), list(given)
    for name in given:
        if name not in known:
            parser.error(f"no {what} {name!r}{did_you_mean(name, known)}")
    return tuple(name for name in known if not given or name in given)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def parsed(arguments: Sequence[str] | None = None) -> tuple[Plan, argparse.Namespace]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=", ".join(CASES))
    parser.add_argument("--generators", default="", help="with commas between them; by default all but networks, and SDV's")
    parser.add_argument("--seeds", type=_numbers, default=SEEDS, help="of split, fit and sample, with commas between them")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds after which fitting and sampling is ended")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cells measured side by side")
    parser.add_argument("--again", action="store_true", help="forget what the state file holds of these cells")
    parser.add_argument("--sdv", default=os.environ.get("SDV_PYTHON"), help="an interpreter that has SDV and what synth needs")
    parser.add_argument("--state", type=Path, default=STATE)
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the page and the picture")
    options = parser.parse_args(arguments)
    tables = _chosen(parser, options.tables, CASES, "table")
    there = tuple(table for table in tables if (DATA / CASES[table].train).is_file())
    for table in sorted(set(tables) - set(there)):
        print(f"{table} is not here; point SYNTH_DATA at the folder that holds {CASES[table].train}", file=sys.stderr)
    if not there:
        parser.error("none of the real tables is here; point SYNTH_DATA at the folder that holds them")
    wanted = [name for name in options.generators.split(",") if name]
    known = dict.fromkeys(setting.generator for setting in settings())
    kinds = _chosen(parser, wanted or [setting.generator for setting in by_default()], known, "generator")
    if options.sdv is not None and not sdv_version(options.sdv):
        parser.error(f"--sdv {options.sdv} has no SDV; name an interpreter in which `import sdv` works, or leave it out")
    if options.jobs < 1 or options.limit <= 0:
        parser.error(f"--jobs {options.jobs} --limit {options.limit:g}: give at least one job, and a time above 0 s")
    sdv = options.sdv or (sys.executable if find_spec("sdv") else None)
    chosen = tuple(s for s in settings() if s.generator in kinds and (sdv is not None or s.generator not in SDV))
    return Plan(there, chosen, options.seeds, options.limit, options.jobs, sdv), options


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the children are ended too
    plan, options = parsed()
    cells, state = plan.cells(), State(options.state)
    if options.again:
        state.forget(cells)
    make(plan, cells, state)
    measure(plan, cells, state)
    write(plan, cells, state, options.out)
    print(f"{options.out / 'frontier.md'} and frontier.svg are written", file=sys.stderr)


if __name__ == "__main__":
    main()
