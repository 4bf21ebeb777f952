"""One cell of a benchmark, in a process of its own: a generator makes rows of a table, or its rows are measured.

    python -m benchmarks.cells make FOLDER        reads job.json; writes begun.json, made.json and rows.parquet
    python -m benchmarks.cells measure FOLDER     reads job.json and rows.parquet; writes measured.json

The two are apart so that seconds and peak memory are those of the generator alone, and so that rows of a method that lives in
another environment are measured by the same code as ours.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import synth
from synth.data.table import Table
from synth.generators import create

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("SYNTH_DATA", ROOT / ".." / "shared" / "data"))
HOLDOUT = 0.3  # share of the rows where there is no official split
FIGURES = (
    "fidelity.shape",
    "fidelity.trend",
    "fidelity.detection",
    "utility.tstr",
    "privacy.membership_auc",
    "privacy.membership_tpr",
    "privacy.exact_copies",
    "privacy.near_copies",
)
LIBRARIES = ("numpy", "scikit-learn", "imbalanced-learn")  # of whose versions a method's figures and seconds may depend
SDV = ("sdv-copula", "sdv-ctgan", "sdv-tvae")  # the methods that need SDV, with these libraries of its
SDV_LIBRARIES = ("sdv", "ctgan", "copulas", "torch")


@dataclass(frozen=True)
class Case:
    """A real table: its training file, its test file (None: split by the seed) and the roles of its columns."""

    train: str
    test: str | None = None
    roles: Mapping[str, Any] = field(default_factory=dict)

    def tables(self, seed: int) -> tuple[Table, Table]:
        """Training and holdout rows. The seed governs the split, except where an official one is there."""
        train: Table = synth.read(DATA / self.train, **self.roles)
        if self.test is None:
            return train.split(holdout=HOLDOUT, seed=seed)
        return train, synth.read(DATA / self.test, schema=train.schema)


@dataclass(frozen=True)
class Setting:
    """A generator with hyperparameters, under the name that the page gives it."""

    label: str
    generator: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """What is run once. `made_by` and `measured_by` say which code does it: other code is another cell."""

    table: str
    case: Case
    setting: Setting
    seed: int
    made_by: str
    measured_by: str

    def key(self, step: str) -> str:
        """What tells this cell's step from all others, in 16 hex digits."""
        facts = asdict(self)
        if step == "make":
            del facts["measured_by"]
        return hashlib.sha256(json.dumps([step, facts], sort_keys=True).encode()).hexdigest()[:16]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Cell:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return cls(**facts | {"case": Case(**facts["case"]), "setting": Setting(**facts["setting"])})


class Maker:
    """A method of `synth.generators`. Raises MissingExtraError for one of SDV's where that is not installed."""

    def __init__(self, setting: Setting) -> None:
        self.model = create(setting.generator, setting.params)

    def about(self) -> dict[str, Any]:
        """Versions, and settings that a reader would ask for."""
        libraries = SDV_LIBRARIES if self.model.name in SDV else LIBRARIES
        epochs = {"epochs": self.model.get_params()["epochs"]} if "epochs" in self.model.get_params() else {}
        return {name: importlib.metadata.version(name) for name in libraries} | epochs

    def fit(self, train: Table, seed: int) -> None:
        self.model.fit(train, seed=seed)

    def sample(self, n: int, seed: int) -> pa.Table:
        return self.model.sample_table(n, seed=seed).arrow


def make(folder: Path) -> None:
    """Fit, draw as many rows as there are training rows, and tell what it cost: imports and reading are not counted."""
    cell = Cell.read(folder / "job.json")
    method = Maker(cell.setting)
    about = {"python": platform.python_version(), "synth": synth.__version__, **method.about()}
    _write(folder / "begun.json", {"about": about})
    train, holdout = cell.case.tables(cell.seed)
    sizes = {"rows": len(train), "holdout": len(holdout), "columns": len(train.schema)}
    del holdout
    cost: dict[str, float] = {"before": peak_memory(), "load": os.getloadavg()[0]}
    cpu, started = cpu_seconds(), time.perf_counter()
    method.fit(train, cell.seed)
    fitted = time.perf_counter()
    rows = method.sample(len(train), cell.seed)
    sampled = time.perf_counter()
    cost |= {"fit": fitted - started, "sample": sampled - fitted, "cpu": cpu_seconds() - cpu, "peak": peak_memory()}
    pq.write_table(rows, folder / "rows.parquet")
    _write(folder / "made.json", {"about": about, "sizes": sizes, "cost": cost})


def measure(folder: Path) -> None:
    """Measure the rows on one thread, so that two cells can be measured side by side."""
    cell = Cell.read(folder / "job.json")
    train, holdout = cell.case.tables(cell.seed)
    rows = pq.read_table(folder / "rows.parquet")
    found = synth.evaluate(train, holdout, rows, seed=cell.seed, only=FIGURES, workers=1)
    figures = {m.name: m.to_dict() | {"detail": {}, "unit": m.detail.get("metric", "")} for m in found}
    _write(folder / "measured.json", {"figures": figures})


def _write(path: Path, facts: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(facts, allow_nan=False), encoding="utf-8")


def cpu_seconds() -> float:
    """Seconds of CPU that this process, all its threads and the processes that it waited for have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def peak_memory() -> int:
    """The most memory that this process has held so far, in bytes.

    On Linux from its own account: `ru_maxrss` starts at what the process that started this one held.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    {"make": make, "measure": measure}[sys.argv[1]](Path(sys.argv[2]))
