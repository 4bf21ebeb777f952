"""`diffusion` and `gan` under a budget: what they learn, what they are asked to keep, and that nothing else shows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synth.data.table import Table
from synth.errors import ConfigError
from synth.generators import by_name
from synth.generators._codes import Codebook
from synth.generators._modes import Modes
from synth.generators._private_cells import FEW_ROWS, GRAIN, private_book
from synth.generators._storage import load
from synth.generators.base import Generator
from synth.generators.diffusion import Diffusion
from synth.privacy.allowance import Allowance
from synth.privacy.bins import Cuts
from synth.privacy.budget import Budget
from synth.privacy.columns import PrivateColumn
from synth.privacy.ledger import Ledger
from synth.privacy.mechanisms import Noise
from synth.privacy.neighbours import NEIGHBOURS, told_apart
from synth.privacy.sampled_gaussian import NoisySteps
from synth.progress import silent
from tests.declared import declared, values

for package in ("torch", "lightning_fabric", "diffusers", "opendp", "dp_accounting"):
    pytest.importorskip(package, reason="DP-SGD of networks needs the extras torch and dp")
dpsgd = pytest.importorskip("synth.privacy.dpsgd")
lots = pytest.importorskip("tests.privacy.test_dpsgd")

BUDGET = Budget(30.0, 1e-5)
SMALL: dict[str, dict[str, Any]] = {
    "diffusion": {
        "private_steps": 60,
        "private_learning_rate": 0.02,
        "private_rate": 0.25,
        "private_width": 48,
        "blocks": 1,
        "steps": 8,
    },
    "gan": {"private_steps": 24, "private_rate": 0.25, "width": 32, "critic_width": 32, "noise": 8},
}
EACH = pytest.mark.parametrize("name", SMALL)
OF_DIFFUSION = pytest.mark.parametrize("model", ["diffusion"], indirect=True)


@pytest.fixture(autouse=True, scope="module")
def few_rows_are_judged() -> Iterator[None]:
    """How often states come is set right by fewer rows than usual, which is quicker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synth.generators.gan.JUDGED", 2_000)
        yield


def made(name: str, **changes: Any) -> Generator:
    return by_name(name)(**{**SMALL[name], **changes})


@pytest.fixture(scope="module", params=SMALL)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator:
    ledger = tmp_path_factory.mktemp("books") / "ledger.sqlite"
    return made(request.param).fit(declared(values(1_500)), budget=BUDGET, dataset="people", ledger=ledger)


@OF_DIFFUSION  # a writer learns little in so few steps: a further test is of it
def test_a_diffusion_learns_what_columns_have_to_do_with_each_other(model: Generator) -> None:
    rows = model.sample(5_000).arrow.to_pydict()
    score, grade = np.array(rows["score"]), np.array(rows["grade"])
    apart = score[grade == "high"].mean() - score[grade == "low"].mean()  # 1 in the rows, 0 where columns are unrelated
    assert apart > 0.15


@OF_DIFFUSION
def test_single_columns_of_a_diffusion_come_as_they_were_counted(model: Generator) -> None:
    made, real = model.sample(20_000).arrow.to_pydict(), values(1_500)
    for name in ("colour", "grade", "member"):
        for level in set(real[name]):
            assert made[name].count(level) / 20_000 == pytest.approx(real[name].count(level) / 1_500, abs=0.03)
    scores = np.quantile(made["score"], [0.1, 0.25, 0.5, 0.75, 0.9])
    assert scores == pytest.approx(np.quantile(real["score"], [0.1, 0.25, 0.5, 0.75, 0.9]), abs=0.06)


def test_a_denoiser_is_brought_to_the_shares_that_it_is_told() -> None:
    """A large category of two tokens, a small one, and a number with an atom: the network has all of them wrong."""
    import torch
    from scipy.special import ndtr

    from synth.generators._cells import Cells
    from synth.generators._clamping import nothing_known
    from synth.generators._diffusion_draw import draw
    from synth.generators._diffusion_net import Denoiser
    from synth.generators._diffusion_right import evened, set_right

    number = np.append(500.0, np.full(999, 4.5))
    cells = Cells.of_books(
        [
            Codebook("city", 300, np.arange(1.0, 301.0), 0),
            Codebook("kind", 3, np.array([60.0, 30.0, 10.0]), 0),
            Codebook("sum", 1_000, number, 0, np.arange(1_000.0), 0),
        ]
    )
    method = Diffusion()
    method._cells = cells
    torch.default_generator.manual_seed(3)
    net = Denoiser(method._form(), 24, 1, 0.0, 0.3)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)

    def off(knots: np.ndarray | None) -> list[float]:
        tokens, x = draw(net, nothing_known(cells, 20_000), 10, 1.0, np.random.default_rng(1))
        shares = np.split(np.array(net.form.shares), np.cumsum(cells.sizes)[:-1])
        drawn = [np.bincount(of, minlength=len(share)) / 20_000 for of, share in zip(tokens.T, shares, strict=True)]
        there = ndtr(x[tokens[:, cells.gates[0][0]] == cells.gates[0][1]].astype(np.float64))
        u = np.sort((there if knots is None else evened(there, knots))[:, 0])
        gap = np.abs(u - np.linspace(0, 1, len(u))).max()
        return [*(float(np.abs(a - b).sum() / 2) for a, b in zip(drawn, shares, strict=True)), float(gap)]

    before = off(None)
    knots = set_right(net, cells, 10, np.random.default_rng(0))
    after = off(knots)
    assert min(before) > 0.06
    assert max(after) < 0.03


def test_a_writer_learns_from_a_noisy_critic_that_two_columns_are_one() -> None:
    import torch

    from synth.generators._gan_net import ColumnFacts, Manner
    from synth.generators._private_gan import PrivateGan

    torch.default_generator.manual_seed(0)
    facts = [ColumnFacts.of(Modes.of_book(Codebook(name, 3, np.full(3, 600), 0), 5)) for name in "ab"]
    nets = PrivateGan(facts, Manner(32, 4, 32, 1, 0.0, 0.5, 0.0, 0.0, None), expected=450.0)
    rows = np.repeat(np.arange(3, dtype=np.int32), 600)[:, None].repeat(2, axis=1), np.zeros((1_800, 0), dtype=np.float32)
    how = NoisySteps(300, 0.25, 1.0)
    weights = nets.train(rows, how, Noise(Allowance(1), seed=1), rate=lambda _: 0.002, progress=silent)[-1]
    writer = nets.learner.writer
    writer.load_state_dict({name: torch.from_numpy(held) for name, held in weights.items()})
    given = torch.stack([torch.arange(3_000) % 3, torch.full((3_000,), -1)], dim=1)
    with torch.no_grad():
        states = writer(given, torch.Generator().manual_seed(0))[2].numpy()
    assert (states[:, 0] == states[:, 1]).mean() > 0.6  # a third where they are unrelated, or one state is all that comes


def test_the_receipt_covers_counts_and_steps(model: Generator) -> None:
    receipt = model.receipt
    assert receipt is not None
    assert receipt.secure
    assert 0.99 * BUDGET.epsilon < receipt.cost.epsilon(BUDGET.delta) <= BUDGET.epsilon
    assert any(receipt.cost.nano)  # the steps, which are no zCDP
    assert sum(cost for _, cost in receipt.spent) <= receipt.cost.micro_rho


def test_rows_satisfy_conditions_and_what_is_declared(model: Generator) -> None:
    rows = model.sample(100, where="age >= 60 and age < 70 and joined >= '2010-01-01' and grade = 'high'").arrow.to_pydict()
    assert all(60 <= age < 70 for age in rows["age"])
    assert set(rows["grade"]) == {"high"}
    assert all(str(day) >= "2010" for day in rows["joined"])
    free = model.sample(2_000).arrow.to_pydict()
    assert all(age is None or 0 <= age <= 120 for age in free["age"])
    assert all(-1 <= score <= 1 and round(score, 2) == score for score in free["score"])
    assert {None} | {"red", "green", "blue", "grey"} >= set(free["colour"])


def test_a_model_that_was_saved_is_the_same_and_asks_for_nothing_more(model: Generator, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.sample(200, seed=4).arrow.equals(model.sample(200, seed=4).arrow)
    assert again.receipt == model.receipt
    assert again.fitted.rows is None  # how many rows there were is not told


@EACH
@pytest.mark.parametrize("wrong", [{"max_seconds": 5.0}, {"devices": 2}, {"precision": "bf16-mixed"}, {"device": "cuda"}])
def test_what_would_let_the_rows_say_how_it_is_trained_is_refused_before_any_is_read(name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="under a budget"):
        made(name, **wrong).fit("no such file.csv", budget=BUDGET, dataset="people")
    assert Ledger().accounts() == ()


# nothing but noise shows -------------------------------------------------------------------------------------------------

FEW: dict[str, Any] = {"private_steps": 2, "private_counts": 0.5}


@EACH
@pytest.mark.parametrize("pair", NEIGHBOURS.values(), ids=NEIGHBOURS)
def test_neighbours_are_told_apart_by_no_more_than_noisy_values(name: str, pair: tuple[Table, Table], tmp_path: Path) -> None:
    names = count()

    def fit(table: Table) -> Any:
        method = made(name, **FEW)
        method.fit(table, budget=Budget(1.0, 1e-5), dataset=f"d{next(names)}", ledger=tmp_path / "ledger", noise_seed=5)
        state, arrays = method._state()
        assert method.receipt is not None
        return {
            "state": state,
            "arrays": arrays,
            "schema": method.fitted.schema.to_dict(),
            "spent": method.receipt.spent,
            "columns": [str(field) for field in method.sample_table(20).arrow.schema],
            "shown": str(method),
        }

    assert told_apart(fit, *pair, noisy=["arrays.*", "state.variety.*", "state.nulls.*"]) == []


@EACH
def test_a_row_more_changes_neither_scale_nor_number_of_steps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Around a rounding boundary of the expected batch: half of 1,003 rows rounds up, of 1,004 down."""
    asked: list[list[tuple[tuple[int, ...], float]]] = []
    plain = dpsgd.blurred

    def listening(sums: np.ndarray, noise_multiplier: float, *rest: Any) -> np.ndarray:
        asked[-1].append((sums.shape, noise_multiplier))
        return plain(sums, noise_multiplier, *rest)

    monkeypatch.setattr(dpsgd, "blurred", listening)
    for n in (1_003, 1_004):
        asked.append([])
        rows = declared({column: held[:n] for column, held in values(1_004).items()})
        made(name, private_steps=3, private_rate=0.5).fit(rows, budget=BUDGET, dataset=f"d{n}", noise_seed=1)
    assert asked[0] == asked[1]
    assert len(asked[0]) % 3 == 0


@EACH
@pytest.mark.parametrize("planted", [False, True], ids=["sound", "shuffled"])
def test_batches_are_drawn_by_lot_and_shuffled_ones_are_caught(
    name: str, planted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, rate, steps = 300, 0.1, 50
    batches: list[np.ndarray] = []
    plain = dpsgd.drawn
    shuffled = iter(np.concatenate([np.random.default_rng(k).permutation(rows) for k in range(5)]).reshape(-1, 30))

    def listening(n: int, q: float, entropy: Any) -> np.ndarray:
        batches.append(next(shuffled) if planted else plain(n, q, entropy))
        return batches[-1][:2]  # what they are trained on is not looked at here

    monkeypatch.setattr(dpsgd, "drawn", listening)
    tiny: dict[str, Any] = {"private_width": 4} if name == "diffusion" else {"width": 4, "critic_width": 4, "noise": 2}
    tiny |= {"private_steps": steps, "private_rate": rate}
    made(name, **tiny).fit(declared(values(rows)), budget=BUDGET, dataset="people")
    assert len(batches) == steps
    assert lots.drawn_by_lot(batches, rows, rate) != planted


def test_only_the_critic_of_a_gan_sees_real_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the sums over real rows are held back, all that is left follows from noise and counts: the writer is the same."""
    writers: list[dict[str, np.ndarray]] = []
    monkeypatch.setattr(dpsgd, "blurred", lambda sums, *_: np.zeros(sums.shape))
    monkeypatch.setattr("synth.generators._private_training.counted", _even)
    monkeypatch.setattr(by_name("gan"), "bins_share", 0.0)  # else bins follow the rows, at a price
    for rows in (values(200), values(200, seed=1)):
        method = made("gan", private_steps=8).fit(declared(rows), budget=BUDGET, dataset=f"d{len(writers)}", noise_seed=1)
        writers.append({name: held for name, held in method._state()[1].items() if name.startswith("weights")})
    for name, weights in writers[0].items():
        np.testing.assert_array_equal(weights, writers[1][name])


def _even(domain: Any, codes: np.ndarray, noise: Any, **_: Any) -> list[np.ndarray]:
    return [np.full(column.size, 10.0) for column in domain.columns]


# parts -------------------------------------------------------------------------------------------------------------------


def test_a_book_from_counts_has_every_legal_value_and_their_shares() -> None:
    table = declared({"age": [1], "colour": ["red"]})
    age = PrivateColumn(table.schema.column("age"), cuts=Cuts.even(121, 8))
    counts = np.append(np.arange(8.0) * 100, 50.0)
    like = age.decode(np.zeros(0, dtype=np.int64), np.random.default_rng(0))
    book = private_book(age, like, counts)
    assert book.values is not None
    np.testing.assert_array_equal(book.values, np.arange(121))
    cells = age.cuts.bin(np.arange(121)) if age.cuts is not None else None
    assert np.bincount(cells, weights=book.counts) == pytest.approx(counts[:8], rel=1e-3, abs=1e-3)
    assert book.nulls == 50
    assert (book.counts > 0).all()


def test_a_book_of_a_long_line_draws_between_its_values() -> None:
    column = declared({"age": [1]}, columns={"age": {"kind": "integer", "minimum": 0, "maximum": 10**6, "nullable": False}})
    age = PrivateColumn(column.schema.column("age"), cuts=Cuts.even(10**6 + 1, 32))
    like = age.decode(np.zeros(0, dtype=np.int64), np.random.default_rng(0))
    book = private_book(age, like, np.full(32, 10_000.0))
    assert book.values is not None
    assert (book.values[0], book.values[-1]) == (0, 10**6)
    assert GRAIN <= book.levels < 2 * GRAIN
    assert not book.is_often
    assert book.counts.sum() == pytest.approx(FEW_ROWS * book.levels)
    modes = Modes.of_book(book, 10)
    assert modes.between
    drawn = modes.decode(np.zeros(500, dtype=np.int64), np.linspace(-1, 1, 500), np.random.default_rng(0))
    assert len(np.unique(np.round(drawn))) > 450


def test_entropy_of_the_operating_system_is_asked_for_lots_and_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    system = os.urandom
    monkeypatch.setattr(os, "urandom", lambda n: asked.append(n) or system(n))
    made("gan", private_steps=2).fit(declared(values(100)), budget=BUDGET, dataset="people")
    assert asked.count(8 * 100) == 2  # a lot for each row in each step
