"""SDV's single-table synthesizers behind the hooks of a generator: what its three methods share.

SDV and CTGAN are BUSL-1.1, which is not an open-source licence, and whoever installs the extra `synth[sdv]` accepts it for
themselves; nothing of ours is built on them. Written for SDV 2.x, by its own interface but for saving (`_sdv_state`) and for
seeds, which it does not take: the global generators are seeded in a scope that gives them back as they were.

What SDV sees are the learned columns: categories (and true and false) as codes, moments as numbers; keys, identifiers and text
are issued by `base`. Conditions are met by rejection, exactly; SDV's own draw the value that a category is turned into by
itself, without the rest of the row.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np

from synth.data.encoding import Encoded, EncodedColumn
from synth.data.schema import Schema
from synth.errors import MissingExtraError
from synth.generators._sdv_state import Reader, Writer
from synth.generators.base import Generator
from synth.progress import Progress

TABLE = "t"  # SDV's name for the only table
LICENCE = "its licence, BUSL-1.1, is for each user to accept"
PARTS = ("_dtypes", "formatters", "_hyper_transformer")  # what SDV's data processor learns
NETWORKS = {"CTGAN": "_generator", "TVAE": "decoder"}


def check_installed(method: str) -> None:
    """Raise MissingExtraError where SDV is not installed."""
    if find_spec("sdv") is None:
        raise MissingExtraError(f"{method} ({LICENCE})", "sdv", "sdv")


class SdvMethod(Generator):
    """A method of SDV's, but for its hyperparameters."""

    refusal: ClassVar[str] = (
        "SDV fits it to the rows as they are, and promises nothing about any of them; "
        "fit marginals, which learns from noisy counts"
    )

    needs: ClassVar[str] = "sdv"
    kind: ClassVar[str] = ""  # SDV's name for it

    def _fit(self, rows: Encoded, schema: Schema, rng: np.random.Generator, progress: Progress) -> None:
        progress("fit", 0, 1)
        self._template = rows.take(np.arange(0))
        self._model = Model.fit(self.kind, self.get_params(), rows, int(rng.integers(2**31)))
        progress("fit", 1, 1)

    def _sample(self, n: int, rng: np.random.Generator) -> Encoded:
        return self._model.sample(n, self._template, int(rng.integers(2**31)))

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return self._model.state, self._model.arrays

    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray], template: Encoded) -> None:
        check_installed(self.name)
        self._template = template
        self._model = Model.read(self.kind, self.get_params(), template, state, arrays)


class Model:
    """One of SDV's synthesizers, fitted or read back."""

    def __init__(self, synthesizer: Any, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.synthesizer = synthesizer
        self.state, self.arrays = state, arrays  # as they were after the fit: sampling moves batch norms and random states

    @classmethod
    def fit(cls, kind: str, params: Mapping[str, Any], rows: Encoded, seed: int) -> Model:
        """Fit a synthesizer of `sdv.single_table` with these parameters."""
        with _seeded(seed), _quiet():
            synthesizer = _synthesizer(kind, params, rows.columns)
            synthesizer.fit({TABLE: _frame(rows)})
        return cls(synthesizer, *_written(synthesizer))

    @classmethod
    def read(
        cls, kind: str, params: Mapping[str, Any], template: Encoded, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> Model:
        """The inverse of `state` and `arrays`."""
        with _seeded(0), _quiet():
            synthesizer = _synthesizer(kind, params, template.columns)
            _read_into(synthesizer, state, arrays)
        return cls(synthesizer, dict(state), dict(arrays))

    def sample(self, n: int, template: Encoded, seed: int) -> Encoded:
        """n encoded rows, the same for the same seed whatever was sampled before."""
        if n == 0:
            return template
        with _seeded(seed), _quiet():
            _reseed(self.synthesizer, seed)
            frame = self.synthesizer.sample(n)[TABLE]
        return template.with_values({column.name: _column(frame[str(k)], column) for k, column in enumerate(template.columns)})


# frames ----------------------------------------------------------------------------------------------------------------
# Columns are named by their place, so that no name of theirs can mean anything to SDV.


def _frame(rows: Encoded) -> Any:
    import pandas as pd

    columns = {}
    for k, column in enumerate(rows.columns):
        if column.is_category:
            codes = column.values.astype(str).astype(object)
            codes[column.null] = None
            columns[str(k)] = pd.Series(codes, dtype=object)
        else:
            whole_numbers = column.decimals == 0 and not column.null.any()
            columns[str(k)] = pd.Series(column.values.astype(np.int64) if whole_numbers else column.values)
    return pd.DataFrame(columns)


def _column(values: Any, column: EncodedColumn) -> np.ndarray:
    null = values.isna().to_numpy()
    if column.is_category:
        return np.asarray(values.where(~values.isna(), "-1").astype(np.int32).to_numpy())
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    if column.decimals is not None and column.decimals < 17:
        numbers = np.round(numbers, column.decimals)
    return np.where(null, np.nan, numbers)


def _synthesizer(kind: str, params: Mapping[str, Any], columns: tuple[EncodedColumn, ...]) -> Any:
    sdtypes = {str(k): {"sdtype": "categorical" if column.is_category else "numerical"} for k, column in enumerate(columns)}
    described = {"tables": {TABLE: {"columns": sdtypes}}, "relationships": []}
    metadata = import_module("sdv.metadata").Metadata.load_from_dict(described)
    return getattr(import_module("sdv.single_table"), kind)(metadata, **params)


# randomness ------------------------------------------------------------------------------------------------------------


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The global generators, seeded; afterwards they go on as if nothing had been drawn. On one thread of torch."""
    import torch

    before = random.getstate(), np.random.get_state(), torch.get_rng_state(), torch.get_num_threads()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - SDV draws from the global generators
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])
        torch.set_num_threads(before[3])


@contextmanager
def _quiet() -> Iterator[None]:
    """SDV warns of its metadata not being saved, and of what other libraries are about to change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _reseed(synthesizer: Any, seed: int) -> None:
    """Give every part of a synthesizer that draws a state of its own."""
    synthesizer._set_random_state(seed)
    transformers = [t for t in synthesizer._data_processor._hyper_transformer.field_transformers.values() if t is not None]
    learned = getattr(synthesizer._model, "_transformer", None) or getattr(synthesizer._model, "transformer", None)
    if learned is not None:
        transformers += [info.transform for info in learned._column_transform_info_list]
    for k, transformer in enumerate(transformers):
        states = (np.random.RandomState([seed, k, which]) for which in range(3))
        transformer.random_states = dict(zip(("fit", "transform", "reverse_transform"), states, strict=True))


# saving ----------------------------------------------------------------------------------------------------------------


def _written(synthesizer: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    writer = Writer()
    processor, model = synthesizer._data_processor, synthesizer._model
    state = {"processor": {part: writer.written(getattr(processor, part)) for part in PARTS}, "model": writer.written(model)}
    state["rows"] = int(getattr(synthesizer, "_num_rows", 0) or 0)
    arrays = writer.arrays
    network = NETWORKS.get(type(model).__name__)
    if network is not None:
        weights = getattr(model, network).state_dict()
        arrays |= {f"net.{name}": tensor.detach().cpu().numpy().copy() for name, tensor in weights.items()}
    return state, arrays


def _read_into(synthesizer: Any, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    reader = Reader(arrays)
    processor = synthesizer._data_processor
    for part in PARTS:
        setattr(processor, part, reader.read(state["processor"][part]))
    processor.fitted = processor._prepared_for_fitting = True
    model = synthesizer._model = reader.read(state["model"])
    synthesizer._num_rows = state["rows"]
    synthesizer._fitted = synthesizer._constraints_fitted = True
    kind = type(model).__name__
    if kind in NETWORKS:
        import torch

        model._device = torch.device("cpu")
        network = _network(kind, model)
        network.load_state_dict({n.removeprefix("net."): torch.tensor(a) for n, a in arrays.items() if n.startswith("net.")})
        setattr(model, NETWORKS[kind], network)
    else:
        model.random_state = None


def _network(kind: str, model: Any) -> Any:
    if kind == "CTGAN":
        given = model._embedding_dim + model._data_sampler.dim_cond_vec()
        return import_module("ctgan.synthesizers.ctgan").Generator(
            given, model._generator_dim, model._transformer.output_dimensions
        )
    return import_module("ctgan.synthesizers.tvae").Decoder(
        model.embedding_dim, model.decompress_dims, model.transformer.output_dimensions
    )
