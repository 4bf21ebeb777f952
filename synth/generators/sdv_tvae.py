"""TVAE (Xu et al., "Modeling tabular data using conditional GAN", NeurIPS 2019), as SDV 2.x makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from synth.generators._hyperparameters import real_number, whole_number
from synth.generators._sdv import SdvMethod, check_installed


@dataclass
class SdvTvae(SdvMethod):
    """SDV's TVAESynthesizer, for comparison: BUSL-1.1, in the extra `sdv`, for each user to accept."""

    epochs: int = 300  # passes over the rows, SDV's default
    batch_size: int = 500  # rows per step, SDV's default
    embedding_dim: int = 128  # width of the noise, SDV's default
    loss_factor: float = 2.0  # weight of the reconstruction beside the prior, SDV's default

    name: ClassVar[str] = "sdv-tvae"
    summary: ClassVar[str] = "SDV's TVAE; needs the extra sdv, whose licence (BUSL-1.1) is yours to accept"
    kind: ClassVar[str] = "TVAESynthesizer"

    def _validate(self) -> None:
        check_installed(self.name)
        whole_number("epochs", self.epochs, 1)
        whole_number("batch_size", self.batch_size, 2)
        whole_number("embedding_dim", self.embedding_dim, 1)
        real_number("loss_factor", self.loss_factor, above=0.0)
