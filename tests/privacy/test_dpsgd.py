"""DP-SGD: no row moves a step by more than it paid for, and no step follows from how many rows there are."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from synth.errors import BudgetError, ConfigError
from synth.privacy.accounting import ORDERS, Curve
from synth.privacy.allowance import Allowance
from synth.privacy.budget import Budget
from synth.privacy.mechanisms import Noise
from synth.privacy.sampled_gaussian import NoisySteps

pytest.importorskip("torch", reason="DP-SGD needs torch")
pytest.importorskip("dp_accounting", reason="the accounting of DP-SGD needs dp-accounting")
import torch
from torch import Tensor, nn

from synth.privacy import dpsgd
from synth.privacy.dpsgd import MARGIN, ClippedSum, blurred, drawn, normals, train_privately

BY_CHANCE = 1e-7  # of a false alarm, in each statistical test


class Network(nn.Module):
    """Two layers, with a loss that single rows can make as large as they like; rows are shown several times."""

    def __init__(self, features: int = 5, width: int = 4, times: int = 3, *, flat: bool = False) -> None:
        super().__init__()
        torch.default_generator.manual_seed(0)
        self.into, self.out = nn.Linear(features, width), nn.Linear(width, 2, bias=False)
        self.times, self.flat = times, flat

    def forward(self, batch: tuple[Tensor, ...], rng: torch.Generator) -> Tensor:
        seen = batch[0][:, None, :] * torch.linspace(-0.5, 1, self.times)[:, None]
        out = self.out(torch.relu(self.into(seen)))
        loss: Tensor = (out[..., 0] - 3 * out[..., 1].square()).sum(dim=1) * (0.0 if self.flat else 1.0)
        return loss


def table(rows: int, seed: int = 0) -> np.ndarray:
    """Rows of 5 numbers; some are a thousand times as large as others, some nearly nothing."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(rows, 5)) * 10.0 ** rng.uniform(-4, 3, (rows, 1))).astype(np.float32)


def by_hand(network: nn.Module, rows: np.ndarray, bound: float) -> np.ndarray:
    """The sum of the gradients of single rows, each shortened to the bound, one row after another."""
    total = np.zeros(sum(parameter.numel() for parameter in network.parameters()))
    for row in rows:
        network.zero_grad()
        network((torch.from_numpy(row[None]),), torch.Generator()).sum().backward()
        gradient = gradient_of(network)
        total += gradient * min(1.0, bound / max(float(np.linalg.norm(gradient)), 1e-30))
    return total


def gradient_of(network: nn.Module) -> np.ndarray:
    parts = [parameter.grad for parameter in network.parameters()]
    return np.concatenate([part.numpy().ravel() for part in parts if part is not None]).astype(np.float64)


def summed(network: nn.Module, rows: np.ndarray, batch: Sequence[int] | np.ndarray) -> np.ndarray:
    sums = ClippedSum(network).of(network, [torch.from_numpy(rows)], np.asarray(batch, dtype=np.int64), torch.Generator())
    return np.concatenate([sums[name].numpy().ravel() for name, _ in network.named_parameters()])


# clipping ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 3])
def test_the_sum_is_that_of_gradients_clipped_one_by_one(times: int) -> None:
    rows, network = table(60), Network(times=times)
    expected = by_hand(network, rows, 1 - MARGIN)
    np.testing.assert_allclose(summed(network, rows, range(60)), expected, atol=2e-3 * np.abs(expected).max())


def test_no_row_moves_the_sum_by_more_than_1() -> None:
    rows, network = table(1_500), Network()
    whole = summed(network, rows, range(1_500))
    moved = [np.linalg.norm(whole - summed(network, rows, np.delete(np.arange(1_500), row))) for row in range(0, 1_500, 25)]
    assert max(moved) <= 1
    assert max(moved) > 0.9  # and the bound is reached, so that it was not met by giving up on the rows


def test_a_row_without_a_finite_gradient_counts_as_none() -> None:
    rows, network = table(20), Network()
    rows[3] = np.inf
    rows[5, 0] = np.nan
    others = [row for row in range(20) if row not in (3, 5)]
    np.testing.assert_allclose(summed(network, rows, range(20)), summed(network, rows, others), atol=1e-6)


def test_an_empty_batch_is_a_sum_of_nothing() -> None:
    assert not summed(Network(), table(5), []).any()


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_opacus_clips_alike() -> None:
    pytest.importorskip("opacus", reason="compared with Opacus' ghost clipping")
    from opacus.grad_sample import GradSampleModuleFastGradientClipping
    from opacus.optimizers import DPOptimizerFastGradientClipping
    from opacus.utils.fast_gradient_clipping_utils import DPTensorFastGradientClipping

    rows, network = table(60), Network()
    ours = summed(network, rows, range(60))
    ghost = GradSampleModuleFastGradientClipping(network, loss_reduction="sum", max_grad_norm=1 - MARGIN)
    optimizer = DPOptimizerFastGradientClipping(
        torch.optim.SGD(ghost.parameters(), lr=0.0),
        noise_multiplier=0.0,
        max_grad_norm=1 - MARGIN,
        expected_batch_size=1,
        loss_reduction="sum",
    )
    loss = ghost((torch.from_numpy(rows),), torch.Generator())
    DPTensorFastGradientClipping(ghost, optimizer, loss, "sum").backward()
    theirs = gradient_of(network)
    np.testing.assert_allclose(ours, theirs, atol=2e-3 * np.abs(theirs).max())


@pytest.mark.parametrize("layer", [nn.Embedding(3, 4), nn.LayerNorm(4), nn.BatchNorm1d(4)])
def test_layers_whose_gradients_are_not_bounded_are_refused(layer: nn.Module) -> None:
    with pytest.raises(ConfigError, match="linear"):
        ClippedSum(nn.Sequential(nn.Linear(2, 4), layer))


def test_a_layer_that_is_asked_twice_is_refused() -> None:
    layer = nn.Linear(5, 5)
    network = nn.Sequential(layer)

    def loss(batch: tuple[Tensor, ...], rng: torch.Generator) -> Tensor:
        loss: Tensor = layer(layer(batch[0][:, None, :])).sum(dim=(1, 2))
        return loss

    with pytest.raises(ConfigError, match="twice"):
        ClippedSum(network).of(loss, [torch.from_numpy(table(4))], np.arange(4), torch.Generator())


# drawing -----------------------------------------------------------------------------------------------------------------


def drawn_by_lot(batches: Sequence[np.ndarray], rows: int, rate: float) -> bool:
    """Whether batches can be Poisson samples: sizes vary as a binomial's, and one batch says nothing of the next."""
    sizes = np.array([len(batch) for batch in batches])
    spread = rows * rate * (1 - rate)
    tail = stats.chi2(len(sizes) - 1).cdf((len(sizes) - 1) * sizes.var(ddof=1) / spread)
    there = np.zeros((len(batches), rows), dtype=bool)
    for batch, row in zip(batches, there, strict=True):
        row[batch] = True
    both = int((there[:-1] & there[1:]).sum())
    trials = (len(batches) - 1) * rows
    again = abs(both - trials * rate**2) / np.sqrt(trials * rate**2 * (1 - rate**2) * (1 + 2 * rate))
    mean = abs(sizes.mean() - rows * rate) / np.sqrt(spread / len(sizes))
    return bool(BY_CHANCE < tail < 1 - BY_CHANCE and max(mean, again) < stats.norm.isf(BY_CHANCE / 2))


def shuffled(rows: int, size: int, batches: int) -> list[np.ndarray]:
    """What most training loops do."""
    rng = np.random.default_rng(0)
    passes = -(-batches * size // rows)
    return [*np.concatenate([rng.permutation(rows) for _ in range(passes)])[: batches * size].reshape(batches, size)]


def test_rows_are_drawn_each_by_its_own_lot() -> None:
    assert drawn_by_lot([drawn(400, 0.125, os.urandom) for _ in range(2_000)], 400, 0.125)
    np.testing.assert_array_equal(drawn(7, 1.0, os.urandom), np.arange(7))


def test_shuffled_batches_are_told_from_lots() -> None:
    assert not drawn_by_lot(shuffled(400, 50, 2_000), 400, 0.125)
    rng = np.random.default_rng(1)
    stream = np.concatenate([rng.permutation(400) for _ in range(260)])
    ends = np.cumsum(rng.binomial(400, 0.125, 2_000))
    assert not drawn_by_lot(np.split(stream, ends[ends < len(stream)])[:-1], 400, 0.125)  # not even with sizes that vary


# noise -------------------------------------------------------------------------------------------------------------------


def test_noise_has_the_spread_that_was_calibrated() -> None:
    sigma, n = 1.7, 200_000
    released = blurred(np.zeros(n), sigma, os.urandom) * sigma
    low, high = (stats.chi2(n).ppf(tail) for tail in (BY_CHANCE, 1 - BY_CHANCE))
    assert low <= (released**2).sum() / sigma**2 <= high
    assert stats.kstest(normals(n, os.urandom), "norm").pvalue > BY_CHANCE


def test_what_is_released_lies_on_a_grid_that_says_nothing_of_the_sum() -> None:
    released = blurred(np.full(1_000, 1 / 3), 1.7, os.urandom) * 1.7
    np.testing.assert_allclose(released * 1024, np.rint(released * 1024), atol=1e-9)


@pytest.mark.parametrize(("mutation", "honest"), [(1.0, True), (0.5, False)])
def test_a_row_at_the_bound_is_no_better_seen_than_was_paid_for(mutation: float, honest: bool) -> None:
    """White-box audit of a step that has all rows: what tells the two data sets apart best is a normal with mean 1/σ."""
    sigma, runs, network = 1.5, 4_000, Network()
    rows = table(8)
    rows[0] = 1e3
    without, with_it = (summed(network, rows, batch) for batch in (range(1, 8), range(8)))
    toward = (with_it - without) / np.linalg.norm(with_it - without)
    noise = np.array([[blurred(s, sigma * mutation, os.urandom) @ toward for s in (without, with_it)] for _ in range(runs)])
    noise *= mutation  # in units of the noise that was claimed
    apart = (noise[:, 1] - noise[:, 0]).mean() / np.sqrt(noise.var(axis=0).mean())
    error = stats.norm.isf(BY_CHANCE) * np.sqrt(2 / runs) * 1.2
    assert (apart - error <= 1 / sigma) == honest
    assert apart + error >= 0.8 / sigma


# accounting --------------------------------------------------------------------------------------------------------------


def test_the_cost_is_that_of_dp_accounting_and_never_less() -> None:
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
    from dp_accounting.pld import PLDAccountant
    from dp_accounting.rdp import RdpAccountant

    for steps, rate, sigma in ((100, 0.125, 1.5), (1_000, 0.02, 0.8), (1, 1.0, 4.0)):
        ours = NoisySteps(steps, rate, sigma).curve.epsilon(1e-5)
        event = SelfComposedDpEvent(PoissonSampledDpEvent(rate, GaussianDpEvent(sigma)), steps)
        theirs = RdpAccountant(ORDERS).compose(event).get_epsilon(1e-5)
        assert theirs <= ours <= theirs + 1e-6
        assert PLDAccountant(value_discretization_interval=1e-3).compose(event).get_epsilon(1e-5) <= ours


def test_a_unit_of_several_rows_costs_no_less_than_its_worst_case() -> None:
    """The worst case by quadrature: all rows' gradients point the same way, and of k rows a binomial number is drawn."""
    k, rate, sigma, order = 3, 0.1, 6.0, 8.0
    x = np.linspace(-80, 90, 400_001)
    without = stats.norm.logpdf(x, 0, sigma)
    with_them = np.logaddexp.reduce([stats.binom.logpmf(m, k, rate) + stats.norm.logpdf(x, m, sigma) for m in range(k + 1)])
    curve = NoisySteps(1, rate, sigma, k).curve
    for one, other in ((without, with_them), (with_them, without)):
        divergence = np.log(np.trapezoid(np.exp(order * one + (1 - order) * other), x)) / (order - 1)
        assert divergence <= curve.nano[ORDERS.index(order)] / 1e9
    assert (
        NoisySteps(1, rate, sigma, 1).curve.nano[ORDERS.index(order)] / 1e9 < divergence
    )  # a single row's would be too little


@pytest.mark.parametrize("budget", [Budget(1.0, 1e-5), Budget(8.0, 1e-6, "subject", 4)])
def test_noise_is_the_least_that_the_budget_allows(budget: Budget) -> None:
    beside = Curve(budget.micro_rho // 10)
    how = NoisySteps.within(budget, 50, 0.1, beside=beside)
    assert 0.99 * budget.epsilon <= (beside + how.curve).epsilon(budget.delta) <= budget.epsilon
    assert how.rows_per_unit == (budget.rows_per_subject or 1)


def test_steps_that_nothing_is_left_for_are_refused() -> None:
    budget = Budget(1.0, 1e-5)
    with pytest.raises(BudgetError, match="leaves nothing for 50 steps"):
        NoisySteps.within(budget, 50, 0.1, beside=Curve(budget.micro_rho))


@pytest.mark.parametrize("wrong", [(0, 0.1, 1.0), (5, 0.0, 1.0), (5, 1.1, 1.0), (5, 0.1, 0.0)])
def test_steps_out_of_range_are_refused(wrong: tuple[int, float, float]) -> None:
    with pytest.raises(ConfigError):
        NoisySteps(*wrong)


# training ----------------------------------------------------------------------------------------------------------------


class Scripted(Noise):
    """Entropy that depends on nothing but how often it was asked for: the same, whatever the number of rows."""

    def __init__(self) -> None:
        super().__init__(Allowance(1))
        self.asked: list[int] = []

    def entropy(self, n: int) -> bytes:
        self.asked.append(n)
        return np.random.default_rng(len(self.asked)).bytes(n)


def trained(rows: int, noise: Noise, *, flat: bool = False, rate: float = 0.125) -> dict[str, np.ndarray]:
    network = Network(flat=flat)
    how = NoisySteps(12, rate, 1.0)
    return train_privately(network, network, (table(rows),), how, noise, learning_rate=lambda step: 0.01, average=0.9)


def test_a_row_more_changes_neither_scale_nor_number_of_steps() -> None:
    few, more = Scripted(), Scripted()
    # an eighth of 1,003 rows rounds to 125, of 1,004 to 126; without gradients only scale and number of steps are left
    one, other = trained(1_003, few, flat=True), trained(1_004, more, flat=True)
    assert len(few.asked) == len(more.asked) == 1 + 12 * 4
    for name, weights in one.items():
        np.testing.assert_array_equal(weights, other[name])


@pytest.mark.parametrize("rows_before", [49, 50], ids=["half of them rounds up", "half of them rounds down"])
def test_sums_are_divided_by_no_number_of_rows(rows_before: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row more that has no gradient leaves no trace in what is released, whether or not it is drawn."""
    released: list[np.ndarray] = []
    plain = dpsgd.blurred

    def listening(sums: np.ndarray, *rest: Any) -> np.ndarray:
        released.append(sums)
        return plain(sums, *rest)

    def loss(batch: tuple[Tensor, ...], rng: torch.Generator) -> Tensor:
        each: Tensor = network((batch[0],), rng) * batch[1]
        return each

    monkeypatch.setattr(dpsgd, "blurred", listening)
    network, how = Network(), NoisySteps(12, 0.5, 1.0)
    for rows in (rows_before, rows_before + 1):
        data = table(51)[:rows], (np.arange(rows) < rows_before).astype(np.float32)
        train_privately(network, loss, data, how, Scripted(), learning_rate=lambda step: 0.0, average=0.9)
    assert len(released) == 2 * 12 * 3
    for one, other in zip(released[:36], released[36:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_two_fits_differ_and_a_seed_for_tests_is_marked() -> None:
    def fit(seed: int | None) -> np.ndarray:
        return trained(50, Noise(Allowance(1), seed=seed))["into.weight"]

    assert not np.array_equal(fit(None), fit(None))
    np.testing.assert_array_equal(fit(3), fit(3))
    assert not Noise(Allowance(1), seed=3).is_secure


def test_lots_and_noise_come_from_the_operating_system(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    system: Callable[[int], bytes] = os.urandom

    def listening(n: int) -> bytes:
        asked.append(n)
        return system(n)

    monkeypatch.setattr(os, "urandom", listening)
    trained(50, Noise(Allowance(1)))
    assert sum(asked) == 8 + 12 * (50 * 8 + (20 + 4 + 8) * 8)
