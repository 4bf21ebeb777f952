"""Neighbours found in blocks are those that comparing every row with every other finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.metrics import distance
from synth.metrics.distance import nearest, neighbours, within


def every(queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    gap = queries[:, None].astype(np.float64) - rows[None]
    return np.asarray(np.sqrt((gap * gap).sum(axis=2)))


def points(rng: np.random.Generator, rows: int, dimensions: int, coarse: bool) -> np.ndarray:
    """Points in general position, or on a coarse grid, where most have copies and most distances occur many times."""
    drawn = rng.integers(0, 3, (rows, dimensions)) / np.sqrt(2) if coarse else rng.normal(size=(rows, dimensions))
    return np.asarray(drawn + 40, dtype=np.float32)  # far from the origin, where products lose digits


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 400), st.integers(2, 700), st.integers(1, 6), st.integers(1, 7), st.booleans())
def test_they_are_those_of_all_pairs(seed: int, many: int, rows: int, dimensions: int, k: int, coarse: bool) -> None:
    rng = np.random.default_rng(seed)
    a, b, k = points(rng, many, dimensions, coarse), points(rng, rows, dimensions, coarse), min(k, rows - 1)
    far = every(a, b)
    found, position = neighbours(a, b, k)
    np.testing.assert_allclose(found, np.sort(far, axis=1)[:, :k], atol=1e-6)
    np.testing.assert_array_equal(found, np.take_along_axis(far, position, axis=1))
    np.testing.assert_array_equal(nearest(a, b), found[:, 0])
    among, other = neighbours(b, b, k, exclude_self=True)
    apart = every(b, b) + np.where(np.eye(rows, dtype=bool), np.inf, 0)
    np.testing.assert_allclose(among, np.sort(apart, axis=1)[:, :k], atol=1e-6)
    assert (other != np.arange(rows)[:, None]).all()
    inside, covered = within(b, a, among[:, -1])
    ball = every(b, a) <= among[:, -1:] * (1 + 1e-9)
    np.testing.assert_array_equal(inside, ball.sum(axis=1))
    np.testing.assert_array_equal(covered, ball.sum(axis=0))


def test_the_size_of_a_block_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a, b = points(rng, 900, 12, False), points(rng, 1_100, 12, False)
    whole = neighbours(a, b, 5), within(a, b, np.full(len(a), 4.0))
    monkeypatch.setattr(distance, "BLOCK", 7 * len(b))
    monkeypatch.setattr(distance, "PAIRS", 11)
    parts = neighbours(a, b, 5), within(a, b, np.full(len(a), 4.0))
    for one, other in zip(whole, parts):
        for x, y in zip(one, other):
            np.testing.assert_array_equal(x, y)


def test_a_copy_lies_in_a_ball_of_no_size() -> None:
    rows = np.repeat(np.array([[0.1, 0.2, 5.0], [0.3, 0.2, 5.0]], dtype=np.float32), [7, 3], axis=0)
    radii = neighbours(rows, rows, 2, exclude_self=True)[0][:, 1]
    assert (radii == 0).all()
    inside, covered = within(rows, rows, radii)
    assert inside.tolist() == covered.tolist() == [7] * 7 + [3] * 3


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="3 neighbours are asked for among 3 rows without oneself"):
        neighbours(np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32), 3, exclude_self=True)
