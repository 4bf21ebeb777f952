"""How `gan` is trained under a budget. Imports torch, so nothing imports this but a fit.

Only the critic's gradient on real rows is protected, by `synth.privacy.dpsgd`: all else sees the critic's weights, and counts
that were paid for, alone. That is post-processing, and as much of it as helps is free: the critic takes several noisy steps
for one of the writer (Bie, Kamath and Zhang, "Private GANs, revisited", 2023).

- Conditions come from the noisy counts of single columns, one column at a time: what several of them have to do with each
  other is not known beforehand. A real row is judged with a column named that has nothing to do with its values.
- Gradients on written rows are shortened as those on real rows are, so that where both are alike they cancel, and count for as
  many rows as are expected in a batch, by the noisy counts.
- The loss is that of Goodfellow et al. (2014), which does not saturate. A penalty on the critic's slope would ask each layer
  twice; noise holds the slope down.
- Writers are kept at several times of the training, and each writes a part of the rows: what noise makes up differs from one
  to the next, and what is there does not (Neunhoeffer, Wu and Dwork, "Private post-GAN boosting", 2021, weigh them; here all
  count as much, which asks for no more of the rows).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from synth.generators._gan_net import ColumnFacts, GanLearner, Manner
from synth.privacy.dpsgd import ClippedSum, train_privately
from synth.privacy.mechanisms import Noise
from synth.privacy.sampled_gaussian import NoisySteps
from synth.progress import Progress

WRITTEN = 512  # rows that are written for a step of either network
BETAS = (0.5, 0.99)  # of Adam, for both: with more momentum they chase each other
AVERAGE = 0.99  # decay of the running average of the writer's weights, over its own steps
KEPT = 8  # writers that are kept ...
FIRST_KEPT = 0.4  # ... evenly from this part of the training to its end


def conditions(columns: Sequence[ColumnFacts]) -> list[Tensor]:
    """How often a row that is given a column is given each of its states, float64 of shape (states,): by its noisy counts."""
    return [torch.from_numpy((column.counts + 1) / (column.counts + 1).sum()) for column in columns]


def kept_at(steps: int) -> set[int]:
    """After which of the writer's steps it is kept."""
    return set(np.ceil(np.linspace(FIRST_KEPT * steps, steps, KEPT)).astype(int).tolist())


class PrivateGan:
    """A writer and a critic of linear layers. expected: rows in a batch, by the noisy counts."""

    def __init__(self, columns: Sequence[ColumnFacts], manner: Manner, expected: float) -> None:
        self.learner, self.expected = GanLearner(columns, manner), expected
        for layer in self.learner.critic.modules():
            if isinstance(layer, nn.LayerNorm):
                layer.requires_grad_(False)
        self.shares = conditions(columns)
        self.rng = torch.Generator()
        self.rng.manual_seed(int(torch.randint(2**62, (1,))))

    def train(
        self,
        data: tuple[np.ndarray, np.ndarray],
        how: NoisySteps,
        noise: Noise,
        *,
        rate: Callable[[int], float],
        progress: Progress,
    ) -> list[dict[str, np.ndarray]]:
        """The writer's averaged weights at several times. data: states and positions of the real rows. rate: of learning, at
        each step of the critic; the writer's is the same."""
        writer = self.learner.writer
        averaged = {name: value.detach().clone() for name, value in writer.named_parameters()}
        optimizer = torch.optim.Adam(writer.parameters(), betas=BETAS)
        every = self.learner.manner.critic_steps
        times = kept_at(how.steps // every)
        kept: list[dict[str, np.ndarray]] = []

        def keep() -> None:
            kept.append({name: value.numpy().copy() for name, value in averaged.items()})

        def write(step: int) -> None:
            if (step + 1) % every:
                return
            for group in optimizer.param_groups:
                group["lr"] = rate(step)
            optimizer.zero_grad()
            softplus(-self._judged(*self._written())).mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            taken = (step + 1) // every
            decay = min(AVERAGE, (1 + taken) / (10 + taken))
            with torch.no_grad():
                torch._foreach_lerp_(list(averaged.values()), [p.detach() for p in writer.parameters()], 1 - decay)
            if taken in times:
                keep()

        self.learner.train()
        train_privately(
            self.learner.critic,
            self.on_real,
            data,
            how,
            noise,
            learning_rate=rate,
            average=0.0,
            betas=BETAS,
            beside=self._on_written,
            after=write,
            progress=progress,
        )
        if not kept:
            keep()
        return kept

    def on_real(self, batch: tuple[Tensor, ...], rng: torch.Generator) -> Tensor:
        """The critic's loss of each real row, shape (rows,)."""
        states, positions = batch[0].long(), batch[1]
        known = self._named(len(states), rng)
        return softplus(-self._judged(self.learner.writer.one_hot(states), positions, known.float()))

    def _on_written(self, clipped: ClippedSum) -> Mapping[str, Tensor]:
        """The critic's gradient on written rows, by parameter, for as many as there are expected to be real ones."""
        with torch.no_grad():
            written = list(self._written())
        sums = clipped.of(lambda batch, _: softplus(self._judged(*batch)), written, np.arange(WRITTEN), self.rng)
        return {name: total * (self.expected / WRITTEN) for name, total in sums.items()}

    def _written(self) -> tuple[Tensor, Tensor, Tensor]:
        """States, positions and which column was given, of rows that are given what the noisy counts say."""
        known = self._named(WRITTEN, self.rng)
        states = [torch.multinomial(share, WRITTEN, replacement=True, generator=self.rng) for share in self.shares]
        x, moved, _, _ = self.learner.writer(torch.where(known, torch.stack(states, 1), -1), self.rng)
        return x, moved, known.float()

    def _named(self, rows: int, rng: torch.Generator) -> Tensor:
        """Which column of each row is given, or none: boolean of shape (rows, columns)."""
        column = torch.randint(len(self.shares), (rows, 1), generator=rng)
        given = torch.rand((rows, 1), generator=rng) < self.learner.manner.given
        return (torch.arange(len(self.shares)) == column) & given

    def _judged(self, x: Tensor, positions: Tensor, known: Tensor) -> Tensor:
        return self.learner.judge(self.learner.seen(x, positions), known)
