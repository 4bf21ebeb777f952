"""TVAE (Xu et al., "Modeling tabular data using conditional GAN", NeurIPS 2019), as SDV 2.x makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from synth.data.encoding import Encoded
from synth.data.schema import Schema
from synth.generators._sdv import Model, check_installed, whole
from synth.generators.base import Generator
from synth.progress import Progress

KIND = "TVAESynthesizer"


@dataclass
class SdvTvae(Generator):
    """SDV's TVAESynthesizer, for comparison: BUSL-1.1, in the extra `sdv`, for each user to accept."""

    epochs: int = 300  # passes over the rows, SDV's default
    batch_size: int = 500  # rows per step, SDV's default
    embedding_dim: int = 128  # width of the noise, SDV's default
    loss_factor: float = 2.0  # weight of the reconstruction beside the prior, SDV's default

    name: ClassVar[str] = "sdv-tvae"
    summary: ClassVar[str] = "SDV's TVAE; needs the extra sdv, whose licence (BUSL-1.1) is yours to accept"

    def _validate(self) -> None:
        whole("epochs", self.epochs, 1)
        whole("batch_size", self.batch_size, 2)
        whole("embedding_dim", self.embedding_dim, 1)
        check_installed(self.name)

    def _params(self) -> dict[str, Any]:
        return {"epochs": int(self.epochs), "batch_size": int(self.batch_size), "embedding_dim": int(self.embedding_dim), "loss_factor": float(self.loss_factor)}

    def _fit(self, rows: Encoded, schema: Schema, rng: np.random.Generator, progress: Progress) -> None:
        progress("fit", 0, 1)
        self._template = rows.take(np.arange(0))
        self._model = Model.fit(KIND, self._params(), rows, int(rng.integers(2**31)))
        progress("fit", 1, 1)

    def _sample(self, n: int, rng: np.random.Generator) -> Encoded:
        return self._model.sample(n, self._template, int(rng.integers(2**31)))

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return self._model.state, self._model.arrays

    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray], template: Encoded) -> None:
        check_installed(self.name)
        self._template = template
        self._model = Model.read(KIND, self._params(), template, state, arrays)
