"""CTGAN (Xu et al., "Modeling tabular data using conditional GAN", NeurIPS 2019), as SDV 2.x makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from synth.data.encoding import Encoded
from synth.data.schema import Schema
from synth.errors import ConfigError
from synth.generators._sdv import Model, check_installed, whole
from synth.generators.base import Generator
from synth.progress import Progress

KIND = "CTGANSynthesizer"


@dataclass
class SdvCtgan(Generator):
    """SDV's CTGANSynthesizer, for comparison: BUSL-1.1, in the extra `sdv`, for each user to accept."""

    epochs: int = 300  # passes over the rows, SDV's default
    batch_size: int = 500  # rows per step, SDV's default: a multiple of 10
    embedding_dim: int = 128  # width of the noise, SDV's default
    discriminator_steps: int = 1  # of the critic, for each of the generator; SDV's default

    name: ClassVar[str] = "sdv-ctgan"
    summary: ClassVar[str] = "SDV's CTGAN; needs the extra sdv, whose licence (BUSL-1.1) is yours to accept"
    needs: ClassVar[str] = "sdv"

    def _validate(self) -> None:
        check_installed(self.name)
        whole("epochs", self.epochs, 1)
        whole("batch_size", self.batch_size, 10)
        whole("embedding_dim", self.embedding_dim, 1)
        whole("discriminator_steps", self.discriminator_steps, 1)
        if self.batch_size % 10:
            raise ConfigError(f"batch_size is {self.batch_size}; give a multiple of 10, the rows that CTGAN judges together")

    def _params(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

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
