"""A denoiser held to shares of single columns that are known better than it knows them. Needs torch.

The log-odds of each token's states are moved until these come as often as they should, and places are made even by their rank
among those that are drawn. Only the network is asked, so that under a budget it costs nothing.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import ndtr

from synth.generators._cells import Cells
from synth.generators._clamping import nothing_known
from synth.generators._diffusion_draw import draw
from synth.generators._diffusion_net import Denoiser

ROUNDS, DRAWN = 3, 6_144  # of setting log-odds right, and the rows that are drawn in each
MOST = 2.0  # that log-odds move in one of them
PLACED = 16_384  # rows that tell where places lie
KNOTS = 33  # quantiles of each place
FEWEST = 200  # places that tell quantiles


def set_right(net: Denoiser, cells: Cells, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Change the network's log-odds, and give back the quantiles of its places for `evened`, float64 of shape (places, KNOTS).

    steps: of drawing; with others states come about as often.
    """
    wanted = torch.log(torch.tensor(net.form.shares, dtype=torch.float64))
    for _ in range(ROUNDS if net.form.sizes else 0):
        come = np.zeros(len(wanted))
        draw(net, nothing_known(cells, DRAWN), steps, 1.0, rng, come=come)
        have = torch.log(torch.from_numpy(np.maximum(come, 1e-9) / DRAWN))
        with torch.no_grad():
            net.logits.bias.add_(torch.clamp(wanted - have, -MOST, MOST).float())
    return _quantiles(net, cells, steps, rng)


def _quantiles(net: Denoiser, cells: Cells, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Of the places that are drawn where nothing is known; even ones where too few are."""
    even = np.linspace(0.0, 1.0, KNOTS)
    knots = np.tile(even, (cells.places, 1))
    if not cells.places:
        return knots
    tokens, x = draw(net, nothing_known(cells, PLACED), steps, 1.0, rng)
    for place, (token, state) in enumerate(cells.gates):
        own = x[:, place] if token < 0 else x[tokens[:, token] == state, place]
        if len(own) >= FEWEST:
            knots[place] = np.quantile(ndtr(own.astype(np.float64)), even)
            knots[place, [0, -1]] = 0.0, 1.0
    return knots


def evened(places: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Places by their rank among those that the network draws, float64 of shape (rows, places)."""
    even = np.linspace(0.0, 1.0, KNOTS)
    return np.column_stack([np.interp(place, own, even) for place, own in zip(places.T, knots, strict=True)])
