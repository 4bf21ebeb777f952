"""Marginals with a network: sums over its components are exact, it learns from what was measured alone, and it goes wide."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synth.check import check_generator
from synth.errors import ConfigError, GenerationError, MissingExtraError
from synth.generators._exact_counts import ExactCounts
from synth.generators._factors import NoisyMarginal
from synth.generators._product_mixture import ProductMixture
from synth.generators._storage import load
from synth.generators.marginals import Marginals, learn
from synth.privacy.allowance import Allowance
from synth.privacy.budget import Budget
from synth.privacy.mechanisms import Noise
from synth.privacy.neighbours import NEIGHBOURS
from synth.progress import silent

torch = pytest.importorskip("torch", reason="a network is trained with torch, which the extra 'torch' brings")
pytest.importorskip("opendp", reason="marginals are measured with OpenDP's noise, which the extra 'dp' brings")

SIZES = (2, 3, 4)


@pytest.fixture(scope="module")
def mixture() -> ProductMixture:
    rng = np.random.default_rng(0)
    parts = [rng.dirichlet(np.full(size, 0.5), size=5).T for size in SIZES]
    return ProductMixture.of(SIZES, 1_000.0, np.vstack(parts))


def joint(mixture: ProductMixture) -> np.ndarray:
    """The chance of each cell of all columns, written out."""
    a, b, c = np.split(mixture.shares.astype(float), np.cumsum(SIZES)[:-1])
    return np.einsum("ik,jk,lk->ijl", a, b, c) / mixture.components


# the mixture -------------------------------------------------------------------------------------------------------------


def test_marginals_and_chances_are_those_of_the_joint_distribution(mixture: ProductMixture) -> None:
    whole = joint(mixture)
    assert np.allclose(mixture.marginal((0, 1, 2)), 1_000 * whole)
    assert np.allclose(mixture.marginal((2, 0)), 1_000 * whole.sum(axis=1).T)
    assert np.allclose(mixture.marginal((1,)), 1_000 * whole.sum(axis=(0, 2)))
    assert np.allclose(mixture.marginal(()), 1_000)
    cells = np.array(list(product(*map(range, SIZES))))
    assert np.allclose(np.exp(mixture.log_chance(cells)), whole.reshape(-1))


def test_rows_given_columns_are_distributed_as_the_joint_says(mixture: ProductMixture) -> None:
    shares = {0: np.array([1.0, 0.25]), 2: np.array([False, True, True, False])}
    wanted = joint(mixture) * shares[0][:, None, None] * shares[2]
    drawn = mixture.sample(40_000, np.random.default_rng(1), shares)
    found = np.zeros(SIZES)
    np.add.at(found, tuple(drawn.T), 1 / len(drawn))
    assert np.abs(found - wanted / wanted.sum()).max() < 0.01
    assert not found[:, :, [0, 3]].any()


def test_a_condition_on_many_columns_is_met_however_rare() -> None:
    """No cell is ever thrown away, and products of hundreds of small shares do not vanish."""
    sizes = (2,) * 200
    mixture = ProductMixture.of(sizes, 10.0, np.tile([[1.0], [0.0]], (200, 4)))
    rare = {column: np.array([False, True]) for column in range(200)}
    assert (mixture.sample(7, np.random.default_rng(0), rare) == 1).all()
    with pytest.raises(GenerationError, match="columns 0 allow none"):
        mixture.sample(1, np.random.default_rng(0), {0: np.zeros(2)})


def test_the_same_generator_gives_the_same_rows_and_a_mixture_outlives_its_state(mixture: ProductMixture) -> None:
    again = ProductMixture.restore(*mixture.state())
    for allowed in (None, {1: np.array([1, 0, 1])}):
        rows, same = (one.sample(500, np.random.default_rng(3), allowed) for one in (mixture, again))
        assert np.array_equal(rows, same)
    with pytest.raises(ConfigError, match="damaged"):
        ProductMixture.restore({"sizes": [2, 3], "total": 1.0}, {"shares": mixture.shares})


# the network -------------------------------------------------------------------------------------------------------------


def test_the_gradient_is_that_of_the_loss_it_says() -> None:
    from synth.generators._marginal_net import ENTROPY, _Target

    rng, rows = np.random.default_rng(0), 200.0
    sets = [(0,), (1,), (2,), (0, 1), (2, 0), (0, 1, 2), (1, 2), (0, 1)]
    measured = [NoisyMarginal(few, rng.normal(50, 20, [SIZES[c] for c in few]), 2.0 + len(few)) for few in sets]
    shares = torch.rand(sum(SIZES), 7, dtype=torch.float64, requires_grad=True)
    parts = shares.split(SIZES)
    target, loss = _Target(SIZES, measured, rows), torch.zeros(())
    cells = 2 + 3 + 4 + 6 + 8 + 24 + 12
    for one in measured:
        table = torch.ones(7, dtype=torch.float64)
        for column in one.columns:
            table = table[..., None, :] * parts[column]
        loss = loss + ((table.sum(dim=-1) * rows / 7 - torch.tensor(one.counts)) ** 2).sum() / one.sigma**2 / cells
    loss = loss + 2 * ENTROPY * rows / 7 / cells * (shares * shares.log() - shares).sum()
    loss.backward()
    found = target.gradient(shares.detach().float()).double()
    assert torch.allclose(found, shares.grad, rtol=1e-3, atol=1e-4 * float(shares.grad.abs().max()))


def wide(rows: int, columns: int = 24) -> np.ndarray:
    """Columns that all hang together through one that nobody sees, so that no small clique holds them apart."""
    rng = np.random.default_rng(0)
    hidden = rng.integers(3, size=rows)
    return np.where(rng.random((rows, columns)) < 0.7, hidden[:, None], rng.integers(3, size=(rows, columns))).astype(np.int32)


def test_a_wide_table_comes_out_nearer_than_by_a_tree_of_pairs() -> None:
    codes = wide(5_000)
    counts = ExactCounts(codes, (3,) * 24, [f"c{place}" for place in range(24)], 1)
    pairs = list(combinations(range(24), 2))[::3]

    def error(method: Any, **settings: Any) -> float:
        model, _ = learn(counts, Noise(Allowance(30_600), seed=1), Marginals(method=method, **settings), silent)
        found = model.marginals(pairs)
        return float(
            np.mean([np.abs(p / p.sum() - counts[pair] / 5_000).sum() / 2 for pair, p in zip(pairs, found, strict=True)])
        )

    assert error("network", components=48, iterations=12, rounds=3) < 0.8 * error("mst")


def test_what_is_learned_follows_from_what_was_measured_to_the_last_bit() -> None:
    """Threads have no say, and neither has whoever drew from torch's generator before."""
    codes = wide(300, 6)
    counts = ExactCounts(codes, (3,) * 6, "abcdef", 1)
    how = Marginals(method="network", components=16, iterations=3, rounds=2)
    found = []
    for threads in (1, 2):
        torch.manual_seed(threads)
        before, state = torch.get_num_threads(), torch.random.get_rng_state()
        torch.set_num_threads(threads)
        try:
            found.append(learn(counts, Noise(Allowance(30_000), seed=2), how, silent)[0])
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
        assert torch.equal(state, torch.random.get_rng_state())
    assert np.array_equal(found[0].shares, found[1].shares)


# the method --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Marginals:
    table, ledger = NEIGHBOURS["a unique category"][0], tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    how = Marginals(method="network", components=32, iterations=3, rounds=2)
    return how.fit(table, budget=Budget(8.0, 1e-5), dataset="people", ledger=ledger, noise_seed=0)


def test_every_promise_of_a_generator_is_kept() -> None:
    report = check_generator(Marginals(method="network", components=32, iterations=5, rounds=2, max_cells=3_000))
    assert set(report.skipped) <= {"impute", "frames", "budget"}, report.skipped


def test_rows_are_drawn_from_a_saved_model_without_torch(model: Marginals, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    code = f"""
import sys
from synth.generators._storage import load
model = load({str(tmp_path / "model")!r})
model.sample_table(50, where="size >= 45 and kind = 'b'", seed=3)
model.score(model.sample_table(5))
print("torch" in sys.modules, model.sample_table(50, seed=3).digest())
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said == ["False", model.sample_table(50, seed=3).digest()]
    assert load(tmp_path / "model").measurements[0][2] == model.measurements[0][2]


@pytest.mark.parametrize(
    "condition", ["size >= 43 and size < 57", "size = 47 and kind = 'a'", "share is null", "kind = 'rare'"]
)
def test_conditioned_rows_all_satisfy_their_condition(model: Marginals, condition: str) -> None:
    drawn = model.sample(200, where=condition, seed=3)
    assert len(drawn) == len(drawn.where(condition)) == 200


def test_the_whole_budget_is_paid_and_the_receipt_says_for_what(model: Marginals) -> None:
    receipt = model.receipt
    assert receipt is not None
    assert sum(cost for _, cost in receipt.spent) == receipt.cost.micro_rho
    assert any("choice" in what for what, _ in receipt.spent)


def test_without_torch_nothing_is_paid_for_and_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr("synth.generators.marginals.find_spec", lambda name: None if name == "torch" else there(name))
    ledger = tmp_path / "ledger.sqlite"
    with pytest.raises(MissingExtraError, match=r"synth\[torch\]"):
        Marginals(method="network").fit(
            NEIGHBOURS["an extreme"][0], budget=Budget(1.0, 1e-5), dataset="people", ledger=ledger, noise_seed=0
        )
    assert not ledger.exists()


def test_components_are_the_networks_alone() -> None:
    with pytest.raises(ConfigError, match="mst has none"):
        Marginals(method="mst", components=7)._validate()
    with pytest.raises(ConfigError, match="components"):
        Marginals(method="network", components=1)._validate()


def test_a_column_without_a_choice_is_no_trouble() -> None:
    """A constant, as wide tables have them: one cell, and nothing to learn."""
    codes = np.column_stack([np.zeros(50, dtype=np.int32), np.arange(50, dtype=np.int32) % 2])
    counts = ExactCounts(codes, (1, 2), "ab", 1)
    how = Marginals(method="network", components=4, iterations=2, rounds=2)
    model, _ = learn(counts, Noise(Allowance(1_000_000), seed=0), how, silent)
    assert np.allclose(model.marginal((1,)) / model.total, [0.5, 0.5], atol=0.1)
