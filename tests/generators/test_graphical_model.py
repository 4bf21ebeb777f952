"""The distribution estimated from noisy marginals, against small tables with all their cells written out."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from synth.errors import ConfigError, GenerationError, TooLargeError
from synth.generators import _graphical_model
from synth.generators._graphical_model import GraphicalModel, NoisyMarginal, estimate

OPTIMUM = {"resolution": 0.0, "iterations": 20_000}


def written_out(model: GraphicalModel) -> np.ndarray:
    """Expected rows in every cell of all columns."""
    count = len(model.sizes)
    logs = np.zeros(model.sizes)
    for clique, potential in zip(model.cliques, model.potentials, strict=True):
        ascending = sorted(clique)
        table = np.transpose(potential, [clique.index(column) for column in ascending])
        logs = logs + table.reshape([model.sizes[column] if column in clique else 1 for column in range(count)])
    odds = np.exp(logs - logs.max())
    return model.total * odds / odds.sum()


def summed(table: np.ndarray, columns: Sequence[int]) -> np.ndarray:
    left = sorted(columns)
    sums = table.sum(axis=tuple(axis for axis in range(table.ndim) if axis not in columns))
    return np.transpose(sums, [left.index(column) for column in columns])


def measure(table: np.ndarray, sets: Sequence[Sequence[int]], sigma: float, rng: np.random.Generator) -> list[NoisyMarginal]:
    exact = [summed(table, columns) for columns in sets]
    return [
        NoisyMarginal(tuple(columns), counts + sigma * rng.standard_normal(counts.shape), sigma)
        for columns, counts in zip(sets, exact, strict=True)
    ]


def table_of(sizes: Sequence[int], rows: float, rng: np.random.Generator) -> np.ndarray:
    odds = rng.random(sizes) ** 3
    return rows * odds / odds.sum()


def misfit(model: GraphicalModel, measured: Sequence[NoisyMarginal]) -> float:
    """½ Σ (N p - counts)² / σ²."""
    return sum(0.5 * (((model.marginal(one.columns) - one.counts) / one.sigma) ** 2).sum() for one in measured)


def some_columns(count: int, rng: np.random.Generator, most: int = 3, least: int = 1) -> tuple[int, ...]:
    return tuple(rng.choice(count, rng.integers(least, min(most, count) + 1), replace=False).tolist())


# marginals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("single_from", [0, 10**9], ids=["single precision", "double precision"])
def test_marginals_of_any_columns_are_sums_of_the_whole_table(single_from: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_graphical_model, "SINGLE_FROM", single_from)
    rng = np.random.default_rng(0)
    for _ in range(25):
        sizes = rng.integers(1, 5, rng.integers(1, 7)).tolist()
        truth = table_of(sizes, 1000, rng)
        measured = measure(truth, [some_columns(len(sizes), rng) for _ in range(rng.integers(0, 7))], 5.0, rng)
        model = estimate(sizes, measured, total=1000, iterations=20)
        whole = written_out(model)
        sets = [some_columns(len(sizes), rng, most=len(sizes), least=0) for _ in range(10)]
        for columns, found in zip(sets, model.marginals(sets), strict=True):
            assert found.min() >= 0
            assert np.allclose(found, summed(whole, columns), atol=1e-7 if single_from else 1e-2)


def test_a_chain_of_cliques_is_followed_from_end_to_end():
    """Columns five cliques apart, two of them the same way."""
    rng = np.random.default_rng(1)
    sizes = [3, 2, 4, 2, 3, 2, 3]
    truth = table_of(sizes, 1000, rng)
    model = estimate(sizes, measure(truth, [(k, k + 1) for k in range(6)], 1.0, rng), total=1000, iterations=50)
    whole = written_out(model)
    for columns in [(6, 0), (0, 5, 6), (6, 1, 0), (0, 3, 6), (5, 6, 0, 1)]:
        assert np.allclose(model.marginal(columns), summed(whole, columns), atol=1e-7)


def test_ways_that_share_columns_are_put_together():
    """Two separators that overlap: what one way is summed over, the other still needs."""
    rng = np.random.default_rng(11)
    sizes = [2, 3, 2, 3, 4, 2]
    truth = table_of(sizes, 1000, rng)
    model = estimate(sizes, measure(truth, [(0, 1, 2), (0, 1, 3), (1, 2, 4), (0, 2, 5)], 1.0, rng), total=1000, iterations=50)
    whole = written_out(model)
    for columns in [(3, 4), (4, 3, 5), (3, 1, 4), (5, 3)]:
        assert np.allclose(model.marginal(columns), summed(whole, columns), atol=1e-7)


@pytest.mark.parametrize("single_from", [0, 10**9], ids=["single precision", "double precision"])
def test_probabilities_far_below_what_a_float_holds_do_not_spoil_the_others(single_from: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_graphical_model, "SINGLE_FROM", single_from)
    cliques = ((0, 1), (1, 2), (2, 3))
    potentials = tuple(np.where(np.eye(2) > 0, 0.0, -4000.0) for _ in cliques)
    model = GraphicalModel((2, 2, 2, 2), 100.0, cliques, potentials)
    assert np.allclose(model.marginal((0, 3)), [[50, 0], [0, 50]])
    assert np.allclose(model.marginal((1,)), [50, 50])
    for unlikely in (-85.0, -95.0, -105.0, -400.0, -740.0):  # about where single and double precision end
        lean = np.array([[0.0, unlikely], [0.0, unlikely]])
        model = GraphicalModel((2, 2, 2), 100.0, ((0, 1), (1, 2)), (lean, np.array([[1.0, 2.0], [3.0, 3.0]])))
        assert np.allclose(model.marginal((2,)), model.marginal((2, 0)).sum(axis=1))
        assert np.allclose(model.marginal((0, 2))[0], 50 / (1 + np.exp([1.0, -1.0])))


# the estimate ----------------------------------------------------------------------------------------------------------


def test_at_the_optimum_no_cell_would_lower_the_misfit():
    """Karush, Kuhn, Tucker: the slope toward a cell is the same for all that hold rows, and no lower for those that do not."""
    rng = np.random.default_rng(2)
    sizes = [3, 2, 4]
    truth = table_of(sizes, 500, rng)
    measured = measure(truth, [(0, 1), (2, 1), (0, 2), (2,)], 12.0, rng)
    model = estimate(sizes, measured, total=500, **OPTIMUM)
    slope = np.zeros(sizes)
    for one in measured:
        off = (model.marginal(one.columns) - one.counts) / one.sigma**2
        ascending = sorted(one.columns)
        off = np.transpose(off, [one.columns.index(column) for column in ascending])
        slope = slope + off.reshape([sizes[column] if column in one.columns else 1 for column in range(3)])
    share = written_out(model) / 500
    level = float((share * slope).sum())
    assert (slope - level).min() > -0.02 * np.abs(slope).max()
    assert float((share * np.abs(slope - level)).sum()) < 0.003 * np.abs(slope).max()


def test_what_noise_leaves_consistent_is_matched():
    """Where all noisy counts are positive and there is one way to fit them, they are the model's marginals."""
    rng = np.random.default_rng(3)
    truth = 1000.0 + 100 * rng.random((3, 4))
    (one,) = measure(truth, [(1, 0)], 5.0, rng)
    model = estimate([3, 4], [one], **OPTIMUM)
    assert model.total == pytest.approx(one.counts.sum())
    assert np.allclose(model.marginal((1, 0)), one.counts, atol=0.01)


def test_a_table_that_is_a_tree_is_found_again_from_its_exact_pairs():
    rng = np.random.default_rng(4)
    a = rng.dirichlet(np.ones(3) * 3)
    b, c, d = (rng.dirichlet(np.ones(4) * 3, size=size) for size in (3, 4, 3))
    truth = 2000 * np.einsum("i,ij,jk,il->ijkl", a, b, c, d)
    measured = [NoisyMarginal(columns, summed(truth, columns), 1.0) for columns in [(0, 1), (1, 2), (0, 3)]]
    model = estimate(truth.shape, measured, **OPTIMUM)
    assert np.allclose(written_out(model), truth, atol=0.05)
    assert np.allclose(model.marginal((3, 2)), summed(truth, (3, 2)), atol=0.5)


def test_what_was_not_measured_has_the_highest_entropy():
    """Columns that nothing was measured on are uniform; those measured apart are independent."""
    rng = np.random.default_rng(5)
    truth = table_of([3, 4, 5], 900, rng)
    model = estimate([3, 4, 5, 6], measure(truth, [(0,), (2,)], 0.01, rng), **OPTIMUM)
    assert np.allclose(model.marginal((1,)), model.total / 4)
    assert np.allclose(model.marginal((3, 1)), model.total / 24)
    apart = np.outer(model.marginal((0,)), model.marginal((2,))) / model.total
    assert np.allclose(model.marginal((0, 2)), apart, atol=1e-6)


def test_of_all_tables_with_these_marginals_the_estimate_has_the_highest_entropy():
    rng = np.random.default_rng(6)
    truth = table_of([2, 3, 2], 1.0, rng)
    measured = [NoisyMarginal(columns, 1000 * summed(truth, columns), 1.0) for columns in [(0, 1), (1, 2), (0, 2)]]
    share = written_out(estimate(truth.shape, measured, **OPTIMUM)) / 1000
    sign = np.array([1, -1])
    within = np.einsum("i,j,k->ijk", sign, [1, -1, 0], sign)  # leaves all three tables of pairs as they are
    slope = float((np.log(share) * within).sum())
    assert abs(slope) < 0.02
    assert abs(float((np.log(truth) * within).sum())) > 0.2


def test_conflicting_measurements_are_weighed_by_their_precision():
    first = NoisyMarginal((0,), np.array([700.0, 300.0]), 10.0)
    second = NoisyMarginal((0,), np.array([600.0, 400.0]), 20.0)
    alone = estimate([2], [first, second], **OPTIMUM)
    assert alone.marginal((0,)) == pytest.approx([680, 320], abs=0.01)
    pair = NoisyMarginal((0, 1), np.array([[300.0, 300.0], [200.0, 200.0]]), 20 / 2**0.5)  # sums to the second, as precise
    within = estimate([2, 2], [first, pair], **OPTIMUM)
    assert within.marginal((0,)) == pytest.approx([680, 320], abs=0.05)


def test_the_number_of_rows_is_the_mean_of_all_sums_weighed_by_their_precision():
    told = [NoisyMarginal((), np.array(90.0), 3.0), NoisyMarginal((0,), np.array([50.0, 60.0]), 3.0)]
    assert estimate([2], told).total == pytest.approx((90 / 9 + 110 / 18) / (1 / 9 + 1 / 18))
    assert estimate([2], told, total=50).marginal((0,)).sum() == pytest.approx(50)
    assert estimate([2], [NoisyMarginal((0,), np.array([-5.0, -6.0]), 3.0)]).total == 1


def test_a_warm_start_ends_at_the_same_optimum():
    rng = np.random.default_rng(7)
    sizes = [3, 4, 2, 3]
    truth = table_of(sizes, 3000, rng)
    measured = measure(truth, [(0, 1), (1, 2), (2, 3), (3, 0), (1,)], 10.0, rng)
    begun = estimate(sizes, measured[:3], total=3000, iterations=100)
    cold = estimate(sizes, measured, total=3000, **OPTIMUM)
    warm = estimate(sizes, measured, total=3000, start=begun, **OPTIMUM)
    assert misfit(warm, measured) == pytest.approx(misfit(cold, measured), rel=1e-3)
    for columns in [(0, 1), (3, 0), (1, 3)]:
        assert np.allclose(warm.marginal(columns), cold.marginal(columns), atol=3)
    few = estimate(sizes, measured, total=3000, start=cold, iterations=2)
    assert misfit(few, measured) == pytest.approx(misfit(cold, measured), rel=1e-3)


def test_cells_that_are_mostly_noise_are_not_fitted():
    """A wide table of nearly empty cells: the estimate is nearer to the truth than the optimum, and than what was measured."""
    rng = np.random.default_rng(8)
    first, second = rng.dirichlet(np.ones(30) / 3), rng.dirichlet(np.ones(40) / 3)
    truth = 5000 * np.outer(first, second)
    measured = measure(truth, [(0, 1), (0,), (1,)], 20.0, rng)

    def off(counts: np.ndarray) -> float:
        return float(np.abs(counts - truth).sum() / 10_000)

    stopped = off(estimate([30, 40], measured).marginal((0, 1)))
    optimum = off(estimate([30, 40], measured, resolution=0, iterations=2000).marginal((0, 1)))
    assert stopped < 0.6 * optimum
    assert optimum < off(measured[0].counts)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: NoisyMarginal((0, 0), np.zeros((2, 2)), 1.0), "once"),
        (lambda: NoisyMarginal((0,), np.zeros((2, 2)), 1.0), r"shape \(2, 2\)"),
        (lambda: NoisyMarginal((0,), np.array([np.nan]), 1.0), "finite"),
        (lambda: NoisyMarginal((0,), np.zeros(2), 0.0), "sigma is 0.0"),
        (lambda: estimate([2, 0], []), "column 1 has 0 cells"),
        (lambda: estimate([2], []), "give total"),
        (lambda: estimate([2], [], total=-1), "-1.0 rows"),
        (lambda: estimate([2], [NoisyMarginal((1,), np.zeros(2), 1.0)]), "no column 1"),
        (lambda: estimate([3], [NoisyMarginal((0,), np.zeros(2), 1.0)]), r"shape \(2,\)"),
        (lambda: estimate([2], [], total=1, iterations=0), "iterations is 0"),
        (lambda: estimate([2], [], total=1, start=estimate([3], [], total=1)), "start from"),
        (lambda: estimate([2], [], total=1).marginal((0, 0)), "twice"),
        (lambda: estimate([2], [], total=1).sample(1, np.random.default_rng(0), {0: np.ones(3)}), r"mask of shape \(3,\)"),
    ],
)
def test_what_cannot_be_is_refused(make, said: str):
    with pytest.raises(ConfigError, match=said):
        make()


def test_a_tree_that_no_memory_holds_is_refused_before_it_is_built(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SYNTH_MEMORY_LIMIT", "1MB")
    ring = [NoisyMarginal(pair, np.ones((60, 60)), 1.0) for pair in [(0, 1), (1, 2), (2, 0)]]
    with pytest.raises(TooLargeError, match="216,000 cells"):
        estimate([60, 60, 60], ring)
    estimate([60, 60, 60], ring[:2], iterations=2)


# the artefact ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("single_from", [0, 10**9])
def test_a_restored_model_gives_the_same_marginals_and_rows(single_from: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_graphical_model, "SINGLE_FROM", single_from)
    rng = np.random.default_rng(9)
    sizes = [5, 2, 7, 3]
    model = estimate(sizes, measure(table_of(sizes, 800, rng), [(0, 1), (2, 1), (0, 3)], 4.0, rng))
    told, arrays = model.state()
    again = GraphicalModel.restore(json.loads(json.dumps(told)), arrays)
    assert np.array_equal(model.marginal((2, 3)), again.marginal((2, 3)))
    rows = model.sample(1000, np.random.default_rng(1))
    assert rows.dtype == np.int32
    assert np.array_equal(rows, again.sample(1000, np.random.default_rng(1)))
    with pytest.raises(ConfigError, match="damaged"):
        GraphicalModel.restore(told, {"potentials": arrays["potentials"][1:]})


# rows ------------------------------------------------------------------------------------------------------------------


def counted(rows: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    return np.bincount(np.ravel_multi_index(rows.T, sizes), minlength=int(np.prod(sizes))).reshape(sizes)


@pytest.fixture(scope="module")
def model() -> GraphicalModel:
    rng = np.random.default_rng(10)
    sizes = [3, 4, 2, 3, 2]
    measured = measure(table_of(sizes, 4000, rng), [(0, 1), (1, 2), (2, 0), (1, 3)], 10.0, rng)
    return estimate(sizes, measured, total=4000)


def test_rows_have_the_models_distribution(model: GraphicalModel):
    """Each cell's count within 6 standard deviations of independent draws; the first row alone, over many samples, too."""
    share = written_out(model) / model.total
    n = 200_000
    rows = model.sample(n, np.random.default_rng(0))
    assert np.abs((counted(rows, model.sizes) - n * share) / np.sqrt(n * share * (1 - share) + 1)).max() < 6
    rng = np.random.default_rng(1)
    firsts = np.concatenate([model.sample(3, rng)[:1] for _ in range(1000)])
    for columns in [(0, 1), (1, 3), (4,)]:
        expected = summed(share, columns) * 1000
        seen = summed(counted(firsts, model.sizes), columns)
        assert np.abs((seen - expected) / np.sqrt(expected + 1)).max() < 6


def test_rows_come_nearer_to_the_marginals_than_independent_ones(model: GraphicalModel):
    share = written_out(model) / model.total
    rng = np.random.default_rng(2)
    n = 2000
    drawn = np.mean([np.abs(summed(counted(model.sample(n, rng), model.sizes), (0, 1)) - n * summed(share, (0, 1))).sum()
                     for _ in range(20)])  # fmt: skip
    independent = np.mean([np.abs(summed(rng.multinomial(n, share.ravel()).reshape(share.shape), (0, 1))
                                  - n * summed(share, (0, 1))).sum() for _ in range(20)])  # fmt: skip
    assert drawn < 0.5 * independent


def test_each_row_is_independent_of_its_place(model: GraphicalModel):
    """A part of a shard is a sample like any other: counts in its first half are as they are in the whole."""
    rows = model.sample(20_000, np.random.default_rng(3))
    half = counted(rows[:10_000], model.sizes)
    expected = 10_000 * written_out(model) / model.total
    assert np.abs((half - expected) / np.sqrt(expected + 1)).max() < 6


def test_conditions_are_met_exactly_and_leave_the_rest_as_among_rows_that_meet_them(model: GraphicalModel):
    allowed = {0: np.array([True, False, True]), 3: np.array([False, True, False]), 4: np.array([False, True])}
    n = 100_000
    rows = model.sample(n, np.random.default_rng(4), allowed)
    for column, mask in allowed.items():
        assert mask[rows[:, column]].all()
    among = written_out(model)
    for column, mask in allowed.items():
        among = among * mask.reshape([-1 if axis == column else 1 for axis in range(among.ndim)])
    among /= among.sum()
    assert np.abs((counted(rows, model.sizes) - n * among) / np.sqrt(n * among * (1 - among) + 1)).max() < 6
    many = model.sample(1_000_000, np.random.default_rng(5))
    kept = many[np.all([mask[many[:, column]] for column, mask in allowed.items()], axis=0)]
    ratio = counted(kept, model.sizes) / len(kept)
    assert np.abs(ratio - among).max() < 6 * np.sqrt(among.max() / len(kept))


def test_a_condition_may_single_out_what_is_next_to_impossible():
    cliques = ((0, 1), (1, 2))
    potentials = (np.array([[0.0, -300.0], [-300.0, -600.0]]), np.zeros((2, 2)))
    model = GraphicalModel((2, 2, 2), 10.0, cliques, potentials)
    rows = model.sample(1000, np.random.default_rng(6), {0: np.array([False, True])})
    assert (rows[:, 0] == 1).all()
    assert (rows[:, 1] == 0).all()
    assert abs(rows[:, 2].mean() - 0.5) < 0.08


def test_an_impossible_condition_is_an_error(model: GraphicalModel):
    with pytest.raises(GenerationError, match="column 1 a probability of zero"):
        model.sample(5, np.random.default_rng(0), {1: np.zeros(4, dtype=bool)})
    tied = GraphicalModel((2, 2), 1.0, ((0, 1),), (np.where(np.eye(2) > 0, 0.0, -2000.0),))
    with pytest.raises(GenerationError, match="columns 0, 1"):
        tied.sample(5, np.random.default_rng(0), {0: np.array([True, False]), 1: np.array([False, True])})


def test_no_rows_are_rows_too(model: GraphicalModel):
    assert model.sample(0, np.random.default_rng(0)).shape == (0, 5)
