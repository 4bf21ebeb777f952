"""A few training rows among good ones are found however they were changed; among fresh rows there are none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import synth
from synth.data.schema import Column, Kind, Schema
from synth.data.table import Table
from synth.metrics.combinations import prints, times
from synth.metrics.distance import neighbours, positions
from synth.metrics.evaluation import evaluate
from synth.metrics.evidence import Evidence
from synth.metrics.measurement import Measurements

Three = tuple[Table, Table, Table]
FIGURES = ["privacy.memorised", "privacy.memorised_parts", "privacy.rare_combinations", "privacy.dcr", "privacy.nndr"]
ROWS = 6_000
HIDDEN = 30  # one in two hundred


@pytest.fixture(scope="module")
def adult(shared_data: Callable[[str], Path]) -> Table:
    return synth.read(shared_data("adult.parquet"))


def thirds(table: Table, seed: int, rows: int = ROWS) -> Three:
    order = np.random.default_rng(seed).permutation(len(table))
    return tuple(table.take(order[i * rows : (i + 1) * rows]) for i in range(3))  # type: ignore[return-value]


def shaken(table: Table, like: Table, seed: int) -> Table:
    """Every number moved by up to a hundredth of its deviation, on its grid."""
    rng, arrow = np.random.default_rng(seed), table.arrow
    for place, column in enumerate(table.schema.columns):
        if column.kind.is_number:
            kind = arrow.schema.field(column.name).type
            spread = like.column(column.name).to_numpy().std()
            moved = arrow.column(place).to_numpy() + spread * rng.uniform(-0.01, 0.01, len(table))
            arrow = arrow.set_column(place, column.name, pa.array(np.rint(moved)).cast(kind))
    return replace(table, arrow=arrow)


def with_one_other_cell(table: Table, others: Table, seed: int) -> Table:
    """Each row with one of its cells from another row."""
    rng, arrow = np.random.default_rng(seed), table.arrow
    which, donor = rng.integers(table.arrow.num_columns, size=len(table)), rng.integers(len(others), size=len(table))
    for place, name in enumerate(table.columns):
        own, new = arrow.column(place).to_pylist(), others.arrow.column(place).take(pa.array(donor)).to_pylist()
        cells = [new[i] if which[i] == place else own[i] for i in range(len(table))]
        arrow = arrow.set_column(place, name, pa.array(cells).cast(arrow.schema.field(name).type))
    return replace(table, arrow=arrow)


def hidden(fresh: Table, rows: Table) -> Table:
    return Table.concat([fresh.head(len(fresh) - len(rows)), rows])


def beyond(measured: Measurements, name: str) -> tuple[float, float]:
    """The excess over the reference, and the low end of its interval."""
    m = measured[name]
    assert m.score is not None, m.reason
    assert m.reference is not None
    value = m.score.value - m.reference.value
    return value, value - float(np.hypot(m.score.value - m.score.low, m.reference.high - m.reference.value))


@pytest.mark.parametrize("seed", range(3))
def test_one_row_in_two_hundred_is_found_when_its_numbers_were_shaken(adult: Table, seed: int) -> None:
    train, holdout, fresh = thirds(adult, seed)
    rows = shaken(train.head(HIDDEN), adult, seed)
    measured = evaluate(train, holdout, hidden(fresh, rows), only=["privacy.memorised"], seed=seed)
    value, low = beyond(measured, "privacy.memorised")
    assert value > 0.0025
    assert low > 0


@pytest.mark.parametrize("seed", range(3))
def test_one_row_in_two_hundred_is_found_when_a_cell_was_changed(adult: Table, seed: int) -> None:
    train, holdout, fresh = thirds(adult, seed)
    rows = with_one_other_cell(train.head(HIDDEN), adult, seed)
    measured = evaluate(train, holdout, hidden(fresh, rows), only=["privacy.memorised_parts"], seed=seed)
    value, low = beyond(measured, "privacy.memorised_parts")
    assert value > 0.003
    assert low > 0


@pytest.mark.parametrize("seed", range(3))
def test_among_fresh_rows_there_are_none(adult: Table, seed: int) -> None:
    measured = evaluate(*thirds(adult, 10 + seed), only=FIGURES, seed=seed)
    for name in FIGURES[:4]:
        assert beyond(measured, name)[1] <= 0, measured[name]
    assert abs(beyond(measured, "privacy.memorised")[0]) < 0.002
    assert abs(beyond(measured, "privacy.memorised_parts")[0]) < 0.003
    assert abs(beyond(measured, "privacy.dcr")[0]) < 0.03


def test_outliers_that_pass_the_distance_to_the_closest_record_do_not_pass(adult: Table) -> None:
    # one row in a hundred is a training row that stands alone, changed a little: too few to be nearer to training rows
    train, holdout, fresh = thirds(adult, 0)
    place = positions(Evidence(train, holdout, fresh, 0))["train"]
    lonely = np.argsort(-neighbours(place, place, 5, exclude_self=True)[0][:, -1])[: ROWS // 100]
    for rows, name in (
        (shaken(train.take(lonely), adult, 0), "privacy.memorised"),
        (with_one_other_cell(train.take(lonely), adult, 0), "privacy.memorised_parts"),
    ):
        measured = evaluate(train, holdout, hidden(fresh, rows), only=FIGURES)
        assert beyond(measured, "privacy.dcr")[1] <= 0.0
        assert beyond(measured, name)[1] > 0.005
        assert beyond(measured, "privacy.rare_combinations")[1] > 0.0


def test_a_copied_table_fails_every_alarm(three: Three) -> None:
    train, holdout, _ = three
    measured = evaluate(train, holdout, train, only=FIGURES)
    for name in ("privacy.memorised", "privacy.memorised_parts"):
        assert beyond(measured, name)[1] > 0.5, measured[name]
    assert beyond(measured, "privacy.rare_combinations")[1] > 0.2
    assert beyond(measured, "privacy.dcr")[1] > 0.4
    nearest = measured["privacy.nndr"]
    assert nearest.score is not None
    assert nearest.reference is not None
    assert nearest.score.high < nearest.reference.low


def test_copies_of_holdout_rows_are_the_reference(three: Three) -> None:
    train, holdout, _ = three
    measured = evaluate(train, holdout, holdout, only=FIGURES[:3])
    for name in FIGURES[:3]:
        assert beyond(measured, name)[0] < -0.2, measured[name]


def test_a_larger_training_table_is_compared_block_by_block(draw: Callable[[int, int], Table]) -> None:
    train, holdout, fresh = draw(3_000, 1), draw(1_000, 2), draw(2_000, 3)
    clean = evaluate(train, holdout, fresh, only=FIGURES[:2])
    leaked = evaluate(train, holdout, hidden(fresh, train.take(np.arange(0, 3_000, 75))), only=FIGURES[:2])
    for name in FIGURES[:2]:
        assert beyond(clean, name)[1] <= 0
        assert beyond(leaked, name)[0] > 0.015  # wherever the 40 rows in 2,000 come from


def test_one_real_row_beside_many_synthetic_ones_is_one_observation() -> None:
    # a value that one training row has and no holdout row, drawn sixty times by a fair generator
    rng = np.random.default_rng(0)
    kind = Schema((Column("x", Kind.INTEGER), Column("y", Kind.INTEGER)))

    def rows(odd: int) -> Table:
        x, y = rng.integers(0, 5, 1_000), rng.integers(0, 5, 1_000)
        x[:odd] = y[:odd] = 99
        return Table(pa.table({"x": x, "y": y}), kind)

    measured = evaluate(rows(1), rows(0), rows(60), only=["privacy.memorised"])
    assert beyond(measured, "privacy.memorised")[0] == pytest.approx(0.06)
    assert beyond(measured, "privacy.memorised")[1] <= 0


def test_what_cannot_be_told_is_not_told(three: Three) -> None:
    train, holdout, fresh = three
    few = evaluate(train, holdout.head(100), fresh, only=FIGURES)
    assert all(found.status == "skipped" and "200 are needed" in found.reason for found in few)
    alone = evaluate(train, None, fresh, only=FIGURES)
    assert all(found.status == "skipped" for found in alone)
    rng = np.random.default_rng(0)
    kind = Schema((Column("a", Kind.INTEGER), Column("b", Kind.INTEGER)))
    equal = [Table(pa.table({"a": rng.integers(0, 3, 900), "b": rng.integers(0, 2, 900)}), kind) for _ in range(3)]
    measured = evaluate(*equal, only=FIGURES)
    assert beyond(measured, "privacy.memorised")[0] == 0.0
    assert measured["privacy.memorised_parts"].status == "absent"
    assert measured["privacy.rare_combinations"].status == "absent"
    assert beyond(measured, "privacy.dcr")[0] == 0.0


def test_prints_agree_where_cells_do(three: Three) -> None:
    train, holdout, fresh = three
    evidence = Evidence(train, holdout, fresh, 0)
    own, other = prints(evidence, "train", np.arange(len(train))), prints(evidence, "holdout", np.arange(len(holdout)))
    for place, column in enumerate(evidence.columns):
        same = column.train[:, None] == column.holdout[None, :]
        same |= column.null("train")[:, None] & column.null("holdout")[None, :]
        assert np.array_equal(own[place][:, None] == other[place][None, :], same), column.name
    both = own[[1, 4]].sum(axis=0), other[[1, 4]].sum(axis=0)
    agree = (own[1][:, None] == other[1][None, :]) & (own[4][:, None] == other[4][None, :])
    assert np.array_equal(times(*both), agree.sum(axis=1))
