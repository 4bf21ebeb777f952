"""The networks of `gan`: a writer that makes rows, and a critic that tells them from real ones. Needs torch.

After CTGAN (Xu et al., "Modeling tabular data using conditional GAN", NeurIPS 2019), CTAB-GAN+ (Zhao et al., Frontiers in Big
Data 2024) and the gradient penalty of Gulrajani et al. ("Improved training of Wasserstein GANs", NeurIPS 2017).

A row is `x`, its states one-hot, side by side for all columns, and `positions`, one for each column that has them. The loss is
a row's own throughout: layer norm, no batch norm, no pac, no statistic of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from synth.generators._learner import Learner
from synth.generators._modes import Modes

TEMPERATURE = 0.5  # of the relaxed draws that gradients pass through (Jang et al., "Categorical reparameterization", ICLR 2017)
MORE_GIVEN = 0.5  # chance that a row which is given a state is given one more
MOST_BALANCED = 10.0  # weight of a row that is given a rare state, at most
COMPARED_STATES = 1_500  # states whose pairs are compared for validation


@dataclass(frozen=True, eq=False)
class ColumnFacts:
    """What the networks are told of a column; arrays of shape (states,). Can be pickled, for several devices.

    counts: rows behind each state. wide: which states have positions. middle, half: where they lie on the normal scale.
    """

    counts: np.ndarray
    wide: np.ndarray
    middle: np.ndarray
    half: np.ndarray

    @classmethod
    def of(cls, modes: Modes) -> ColumnFacts:
        return cls(modes.counts, modes.wide, *modes.scores)

    @property
    def states(self) -> int:
        return len(self.counts)


@dataclass(frozen=True)
class Manner:
    """How large the networks are, and how they are trained; see the fields of `Gan`."""

    width: int
    noise: int
    critic_width: int
    critic_steps: int
    gradient_penalty: float
    given: float
    balance: float
    classifier: float
    target: int | None  # place of the target among the columns, where it is a category


class Writer(nn.Module):
    """Makes rows of noise, column by column: what a column's state is may depend on those before it.

    A perceptron of the noise and of what the row is given proposes all columns; links from the columns that are written to the
    next ones make relations such as education and its years easy to keep.
    """

    first: Tensor  # where each column's states begin
    wide: Tensor

    def __init__(self, columns: Sequence[ColumnFacts], width: int, noise: int) -> None:
        super().__init__()
        self.noise = noise
        self.sizes = [column.states for column in columns]
        self.total = sum(self.sizes)
        self.starts = [0, *np.cumsum(self.sizes).tolist()]
        self.place = {k: n for n, k in enumerate(k for k, column in enumerate(columns) if column.wide.any())}
        self.register_buffer("first", torch.tensor(self.starts[:-1]), persistent=False)
        self.register_buffer(
            "wide", torch.from_numpy(np.concatenate([c.wide for c in columns]).astype(np.float32)), persistent=False
        )
        self.trunk = perceptron(noise + self.total, width)
        self.heads = nn.Linear(width, self.total + len(self.place))
        self.held = _link(self.total, self.total + len(self.place))  # straight from what is given to what goes with it
        self.links = nn.ModuleList()
        written = 0
        for k, size in enumerate(self.sizes):
            if written:
                self.links.append(_link(written, size))
            written += size
            if k in self.place:
                self.links.append(_link(written, 1))
                written += 1
        with torch.no_grad():  # begin with each column's own frequencies
            often = [np.log((c.counts + 0.5) / (c.counts.sum() + 0.5 * c.states)) for c in columns]
            self.heads.weight.mul_(0.5)
            self.heads.bias[: self.total] = torch.from_numpy(np.concatenate(often).astype(np.float32))
            self.heads.bias[self.total :] = 0.0

    def one_hot(self, states: Tensor) -> Tensor:
        """x, of shape (rows, total), of states of shape (rows, columns); a state of -1 is none."""
        x = torch.zeros(len(states), self.total + 1, device=states.device)
        return x.scatter_(1, torch.where(states < 0, self.total, states + self.first), 1.0)[:, :-1]

    def forward(
        self, given: Tensor, rng: torch.Generator, bias: Tensor | None = None, within: Mapping[int, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x, positions, states and weights of as many rows as `given` has, in the states given there; -1 leaves a column open.

        bias: added to the log-odds of all states, of shape (total,). within: for some columns, what share of each state's draws
        is wanted, of shape (states,): the state is drawn among these, and the row's weight is the probability that it would
        have come of itself. In training, gradients pass through x.
        """
        rows, device = len(given), given.device
        noise = torch.randn(rows, self.noise, generator=rng, device=device)
        gumbel = _gumbel(rows, self.total, rng, device)
        told = self.one_hot(given)
        proposed = (self.heads(self.trunk(torch.cat([noise, told], 1))) + self.held(told)).float()
        odds, raw = proposed[:, : self.total], proposed[:, self.total :]
        if bias is not None:
            odds = odds + bias
        held = given >= 0
        relaxed = self.training and torch.is_grad_enabled()
        written: list[Tensor] = []
        x: list[Tensor] = []
        positions: list[Tensor] = []
        states: list[Tensor] = []
        links = iter(self.links)
        weights = torch.ones(rows, device=device)
        for k, (start, end) in enumerate(zip(self.starts, self.starts[1:], strict=False)):
            own = odds[:, start:end]
            if written:
                own = own + next(links)(torch.cat(written, 1)).float()
            if within is not None and k in within:
                weights = weights * (torch.softmax(own, 1) @ within[k])
                own = own + torch.log(within[k])
            noisy = own + gumbel[:, start:end]
            state = torch.where(held[:, k], given[:, k], noisy.detach().argmax(1))
            value = torch.zeros_like(noisy).scatter_(1, state[:, None], 1.0)
            if relaxed:
                soft = torch.softmax(noisy / TEMPERATURE, 1)
                value = value + (soft - soft.detach()) * ~held[:, k, None]
            states.append(state)
            x.append(value)
            written.append(value)
            if k in self.place:
                score = raw[:, self.place[k]] + next(links)(torch.cat(written, 1))[:, 0].float()
                position = torch.erf(score / math.sqrt(2)) * (value @ self.wide[start:end])  # even where scores are normal
                positions.append(position)
                written.append(position[:, None])
        moved = torch.stack(positions, 1) if positions else noise[:, :0]
        return torch.cat(x, 1), moved, torch.stack(states, 1), weights


class GanLearner(Learner):
    """The writer and its critic, and a classifier of the target where there is one."""

    middles: Tensor  # of shape (states, scales), like halves
    halves: Tensor
    moves: Tensor  # which position moves which scale, of shape (positions, scales)
    weights: Tensor

    def __init__(self, columns: Sequence[ColumnFacts], manner: Manner) -> None:
        super().__init__()
        self.manner = manner
        self.turns = ("critic",) * manner.critic_steps + ("writer",)
        self.writer = writer = Writer(columns, manner.width, manner.noise)
        scales = [k for k, column in enumerate(columns) if column.middle.any()]
        middle, half = (np.zeros((writer.total, len(scales)), dtype=np.float32) for _ in range(2))
        moves = np.zeros((len(writer.place), len(scales)), dtype=np.float32)
        for n, k in enumerate(scales):
            own = slice(writer.starts[k], writer.starts[k + 1])
            middle[own, n], half[own, n] = columns[k].middle, columns[k].half
            if k in writer.place:
                moves[writer.place[k], n] = 1.0
        weights = np.concatenate([_balanced(column.counts, manner.balance) for column in columns])
        for name, array in (("middles", middle), ("halves", half), ("moves", moves), ("weights", weights)):
            self.register_buffer(name, torch.from_numpy(array.astype(np.float32)), persistent=False)
        inputs = writer.total + len(writer.place) + len(scales) + len(columns)
        self.critic = nn.Sequential(perceptron(inputs, manner.critic_width), nn.Linear(manner.critic_width, 1))
        self.classifier: nn.Module | None = None
        if manner.target is not None and manner.classifier > 0:
            classes = writer.sizes[manner.target]
            width = manner.critic_width
            self.classifier = nn.Sequential(perceptron(writer.total + len(writer.place), width), nn.Linear(width, classes))

    def parameters_of(self, turn: str) -> Iterable[nn.Parameter]:
        judges = [self.critic] if self.classifier is None else [self.critic, self.classifier]
        for module in [self.writer] if turn == "writer" else judges:
            yield from module.parameters()

    def forward(self, batch: tuple[Tensor, ...], rng: torch.Generator, turn: str) -> Tensor:
        """The loss of each row, beside a written one that is given the same states of a few columns."""
        states, positions = batch[0].long(), batch[1]
        given = self._some(states, rng)
        weight = self._weight(given)
        known = (given >= 0).float()
        if turn == "writer":
            x, moved, _, _ = self.writer(given, rng)
            loss = -weight * self.judge(self.seen(x, moved), known)
            if self.classifier is not None:
                loss = loss + self.manner.classifier * self._misclassified(x, moved)
            return loss
        with torch.no_grad():
            x, moved, _, _ = self.writer(given, rng)
            fake = self.seen(x, moved)
            x = self.writer.one_hot(states)
            real = self.seen(x, positions)
        loss = weight * (self.judge(fake, known) - self.judge(real, known))
        loss = loss + self.manner.gradient_penalty * self._steepness(real, fake, known, rng)
        return loss if self.classifier is None else loss + self._misclassified(x, positions)

    def _some(self, states: Tensor, rng: torch.Generator) -> Tensor:
        """The states of no column, one, or several, drawn for each row; -1 in the others."""
        rows, columns = states.shape
        order = torch.rand(rows, columns, generator=rng, device=states.device).argsort(1)
        u, v = torch.rand(2, rows, generator=rng, device=states.device)
        many = torch.where(u < self.manner.given, 1 + torch.log(v) / math.log(MORE_GIVEN), 0.0).long()
        return torch.where(order < many[:, None], states, -1)

    def _weight(self, given: Tensor) -> Tensor:
        """What each row counts for: the mean over the states that it is given, 1 where it is given none."""
        each = functional.embedding(given.clamp_min(0) + self.writer.first, self.weights[:, None])[..., 0]
        known = (given >= 0).float()
        many = known.sum(1)
        return torch.where(many > 0, (each * known).sum(1) / many.clamp_min(1), 1.0)

    def seen(self, x: Tensor, positions: Tensor) -> Tensor:
        """Rows as the critic sees them: with the place of each number on its normal scale beside states and positions."""
        scale = x @ self.middles + (x @ self.halves) * (positions @ self.moves)
        return torch.cat([x, positions, scale], 1)

    def judge(self, rows: Tensor, known: Tensor) -> Tensor:
        judged: Tensor = self.critic(torch.cat([rows, known], 1))[:, 0].float()
        return judged

    def _steepness(self, real: Tensor, fake: Tensor, known: Tensor, rng: torch.Generator) -> Tensor:
        """How far the critic's slope is from 1 at a point between each row and the written one beside it."""
        share = torch.rand(len(real), 1, generator=rng, device=real.device)
        point = (share * real + (1 - share) * fake).requires_grad_(True)
        slope = torch.autograd.grad(self.judge(point, known).sum(), point, create_graph=True)[0]
        return torch.square(slope.float().norm(2, 1) - 1)

    def _misclassified(self, x: Tensor, positions: Tensor) -> Tensor:
        """The cross-entropy of each row's target, as the classifier sees it in the other columns."""
        assert self.classifier is not None
        assert self.manner.target is not None
        start, end = self.writer.starts[self.manner.target], self.writer.starts[self.manner.target + 1]
        others = torch.cat([x[:, :start], x[:, end:]], 1)
        blind = torch.cat([others, x.new_zeros(len(x), end - start), positions], 1)
        return functional.cross_entropy(self.classifier(blind).float(), x[:, start:end].detach().argmax(1), reduction="none")

    def validate(self, batch: tuple[Tensor, ...], rng: torch.Generator) -> Tensor:
        """How far written rows are from the batch's, by the joint tables of all pairs of states: the mean total variation.

        One value for all rows: a GAN's own loss says nothing of how good it is. A column's own frequencies are in its diagonal.
        """
        states = batch[0].long()
        real = self.writer.one_hot(states)
        fake = self.writer(torch.full_like(states, -1), rng)[0]
        real, fake = real[:, :COMPARED_STATES], fake[:, :COMPARED_STATES]
        apart: Tensor = (real.T @ real - fake.T @ fake).abs().sum() / len(states) / 2
        return (apart / torch.square(real[0].sum())).expand(len(states))


def perceptron(inputs: int, width: int) -> nn.Sequential:
    """Two layers, each with a norm of the row's own."""
    return nn.Sequential(
        nn.Linear(inputs, width), nn.LayerNorm(width), nn.LeakyReLU(0.2),
        nn.Linear(width, width), nn.LayerNorm(width), nn.LeakyReLU(0.2),
    )  # fmt: skip


def _link(inputs: int, outputs: int) -> nn.Linear:
    link = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(link.weight, std=0.01)
    return link


def _gumbel(rows: int, columns: int, rng: torch.Generator, device: torch.device) -> Tensor:
    u = torch.rand(rows, columns, generator=rng, device=device).clamp_(1e-9, 1 - 1e-6)
    return -torch.log(-torch.log(u))


def _balanced(counts: np.ndarray, balance: float) -> np.ndarray:
    """Training-by-sampling as weights: what a row that is given a state counts for, so that states count by the logarithm of
    their frequency where `balance` is 1, and as they are where it is 0."""
    natural = (counts + 1.0) / (counts + 1.0).sum()
    level = np.log1p(counts) + 1e-3
    weight = np.minimum((level / level.sum() / natural) ** balance, MOST_BALANCED)
    return np.asarray(weight / (weight * natural).sum())
