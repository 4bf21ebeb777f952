"""One training by DP-SGD, audited by the canaries that a coin put into it: below its ε, and above where noise is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from synth.privacy.allowance import Allowance
from synth.privacy.audit import Audit
from synth.privacy.canaries import audit_one_run, flip
from synth.privacy.mechanisms import Noise

torch = pytest.importorskip("torch", reason="DP-SGD needs torch")
pytest.importorskip("dp_accounting", reason="the accounting of DP-SGD needs dp-accounting")
dpsgd = pytest.importorskip("synth.privacy.dpsgd", reason="DP-SGD needs torch", exc_type=ImportError)

CANARIES, DELTA = 1_000, 1e-12  # a larger δ would leave no room for a false alarm in a million
STEPS, RATE, NOISE = 20, 0.5, 8.0


class Sums(torch.nn.Module):
    """A weight for each canary, and a gradient of each canary that reaches its weight alone: nothing hides it but noise."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = torch.nn.Linear(CANARIES, 1, bias=False)
        torch.nn.init.zeros_(self.weights.weight)

    def forward(self, batch: tuple[Any, ...], rng: Any) -> Any:
        return -self.weights(batch[0][:, None, :]).sum(dim=(1, 2))


def audited() -> Audit:
    from synth.privacy.sampled_gaussian import NoisySteps

    coins, how, network = flip(CANARIES), NoisySteps(STEPS, RATE, NOISE), Sums()
    rows = np.eye(CANARIES, dtype=np.float32)[coins]
    noise = Noise(Allowance(1))
    learned = dpsgd.train_privately(network, network, (rows,), how, noise, learning_rate=lambda step: 0.01, average=0.5)
    return audit_one_run(
        "DP-SGD", how.curve.epsilon(DELTA), learned["weights.weight"][0], coins, delta=DELTA, confidence=1 - 1e-6
    )


def test_one_training_gives_away_no_more_than_its_epsilon() -> None:
    audit = audited()
    assert audit.holds, audit.in_words
    assert audit.claim < 3


def test_missing_noise_is_caught_in_one_training(monkeypatch: pytest.MonkeyPatch) -> None:
    blurred = dpsgd.blurred
    monkeypatch.setattr(
        dpsgd, "blurred", lambda sums, noise_multiplier, entropy: blurred(sums, noise_multiplier / 100, entropy)
    )
    audit = audited()
    assert not audit.holds, audit.in_words


# the networks that are trained so, by their own losses ---------------------------------------------------------------------


def audited_training(name: str, part: float) -> Audit:
    from benchmarks.one_run import audited
    from synth.privacy.sampled_gaussian import NoisySteps

    how = NoisySteps(12, RATE, NOISE)
    return audited(name, how, canaries=CANARIES, delta=DELTA, confidence=1 - 1e-6, part=part)


@pytest.mark.parametrize("name", ["diffusion", "gan's critic"])
def test_one_training_of_a_network_gives_away_no_more_than_its_epsilon(name: str) -> None:
    audit = audited_training(name, 1.0)
    assert audit.holds, audit.in_words
    assert audit.claim < 3


@pytest.mark.parametrize("name", ["diffusion", "gan's critic"])
def test_missing_noise_is_caught_in_one_training_of_a_network(name: str) -> None:
    audit = audited_training(name, 1e-3)
    assert not audit.holds, audit.in_words
