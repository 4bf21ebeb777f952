"""DP-SGD of `diffusion` and of the critic of `gan` audited by one training each, through the code that trains them.

A thousand rows or more are put into the training by a coin each. Each canary has one cell that no other has, and so a part of
its gradient that hardly any other reaches. The attacker sees what DP-SGD releases, the noisy sum of every step: a canary is
scored by how far the sums go along that part of its gradient at that step (white box; Nasr et al. 2023). Guesses and bound are
those of `synth.privacy.canaries`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from synth.generators._cells import Cells
from synth.generators._codes import Codebook
from synth.generators._diffusion_net import Form
from synth.generators._gan_net import ColumnFacts, Manner
from synth.generators._modes import Modes
from synth.generators._private_denoiser import PrivateDenoiser
from synth.generators._private_gan import PrivateGan
from synth.privacy import dpsgd
from synth.privacy.allowance import Allowance
from synth.privacy.audit import Audit
from synth.privacy.canaries import audit_one_run, flip
from synth.privacy.mechanisms import Noise
from synth.privacy.sampled_gaussian import NoisySteps

LEVELS = 90  # canaries that differ in the same column
WIDTH = 16


class Canaries:
    """Rows that each hold one cell of their own, and what the released sums of a training tell of each, float64."""

    def __init__(self, count: int) -> None:
        columns = -(-count // LEVELS)
        place = np.arange(count)
        self.cells = np.zeros((count, columns), dtype=np.int32)
        self.cells[place, place // LEVELS] = 1 + place % LEVELS
        counts = np.append(count, np.ones(LEVELS))
        self.books = [Codebook(str(column), len(counts), counts, 0) for column in range(columns)]
        self.scores = np.zeros(count)

    def listen(self, network: nn.Module, loss: Any, rows: list[Tensor], weight: str, own: np.ndarray) -> Any:
        """A patch of DP-SGD's noise under which every step's sum is heard before it is used.

        weight: of the layer that is told which cells there are, or tells it. own: which of it belongs to canaries' own cells.
        """
        blurred, clipped = dpsgd.blurred, dpsgd.ClippedSum(network)
        names = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
        heard: dict[str, Tensor] = {}
        rng = torch.Generator().manual_seed(0)

        def listening(sums: np.ndarray, *rest: Any) -> np.ndarray:
            released = blurred(sums, *rest)
            heard[names[len(heard)]] = torch.from_numpy(released)
            if len(heard) == len(names):
                self.scores += clipped.along(loss, rows, {weight: heard[weight] * torch.from_numpy(own)}, rng).numpy()
                heard.clear()
            return released

        return patch.object(dpsgd, "blurred", listening)


def train_denoiser(canaries: Canaries, included: np.ndarray, how: NoisySteps, noise: Noise) -> None:
    """`diffusion` on the canaries that are in."""
    cells = Cells.of_books(canaries.books)
    shares = tuple(float(share) for cell in cells.cells for part in cell.shares() for share in part)
    form = Form(cells.sizes, cells.parent, cells.gates, tuple(range(len(cells.cells))), (), shares)
    net = PrivateDenoiser(form, WIDTH, 1, 0.3, 2)
    nothing = np.zeros((len(canaries.cells), 0), dtype=np.float32)
    data = canaries.cells, nothing, nothing
    own = np.tile(np.append(0.0, np.ones(LEVELS)), len(cells.cells))[:, None]
    with canaries.listen(net, net, [torch.from_numpy(part) for part in data], "net.logits.weight", own):
        rows = tuple(part[included] for part in data)
        dpsgd.train_privately(net, net, rows, how, noise, learning_rate=lambda _: 1e-3, average=0.9)


def train_critic(canaries: Canaries, included: np.ndarray, how: NoisySteps, noise: Noise) -> None:
    """The critic of `gan`, and its writer beside it, on the canaries that are in."""
    facts = [ColumnFacts.of(Modes.of_book(book, 5)) for book in canaries.books]
    nets = PrivateGan(facts, Manner(WIDTH, 8, WIDTH, 4, 0.0, 0.5, 0.0, 0.0, None), how.sampling_rate * included.sum())
    data = canaries.cells, np.zeros((len(canaries.cells), 0), dtype=np.float32)
    critic, columns = nets.learner.critic, len(canaries.books)
    own = np.append(np.tile(np.append(0.0, np.ones(LEVELS)), columns), np.zeros(columns))  # the last tell what was given
    with canaries.listen(critic, nets.on_real, [torch.from_numpy(part) for part in data], "0.0.weight", own):
        rows = data[0][included], data[1][included]
        nets.train(rows, how, noise, rate=lambda _: 1e-3, progress=lambda *_: None)


TRAININGS: Mapping[str, Callable[[Canaries, np.ndarray, NoisySteps, Noise], None]] = {
    "diffusion": train_denoiser,
    "gan's critic": train_critic,
}


def audited(name: str, how: NoisySteps, *, canaries: int, delta: float, confidence: float = 0.95, part: float = 1.0) -> Audit:
    """One training, audited. part: of the noise that is paid for which is added; below 1 it is a planted fault."""
    coins = flip(canaries)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        units = Canaries(canaries)
        blurred = dpsgd.blurred
        with patch.object(dpsgd, "blurred", lambda sums, noise, entropy: blurred(sums, noise * part, entropy) * part):
            TRAININGS[name](units, coins, how, Noise(Allowance(1)))
    claim = how.curve.epsilon(delta)
    return audit_one_run(f"DP-SGD of {name}", claim, units.scores, coins, delta=delta, confidence=confidence)
