"""OpenDP's own MST and AIM on cells that are handed over: run by `private_peers` where opendp[mbi] is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import opendp.prelude as dp
import polars as pl
import pyarrow as pa
from mbi import MarkovRandomField, junction_tree
from peer_job import work

dp.enable_features("contrib")
STEP = 1e-6  # by which a budget is made less that it cannot divide
LEAST = 1 - 2e-5  # of the budget, then it is given up


def whole_cliques(model: MarkovRandomField) -> MarkovRandomField:
    """The same model over the cliques of its junction tree.

    The mbi that OpenDP 0.16 asks for, 1.1.0, has two faults of drawing, which mbi 2 has mended (its pull request 145): columns
    that are in no measured clique together are drawn apart, and "round", as shipped, lines them up by rank, so that pairs come
    out worse than those of unrelated columns. Whole cliques, and drawing by "sample", keep clear of both.
    """
    tree, _ = junction_tree.make_junction_tree(model.domain, [set(clique) for clique in model.cliques])
    return dataclasses.replace(model, potentials=model.potentials.expand(list(tree.nodes)))


def run(job: dict[str, Any], codes: pa.Table) -> tuple[Callable[[], None], Callable[[], pa.Table]]:
    """All cells are declared, so that nothing is bought; with the method's other settings as they are shipped."""
    rows = pl.from_arrow(codes).lazy()
    keys = {str(place): list(range(size)) for place, size in enumerate(job["sizes"])}
    method = dp.mbi.AIM() if job["method"] == "aim" else dp.mbi.MST()
    released: list[Any] = []

    def fit() -> None:
        rho = job["rho"]
        while not released:
            privacy = {"privacy_unit": dp.unit_of(contributions=1), "privacy_loss": dp.loss_of(rho=rho)}
            context = dp.Context.compositor(data=rows, **privacy)
            try:
                released.append(context.query(rho=rho).contingency_table(keys=keys, algorithm=method).release())
            except dp.OpenDPException as problem:  # its parts of some budgets add up to the last digit more than the whole
                if "insufficient budget" not in str(problem) or rho < LEAST * job["rho"]:
                    raise
                rho *= 1 - STEP

    def draw() -> pa.Table:
        found = released[0]
        found.model = whole_cliques(found.model)
        # it has a cell for null beside those declared, which noise alone fills: such a value is the column's first
        return found.synthesize(rows=job["rows"], method="sample").fill_null(0).to_arrow()

    return fit, draw


if __name__ == "__main__":
    work(run)
