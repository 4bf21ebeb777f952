"""A network from fixed points to distributions of a row, trained until its marginals are the measured ones. Imports torch.

Liu, Vietri and Wu, "Iterative Methods for Private Synthetic Data: Unifying Framework and New Methods" (NeurIPS 2021; GEM): each
of many points, drawn once, is sent to a product of distributions, one for each column, and all of them together are the model.
Its marginals are sums over the points, so that gradients are exact. All of it is post-processing of what was measured: nothing
here sees a row of data. What comes out (`_product_mixture`) needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from synth.generators._factors import Columns, NoisyMarginal, cells, joined, rows_measured
from synth.generators._product_mixture import ProductMixture
from synth.generators._training import one_thread

SPREAD = 0.5  # standard deviation of a cell's logits over the points, at the beginning
BETAS = (0.9, 0.99)  # of Adam: what was measured changes under it
ENTROPY = 0.01  # weight of the entropy within the points, of which a row's is at least as much: of laws that fit, the widest
TINY = 1e-9  # share whose logarithm is the least that is taken
SEED = 0  # of points and weights: nothing is gained by others


class MarginalNet(nn.Module):
    """Shares of each column's cells at each point: shape (cells of all columns, points), those of a column adding up to 1."""

    points: Tensor

    def __init__(self, sizes: Sequence[int], points: int, width: int, blocks: int) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.register_buffer("points", torch.randn(points, width))
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.cells = nn.Linear(width, sum(sizes))
        nn.init.normal_(self.cells.weight, std=SPREAD / math.sqrt(width))
        nn.init.zeros_(self.cells.bias)

    def forward(self) -> Tensor:
        h = self.points
        for block in self.blocks:
            h = h + torch.relu(block(_normed(h)))
        logits = torch.addmm(self.cells.bias[:, None], self.cells.weight, _normed(h).T)
        return torch.cat([torch.softmax(own, dim=0) for own in torch.split(logits, self.sizes)])


class Fitting:
    """A network that goes on from one set of measurements to the next.

    sizes: cells of each column. singles: a measurement of each column, from which it starts: as if columns were independent.
    """

    def __init__(
        self, sizes: Columns, singles: Sequence[NoisyMarginal], *, points: int, width: int, blocks: int, learning_rate: float
    ) -> None:
        self.sizes, self.learning_rate = sizes, learning_rate
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(SEED)
            self.net = MarginalNet(sizes, points, width, blocks)
        starts = np.cumsum([0, *sizes])
        with torch.no_grad():
            for one in singles:
                column = one.columns[0]
                likely = np.log(np.maximum(one.counts, one.sigma / 4))
                self.net.cells.bias[starts[column] : starts[column + 1]] = torch.from_numpy(likely - likely.mean()).float()
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=learning_rate, betas=BETAS)

    def fit(self, measured: Sequence[NoisyMarginal], steps: int, *, settle: bool = False) -> ProductMixture:
        """The model after so many steps towards all of these. settle: steps get shorter, to nothing in the end."""
        rows = rows_measured(measured)
        with one_thread(), torch.inference_mode(False):
            target = _Target(self.sizes, measured, rows)
            for step in range(steps):
                rate = 0.5 * (1 + math.cos(math.pi * step / steps)) if settle else 1.0
                self.optimizer.param_groups[0]["lr"] = self.learning_rate * rate
                self.optimizer.zero_grad()
                shares = self.net()
                shares.backward(target.gradient(shares.detach()))
                self.optimizer.step()
            with torch.no_grad():
                return ProductMixture.of(self.sizes, rows, self.net().numpy())


class _Target:
    """What was measured, to hold the network's marginals to: tables that differ in their last column alone, side by side."""

    def __init__(self, sizes: Columns, measured: Sequence[NoisyMarginal], rows: float) -> None:
        starts = np.cumsum([0, *sizes]).tolist()
        self.rows = rows
        self.columns = [slice(begin, end) for begin, end in pairwise(starts)]
        known = joined(measured, sizes)
        self.cells = sum(counts.size for counts, _ in known.values())
        groups: dict[Columns, list[Columns]] = {}
        for clique in known:
            groups.setdefault(clique[:-1], []).append(clique)
        self.groups: list[tuple[Columns, Tensor, Tensor, Tensor]] = []
        for first, cliques in groups.items():
            lasts = np.concatenate([np.arange(starts[clique[-1]], starts[clique[-1] + 1]) for clique in cliques])
            counts = np.hstack([known[clique][0].reshape(cells(first, sizes), -1) for clique in cliques])
            precision = np.concatenate([np.full(sizes[clique[-1]], known[clique][1]) for clique in cliques])
            tensors = torch.from_numpy(lasts), torch.from_numpy(counts).float(), torch.from_numpy(precision).float()
            self.groups.append((first, *tensors))

    def gradient(self, shares: Tensor) -> Tensor:
        """∂/∂shares of the mean squared error of a cell in units of its noise, which is 1 where noise alone is left, and of the
        entropy, in nats of all rows.

        Written out, since each slice of the shares would otherwise cost a whole table of zeros on the way back.
        """
        points = shares.shape[1]
        scale = self.rows / points
        total = (2 * ENTROPY * scale / self.cells) * (shares + TINY).log()
        for first, lasts, counts, precision in self.groups:
            given = [shares[self.columns[column]] for column in first]
            table, last = _product(given, points), shares.index_select(0, lasts)
            off = (2 * scale / self.cells) * precision * (table @ last.T * scale - counts)
            total.index_add_(0, lasts, off.T @ table)
            if not first:
                continue
            back = (off @ last).view(*map(len, given), points)
            for axis, column in enumerate(first):
                others = _product(given[:axis] + given[axis + 1 :], points)
                total[self.columns[column]] += (back.movedim(axis, 0).reshape(len(given[axis]), -1, points) * others).sum(dim=1)
        return total


def _product(columns: Sequence[Tensor], points: int) -> Tensor:
    """The share of each combination of cells at each point: shape (combinations, points)."""
    table = torch.ones(1, points)
    for own in columns:
        table = (table[:, None] * own).view(-1, points)
    return table


def _normed(x: Tensor) -> Tensor:
    return nn.functional.rms_norm(x, (x.shape[1],))
