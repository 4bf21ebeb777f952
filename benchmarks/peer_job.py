"""What every peer's script does around its library's two calls: read the job, time it, write the rows. Runs without synth."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


def work(run: Callable[[dict[str, Any], Any], tuple[Callable[[], None], Callable[[], Any]]]) -> None:
    """Fit and draw in the folder that the command names. run: from the job and its codes, an Arrow table, to what fits and
    what then draws an Arrow table of codes."""
    folder = Path(sys.argv[1])
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    fit, draw = run(job, pq.read_table(folder / "codes.parquet"))
    cpu, begun = _cpu(), time.perf_counter()
    fit()
    fitted = time.perf_counter()
    rows = draw()
    costs = {"fit": fitted - begun, "sample": time.perf_counter() - fitted, "cpu": _cpu() - cpu}
    pq.write_table(rows, folder / "drawn.parquet")
    costs["peak"] = _peak()
    (folder / "costs.json").write_text(json.dumps(costs), encoding="utf-8")


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _peak() -> int:
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
