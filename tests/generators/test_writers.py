"""Rows of several writers and of unrelated columns together: one law, also under conditions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synth.data.table import Table

pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")

from synth.generators._private_gan import KEPT, kept_at
from synth.generators._storage import load
from synth.generators._writers import Writers
from synth.generators._written import apart
from synth.generators.gan import Gan
from tests.generators.test_gan import SMALL, WORLD


@pytest.fixture(scope="module")
def model() -> Gan:
    return Gan(epochs=12, **SMALL).fit(WORLD, seed=1)


@pytest.fixture
def mixed(model: Gan) -> Callable[..., Gan]:
    """The model with some of its weights' copies, the colours of each other one turned round, and unrelated rows."""

    def make(copies: int, unrelated: float) -> Gan:
        own = model._writers
        again = Gan(**SMALL)
        again.__dict__.update(model.__dict__)
        weights = [own.weights[0] if copy % 2 == 0 else turned(model) for copy in range(copies)]
        bias = own.bias.repeat(copies, axis=0)
        bias[1::2, -2:] = bias[1::2, :-3:-1]
        again._writers = Writers(own.columns, own.width, own.noise, weights, unrelated, bias, own.knots)
        return again

    return make


def turned(model: Gan) -> dict[str, np.ndarray]:
    """The writer with its last column, the colour, the other way round."""
    weights = {name: held.copy() for name, held in model._writers.weights[0].items()}
    last = max((name for name in weights if name.startswith("links")), key=lambda name: int(name.split(".")[1]))
    total = sum(modes.states for modes in model._modes)
    weights[last] = weights[last][::-1].copy()
    for name in ("heads.weight", "heads.bias", "held.weight"):
        weights[name][total - 2 : total] = weights[name][total - 2 : total][::-1].copy()
    return weights


def follows(rows: Table) -> float:
    """How often the colour is the one that goes with x: .9 in the world, about .5 where columns are unrelated."""
    found = rows.arrow.to_pydict()
    return float(np.mean((np.array(found["colour"]) == "red") == (np.array(found["x"]) > 0)))


def test_rows_are_shared_out_evenly_between_writers_and_none(model: Gan, mixed: Callable[..., Gan]) -> None:
    alone = follows(model.sample(8_000, seed=1))
    assert alone > 0.8
    chance = follows(mixed(1, 0.9).sample(8_000, seed=1))
    assert chance == pytest.approx(0.9 * 0.5 + 0.1 * alone, abs=0.05)
    assert follows(mixed(3, 0.0).sample(8_000, seed=1)) == pytest.approx((2 * alone + (1 - alone)) / 3, abs=0.05)


@pytest.mark.parametrize(("copies", "unrelated"), [(1, 0.5), (3, 0.25)])
@pytest.mark.parametrize("where", [{"colour": "red"}, "x > 0 and shape in ('round', 'square')"])
def test_rows_under_a_condition_are_those_of_all_rows_that_satisfy_it(
    copies: int, unrelated: float, where: Any, mixed: Callable[..., Gan]
) -> None:
    method = mixed(copies, unrelated)
    free = method.sample(24_000, seed=2).arrow.to_pandas()
    kept = free[free["colour"] == "red"] if isinstance(where, dict) else free[(free["x"] > 0) & (free["shape"] != "star")]
    given = method.sample(6_000, where=where, seed=3).arrow.to_pandas()
    for other in ("colour", "shape"):
        expected = kept[other].value_counts(normalize=True)
        found = given[other].value_counts(normalize=True)
        assert (expected - found.reindex(expected.index, fill_value=0)).abs().max() < 0.03
    assert (given["x"] > 0).mean() == pytest.approx((kept["x"] > 0).mean(), abs=0.03)


def test_weights_that_leave_out_the_unrelated_are_found_out(mixed: Callable[..., Gan], monkeypatch: pytest.MonkeyPatch) -> None:
    """The test before would see it: planted, an unrelated row counts as if nothing had been asked of it."""
    from synth.generators import _writers

    right = _writers.apart
    monkeypatch.setattr(
        _writers, "apart", lambda *of: dataclasses.replace(made := right(*of), weights=np.ones_like(made.weights))
    )
    with pytest.raises(AssertionError):
        test_rows_under_a_condition_are_those_of_all_rows_that_satisfy_it(1, 0.5, {"colour": "red"}, mixed)


def test_unrelated_rows_do_not_hide_a_collapse_of_the_networks(
    mixed: Callable[..., Gan], monkeypatch: pytest.MonkeyPatch
) -> None:
    method = mixed(1, 0.9)
    bias = method._writers.bias.copy()
    bias[:, -2] += 50  # one colour is all that the network writes
    method._writers = dataclasses.replace(method._writers, bias=bias)
    rng = np.random.default_rng(0)
    strangers = apart(method._modes, method._writers.open(4_000), rng)
    assert method._variety(strangers.states, strangers.positions, rng).missing == ("colour",)
    monkeypatch.setattr(Writers, "networks_alone", property(lambda whole: whole))  # planted: all rows are looked at
    assert method._variety(strangers.states, strangers.positions, rng).missing == ()


def test_a_mixture_is_saved_and_rows_come_in_no_order_of_writers(mixed: Callable[..., Gan], tmp_path: Path) -> None:
    method = mixed(3, 0.25)
    method.save(tmp_path / "model")
    rows = method.sample(3_000, seed=5)
    assert load(tmp_path / "model").sample(3_000, seed=5).arrow.equals(rows.arrow)
    halves = (
        follows(dataclasses.replace(rows, arrow=rows.arrow.slice(0, 1_500))),
        follows(dataclasses.replace(rows, arrow=rows.arrow.slice(1_500))),
    )
    assert halves[0] == pytest.approx(halves[1], abs=0.06)
    assert method.sample(0, seed=1).arrow.num_rows == 0


def test_a_model_saved_when_there_was_one_writer_always_is_read(model: Gan) -> None:
    state, arrays = model._state()
    older = {name.replace("weights.0.", "weights."): values for name, values in arrays.items()} | {"bias": arrays["bias"][0]}
    assert set(older) != set(arrays)
    again = Gan(**SMALL)
    again.__dict__.update(model.__dict__)
    again._restore({name: value for name, value in state.items() if name != "unrelated"}, older, model._template)
    assert again.sample(200, seed=1).arrow.equals(model.sample(200, seed=1).arrow)


def test_writers_are_kept_evenly_to_the_last_step() -> None:
    assert sorted(kept_at(125)) == [50, 61, 72, 83, 93, 104, 115, 125]
    assert len(kept_at(125)) == KEPT
    assert sorted(kept_at(3)) == [2, 3]
