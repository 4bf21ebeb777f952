"""A network held to shares of single columns that are known better than it knows them.

Column by column, in the order in which free samples are drawn, levels are made more or less likely by the same factor for all
rows, until they come as often as they should: of all laws with these shares the one nearest to the network's, given the columns
before (iterative scaling, Deming and Stephan 1940; Csiszár 1975). Only the network is asked, so that it costs no privacy.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from synth.generators._any_order import AnyOrder

DRAWN = 16_384  # rows on which it is tried how often levels come
ROUNDS = 30  # of scaling: beyond them shares move by less than what so few rows tell
MOST = 8.0  # logarithm of the largest factor


def calibrated(net: AnyOrder, shares: list[np.ndarray], rng: np.random.Generator) -> AnyOrder:
    """The network with other biases. shares: of each column's first token, float64 of shape (levels,), above 0."""
    x = np.repeat(net.start[None], DRAWN, axis=0)
    for column in net.layout.order:
        h = net.trunk(x)
        chance = net.shares(column, h).astype(np.float64)
        factor = np.ones(len(shares[column]))
        for _ in range(ROUNDS):
            tilted = chance * factor
            come = (tilted / tilted.sum(axis=1, keepdims=True)).mean(axis=0)
            factor *= shares[column] / np.maximum(come, 1e-12)
        bias = net.weights["first.bias"].copy()
        own = slice(net.layout.bounds[column], net.layout.bounds[column + 1])
        bias[own] += np.clip(np.log(factor), -MOST, MOST).astype(np.float32)
        net = replace(net, weights={**net.weights, "first.bias": bias})
        codes, _ = net.draw(column, h, rng)
        x = x + net.embed(column, codes)
    return net
