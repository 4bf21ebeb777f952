"""What the training loop trains: one module that says its own loss, row by row. Needs torch."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Learner(nn.Module):
    """Everything that is trained, as one module, so that saving, moving and averaging it are one act each.

    Losses are per row and rows are never mixed, so that gradients per row can be had, which differential privacy needs: no
    batch norm, no statistics over a batch.
    """

    turns: tuple[str, ...] = ("all",)  # what each step trains, in turn: a GAN's ("critic", "critic", "generator")

    def parameters_of(self, turn: str) -> Iterable[nn.Parameter]:
        """What a turn's steps change. Turns share no parameter."""
        return self.parameters()

    def forward(self, batch: tuple[Tensor, ...], rng: torch.Generator, turn: str) -> Tensor:
        """The loss of each row, of shape (rows,). All randomness but dropout's comes from `rng`."""
        raise NotImplementedError

    def validate(self, batch: tuple[Tensor, ...], rng: torch.Generator) -> Tensor:
        """The validation loss of each row, of shape (rows,): by default the first turn's loss. Lower is better."""
        loss: Tensor = self(batch, rng, self.turns[0])
        return loss
