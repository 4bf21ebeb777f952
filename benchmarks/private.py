"""What a privacy budget buys: every private method at several ε, against independent columns and real rows.

    python -m benchmarks.private [TABLE …] [--methods independent,mst,aim] [--epsilons 0.5,1,3,10] [--seeds 5] [--again]

Writes private.md and private.svg under reports/benchmarks. Needs the real tables (SYNTH_DATA names their folder). Each cell is
a process of its own, so that its peak memory is its own; what is finished is kept in a state file, and an interrupted run goes
on where it stopped.

δ is 1e-5, the unit a row. Kinds, categories, bounds and nullability are taken as public, as a codebook gives them: here they
are read off all rows of the table, training and test. A tenth of the budget goes on bins of the numbers. The split is the
official one of Adult, else 30% held out by the seed; noise has no seed. `independent` has the same domain, and all of the rest
of the budget on its single columns.

TVD is the mean total variation between the tables of 2 or 3 columns of the synthetic and of the training rows, numbers cut at
twenty quantiles of the training rows; of more than 400 sets of columns a seeded sample is taken. Worst group: the same for
single columns within the group of a sensitive column (of at least 1% of the rows) where it is largest. TSTR is the AUC (of more
than two classes its mean, of a number R²) of boosted trees trained on synthetic and tested on held-out rows. Found: members
that the strongest attack finds at 1% false alarms, for the first seed, beside the most that (ε, δ) allows.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

import synth
from benchmarks.cells import DATA, ROOT
from synth.data.encoding import Encoded, encode
from synth.data.schema import Kind, Schema
from synth.data.table import Table

TABLES: dict[str, dict[str, Any]] = {
    "Adult": {"file": "adult_train.parquet", "test": "adult_test.parquet", "target": "income", "sensitive": ["sex", "race"]},
    "SDNist": {"file": "sdnist_national2019.parquet", "target": "PINCP_DECILE", "sensitive": ["SEX", "RAC1P"]},
    "Bank": {"file": "bank_marketing.parquet", "target": "y", "sensitive": ["marital"]},
    "Default": {"file": "default_credit.parquet", "target": "default payment next month", "sensitive": ["SEX"]},
}
METHODS = ("independent", "mst", "aim")
EPSILONS = (0.5, 1.0, 3.0, 10.0)
DELTA = 1e-5
MOST_SETS = 400
CUTS = 20
STATE = ROOT / "reports" / "runs" / "private.jsonl"
OUT = ROOT / "reports" / "benchmarks"
LIMIT = 1_500  # seconds of a cell


def main() -> None:
    """Run what is not in the state file, and write the page."""
    if len(sys.argv) > 1 and sys.argv[1] == "cell":
        print(json.dumps(cell(*sys.argv[2:4], float(sys.argv[4]), int(sys.argv[5]))))
        return
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("tables", nargs="*", default=[], metavar="TABLE")
    reader.add_argument("--methods", default=",".join(METHODS))
    reader.add_argument("--epsilons", default=",".join(f"{epsilon:g}" for epsilon in EPSILONS))
    reader.add_argument("--seeds", type=int, default=5)
    reader.add_argument("--again", action="store_true", help="forget what is in the state file")
    reader.add_argument("--state", type=Path, default=STATE)
    reader.add_argument("--out", type=Path, default=OUT)
    asked = reader.parse_args()
    if asked.again:
        asked.state.unlink(missing_ok=True)
    methods, epsilons = asked.methods.split(","), [float(epsilon) for epsilon in asked.epsilons.split(",")]
    cells = [(t, m, e, s) for t in asked.tables or TABLES for s in range(asked.seeds) for e in epsilons for m in methods]
    done = known(asked.state)
    for place, one in enumerate(cells, 1):
        if one not in done:
            run(one, asked.state)
            print(f"{place}/{len(cells)} {' '.join(map(str, one))}", file=sys.stderr, flush=True)
    command = f"python -m benchmarks.private {' '.join(asked.tables)} --methods {asked.methods} --seeds {asked.seeds}"
    from benchmarks.private_page import write_page

    write_page(asked.out, [found for key, found in known(asked.state).items() if key in set(cells)], command)


def known(state: Path) -> dict[tuple[str, str, float, int], dict[str, Any]]:
    """The cells that are finished."""
    lines = state.read_text(encoding="utf-8").splitlines() if state.is_file() else []
    found = [json.loads(line) for line in lines if line.endswith("}")]
    return {(each["table"], each["method"], each["epsilon"], each["seed"]): each for each in found}


def run(one: tuple[str, str, float, int], state: Path) -> None:
    """Run a cell in a process and add its line to the state file; a crash or a cell that overruns says so there."""
    table, method, epsilon, seed = one
    said: dict[str, Any] = {"table": table, "method": method, "epsilon": epsilon, "seed": seed}
    command = [sys.executable, "-m", "benchmarks.private", "cell", table, method, str(epsilon), str(seed)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT)
        said |= json.loads(done.stdout) if done.returncode == 0 else {"failed": done.stderr.strip().splitlines()[-1][:160]}
    except subprocess.TimeoutExpired:
        said |= {"failed": f"took over {LIMIT} s"}
    state.parent.mkdir(parents=True, exist_ok=True)
    with state.open("a", encoding="utf-8") as file:
        file.write(json.dumps(said) + "\n")


def cell(name: str, method: str, epsilon: float, seed: int) -> dict[str, Any]:
    """Fit, draw as many rows as there are training rows, and measure."""
    train, holdout = tables(name, seed)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SYNTH_HOME"] = folder  # a ledger of its own: benchmarks of public tables spend nobody's budget
        begun = time.perf_counter()
        if method == "real":
            fake, fit, draw = holdout, 0.0, 0.0
        else:
            model = Singles() if method == "independent" else private(method)
            model.fit(train, budget=synth.Budget(epsilon, DELTA), dataset=name)
            fit = time.perf_counter() - begun
            fake = model.sample(len(train), seed=seed)
            draw = time.perf_counter() - begun - fit
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    only = ["fidelity.shape", "utility.tstr", *(["privacy.membership_tpr"] if seed == 0 and method != "real" else [])]
    measured = {m.name: m.score for m in synth.evaluate(train, holdout, fake, only=only) if not m.columns and m.group is None}
    scores = {key: None if score is None else [score.value, score.low, score.high] for key, score in measured.items()}
    errors = {f"tvd{ways}": tvd(train, fake, ways) for ways in (2, 3)}
    costs = {"fit": fit, "sample": draw, "peak": peak}
    return {**costs, **errors, "group": worst_group(train, fake), **scores}


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


def tvd(train: Table, fake: Table, ways: int) -> float:
    """Mean total variation of the tables of so many columns."""
    codes, sizes = cut(train, fake)
    sets = list(combinations(range(len(sizes)), ways))
    if len(sets) > MOST_SETS:
        sets = [sets[i] for i in np.random.default_rng(0).permutation(len(sets))[:MOST_SETS]]
    return float(np.mean([_apart([side[:, list(few)] for side in codes], [sizes[i] for i in few]) for few in sets]))


def worst_group(train: Table, fake: Table) -> float:
    """The largest mean total variation of single columns within a group of a sensitive column."""
    codes, sizes = cut(train, fake)
    names = [column.name for column in train.schema.learned]
    worst = 0.0
    for column in train.schema.sensitive:
        place = names.index(column.name)
        for level in range(sizes[place]):
            inside = [side[side[:, place] == level] for side in codes]
            if len(inside[0]) < 0.01 * len(codes[0]):
                continue
            if not len(inside[1]):
                return 1.0
            each = [_apart([s[:, [i]] for s in inside], [sizes[i]]) for i in range(len(sizes)) if i != place]
            worst = max(worst, float(np.mean(each)))
    return worst


def cut(train: Table, fake: Table) -> tuple[list[np.ndarray], list[int]]:
    """Both tables as codes, int64 of shape (rows, columns), and how many each column has."""
    sides, codes, sizes = [encode(train), encode(Table(fake.arrow, train.schema))], [[], []], []
    for name in sides[0]:
        values = [side[name].values for side in sides]
        if sides[0][name].is_category:
            cells = [part.astype(np.int64) + 1 for part in values]
            sizes.append(int(sides[0][name].levels or 0) + 1)
        else:
            edges = np.unique(np.nanquantile(values[0], np.linspace(0, 1, CUTS + 1)[1:-1]))
            cells = [np.where(np.isnan(v), 0, np.searchsorted(edges, v, side="right") + 1) for v in values]
            sizes.append(len(edges) + 2)
        for side, part in zip(codes, cells, strict=True):
            side.append(part)
    return [np.column_stack(side) for side in codes], sizes


def _apart(sides: Sequence[np.ndarray], sizes: Sequence[int]) -> float:
    whole = math.prod(sizes)
    flat = [np.ravel_multi_index(tuple(side.T), tuple(sizes)) for side in sides]
    shares = [np.bincount(each, minlength=whole) / len(each) for each in flat]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


if __name__ == "__main__":
    main()
