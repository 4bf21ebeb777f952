"""Accelerated entropic mirror descent on the potentials of a graphical model, with steps as long as the curvature lets them be.

McKenna, Sheldon and Miklau ("Graphical-model based estimation and inference for differential privacy", ICML 2019, Algorithm 1)
descend by θ ← θ - α ∇L(p), which never leaves the models of highest entropy. Here the gradient is taken ahead of θ, as Nesterov
has it, and α is kept under the inverse of the curvature seen between one point and the next: on Adult that takes the loss as
far down in 150 passes as plain steps with a line search in 800. Potentials that overshoot all the same are taken back.
"""

from __future__ import annotations

import numpy as np

from synth.generators._belief_propagation import BeliefPropagation
from synth.generators._factors import Floats

CALM = 0.98  # of the curvature taken into account is left after a step that saw less
MARGIN = 1.2  # times the curvature seen: between two points it is at most the highest there is
WORSE = 1.1  # times the lowest loss: higher than that, the step was too long
STILL = 25  # passes within which the loss has to fall by the share ENOUGH
ENOUGH = 1e-7


def descend(
    propagation: BeliefPropagation, shares: Floats, weights: Floats, potentials: Floats, iterations: int, time: float
) -> Floats:
    """The potentials after at most so many passes from the given ones, of lowest loss L(p) = ½ Σ weights (p - shares)².

    `time` is the sum of the steps' lengths, as if all had been plain ones, after which cells with p ≫ 1 / (time × weights) have
    come to their shares and those far below are still where entropy puts them. All arrays are as `propagation.potentials` is.
    """

    def evaluated(theta: Floats) -> tuple[Floats, float, Floats]:
        propagation.potentials[:] = theta
        propagation.run()
        p = propagation.marginals.astype(np.float64)
        gradient = weights * (p - shares)
        return p, 0.5 * float(gradient @ (p - shares)), gradient

    theta = ahead = potentials
    p, loss, gradient = evaluated(ahead)
    lowest, best, its_p, its_gradient = loss, ahead, p, gradient
    curvature = float(weights.max(initial=0.0))
    since, passed, before, falling = 0, 0.0, loss, 0
    for _ in range(iterations - 1):
        if passed >= time or curvature == 0:
            break
        step = 1 / curvature
        stepped = ahead - step * gradient
        moved = stepped + since / (since + 3) * (stepped - theta)
        new_p, loss, new_gradient = evaluated(moved)
        if not loss <= WORSE * lowest:
            curvature *= 2
            theta, ahead, p, gradient, since = best, best, its_p, its_gradient, 0
            continue
        dp = new_p - p
        seen = float(weights @ dp**2) / max(float((moved - ahead) @ dp), np.finfo(np.float64).tiny)
        curvature = max(CALM * curvature, min(MARGIN * seen, 2 * curvature))
        since += 1
        passed += step * (since + 1) / 2
        theta, ahead, p, gradient = stepped, moved, new_p, new_gradient
        if loss < lowest:
            lowest, best, its_p, its_gradient = loss, moved, p, gradient
        falling += 1
        if falling == STILL:
            if before - lowest <= ENOUGH * before:
                break
            before, falling = lowest, 0
    return best
