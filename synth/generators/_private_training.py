"""What methods share that learn by DP-SGD: their hyperparameters under a budget, what they pay for, and in which order.

Cells and counts of single columns are bought first, by zCDP, with a share of the budget; noisy steps take all the rest. How
many steps, how likely a row is drawn and how much noise there is follow from the hyperparameters and the budget alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from synth.data.encoding import Encoded
from synth.data.schema import Schema
from synth.errors import ConfigError
from synth.generators._hyperparameters import real_number, whole_number
from synth.generators._private_cells import counted
from synth.generators._training import Plan, check_torch
from synth.privacy.accounting import ATTO, Curve, rounded_up
from synth.privacy.budget import Budget
from synth.privacy.sampled_gaussian import NoisySteps

if TYPE_CHECKING:
    from synth.generators._private import Access

Network = TypeVar("Network")

AVERAGE = 0.98  # decay of the running average of the weights, a free remedy against noise
BINS_SHARE = 0.5  # of what counts and cells take, for bins that follow the rows


class PrivateFields(Protocol):
    """The hyperparameters that all methods with DP-SGD have."""

    private_steps: int
    private_rate: float
    private_counts: float
    private_learning_rate: float
    max_seconds: float | None
    device: str
    devices: int
    precision: str


def validate_private(method: PrivateFields) -> None:
    """Raise ConfigError for a hyperparameter under a budget that is out of range."""
    whole_number("private_steps", method.private_steps, 1)
    for name in ("private_rate", "private_learning_rate"):
        real_number(name, getattr(method, name), above=0.0, most=1.0)
    real_number("private_counts", method.private_counts, least=0.01, most=0.9)


def private_cost(method: PrivateFields, name: str, budget: Budget, delta: float, aside: int, *more: str) -> Curve:
    """Counts, as zCDP, and steps with the least noise that the budget allows beside them.

    aside: micro-ρ of other counts, as in `Generator._private_cost`. more: packages that the method needs beside torch.
    Raises ConfigError for hyperparameters that a fit under a budget cannot keep to, MissingExtraError for packages that are
    not there.
    """
    check_torch(f"{name} under a budget", "opendp", "dp_accounting", *more)
    if method.max_seconds is not None:
        raise ConfigError(
            "max_seconds under a budget would let the clock, and so the rows, say when training ends; "
            "leave it out, and set private_steps"
        )
    if method.devices > 1 or method.precision != "32-true" or method.device not in ("auto", "cpu"):
        raise ConfigError(
            f"under a budget training runs on one CPU in single precision, not on {method.device} × {method.devices} with "
            f"{method.precision}; leave device, devices and precision out"
        )
    own = max(1, int(method.private_counts * (budget.micro_rho - aside)))
    counts = Curve(own + aside, atto_delta=rounded_up(delta, ATTO))
    return counts + _steps(method, budget, counts).curve


def _steps(method: PrivateFields, budget: Budget, counts: Curve) -> NoisySteps:
    return NoisySteps.within(budget, method.private_steps, method.private_rate, beside=counts)


@dataclass(frozen=True, eq=False)
class Bought:
    """What is known of the rows before training, and how it is trained.

    how: what was paid for. cells: of the real rows, int of shape (rows, columns), which only training may see. counts: rows in
    each cell of each column, with noise.
    """

    how: NoisySteps
    cells: np.ndarray
    counts: list[np.ndarray]

    @property
    def rows(self) -> float:
        """About how many rows there are, as the noisy counts say."""
        return float(self.counts[0].sum())


def buy(method: PrivateFields, rows: Encoded, schema: Schema, access: Access) -> Bought:
    """Noisy counts of all single columns, for what of the zCDP part is left."""
    how = _steps(method, access.budget, replace(access.cost, nano=()))
    cells = access.domain.encode(rows, schema)
    return Bought(how, cells, counted(access.domain, cells, access.noise, rows_per_unit=how.rows_per_unit))


def rate_of(method: PrivateFields, how: NoisySteps) -> Callable[[int], float]:
    """The learning rate of each step, by their public number."""
    plan = Plan(epochs=1, batch_rows=1, learning_rate=method.private_learning_rate)
    return lambda step: plan.learning_rate * plan.rate(step, how.steps)


def begun(make: Callable[[], Network], access: Access) -> Network:
    """A network with first weights from the fit's own randomness, leaving torch's as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(access.rng.integers(2**31)))
        return make()
