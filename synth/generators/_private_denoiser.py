"""The network of `diffusion` under a budget. Imports torch, so nothing imports this but a fit.

It is `_diffusion_net.Denoiser`, trained through linear layers alone, whose gradients can be bounded row by row at little cost
(`synth.privacy.dpsgd`): the states' vectors are a linear layer on which states there are, and frequencies and the last norm
stay as they begin. A row's time is spread over the times that it is shown, not over the batch, so that no row's gradient
depends on another's.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from synth.generators._diffusion_net import Denoiser, Form


class PrivateDenoiser(nn.Module):
    """A denoiser that is shown each row `times` times, at other times and with other columns clean."""

    def __init__(self, form: Form, width: int, blocks: int, shown: float, times: int) -> None:
        super().__init__()
        self.net, self.times = Denoiser(form, width, blocks, 0.0, shown), times
        self.net.norm.requires_grad_(False)
        if form.gates:
            self.net.frequencies.requires_grad_(False)
        if form.sizes:
            self.net.states = Bag(self.net.states.get_parameter("weight").detach())

    def forward(self, batch: tuple[Tensor, ...], rng: torch.Generator) -> Tensor:
        """Loss of each row, shape (rows,), as `Denoiser` says it, averaged over the times that the row is shown."""
        rows, times = len(batch[0]), self.times
        t = (torch.rand((rows, 1), generator=rng, device=rng.device) + torch.arange(times, device=rng.device)) / times
        shown = tuple(values.repeat_interleave(times, dim=0) for values in batch)
        return self.net.losses(shown, t.flatten(), rng).view(rows, times).mean(dim=1)

    def folded(self, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All weights as a `Denoiser` has them, of those that were trained."""
        made = {name: values.numpy() for name, values in self.net.state_dict().items()}
        made |= {name.removeprefix("net."): values for name, values in weights.items()}
        if "states.linear.weight" in made:
            made["states.weight"] = made.pop("states.linear.weight").T
        return {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in made.items()}


class Bag(nn.Module):
    """An embedding bag as a linear layer: of which of all tokens' states there are. vectors: of shape (states, width)."""

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        states, width = vectors.shape
        self.linear = nn.Linear(states, width, bias=False)
        with torch.no_grad():
            self.linear.weight.copy_(vectors.T)

    def forward(self, states: Tensor) -> Tensor:
        """The sum of the vectors of each row's states, shape (rows, width)."""
        there = torch.zeros((len(states), self.linear.in_features), device=states.device).scatter_(1, states, 1.0)
        added: Tensor = self.linear(there)
        return added
