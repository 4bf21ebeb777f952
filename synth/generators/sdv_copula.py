"""SDV's Gaussian copula (Patki, Wedge and Veeramachaneni, "The Synthetic Data Vault", DSAA 2016), as SDV 2.x makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from synth.data.encoding import Encoded
from synth.data.schema import Schema
from synth.errors import ConfigError
from synth.generators._sdv import Model, check_installed
from synth.generators.base import Generator
from synth.progress import Progress

KIND = "GaussianCopulaSynthesizer"
Distribution = Literal["beta", "norm", "truncnorm", "uniform", "gamma"]  # not gaussian_kde, which keeps the training rows


@dataclass
class SdvCopula(Generator):
    """SDV's GaussianCopulaSynthesizer, for comparison: BUSL-1.1, in the extra `sdv`, for each user to accept."""

    default_distribution: Distribution = "beta"  # the shape of every margin, SDV's default

    name: ClassVar[str] = "sdv-copula"
    summary: ClassVar[str] = "SDV's Gaussian copula; needs the extra sdv, whose licence (BUSL-1.1) is yours to accept"
    needs: ClassVar[str] = "sdv"

    def _validate(self) -> None:
        check_installed(self.name)
        if self.default_distribution not in get_args(Distribution):
            known = ", ".join(get_args(Distribution))
            raise ConfigError(f"default_distribution is {self.default_distribution!r}; give one of {known}")

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
