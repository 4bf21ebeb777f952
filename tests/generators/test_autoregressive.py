"""The network's likelihoods are those of its draws, free or under any condition, and nothing that a table shows is lost."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import synth
from synth.data.conditions import Where
from synth.data.table import Table
from synth.errors import ConfigError, GenerationError
from synth.generators import _drawing, create
from synth.generators._any_order import AnyOrder
from synth.generators._drawing import Drawing
from synth.generators.autoregressive import Autoregressive
from synth.scale import Processes

torch = pytest.importorskip("torch", reason="fitting needs torch")

SMALL = {"width": 32, "hidden": 32, "depth": 16, "blocks": 1}
COLOURS, SIZES = ("red", "green", "blue", None), tuple(range(6))


@pytest.fixture(scope="module")
def real() -> Table:
    """Few enough values to enumerate, all columns tied to each other, nulls that mean something."""
    rng = np.random.default_rng(0)
    n = 6_000
    colour = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    size = np.clip(rng.poisson(1 + colour), 0, 5)
    good = rng.random(n) < 1 / (1 + np.exp(2 - size + (colour == 1)))
    names = np.array(["red", "green", "blue"])[colour]
    columns = {
        "colour": pa.array(names, mask=rng.random(n) < 0.05 + 0.2 * good),
        "size": pa.array(size),
        "good": pa.array(good),
    }
    return synth.read(pa.table(columns))


@pytest.fixture(scope="module")
def model(real: Table) -> Autoregressive:
    return Autoregressive(epochs=20, batch_rows=256, learning_rate=0.01, weight_decay=0.1, dropout=0.0, **SMALL).fit(real)


def every_row(real: Table) -> Table:
    cells = list(itertools.product(COLOURS, SIZES, (False, True)))
    columns = [pa.array([cell[i] for cell in cells], real.arrow.schema.field(i).type) for i in range(3)]
    return Table(pa.table(columns, schema=real.arrow.schema), real.schema)


def cells(rows: Table) -> dict[tuple[object, ...], float]:
    """The share of each row that occurs."""
    counts: dict[tuple[object, ...], float] = {}
    for cell in zip(*(rows.column(name).to_pylist() for name in rows.columns), strict=True):
        counts[cell] = counts.get(cell, 0.0) + 1 / len(rows)
    return counts


def distance(a: dict[tuple[object, ...], float], b: dict[tuple[object, ...], float]) -> float:
    return sum(abs(a.get(cell, 0.0) - b.get(cell, 0.0)) for cell in {*a, *b}) / 2


def law(model: Autoregressive, real: Table) -> dict[tuple[object, ...], float]:
    """What the model says of every row there can be."""
    every = every_row(real)
    rows = zip(*(every.column(name).to_pylist() for name in every.columns), strict=True)
    return dict(zip(rows, np.exp(model.score(every)).tolist(), strict=True))


def test_the_probabilities_of_all_rows_add_up_to_one(model: Autoregressive, real: Table) -> None:
    assert sum(law(model, real).values()) == pytest.approx(1.0, abs=1e-5)


def test_rows_are_drawn_as_often_as_the_score_says(model: Autoregressive, real: Table) -> None:
    drawn, said = cells(model.sample(200_000, seed=1)), law(model, real)
    for cell, chance in said.items():
        assert drawn.get(cell, 0.0) == pytest.approx(chance, abs=5 * np.sqrt(chance / 200_000) + 1e-5)


def test_the_law_of_the_table_is_learned(model: Autoregressive, real: Table) -> None:
    unrelated = create("independent").fit(real).sample(100_000)
    assert distance(law(model, real), cells(real)) < 0.08  # .044 to .069 over seeds; fresh rows are .03 away
    assert distance(cells(unrelated), cells(real)) > 0.2


def test_numpy_draws_from_the_network_that_torch_trained(shop: Table) -> None:
    from synth.generators._autoregressive_net import Net, folded

    fitted = Autoregressive(epochs=1, **SMALL).fit(shop)
    layout = fitted._net.layout
    torch.manual_seed(0)
    net = Net(layout, 32, 32, 1, ordered=0.5, dropout=0.0)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    plain = AnyOrder(layout, folded(net, {name: value.numpy() for name, value in net.state_dict().items()}))
    rows = fitted.fitted.encode(shop.head(64))
    codes = np.hstack([coder.encode(rows[coder.name].values) for coder in layout.coders])
    with torch.no_grad():
        tokens = torch.from_numpy(codes).long()
        inputs, factor = net.reading.looked_up(tokens)
        vectors = net.embed.weight()
        h = net.trunk(net.start.expand(64, -1))
        expected = -net.losses(h, tokens, vectors, inputs, factor).numpy()
    here = plain.trunk(np.repeat(plain.start[None], 64, axis=0))
    for column in range(len(layout.coders)):
        own = codes[:, layout.starts[column] : layout.stops[column]]
        assert plain.log_chance(column, here, own) == pytest.approx(expected[:, column], abs=1e-4)


def test_no_row_of_a_batch_bears_on_the_loss_of_another(model: Autoregressive) -> None:
    from synth.generators._autoregressive_net import Net

    net = Net(model._net.layout, 16, 16, 1, ordered=0.5, dropout=0.0)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter)
    one = torch.zeros((8, 3), dtype=torch.int32)
    other = one.clone()
    other[0] = 1
    first, second = (net((codes,), torch.Generator().manual_seed(3), "all").detach() for codes in (one, other))
    assert torch.equal(first[1:], second[1:])


CONDITIONS = [
    "colour = 'green'",
    "size >= 3",
    "colour is null and good = true",
    "size between 1 and 3 and good = true",
    "colour in ('red', 'blue') and size in (0, 4, 5) and good = true",
    "colour != 'red' and size >= 2",
]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_rows_under_a_condition_are_those_that_rejection_would_keep(
    model: Autoregressive, real: Table, condition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = cells(model.sample(60_000, where=condition, seed=2))
    layout = replace(model._net.layout, order=order_of(model, condition))
    monkeypatch.setattr(model, "_drawing", Drawing(AnyOrder(layout, model._net.weights)))
    assert distance(drawn, cells(model.sample(200_000, seed=7).where(condition))) < 0.02


def order_of(model: Autoregressive, condition: str) -> tuple[int, ...]:
    """The columns as they are drawn under a condition."""
    clauses = {clause.column: clause for clause in Where.parse(condition, model.fitted.schema).clauses}
    drawing = Drawing(model._net)
    fixed = [name for name in clauses if _drawing._only(clauses[name]) is not None]
    x = model._net.start
    for name in fixed:
        coder = drawing.coders[drawing.place[name]]
        x = x + model._net.embed(drawing.place[name], coder.encode(_drawing._only(clauses[name])))[0]
    rest = {name: clause for name, clause in clauses.items() if name not in fixed}
    names = [*fixed, *(drawing._allowed(rest, x)[0] if rest else [])]
    first = [drawing.place[name] for name in names]
    return (*first, *(column for column in model._net.layout.order if column not in first))


def test_a_single_clause_costs_nothing_and_every_row_is_independent(model: Autoregressive) -> None:
    for condition in ("colour = 'blue'", "size >= 4", "colour in ('red', 'blue')"):
        mark = model.sample(5_000, where=condition).provenance
        assert mark is not None
        assert (mark.acceptance, mark.effective_rows) == pytest.approx((1.0, 5_000), rel=0.01)


def test_rare_conditions_are_met_by_weight_and_say_what_they_are_worth(
    model: Autoregressive, monkeypatch: pytest.MonkeyPatch
) -> None:
    condition = "size in (0, 5) and colour in ('blue', 'green')"
    exact = cells(model.sample(20_000, where=condition, seed=1))
    monkeypatch.setattr(_drawing, "MOST_BEGUN", 20_000)
    monkeypatch.setattr(_drawing, "MOST_PER_ROW", 1)
    rows = model.sample(20_000, where=condition, seed=1)
    assert rows.provenance is not None
    assert rows.provenance.effective_rows is not None
    assert 2_000 < rows.provenance.effective_rows < 19_000
    assert distance(exact, cells(rows)) < 0.05


@pytest.mark.parametrize("condition", ["x = 3", "x between 2 and 4", "x in (2, 4) and y = 'a'"])
def test_what_no_training_row_was_near_is_refused(condition: str) -> None:
    model = Autoregressive(epochs=1, **SMALL).fit(
        synth.read(pa.table({"x": [1, 1, 5, 5, 1, 5] * 5, "y": ["a", "b", "a"] * 10}))
    )
    with pytest.raises(GenerationError, match=r"no training row was near.*\n.*widen"):
        model.sample(10, where=condition)


def test_missing_cells_are_drawn_given_the_observed_ones(
    model: Autoregressive, real: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = 20_000
    colour, size = pa.array([None] * n, real.arrow.schema.field("colour").type), pa.array([4] * n)
    holed = Table(pa.table([colour, size, pa.array([False] * n)], schema=real.arrow.schema), real.schema)
    drawn = cells(model.impute(holed, seed=3))
    layout = replace(model._net.layout, order=(1, 2, 0))  # the colour last: given all that was observed
    monkeypatch.setattr(model, "_drawing", Drawing(AnyOrder(layout, model._net.weights)))
    said = {cell: p for cell, p in law(model, real).items() if cell[1:] == (4, False) and cell[0] is not None}
    assert distance(drawn, {cell: p / sum(said.values()) for cell, p in said.items()}) < 0.015


@pytest.fixture(scope="module")
def shop() -> Table:
    """Sales from Monday to Saturday, nine to five, over twenty years; amounts with a spike and a tail; nulls in both."""
    rng = np.random.default_rng(3)
    n = 3_000
    day = rng.integers(0, 7_300, 2 * n)
    day = day[(day + 3) % 7 != 6][:n]
    moment = (day * 86_400 + rng.integers(9 * 3_600, 17 * 3_600, n)).astype("datetime64[s]")
    weekend = (day + 3) % 7 == 5
    amount = np.where(rng.random(n) < np.where(weekend, 0.6, 0.1), 0.0, rng.lognormal(4, 1.5, n)).round(2)
    columns = {
        "sold": pa.array(moment, mask=rng.random(n) < 0.1),
        "amount": pa.array(amount, mask=rng.random(n) < 0.1),
        "kind": pa.array(np.where(weekend, "weekend", "week")),
    }
    return synth.read(pa.table(columns))


@pytest.fixture(scope="module")
def till(shop: Table) -> Autoregressive:
    return Autoregressive(epochs=25, **SMALL).fit(shop)


def test_the_calendar_and_spikes_survive(shop: Table, till: Autoregressive) -> None:
    fake = till.sample(6_000, seed=1)
    sold = fake.column("sold").drop_null().to_numpy().astype("datetime64[s]").astype(np.int64)
    weekday, hour = (sold // 86_400 + 3) % 7, sold % 86_400 / 3_600
    assert not (weekday == 6).any()
    assert hour.min() >= 9
    assert hour.max() < 17
    spike = [np.mean(np.array(rows.column("amount").drop_null().to_pylist()) == 0) for rows in (shop, fake)]
    assert spike[1] == pytest.approx(spike[0], abs=0.03)
    for name in ("sold", "amount"):
        assert fake.column(name).null_count / 6_000 == pytest.approx(shop.column(name).null_count / 3_000, abs=0.03)
    weekend = fake.where("kind = 'weekend' and sold is not null").column("sold").to_numpy().astype("datetime64[s]").astype(int)
    assert np.mean((weekend // 86_400 + 3) % 7 == 5) > 0.8


@pytest.mark.parametrize(
    "condition",
    [
        "sold between '1985-03-01T12:00:00' and '1990-12-31T13:00:00'",
        "amount between 20 and 33.5 and sold > '1980-01-01'",
        "amount = 0",
        "amount in (0, 0.01) and kind = 'week'",
        "amount > 10 and amount != 20.5 and sold is null",
    ],
)
def test_conditions_on_numbers_and_moments_are_exact(till: Autoregressive, condition: str) -> None:
    rows = till.sample(400, where=condition, seed=4)
    assert len(rows.where(condition)) == 400
    free = till.sample(60_000, seed=5).where(condition)
    if len(free) > 200:
        for name in ("amount", "sold"):
            ours, theirs = (
                np.array(r.column(name).drop_null().cast(pa.float64() if name == "amount" else pa.timestamp("s"))).astype(
                    np.float64
                )
                for r in (rows, free)
            )
            if len(ours) > 100 and theirs.std() > 0:
                assert ours.mean() == pytest.approx(theirs.mean(), abs=0.35 * theirs.std())


def test_scores_are_finite_for_values_that_were_never_seen(till: Autoregressive, shop: Table) -> None:
    strange = pa.table(
        {"sold": pa.array(["2050-01-02T03:04:05"]).cast(pa.timestamp("s")), "amount": pa.array([-5e9]), "kind": ["week"]}
    ).cast(shop.arrow.schema)
    score = till.score(Table(strange, shop.schema))
    assert np.isfinite(score).all()
    assert score[0] < till.score(shop).min() + 1


def test_the_same_rows_from_two_processes_and_any_number_of_threads(
    till: Autoregressive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_drawing, "BLOCK", 700)
    here = till.sample(2_000, seed=9)
    for threads in (1, 3):
        monkeypatch.setattr(os, "cpu_count", lambda threads=threads: threads)
        assert till.sample(2_000, seed=9).arrow.equals(here.arrow)
    monkeypatch.undo()
    monkeypatch.setattr(Autoregressive, "_shard_rows", 1_000)
    alone = till.sample_to(tmp_path / "one.parquet", 2_000, seed=9)
    there = till.sample_to(tmp_path / "two.parquet", 2_000, seed=9, workers=Processes(2))
    assert alone.read_bytes() == there.read_bytes()


def test_a_hundred_thousand_levels_do_not_blow_the_network_up() -> None:
    rng = np.random.default_rng(5)
    level = np.minimum(rng.zipf(1.2, 20_000), 100_000)
    names = np.array([f"city {i}" for i in range(100_001)])
    schema = synth.read(pa.table({"city": ["a", "b"], "rich": [True, False]})).schema
    city = replace(schema.column("city"), categories=tuple(names.tolist()))
    schema = replace(schema, columns=(city, schema.column("rich")))
    real = Table(pa.table({"city": names[level], "rich": (level < 3) ^ (rng.random(20_000) < 0.1)}), schema)
    model = Autoregressive(epochs=4, learning_rate=0.01, **SMALL).fit(real)
    assert sum(weight.size for weight in model._net.weights.values()) < 200_000
    rich = model.sample(5_000, where="rich = true").column("city").to_pylist()
    assert np.mean(np.isin(rich, ["city 1", "city 2"])) > 0.6
    assert model.sample(20, where="city = 'city 77'").column("city").to_pylist() == ["city 77"] * 20


def test_a_column_of_nulls_alone_is_kept_and_cannot_be_filled_in() -> None:
    seen = synth.read(pa.table({"x": [1.5, None, None, None], "y": ["a", "b", "a", "b"]}))
    table = seen.take(np.arange(1, 4))
    model = Autoregressive(epochs=1, **SMALL).fit(table)
    assert model.sample(5).column("x").null_count == 5
    with pytest.raises(GenerationError, match="null in every training row"):
        model.impute(table)


def test_hyperparameters_out_of_range_are_refused(real: Table) -> None:
    for wrong in ({"width": 0}, {"dropout": 1.0}, {"ordered": 2.0}, {"epochs": 0}, {"bins": 1.5}, {"weight_decay": -1.0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            Autoregressive(**wrong).fit(real)  # type: ignore[arg-type]
