"""Private methods of other libraries, each in an environment of its own: what they are given, and what comes back.

    python -m venv peer-dpmm && peer-dpmm/bin/pip install dpmm==0.1.9 pyarrow
    python -m venv peer-opendp && peer-opendp/bin/pip install "opendp[mbi]==0.16.0" pyarrow
    python -m benchmarks.private Adult --methods aim,dpmm-aim,opendp-aim \\
        --peers dpmm=peer-dpmm/bin/python,opendp=peer-opendp/bin/python       (or SYNTH_PEERS)

Two environments, since dpmm pins an older OpenDP. Both libraries are given the cells that ours works on: the codebook's, and
for numbers the bins that a tenth of the budget bought, with the other nine tenths to spend (as ρ, or as the ε that it is at δ);
their rows come back as cells, and values within these are drawn as ours are. So the methods are compared, and not how numbers
are cut, for which OpenDP wants public points. All else is as they ship it, but for two faults of drawing that OpenDP's mbi has
since mended (`peer_opendp`).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import synth
from benchmarks.cells import ROOT
from synth.data.encoding import Encoded
from synth.data.schema import Schema
from synth.data.table import Table
from synth.privacy.accounting import zcdp_epsilon


@dataclass(frozen=True)
class Peer:
    """A method of another library. script: what runs in its environment, a file beside this one that needs none of ours."""

    library: str
    method: str
    script: str
    needs: str

    @property
    def how_to_install(self) -> str:
        """What to do where it is asked for and no environment is named."""
        return (
            f"{self.library}'s methods run in an environment of their own: python -m venv peer-{self.library}, "
            f"peer-{self.library}/bin/pip install {self.needs},\n"
            f"then give --peers {self.library}=peer-{self.library}/bin/python"
        )


PEERS = {
    f"{library}-{method}": Peer(library, method, f"peer_{library}.py", needs)
    for library, needs in (("dpmm", "dpmm==0.1.9 pyarrow"), ("opendp", '"opendp[mbi]==0.16.0" pyarrow'))
    for method in ("mst", "aim")
}


def pythons(said: str) -> dict[str, str]:
    """The interpreter of each library, from LIBRARY=PYTHON,…; exits where one is no library of a peer, or not there."""
    found = dict(part.split("=", 1) if "=" in part else (part, "") for part in said.split(",") if part)
    libraries = {peer.library for peer in PEERS.values()}
    for library, python in found.items():
        if library not in libraries or not os.access(python, os.X_OK):
            raise SystemExit(
                f"--peers has {library}={python}; give {' or '.join(sorted(libraries))}, and its interpreter's path"
            )
    return found


def made_by_peer(
    method: str, train: Table, budget: synth.Budget, pythons: Mapping[str, str], folder: Path
) -> tuple[Table, dict[str, float]]:
    """Rows of a peer's method, and what they cost it."""
    model = Elsewhere(peer=method, python=pythons[PEERS[method].library], folder=str(folder))
    model.fit(train, budget=budget, dataset=method)
    return model.sample(len(train)), json.loads((folder / "costs.json").read_text(encoding="utf-8"))


@dataclass
class Elsewhere(synth.Marginals):
    """A peer's method behind our domain: it is fitted, and its rows are drawn, in another process."""

    peer: str = ""  # its key in PEERS
    python: str = ""  # the interpreter of its environment
    folder: str = ""  # where what is handed over lies

    def _fit_private(self, rows: Encoded, schema: Schema, access: Any, progress: Any) -> None:
        peer, folder = PEERS[self.peer], Path(self.folder)
        domain, allowance = access.domain, access.noise.allowance
        codes = domain.encode(rows, schema)
        rho = allowance.left / 1e6
        job = {
            "method": peer.method,
            "sizes": list(domain.sizes),
            "rows": len(codes),
            "rho": rho,
            "epsilon": zcdp_epsilon(rho, access.budget.delta),
            "delta": access.budget.delta,
        }
        allowance.spend(allowance.left, f"{peer.library} {peer.method}")
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        pq.write_table(_table(codes), folder / "codes.parquet")
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [self.python, str(ROOT / "benchmarks" / peer.script), self.folder]
        done = subprocess.run(command, env=clean, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{peer.library}: {' '.join(done.stderr.split())[-150:]}")  # its last lines, as one
        drawn = pq.read_table(folder / "drawn.parquet")
        self._drawn = np.column_stack([drawn[str(place)].to_numpy() for place in range(len(domain.sizes))]).astype(np.int32)
        self._domain = domain

    def _sample(self, n: int, rng: np.random.Generator) -> Encoded:
        if n != len(self._drawn):
            raise RuntimeError(f"{len(self._drawn)} rows came back, and {n} were to")
        return self._domain.decode(self._drawn, rng)

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"domain": self._domain.to_dict()}, {"drawn": self._drawn}


def _table(codes: np.ndarray) -> pa.Table:
    return pa.table({str(place): codes[:, place] for place in range(codes.shape[1])})
