"""SDV's single-table methods behind `fit` and `sample`, for comparison. SDV is BUSL-1.1, and nothing of ours is built on it.

SDV 2.x, imported only where one of its methods is asked for.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from synth.data.table import Table

if TYPE_CHECKING:
    from benchmarks.cells import Setting

METHODS = {
    "sdv-copula": "GaussianCopulaSynthesizer",
    "sdv-ctgan": "CTGANSynthesizer",
    "sdv-tvae": "TVAESynthesizer",
}
TABLE = "table"  # SDV's name for the only table
LEARNED = {"categorical", "ordinal", "numerical", "boolean", "datetime"}  # what SDV models; other columns it makes up


class Sdv:
    """One of SDV's methods with its defaults, told by SDV's own detection what the columns are.

    Detection takes some learned columns for identifiers, whose values SDV would make up: those are set right by our schema.
    """

    def __init__(self, setting: Setting) -> None:
        import sdv.single_table

        self.kind = getattr(sdv.single_table, METHODS[setting.generator])
        self.params = dict(setting.params)

    def about(self) -> dict[str, Any]:
        versions = {name: importlib.metadata.version(name) for name in ("sdv", "ctgan", "copulas", "torch")}
        default = inspect.signature(self.kind).parameters.get("epochs")
        return versions if default is None else versions | {"epochs": self.params.get("epochs", default.default)}

    def fit(self, train: Table, seed: int) -> None:
        """Fit with the global generators seeded, since SDV takes no seed."""
        import torch

        np.random.seed(seed)  # noqa: NPY002 - SDV reads the global generator
        torch.manual_seed(seed)
        frame = train.to_pandas()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it advises to save the metadata
            self.model = self.kind(_metadata(train, frame), **self.params)
            self.model.fit({TABLE: frame})

    def sample(self, n: int, seed: int) -> pa.Table:
        return pa.Table.from_pandas(self.model.sample(n)[TABLE], preserve_index=False)


def _metadata(train: Table, frame: Any) -> Any:
    from sdv.metadata import Metadata

    found = Metadata.detect_from_dataframes({TABLE: frame})
    detected = found.to_dict()["tables"][TABLE]["columns"]
    for column in train.schema.columns:
        kind = detected[column.name]["sdtype"]
        if column.is_learned and kind not in LEARNED:
            found.update_column(column.name, TABLE, sdtype="categorical" if column.kind.is_category else "numerical")
        elif not column.is_learned and kind != "id":
            found.update_column(column.name, TABLE, sdtype="id")
    return found
