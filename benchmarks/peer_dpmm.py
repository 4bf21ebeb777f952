"""dpmm's MST and AIM on cells that are handed over: run by `private_peers` where dpmm is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from dpmm.pipelines import AIMPipeline, MSTPipeline
from peer_job import work


def run(job: dict[str, Any], codes: pa.Table) -> tuple[Callable[[], None], Callable[[], pa.Table]]:
    """The method's settings as they are shipped, but for one process; its own cutting of numbers is left out."""
    rows = codes.to_pandas()
    domain = dict(zip(rows.columns, job["sizes"], strict=True))
    pipeline = {"aim": AIMPipeline, "mst": MSTPipeline}[job["method"]]
    model = pipeline(epsilon=job["epsilon"], delta=job["delta"], n_jobs=1, disable_processing=True)

    def draw() -> pa.Table:
        drawn = model.generate(n_records=job["rows"])[list(rows.columns)]
        return pa.Table.from_pandas(drawn.astype(np.int64), preserve_index=False)

    return lambda: model.fit(rows, domain=domain), draw


if __name__ == "__main__":
    work(run)
