"""What one of SDV's models has learned, as JSON values and arrays, and back: without pickle, which SDV itself saves with.

The attributes of a model's parts are written down one by one. A part is named by a word of KINDS and by nothing else, so that
reading a model can make no other object and runs none of its code; networks are their weights. Random states are not kept (each
sample is seeded anew), nor the row numbers by category that CTGAN trains from, which would give training rows away.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from synth.errors import GenerationError

KINDS = {  # every class of which a saved model may hold objects, by the word that stands for it
    "HyperTransformer": "rdt.hyper_transformer",
    "FloatFormatter": "rdt.transformers.numerical",
    "ClusterBasedNormalizer": "rdt.transformers.numerical",
    "UniformEncoder": "rdt.transformers.categorical",
    "OneHotEncoder": "rdt.transformers.categorical",
    "LabelEncoder": "rdt.transformers.categorical",
    "NullTransformer": "rdt.transformers.null",
    "NumericalFormatter": "sdv.data_processing.numerical_formatter",
    "GaussianMultivariate": "copulas.multivariate.gaussian",
    "BetaUnivariate": "copulas.univariate.beta",
    "GammaUnivariate": "copulas.univariate.gamma",
    "GaussianUnivariate": "copulas.univariate.gaussian",
    "TruncatedGaussian": "copulas.univariate.truncated_gaussian",
    "UniformUnivariate": "copulas.univariate.uniform",
    "CTGAN": "ctgan.synthesizers.ctgan",
    "TVAE": "ctgan.synthesizers.tvae",
    "DataTransformer": "ctgan.data_transformer",
    "DataSampler": "ctgan.data_sampler",
    "SpanInfo": "ctgan.data_transformer",
    "ColumnTransformInfo": "ctgan.data_transformer",
    "BayesianGaussianMixture": "sklearn.mixture",
}
LEFT_OUT = {"random_states", "random_state", "_rid_by_cat_cols", "loss_values", "_generator", "decoder", "_device"}


class Writer:
    """Values written down one by one; arrays are put aside, and what was met before is written as its number."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._seen: dict[int, int] = {}
        self._held: list[Any] = []  # so that no number is given twice

    def written(self, value: Any) -> Any:
        """The value as JSON. Raises GenerationError for an object of a class that is not among KINDS."""
        import pandas as pd

        if value is None or (isinstance(value, (bool, str, int)) and not isinstance(value, np.generic)):
            return value
        if isinstance(value, float) and not isinstance(value, np.generic):
            return value if math.isfinite(value) else {"float": str(value)}
        if isinstance(value, np.generic):
            return {"scalar": self.written(value.item()), "dtype": value.dtype.str}
        if isinstance(value, tuple) and type(value).__name__ in KINDS:
            return {"named": type(value).__name__, "items": [self.written(item) for item in value]}
        if isinstance(value, (list, tuple)):
            items = [self.written(item) for item in value]
            return items if isinstance(value, list) else {"tuple": items}
        if isinstance(value, (set, frozenset)):
            return {"set": [self.written(item) for item in sorted(value, key=repr)]}
        if isinstance(value, Mapping):
            return {"pairs": [[self.written(key), self.written(item)] for key, item in value.items()]}
        if isinstance(value, np.ndarray):
            return self._array(value)
        if isinstance(value, (pd.DataFrame, pd.Series, pd.Index)):
            return self._frame(value)
        if isinstance(value, np.dtype):
            return {"dtype_of": value.str}
        if isinstance(value, type):
            return {"class": _word(value)}
        return self._object(value)

    def _array(self, value: np.ndarray) -> Any:
        if value.dtype.hasobject:
            return {"items": [self.written(item) for item in value.tolist()], "shape": list(value.shape)}
        name = f"a{len(self.arrays)}"
        self.arrays[name] = value
        return {"array": name}

    def _frame(self, value: Any) -> Any:
        import pandas as pd

        if isinstance(value, pd.Index):
            return {"index": self.written(value.to_numpy()), "name": self.written(value.name)}
        labels = self.written(value.index)
        if isinstance(value, pd.Series):
            return {"series": self.written(value.to_numpy()), "labels": labels, "name": self.written(value.name)}
        return {"frame": self.written(value.to_numpy()), "labels": labels, "columns": self.written(value.columns)}

    def _object(self, value: Any) -> Any:
        if id(value) in self._seen:
            return {"same": self._seen[id(value)]}
        number = self._seen[id(value)] = len(self._held)
        self._held.append(value)
        kept = {name: item for name, item in vars(value).items() if name not in LEFT_OUT and _is_data(item)}
        return {
            "object": _word(type(value)),
            "number": number,
            "has": {name: self.written(item) for name, item in sorted(kept.items())},
        }


def _is_data(value: Any) -> bool:
    """Whether it is learned: functions come with the class."""
    return not callable(value) or (isinstance(value, type) and value.__name__ in KINDS) or type(value).__name__ in KINDS


def _word(kind: type) -> str:
    if kind.__name__ not in KINDS:
        raise GenerationError(
            f"SDV's model holds a {kind.__module__}.{kind.__qualname__}, which cannot be saved without pickle: this version of "
            "SDV is not known; install the one that synth's constraints name"
        )
    return kind.__name__


class Reader:
    """The inverse of `Writer`: makes objects of KINDS and of nothing else."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = arrays
        self._made: dict[int, Any] = {}

    def read(self, value: Any) -> Any:
        """What `Writer.written` wrote. Raises KeyError or ValueError for what it cannot have written."""
        if isinstance(value, list):
            return [self.read(item) for item in value]
        if not isinstance(value, dict):
            return value
        for mark, make in self._MARKS.items():
            if mark in value:
                return make(self, value)
        raise ValueError(f"an unknown part of a model: {sorted(value)}")

    def _scalar(self, value: dict[str, Any]) -> Any:
        return np.dtype(value["dtype"]).type(self.read(value["scalar"]))

    def _items(self, value: dict[str, Any]) -> Any:
        flat = np.empty(len(value["items"]) if len(value["shape"]) == 1 else value["shape"], dtype=object)
        if flat.ndim == 1:
            flat[:] = [self.read(item) for item in value["items"]]
            return flat
        for at in np.ndindex(*value["shape"]):
            item = value["items"]
            for place in at:
                item = item[place]
            flat[at] = self.read(item)
        return flat

    def _frame(self, value: dict[str, Any]) -> Any:
        import pandas as pd

        return pd.DataFrame(self.read(value["frame"]), self.read(value["labels"]), self.read(value["columns"]))

    def _series(self, value: dict[str, Any]) -> Any:
        import pandas as pd

        return pd.Series(self.read(value["series"]), self.read(value["labels"]), name=self.read(value["name"]))

    def _index(self, value: dict[str, Any]) -> Any:
        import pandas as pd

        return pd.Index(self.read(value["index"]), name=self.read(value["name"]))

    def _object(self, value: dict[str, Any]) -> Any:
        kind = _class(value["object"])
        made = self._made[value["number"]] = kind.__new__(kind)
        for name, item in value["has"].items():
            made.__dict__[name] = self.read(item)
        return made

    _MARKS: Mapping[str, Any] = {
        "float": lambda self, value: float(value["float"]),
        "scalar": _scalar,
        "named": lambda self, value: _class(value["named"])(*self.read(value["items"])),
        "tuple": lambda self, value: tuple(self.read(value["tuple"])),
        "set": lambda self, value: set(self.read(value["set"])),
        "pairs": lambda self, value: {self.read(key): self.read(item) for key, item in value["pairs"]},
        "array": lambda self, value: self.arrays[value["array"]],
        "items": _items,
        "frame": _frame,
        "series": _series,
        "index": _index,
        "dtype_of": lambda self, value: np.dtype(value["dtype_of"]),
        "class": lambda self, value: _class(value["class"]),
        "same": lambda self, value: self._made[value["same"]],
        "object": _object,
    }


def _class(word: str) -> Any:
    return getattr(importlib.import_module(KINDS[word]), word)
