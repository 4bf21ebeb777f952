"""What a privacy budget buys: every private method at several ε, against independent columns, real rows and peers.

    python -m benchmarks.private [TABLE …] [--methods independent,mst,aim] [--epsilons 0.5,1,3,10] [--seeds 5] [--again]
                                 [--peers dpmm=PYTHON,opendp=PYTHON]

Writes private.md and private.svg under reports/benchmarks, of all that the state file holds. Needs the real tables (SYNTH_DATA
names their folder). Each cell is a process of its own, so that its peak memory is its own; what is finished is kept in the
state file, and an interrupted run goes on where it stopped.

δ is 1e-5, the unit a row. Kinds, categories, bounds and nullability are taken as public, as a codebook gives them: here they
are read off all rows of the table, training and test. A tenth of the budget goes on bins of the numbers. The split is the
official one of Adult, else 30% held out by the seed; noise has no seed. `independent` has the same domain, and all of the rest
of the budget on its single columns. Real rows are the held-out ones in place of synthetic ones, but for TSTR, where models are
trained on the training rows.

Peers run in environments of their own, on the same rows, codebook, ε and δ: `benchmarks.private_peers` says how to install
them, and what each is given. Seconds of a fit are by the clock, of a machine that did other things too; CPU seconds are
those of fit and drawing, all threads together. Memory is the whole process's, and of a peer that of its own.

TVD is the mean total variation between the tables of 2 or 3 columns of the synthetic and of the training rows, numbers cut at
twenty quantiles of the training rows; of more than 400 sets of columns a seeded sample is taken. Worst group: the same for
single columns within the group of a sensitive column (of at least 1% of the rows) where it is largest. TSTR is the AUC (of more
than two classes its mean, of a number R²) of boosted trees trained on synthetic and tested on held-out rows. Found: members
that the strongest attack finds at 1% false alarms, for the first seed, with its 95% interval, beside the most that (ε, δ)
allows.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import synth
from benchmarks.cells import DATA, ROOT, cpu_seconds, peak_memory
from benchmarks.private_measures import figures, real_figures
from benchmarks.private_peers import PEERS, made_by_peer, pythons
from synth.data.encoding import Encoded
from synth.data.schema import Kind, Schema
from synth.data.table import Table

TABLES: dict[str, dict[str, Any]] = {
    "Adult": {"file": "adult_train.parquet", "test": "adult_test.parquet", "target": "income", "sensitive": ["sex", "race"]},
    "SDNist": {"file": "sdnist_national2019.parquet", "target": "PINCP_DECILE", "sensitive": ["SEX", "RAC1P"]},
    "Bank": {"file": "bank_marketing.parquet", "target": "y", "sensitive": ["marital"]},
    "Default": {"file": "default_credit.parquet", "target": "default payment next month", "sensitive": ["SEX"]},
}
METHODS = ("independent", "mst", "aim")
REAL = "real"  # held-out rows in place of synthetic ones, at no ε
EPSILONS = (0.5, 1.0, 3.0, 10.0)
DELTA = 1e-5
STATE = ROOT / "reports" / "runs" / "private.jsonl"
OUT = ROOT / "reports" / "benchmarks"
LIMIT = 1_500  # seconds of a cell

Key = tuple[str, str, float, int]  # table, method, ε, seed


def main() -> None:
    """Run what is not in the state file, and write the page."""
    if len(sys.argv) > 1 and sys.argv[1] == "cell":
        table, method, epsilon, seed = sys.argv[2:6]
        print(json.dumps(cell((table, method, float(epsilon), int(seed)), pythons(sys.argv[6]))))
        return
    asked = reader().parse_args()
    if asked.again:
        asked.state.unlink(missing_ok=True)
    methods, epsilons = asked.methods.split(","), [float(epsilon) for epsilon in asked.epsilons.split(",")]
    found = pythons(asked.peers)
    for method in methods:
        if method in PEERS and PEERS[method].library not in found:
            sys.exit(PEERS[method].how_to_install)
    tables = asked.tables or list(TABLES)
    cells = [(table, REAL, 0.0, 0) for table in tables]
    cells += [(t, m, e, s) for s in range(asked.seeds) for t in tables for e in epsilons for m in methods]
    done = known(asked.state)
    for place, one in enumerate(cells, 1):
        if one not in done:
            run(one, asked.state, asked.peers, asked.limit)
            print(f"{place}/{len(cells)} {' '.join(map(str, one))}", file=sys.stderr, flush=True)
    from benchmarks.private_page import write_page

    write_page(asked.out, list(known(asked.state).values()))


def reader() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("tables", nargs="*", default=[], metavar="TABLE")
    options.add_argument("--methods", default=",".join(METHODS), help=f"of ours, and of peers {', '.join(PEERS)}")
    options.add_argument("--epsilons", default=",".join(f"{epsilon:g}" for epsilon in EPSILONS))
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--peers", default=os.environ.get("SYNTH_PEERS", ""), metavar="LIBRARY=PYTHON,…")
    options.add_argument("--limit", type=int, default=LIMIT, help="seconds of a cell")
    options.add_argument("--again", action="store_true", help="forget what is in the state file")
    options.add_argument("--state", type=Path, default=STATE)
    options.add_argument("--out", type=Path, default=OUT)
    return options


def known(state: Path) -> dict[Key, dict[str, Any]]:
    """The cells that are finished."""
    lines = state.read_text(encoding="utf-8").splitlines() if state.is_file() else []
    found = [json.loads(line) for line in lines if line.endswith("}")]
    return {(each["table"], each["method"], each["epsilon"], each["seed"]): each for each in found}


def run(one: Key, state: Path, peers: str, limit: int) -> None:
    """Run a cell in a process and add its line to the state file; a crash or a cell that overruns says so there."""
    said: dict[str, Any] = dict(zip(("table", "method", "epsilon", "seed"), one, strict=True))
    command = [sys.executable, "-m", "benchmarks.private", "cell", *map(str, one), peers]
    child = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        told, errors = child.communicate(timeout=limit)
        said |= json.loads(told) if child.returncode == 0 else {"failed": errors.strip().splitlines()[-1][:160]}
    except subprocess.TimeoutExpired:
        said |= {"failed": f"took over {limit} s"}
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # a peer's process, too, however the cell ended
        child.wait()
    state.parent.mkdir(parents=True, exist_ok=True)
    with state.open("a", encoding="utf-8") as file:
        file.write(json.dumps(said) + "\n")


def cell(one: Key, peers: Mapping[str, str]) -> dict[str, Any]:
    """Fit, draw as many rows as there are training rows, and measure."""
    name, method, epsilon, seed = one
    train, holdout = tables(name, seed)
    if method == REAL:
        return real_figures(train, holdout)
    budget = synth.Budget(epsilon, DELTA)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SYNTH_HOME"] = folder  # a ledger of its own: benchmarks of public tables spend nobody's budget
        if method in PEERS:
            fake, costs = made_by_peer(method, train, budget, peers, Path(folder))
        else:
            fake, costs = made(method, name, train, budget, seed)
    return {**costs, **figures(train, holdout, fake, attack=seed == 0)}


def made(method: str, name: str, train: Table, budget: synth.Budget, seed: int) -> tuple[Table, dict[str, float]]:
    """Rows of a method of ours, and what they cost."""
    begun, cpu = time.perf_counter(), cpu_seconds()
    model = Singles() if method == "independent" else private(method)
    model.fit(train, budget=budget, dataset=name)
    fit = time.perf_counter() - begun
    fake = model.sample(len(train), seed=seed)
    draw = time.perf_counter() - begun - fit
    return fake, {"fit": fit, "sample": draw, "cpu": cpu_seconds() - cpu, "peak": peak_memory()}


def private(method: str) -> Any:
    """A method of ours by the name that the page has for it."""
    return synth.Marginals(method=method) if method in ("mst", "aim", "network") else synth.generators.by_name(method)()


class Singles(synth.Marginals):
    """All of the budget on the columns by themselves."""

    def _fit_private(self, rows: Encoded, schema: Schema, access: Any, progress: Any) -> None:
        from synth.generators._exact_counts import ExactCounts, equal_parts
        from synth.generators._graphical_model import estimate

        domain, noise = access.domain, access.noise
        counts = ExactCounts(domain.encode(rows, schema), domain.sizes, domain.names, access.budget.rows_per_unit)
        costs = equal_parts(noise.allowance.left, len(domain.sizes), "the columns by themselves")
        self._measured = [counts.measure((column,), noise, cost) for column, cost in enumerate(costs)]
        self._model = estimate(domain.sizes, self._measured)
        self._domain, self._spent = domain, noise.allowance.spent


def tables(name: str, seed: int) -> tuple[Table, Table]:
    """Training and holdout rows under a schema in which all is declared."""
    about = TABLES[name]
    roles = {"target": about["target"], "sensitive": about["sensitive"]}
    parts = [synth.read(DATA / file, **roles) for file in (about["file"], about.get("test")) if file]
    schema = codebook(parts)
    again = [synth.read(part.arrow, schema=schema, check=False) for part in parts]
    if len(again) == 1:
        return again[0].split(holdout=0.3, seed=seed)
    return again[0], again[1]


def codebook(parts: Sequence[Table]) -> dict[str, Any]:
    """What a codebook would say of these columns."""
    columns: dict[str, Any] = {}
    for column in parts[0].schema.columns:
        seen = [part.schema.column(column.name) for part in parts]
        said: dict[str, Any] = {"kind": str(column.kind), "role": str(column.role)}
        said["nullable"] = any(part.column(column.name).null_count for part in parts)
        if column.kind in (Kind.CATEGORICAL, Kind.ORDINAL):
            said["categories"] = list(dict.fromkeys(level for each in seen for level in each.categories or ()))
        if column.kind.is_number:
            said |= {"minimum": min(c.minimum for c in seen), "maximum": max(c.maximum for c in seen)}  # type: ignore[type-var]
        if column.kind is Kind.DECIMAL:
            said["decimals"] = max(c.decimals or 0 for c in seen)
        if column.kind is Kind.DATETIME:
            said["unit"] = column.unit
        columns[column.name] = said
    return {"columns": columns}


if __name__ == "__main__":
    main()
