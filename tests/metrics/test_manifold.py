"""α-precision, β-recall, density and coverage agree with computation by hand, and see what each is about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import synth
from synth.data.schema import Column, Kind, Schema
from synth.data.table import Table
from synth.metrics.evaluation import evaluate
from synth.metrics.manifold import ALPHAS, Cloud, alpha_curve, beta_curve, closeness, support
from synth.metrics.measurement import Measurement, Measurements

Three = tuple[Table, Table, Table]
NAMES = ["fidelity.alpha_precision", "fidelity.beta_recall", "fidelity.density", "fidelity.coverage"]
ROWS = 1_500


@pytest.fixture(scope="module")
def adult(shared_data: Callable[[str], Path]) -> Table:
    table = synth.read(shared_data("adult.parquet"), target="income")
    return table.take(np.random.default_rng(0).permutation(len(table))[: 4 * ROWS])


@pytest.fixture(scope="module")
def draws(adult: Table) -> Three:
    return tuple(adult.take(np.arange(i * ROWS, (i + 1) * ROWS)) for i in range(3))  # type: ignore[return-value]


def factorised(given: Table) -> Table:
    """Every column shuffled by itself."""
    rng = np.random.default_rng(1)
    shuffled = [given.arrow.column(name).take(pa.array(rng.permutation(len(given)))) for name in given.columns]
    return replace(given, arrow=pa.table(shuffled, schema=given.arrow.schema))


def excess(m: Measurement) -> tuple[float, float, float]:
    """The difference from real rows, with its interval as the gate forms it."""
    assert m.score is not None, m.reason
    assert m.reference is not None
    value = m.score.value - m.reference.value
    low = value - np.hypot(m.score.value - m.score.low, m.reference.high - m.reference.value)
    return value, low, value + np.hypot(m.score.high - m.score.value, m.reference.value - m.reference.low)


def scores(measured: Measurements) -> dict[str, float]:
    return {m.name.removeprefix("fidelity."): m.score.value for m in measured if m.score is not None}


def by_hand(real: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """The four figures from the papers' formulas and all distances."""

    def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(np.linalg.norm(a[:, None].astype(float) - b[None], axis=2))

    own = np.sort(apart(real, real) + np.where(np.eye(len(real), dtype=bool), np.inf, 0), axis=1)
    across = apart(real, other)  # a row for each real one
    centre, middle = real.mean(axis=0, dtype=float), other.mean(axis=0, dtype=float)
    radius, outward = np.linalg.norm(real - centre, axis=1), np.linalg.norm(other - middle, axis=1)
    closest = across.argmin(axis=1)
    precision, recall = [], []
    for alpha in ALPHAS:
        precision.append((np.linalg.norm(other - centre, axis=1) <= np.quantile(radius, alpha)).mean())
        inner = outward[closest] <= np.quantile(outward[closest], alpha)
        recall.append(((across.min(axis=1) <= own[:, 0]) & inner).mean())
    in_ball = across <= own[:, [4]]
    return {
        "alpha_precision": 1 - np.abs(ALPHAS - precision).sum() / ALPHAS.sum(),
        "beta_recall": 1 - np.abs(ALPHAS - recall).sum() / ALPHAS.sum(),
        "density": in_ball.sum() / (5 * len(other)),
        "coverage": in_ball.any(axis=1).mean(),
    }


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_they_are_the_papers_formulas(shift: float) -> None:
    rng = np.random.default_rng(3)
    real, other = rng.normal(size=(400, 4)).astype(np.float32), rng.normal(shift, 0.8, (400, 4)).astype(np.float32)
    assert support(Cloud.of(real), other).figures == pytest.approx(by_hand(real, other), abs=1e-9)


def test_a_curve_on_the_diagonal_is_perfect_and_an_empty_one_worth_nothing() -> None:
    real = np.random.default_rng(0).random(5_000)
    assert closeness(alpha_curve(real, real)) == pytest.approx(1, abs=1e-3)
    assert closeness(alpha_curve(real, real + 2)) == 0
    assert closeness(beta_curve(np.zeros(len(real), dtype=bool), real)) == 0


def test_fresh_rows_are_at_home(draws: Three) -> None:
    measured = evaluate(*draws, only=NAMES)
    for m in measured:
        value, low, high = excess(m)
        assert low <= 0 <= high, m
        assert abs(value) < 0.06, m
    found = scores(measured)
    assert found["alpha_precision"] > 0.95
    assert 0.4 < found["beta_recall"] < 0.6
    assert 0.9 < found["density"] < 1.1
    assert found["coverage"] > 0.94


def test_a_factorised_table_leaves_the_real_rows(draws: Three) -> None:
    train, holdout, _ = draws
    measured = evaluate(train, holdout, factorised(train), only=NAMES)
    for name in ("fidelity.beta_recall", "fidelity.density", "fidelity.coverage"):
        assert excess(measured[name])[2] < -0.2, name


def test_a_region_that_is_never_reached_lowers_recall_and_coverage_but_not_density(draws: Three) -> None:
    train, holdout, fresh = draws
    kept = np.flatnonzero(np.array(fresh.column("sex").to_pylist()) == "Male")
    narrow = fresh.take(np.random.default_rng(0).choice(kept, ROWS))
    measured = evaluate(train, holdout, narrow, only=NAMES)
    assert excess(measured["fidelity.beta_recall"])[2] < 0
    assert excess(measured["fidelity.coverage"])[2] < -0.1
    assert excess(measured["fidelity.density"])[1] > -0.1
    assert measured["fidelity.coverage"].detail["worst"][0]["category"] in ("Female", "Wife")


def test_a_table_of_one_dense_spot_is_dense_and_covers_nothing(draws: Three) -> None:
    train, holdout, fresh = draws
    measured = evaluate(train, holdout, fresh.take(np.arange(ROWS) % 20), only=NAMES)
    found = scores(measured)
    assert found["coverage"] < 0.2
    assert found["beta_recall"] < 0.2


def test_copies_excel_which_is_said_to_be_no_virtue(draws: Three) -> None:
    train, holdout, _ = draws
    found = scores(evaluate(train, holdout, train, only=NAMES))
    assert min(found["alpha_precision"], found["beta_recall"], found["coverage"]) > 0.99


def test_intervals_hold_the_expected_figures_of_fresh_rows(draw: Callable[[int, int], Table]) -> None:
    def readings() -> Iterator[Measurement]:
        for seed in range(30):
            yield from evaluate(*(draw(300, 3 * seed + i) for i in range(3)), only=NAMES, seed=seed)

    taken = list(readings())
    for name in NAMES:
        intervals = [i for m in taken if m.name == name for i in (m.score, m.reference) if i is not None]
        expected = np.mean([i.value for i in intervals])
        held = np.mean([i.low <= expected <= i.high for i in intervals])
        assert held > 0.85, (name, held)  # 60 intervals of 95%: 51 or fewer hold once in ten thousand


def test_a_larger_table_on_either_side_moves_nothing(draw: Callable[[int, int], Table]) -> None:
    train, holdout, fresh = draw(3_000, 1), draw(600, 2), draw(3_000, 3)
    for m in evaluate(train, holdout, fresh, only=NAMES):
        _, low, high = excess(m)
        assert low <= 0 <= high, m
        assert m.score is not None
        assert m.score.n == 600


def test_without_a_holdout_there_is_a_figure_and_no_reference(three: Three) -> None:
    for m in evaluate(three[0], None, three[2], only=NAMES):
        assert m.score is not None
        assert m.reference is None


def test_too_few_rows_are_said_to_be_too_few(draw: Callable[[int, int], Table]) -> None:
    for m in evaluate(draw(500, 1), draw(150, 2), draw(500, 3), only=NAMES):
        assert m.status == "skipped"
        assert m.reason == "150 rows are too few to tell neighbourhoods by; 250 are needed in each table"


def test_odd_tables_give_a_figure() -> None:
    rng = np.random.default_rng(0)
    kinds = (
        Column("same", Kind.DECIMAL),
        Column("none", Kind.DECIMAL, nullable=True),
        Column("endless", Kind.DECIMAL),
        Column("many", Kind.CATEGORICAL, categories=tuple(str(i) for i in range(20_000))),
    )

    def odd() -> Table:
        endless = np.where(rng.random(400) < 0.01, np.inf, rng.normal(size=400))
        none = pa.array([None] * 400, pa.float64())
        many = rng.integers(0, 20_000, 400).astype(str)
        return Table(pa.table({"same": np.ones(400), "none": none, "endless": endless, "many": many}), Schema(kinds))

    for m in evaluate(odd(), odd(), odd(), only=NAMES):
        assert m.score is not None, m.reason


def test_rows_that_are_all_alike_are_covered() -> None:
    table = Table(pa.table({"c": ["a"] * 300}), Schema((Column("c", Kind.CATEGORICAL, categories=("a", "b")),)))
    found = scores(evaluate(table, table, table, only=NAMES))
    assert found["coverage"] == 1
    other = Table(pa.table({"c": ["b"] * 300}), table.schema)
    assert scores(evaluate(table, table, other, only=NAMES))["coverage"] == 0
