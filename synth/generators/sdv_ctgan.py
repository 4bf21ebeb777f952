"""CTGAN (Xu et al., "Modeling tabular data using conditional GAN", NeurIPS 2019), as SDV 2.x makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from synth.errors import ConfigError
from synth.generators._hyperparameters import whole_number
from synth.generators._sdv import SdvMethod, check_installed


@dataclass
class SdvCtgan(SdvMethod):
    """SDV's CTGANSynthesizer, for comparison: BUSL-1.1, in the extra `sdv`, for each user to accept."""

    epochs: int = 300  # passes over the rows, SDV's default
    batch_size: int = 500  # rows per step, SDV's default: a multiple of 10
    embedding_dim: int = 128  # width of the noise, SDV's default
    discriminator_steps: int = 1  # of the critic, for each of the generator; SDV's default

    name: ClassVar[str] = "sdv-ctgan"
    summary: ClassVar[str] = "SDV's CTGAN; needs the extra sdv, whose licence (BUSL-1.1) is yours to accept"
    kind: ClassVar[str] = "CTGANSynthesizer"

    def _validate(self) -> None:
        check_installed(self.name)
        whole_number("epochs", self.epochs, 1)
        whole_number("batch_size", self.batch_size, 10)
        whole_number("embedding_dim", self.embedding_dim, 1)
        whole_number("discriminator_steps", self.discriminator_steps, 1)
        if self.batch_size % 10:
            raise ConfigError(f"batch_size is {self.batch_size}; give a multiple of 10, the rows that CTGAN judges together")
