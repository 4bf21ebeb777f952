"""What the GAN learns of a small world, that conditions hold and follow its law, and that a collapse is told."""

from __future__ import annotations

import dataclasses
import warnings
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from synth.data.encoding import encode
from synth.data.example import example_table
from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table
from synth.errors import ConfigError, GenerationError
from synth.generators._training import Checkpoint
from synth.generators._variety import Variety

pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")

from synth.generators.gan import Gan
from synth.scale import Processes

SMALL = {"width": 48, "critic_width": 48, "noise": 16, "batch_rows": 100, "learning_rate": 2e-3}


def _world(rows: int = 2_000, seed: int = 0) -> Table:
    """Two humps, which of them decides the colour in nine rows of ten; a second number follows the first; a rare shape."""
    rng = np.random.default_rng(seed)
    right = rng.random(rows) < 0.4
    x = np.where(right, rng.normal(10, 1, rows), rng.normal(-10, 1, rows))
    colour = np.where(right ^ (rng.random(rows) < 0.1), "red", "blue")
    shape = rng.choice(["round", "square", "star"], rows, p=[0.7, 0.28, 0.02])
    columns = {
        Column("x", Kind.DECIMAL, decimals=3): pa.array(np.round(x, 3)),
        Column("y", Kind.DECIMAL, decimals=3): pa.array(np.round(x + rng.normal(0, 2, rows), 3)),
        Column("shape", Kind.CATEGORICAL, categories=("round", "square", "star")): pa.array(shape),
        Column("colour", Kind.CATEGORICAL, Role.TARGET, categories=("blue", "red")): pa.array(colour),
    }
    return Table(pa.table(list(columns.values()), names=[c.name for c in columns]), Schema(tuple(columns)))


WORLD = _world()


@pytest.fixture(scope="module")
def model() -> Gan:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a healthy fit says nothing of a collapse
        return Gan(epochs=20, **SMALL).fit(WORLD, seed=1)


def _column(table: Table, name: str) -> np.ndarray:
    return np.asarray(table.column(name).to_pylist())


def test_two_humps_and_what_goes_with_them(model: Gan) -> None:
    rows = model.sample(4_000, seed=3)
    x, y, red = _column(rows, "x"), _column(rows, "y"), _column(rows, "colour") == "red"
    assert (x > 0).mean() == pytest.approx(0.4, abs=0.04)
    assert (np.abs(x) < 5).mean() < 0.02  # nothing between the humps
    assert (red == (x > 0)).mean() > 0.8  # 0.9 in the world, about 0.5 if it had not been learned
    assert np.corrcoef(x, y)[0, 1] > 0.7
    assert (_column(rows, "shape") == "star").mean() == pytest.approx(0.02, abs=0.01)


def test_conditions_hold_and_the_rest_follows(model: Gan) -> None:
    red = model.sample(1_000, where={"colour": "red"}, seed=4)
    assert set(_column(red, "colour")) == {"red"}
    of_all = model.sample(6_000, seed=5)
    is_red = _column(of_all, "colour") == "red"
    assert (_column(red, "x") > 0).mean() == pytest.approx((_column(of_all, "x")[is_red] > 0).mean(), abs=0.04)
    assert red.provenance is not None
    assert red.provenance.acceptance is not None
    assert red.provenance.acceptance > 0.3


def test_what_is_too_rare_to_wait_for_is_given(model: Gan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.generators.gan.MOST_BEGUN", 1.0)
    rows = model.sample(500, where={"colour": "red", "shape": "star"}, seed=4)
    assert rows.provenance is not None
    assert rows.provenance.acceptance == 1.0
    assert set(_column(rows, "colour")) == {"red"}
    assert set(_column(rows, "shape")) == {"star"}


def test_ranges_hold(model: Gan) -> None:
    rows = model.sample(300, where="x between 9 and 11 and y > 9 and shape in ('round', 'star')", seed=4)
    x, y = _column(rows, "x"), _column(rows, "y")
    assert ((x >= 9) & (x <= 11) & (y > 9)).all()
    assert "square" not in set(_column(rows, "shape"))


def test_two_processes_draw_the_same_rows(model: Gan, tmp_path: Any) -> None:
    import torch

    model.sample_to(tmp_path / "one.parquet", 3_000, seed=8)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        model.sample_to(tmp_path / "two.parquet", 3_000, seed=8, workers=Processes(2))
    finally:
        torch.set_num_threads(before)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_the_facts_of_the_fit_are_kept(model: Gan, tmp_path: Any) -> None:
    from synth.generators._storage import load

    model.save(tmp_path / "model")
    state = load(tmp_path / "model")._state()[0]
    assert state["variety"]["collapsed"] is False
    assert state["variety"]["combinations"] > 0.8
    assert state["training"]["steps"] > 0


def test_an_interrupted_fit_goes_on_to_the_same_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr("synth.generators.base.Checkpoint", partial(Checkpoint, every=0.0))
    whole = Gan(epochs=2, **SMALL).fit(WORLD)

    def stop(stage: str, done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Gan(epochs=2, **SMALL).fit(WORLD, checkpoint=tmp_path / "kept", progress=stop)
    assert list((tmp_path / "kept").iterdir())
    assert Gan(epochs=2, **SMALL).fit(WORLD, checkpoint=tmp_path / "kept", resume=True).digest() == whole.digest()


def _collapsed(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """A training whose writer ends up sure of a single state of each column, by so much in log-odds."""
    from synth.generators import gan

    def train(*args: Any, **kwargs: Any) -> Any:
        trained = honest(*args, **kwargs)
        bias = trained.weights["writer.heads.bias"].copy()
        start = 0
        for size in args[0]().writer.sizes:
            bias[start + size // 2] += factor
            start += size
        return dataclasses.replace(trained, weights=trained.weights | {"writer.heads.bias": bias})

    honest = gan.train
    monkeypatch.setattr(gan, "train", train)


def test_a_planted_collapse_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _collapsed(monkeypatch, 1_000.0)
    with pytest.raises(GenerationError, match="has collapsed"):
        Gan(epochs=1, **SMALL).fit(WORLD)


def test_a_planted_loss_of_noise_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the combinations gone is not yet useless, and must be said."""
    real = np.random.default_rng(0).integers(4, size=(1_000, 6)), np.zeros((1_000, 0))
    fake = real[0].copy()
    fake[:, 3:] = fake[:, :3]
    of = Variety.of(real, (fake, real[1]), list("abcdef"))
    assert of.is_collapsed and not of.is_unusable  # noqa: PT018
    model = Gan()
    with pytest.warns(UserWarning, match="partly collapsed: 1,000 written rows"):
        model._say(of)


def test_a_state_that_never_comes_is_named() -> None:
    real = np.random.default_rng(0).integers(4, size=(1_000, 3))
    fake = real.copy()
    fake[fake[:, 1] == 2, 1] = 3
    of = Variety.of((real, np.zeros((1_000, 0))), (fake, np.zeros((1_000, 0))), list("abc"))
    assert of.missing == ("b",)
    assert "missing in b" in str(of)


def test_real_rows_in_two_halves_have_not_collapsed() -> None:
    rng = np.random.default_rng(0)
    states, positions = rng.integers(3, size=(2_000, 4)), rng.uniform(-1, 1, (2_000, 2))
    halves = (states[:1_000], positions[:1_000]), (states[1_000:], positions[1_000:])
    assert not Variety.of(*halves, list("abcd")).is_collapsed


def test_a_hundred_thousand_levels_take_the_networks_of_a_hundred() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(100_000, size=20_000)
    column = Column("who", Kind.CATEGORICAL, categories=tuple(f"person {k}" for k in range(100_000)))
    schema = Schema((column, Column("n", Kind.INTEGER)))
    who = pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(list(column.categories or ())))
    table = Table(pa.table([who, pa.array(rng.integers(5, size=20_000))], names=["who", "n"]), schema)
    model = Gan(epochs=1, **SMALL | {"batch_rows": 1_000}).fit(table)
    weights = sum(weight.nbytes for weight in model._writers.weights[0].values())
    assert weights < 200_000
    rows = model.sample(2_000)
    assert len(set(_column(rows, "who"))) > 1_800
    level = f"person {codes[0]}"
    assert set(_column(model.sample(50, where={"who": level}), "who")) == {level}


def test_critics_judge_rows_one_by_one() -> None:
    """The loss of a row does not depend on the rows beside it: gradients per row can be had."""
    import torch

    from synth.generators._gan_net import ColumnFacts, GanLearner, Manner
    from synth.generators._modes import Modes

    modes = [Modes.of(column, 5) for column in encode(WORLD).columns]
    rng = np.random.default_rng(0)
    pairs = [m.encode(column.values[:64], rng) for m, column in zip(modes, encode(WORLD).columns, strict=True)]
    states = torch.tensor(np.stack([state for state, _ in pairs], 1))
    positions = torch.tensor(np.stack([position for (_, position), m in zip(pairs, modes, strict=True) if m.has_position], 1))
    learner = GanLearner([ColumnFacts.of(m) for m in modes], Manner(32, 8, 32, 1, 10.0, 0.5, 1.0, 0.5, 3))
    other = states.clone()
    other[1:] = other[1:].flip(0)
    losses = [
        learner((rows, positions), torch.Generator().manual_seed(0), turn)
        for turn in ("critic", "writer")
        for rows in (states, other)
    ]
    assert losses[0].shape == (64,)
    assert losses[0][0].item() == pytest.approx(losses[1][0].item(), abs=1e-5)
    assert losses[2][0].item() == pytest.approx(losses[3][0].item(), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "value"), [("modes", 0), ("given", 1.5), ("balance", -0.1), ("gradient_penalty", -1.0), ("critic_steps", 0)]
)
def test_what_is_out_of_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        Gan(**{name: value}).fit(example_table(50))
