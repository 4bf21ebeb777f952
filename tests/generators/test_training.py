"""Networks are trained to their best state, the same way each time, and go on after a kill as if nothing had happened."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from synth.errors import ConfigError, DataError, GenerationError
from synth.generators import create
from synth.generators._training import Checkpoint, Plan, Trained, train
from synth.progress import silent

pytest.importorskip("torch", reason="networks need the extra: pip install 'synth[torch]'")

import torch

from synth.generators._learner import Learner

ROOT = Path(__file__).parents[2]


class Line(Learner):
    """y from x by least squares, with dropout so that the global generator matters."""

    def __init__(self, dropout: float = 0.2, blow_up_above: float = np.inf) -> None:
        super().__init__()
        self.slope = torch.nn.Linear(1, 1)
        self.dropout, self.most = torch.nn.Dropout(dropout), blow_up_above

    def forward(self, batch: tuple[torch.Tensor, ...], rng: torch.Generator, turn: str) -> torch.Tensor:
        x, y = batch
        noise = 0.01 * torch.randn(x.shape, generator=rng)
        loss = ((self.slope(self.dropout(x)) - y + noise) ** 2).mean(dim=1)
        return torch.where(loss > self.most, torch.nan, loss)


class Duel(Learner):
    """Two numbers: the first follows the rows, the second the first, in turn."""

    turns = ("leader", "leader", "follower")

    def __init__(self) -> None:
        super().__init__()
        self.leader, self.follower = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))

    def parameters_of(self, turn: str) -> list[torch.nn.Parameter]:
        return [self.leader if turn == "leader" else self.follower]

    def forward(self, batch: tuple[torch.Tensor, ...], rng: torch.Generator, turn: str) -> torch.Tensor:
        y = batch[1][:, 0]
        return (self.leader - y) ** 2 if turn == "leader" else (self.follower - self.leader).expand(len(y)) ** 2


def line_data(rows: int = 1_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).normal(size=(rows, 1)).astype(np.float32)
    return x, 3 * x + 1


PLAN = Plan(epochs=20, batch_rows=50, learning_rate=0.1, patience=100, device="cpu")
LAST = replace(PLAN, validation=0.0)  # the averages at the very end are what is kept


def trained(plan: Plan = PLAN, seed: int = 0, checkpoint: Checkpoint | None = None, **kind: float) -> Trained:
    return train(partial(Line, **kind), line_data(), plan, seed=seed, progress=silent, checkpoint=checkpoint)


def same(a: Trained, b: Trained) -> bool:
    return a.facts == b.facts and all(np.array_equal(a.weights[name], b.weights[name]) for name in a.weights)


def test_a_line_is_learned() -> None:
    done = trained(dropout=0.0)
    assert done.weights["slope.weight"].item() == pytest.approx(3, abs=0.05)
    assert done.weights["slope.bias"].item() == pytest.approx(1, abs=0.05)
    assert done.facts["validation_rows"] == 50


def test_one_seed_gives_one_result_and_leaves_other_randomness_alone() -> None:
    torch.manual_seed(5)
    untouched = torch.rand(1)
    torch.manual_seed(5)
    first = trained(seed=1)
    assert torch.equal(torch.rand(1), untouched)
    assert same(first, trained(seed=1))
    assert not same(first, trained(seed=2))


def test_turns_train_their_own_parameters() -> None:
    done = train(Duel, line_data(), Plan(epochs=20, batch_rows=50, learning_rate=0.1, device="cpu"), seed=0, progress=silent)
    mean = line_data()[1].mean()
    assert done.weights["leader"].item() == pytest.approx(mean, abs=0.3)
    assert done.weights["follower"].item() == pytest.approx(mean, abs=0.3)
    assert done.facts["steps"] % 3 == 0


def test_training_stops_where_rows_held_back_get_no_better() -> None:
    """Noise alone: nothing can be learned, and more steps only fit the rows."""
    x, _ = line_data()
    noise = np.random.default_rng(9).normal(size=x.shape).astype(np.float32)
    plan = Plan(epochs=400, batch_rows=50, learning_rate=0.05, patience=3, checks=50, average=0.5, device="cpu")
    done = train(Line, (x, noise), plan, seed=0, progress=silent)
    assert done.facts["stopped"] == "no better loss"
    assert done.facts["steps"] < 4_000
    assert done.facts["best_step"] < done.facts["steps"]


def test_a_loss_that_never_stays_finite_is_an_error() -> None:
    with pytest.raises(GenerationError, match="lower learning_rate"):
        trained(blow_up_above=0.0)


def test_a_step_that_leaves_the_finite_numbers_is_taken_back() -> None:

    class Once(Line):
        met = 0

        def forward(self, batch: tuple[torch.Tensor, ...], rng: torch.Generator, turn: str) -> torch.Tensor:
            if self.training:
                Once.met += 1
            loss = super().forward(batch, rng, turn)
            return loss * torch.nan if Once.met == 30 else loss

    done = train(Once, line_data(), PLAN, seed=0, progress=silent)
    assert done.facts["rollbacks"] == 1
    assert done.facts["stopped"] == "all epochs"
    assert np.isfinite(done.facts["validation_loss"])


def test_time_that_is_up_gives_the_best_so_far() -> None:
    plan = Plan(epochs=1_000_000, batch_rows=50, learning_rate=0.05, patience=10**6, max_seconds=1.0, device="cpu")
    begun = time.perf_counter()
    done = trained(plan, dropout=0.0)
    assert time.perf_counter() - begun < 30
    assert done.facts["stopped"] == "max_seconds"
    assert 0 < done.facts["best_step"] <= done.facts["steps"]
    assert np.isfinite(done.facts["validation_loss"])


def test_progress_is_told_up_to_the_end() -> None:
    told: list[tuple[int, int]] = []
    train(Line, line_data(), PLAN, seed=0, progress=lambda stage, done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]
    assert len(told) > 10
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_two_devices_share_each_step() -> None:
    """Gradients are averaged over processes, so that two of them learn what one does."""
    code = (
        "from tests.generators.test_training import *\n"
        "plan = Plan(20, 50, 0.1, patience=100, device='cpu', devices=2)\n"
        "done = train(partial(Line, 0.0), line_data(), plan, seed=0, progress=silent)\n"
        "print(done.weights['slope.weight'].item(), done.weights['slope.bias'].item())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    slope, bias = map(float, done.stdout.split())
    assert slope == pytest.approx(3, abs=0.05)
    assert bias == pytest.approx(1, abs=0.05)


def test_a_device_that_is_not_there_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ConfigError, match="device 'cuda'"):
        trained(Plan(epochs=1, batch_rows=50, learning_rate=0.05, device="cuda"))


# going on -------------------------------------------------------------------------------------------------------------

SLOW = """
import sys, time
from tests.generators.test_training import *

class Slow(Line):
    def forward(self, *of):
        time.sleep(0.004)
        return super().forward(*of)

Slow.__qualname__ = "Line"
kept = Checkpoint(Path(sys.argv[1]), resume=len(sys.argv) > 2, every=0.0)
done = train(Slow, line_data(), LAST, seed=3, progress=silent, checkpoint=kept)
print(done.facts)
np.savez(sys.argv[1] + ".npz", **done.weights)
"""


def test_a_fit_that_was_killed_goes_on_to_the_same_end(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    command = [sys.executable, "-c", SLOW, str(folder)]
    process = subprocess.Popen(command, cwd=ROOT)
    while not (folder / "network.pt").is_file():
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert (folder / "network.pt").is_file()
    subprocess.run([*command, "resume"], cwd=ROOT, check=True, capture_output=True)
    whole = trained(LAST, seed=3)
    with np.load(f"{folder}.npz") as resumed:
        assert all(np.array_equal(resumed[name], whole.weights[name]) for name in whole.weights)
    assert not (folder / "network.pt").exists()


def test_the_checkpoint_of_another_fit_is_refused(tmp_path: Path) -> None:
    interrupted(tmp_path)
    with pytest.raises(DataError, match="checkpoint of another fit"):
        trained(seed=4, checkpoint=Checkpoint(tmp_path, resume=True))
    (tmp_path / "network.pt").write_bytes(b"no checkpoint")
    with pytest.raises(DataError, match="cannot be read as a checkpoint"):
        trained(seed=3, checkpoint=Checkpoint(tmp_path, resume=True))


def test_without_resume_a_fit_begins_anew(tmp_path: Path) -> None:
    interrupted(tmp_path)
    assert same(trained(seed=4, checkpoint=Checkpoint(tmp_path)), trained(seed=4))


def interrupted(folder: Path) -> None:
    """A checkpoint of the fit with seed 3, broken off half way."""

    def stop(stage: str, done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Line, line_data(), PLAN, seed=3, progress=stop, checkpoint=Checkpoint(folder, every=0.0))
    assert (folder / "network.pt").is_file()


def test_a_method_without_checkpoints_says_so(tmp_path: Path) -> None:
    rows = {"a": [1, 2, 3, 4], "b": ["x", "y", "x", "y"]}
    import pyarrow as pa

    with pytest.raises(ConfigError, match="keeps no checkpoints"):
        create("trees").fit(pa.table(rows), checkpoint=tmp_path)
    with pytest.raises(ConfigError, match="name the folder"):
        create("trees").fit(pa.table(rows), resume=True)
