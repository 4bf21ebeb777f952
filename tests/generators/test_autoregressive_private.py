"""The any-order network under a budget: cells and counts that were paid for, and what columns have to do with each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synth.errors import ConfigError
from synth.generators._any_order import AnyOrder, Layout
from synth.generators._calibrating import calibrated
from synth.generators._private_cells import Cells, private_coder, private_coder_from, tokens_of
from synth.generators._storage import load
from synth.generators.autoregressive import Autoregressive
from synth.privacy.bins import Cuts
from synth.privacy.budget import Budget
from synth.privacy.columns import PrivateColumn
from synth.privacy.ledger import Ledger
from tests.declared import declared, values

torch = pytest.importorskip("torch", reason="the network is trained with torch")
pytest.importorskip("opendp", reason="noise is OpenDP's: pip install 'synth[dp]'")
pytest.importorskip("dp_accounting", reason="the accounting of DP-SGD needs dp-accounting")

SMALL: dict[str, Any] = {"private_steps": 60, "private_rate": 0.25, "private_width": 16, "private_times": 2, "blocks": 1}
BUDGET = Budget(20.0, 1e-5)


def fitted(rows: dict[str, list[Any]], **given: Any) -> Autoregressive:
    return Autoregressive(**SMALL, private_learning_rate=0.02).fit(declared(rows), budget=BUDGET, dataset="people", **given)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Autoregressive:
    return fitted(values(1_500), ledger=tmp_path_factory.mktemp("books") / "ledger.sqlite")


def pairs(rows: Any, n: int) -> np.ndarray:
    """Shares of each grade and membership together."""
    grade = np.array([("low", "middle", "high").index(value) for value in rows["grade"]])
    return np.bincount(grade * 2 + np.array(rows["member"], dtype=int), minlength=6).reshape(3, 2) / n


def test_what_columns_have_to_do_with_each_other_is_learned(model: Autoregressive) -> None:
    real = pairs(values(20_000, seed=1), 20_000)
    made = pairs(model.sample(20_000).arrow.to_pydict(), 20_000)
    unrelated = real.sum(axis=1, keepdims=True) * real.sum(axis=0, keepdims=True)
    assert np.abs(made - real).sum() / 2 < 0.85 * np.abs(unrelated - real).sum() / 2


def test_the_receipt_covers_counts_and_steps(model: Autoregressive) -> None:
    receipt = model.receipt
    assert receipt is not None
    assert receipt.secure
    assert 0.99 * BUDGET.epsilon < receipt.cost.epsilon(BUDGET.delta) <= BUDGET.epsilon
    assert any(receipt.cost.nano)  # the steps, which are no zCDP
    assert sum(cost for _, cost in receipt.spent) <= receipt.cost.micro_rho


def test_single_columns_come_as_they_were_counted(model: Autoregressive) -> None:
    made, real = model.sample(20_000).arrow.to_pydict(), values(1_500)
    for name in ("colour", "grade", "member"):
        for level in set(real[name]):
            assert made[name].count(level) / 20_000 == pytest.approx(real[name].count(level) / 1_500, abs=0.03)


def test_rows_satisfy_conditions_and_what_is_declared(model: Autoregressive) -> None:
    rows = model.sample(300, where="age >= 60 and age < 70 and joined >= '2010-01-01' and grade = 'high'").arrow.to_pydict()
    assert all(60 <= age < 70 for age in rows["age"])
    assert set(rows["grade"]) == {"high"}
    assert all(str(day) >= "2010" for day in rows["joined"])
    free = model.sample(2_000).arrow.to_pydict()
    assert all(age is None or 0 <= age <= 120 for age in free["age"])
    assert None in free["age"]
    assert all(-1 <= score <= 1 and round(score, 2) == score for score in free["score"])


def test_a_model_that_was_saved_is_the_same(model: Autoregressive, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.sample(200, seed=4).arrow.equals(model.sample(200, seed=4).arrow)
    table = declared(values(50, seed=3))
    np.testing.assert_array_equal(again.score(table), model.score(table))
    assert np.isfinite(model.score(table)).all()
    assert again.impute(table).arrow.column("age").null_count == 0


def test_what_a_model_is_made_of_does_not_tell_of_an_extreme_row() -> None:
    rows = values(300)
    more = {name: [*column, column[0]] for name, column in rows.items()}
    more["age"][-1], more["colour"][-1] = 120, "grey"
    few = {"private_steps": 2}
    shapes = []
    for name, one in (("here", rows), ("there", more)):
        method = Autoregressive(**SMALL | few).fit(declared(one), budget=BUDGET, dataset=name)
        state, arrays = method._state()
        state["order"].sort()
        # bins were bought, so that their number is as noisy as they are; what is declared is the same
        shapes.append((state, {k: v.shape for k, v in arrays.items() if "weights" not in k and "cells" not in k}))
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("wrong", [{"max_seconds": 5.0}, {"devices": 2}, {"precision": "bf16-mixed"}, {"device": "cuda"}])
def test_what_would_let_the_rows_say_how_it_is_trained_is_refused_before_any_is_read(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="under a budget"):
        Autoregressive(**SMALL, **wrong).fit("no such file.csv", budget=BUDGET, dataset="people")
    assert Ledger().accounts() == ()


# parts -------------------------------------------------------------------------------------------------------------------


def columns() -> list[PrivateColumn]:
    """A number in bins of several pieces, that can be null, and a category of so many levels that it takes two tokens."""
    table = declared({"age": [1], "colour": ["red"]}, columns={"colour": {"kind": "categorical", "categories": LEVELS}})
    age, colour = table.schema.columns
    cuts = Cuts(121, np.array([0, 10, 40, 41, 90]), np.array([0, 0, 1, 2, 2]), np.array([0.3, 0.7, 1.0, 0.8, 0.2]))
    return [PrivateColumn(age, cuts=cuts), PrivateColumn(colour)]


LEVELS = [f"level {place}" for place in range(300)]


def layout() -> Layout:
    rng = np.random.default_rng(0)
    coders = tuple(private_coder(column, rng.integers(0, 50, column.size).astype(float)) for column in columns())
    return Layout(coders, (1, 0), 8)


def test_numpy_draws_from_the_network_that_torch_trained() -> None:
    from synth.generators._private_net import PrivateNet

    net = PrivateNet(layout(), 16, 16, 1, ordered=0.5, times=1)
    torch.default_generator.manual_seed(0)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    plain = AnyOrder(net.layout, net.folded({name: value.detach().numpy() for name, value in net.named_parameters()}))
    rng = np.random.default_rng(1)
    cells = [rng.integers(0, column.size, 64) for column in columns()]
    codes = np.hstack([tokens_of(*of) for of in zip(net.layout.coders, columns(), cells, strict=True)])
    tokens = torch.from_numpy(codes).long()
    with torch.no_grad():
        inputs, factor = net.reading.looked_up(tokens)
        h = torch.from_numpy(plain.trunk(np.repeat(plain.start[None], 64, axis=0)))[:, None, :]
        expected = -net._losses(h, tokens, inputs, factor).numpy()
    here = plain.trunk(np.repeat(plain.start[None], 64, axis=0))
    for column in range(2):
        own = codes[:, net.layout.starts[column] : net.layout.stops[column]]
        assert plain.log_chance(column, here, own) == pytest.approx(expected[:, column], abs=1e-4)


def test_values_come_back_in_their_cells() -> None:
    age, coder = columns()[0], layout().coders[0]
    assert isinstance(coder, Cells)
    codes = np.repeat([0, 1, 2, 3], 5_000)[:, None]
    drawn = coder.decode(codes, np.random.default_rng(0))
    assert np.isnan(drawn[15_000:]).all()
    assert set(drawn[5_000:10_000]) == {40.0}
    assert (drawn[:5_000] < 10).mean() == pytest.approx(0.3, abs=0.04)  # 6 standard deviations
    np.testing.assert_array_equal(coder.encode(drawn), codes)
    again = private_coder_from(age.decode(codes[:0, 0], np.random.default_rng(0)), "0", coder.to_arrays("0"))
    np.testing.assert_array_equal(again.decode(codes, np.random.default_rng(0)), drawn)
    assert coder.chance(np.array([40.0, 5.0, 50.0]), np.array([[1], [0], [2]])) == pytest.approx([1.0, 0.03, 0.8 / 49])


def test_biases_bring_single_columns_to_their_shares() -> None:
    from synth.generators._private_net import PrivateNet

    torch.default_generator.manual_seed(1)
    net = PrivateNet(layout(), 16, 16, 1, ordered=0.5, times=1)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    plain = AnyOrder(net.layout, net.folded({name: value.detach().numpy() for name, value in net.named_parameters()}))
    shares = [np.full(token.levels, 1 / token.levels) for token in net.layout.firsts]
    held = calibrated(plain, shares, np.random.default_rng(0))
    x = np.repeat(held.start[None], 20_000, axis=0)
    codes, _ = held.draw(1, held.trunk(x), np.random.default_rng(2))
    later, _ = held.draw(0, held.trunk(x + held.embed(1, codes)), np.random.default_rng(3))
    for drawn, share in ((codes[:, 0], shares[1]), (later[:, 0], shares[0])):
        assert np.bincount(drawn, minlength=len(share)) / 20_000 == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(
    "name", [name for name in SMALL if name.startswith("private_")] + ["private_counts", "private_learning_rate"]
)
def test_each_hyperparameter_for_a_budget_does_something(name: str, tmp_path: Path) -> None:
    few: dict[str, Any] = {**SMALL, "private_steps": 5, "private_counts": 0.1, "private_learning_rate": 0.02}
    other = {**few, name: few[name] * 2}
    rows = declared(values(300))
    one, two = (
        Autoregressive(**params).fit(
            rows, budget=BUDGET, dataset=f"people{place}", ledger=tmp_path / "ledger.sqlite", noise_seed=1
        )
        for place, params in enumerate((few, other))
    )
    assert not one.sample(200, seed=0).arrow.equals(two.sample(200, seed=0).arrow)
