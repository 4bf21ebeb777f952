"""SDV's Gaussian copula (Patki, Wedge and Veeramachaneni, "The Synthetic Data Vault", DSAA 2016), as SDV 2.x makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from synth.errors import ConfigError
from synth.generators._sdv import SdvMethod, check_installed

Distribution = Literal["beta", "norm", "truncnorm", "uniform", "gamma"]  # not gaussian_kde, which keeps the training rows


@dataclass
class SdvCopula(SdvMethod):
    """SDV's GaussianCopulaSynthesizer, for comparison: BUSL-1.1, in the extra `sdv`, for each user to accept."""

    default_distribution: Distribution = "beta"  # the shape of every margin, SDV's default

    name: ClassVar[str] = "sdv-copula"
    summary: ClassVar[str] = "SDV's Gaussian copula; needs the extra sdv, whose licence (BUSL-1.1) is yours to accept"
    kind: ClassVar[str] = "GaussianCopulaSynthesizer"

    def _validate(self) -> None:
        check_installed(self.name)
        if self.default_distribution not in get_args(Distribution):
            known = ", ".join(get_args(Distribution))
            raise ConfigError(f"default_distribution is {self.default_distribution!r}; give one of {known}")
