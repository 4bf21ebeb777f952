"""The network behind `autoregressive`, and its loss. Imports torch, so nothing imports this but a fit.

What is known of a row is the sum of its tokens' embeddings; a residual trunk, shared by all columns, turns it into what each
column's head needs. Nothing here looks at two rows at once. `_any_order.AnyOrder` computes the same with numpy, for drawing.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from synth.generators._any_order import Layout, spread_of
from synth.generators._learner import Learner
from synth.generators._training import load_weights

NEXT = 0.5  # share of the loss of a row known in such an order that its next column has; the others share the rest
CONDITIONED = 0.5  # share of the other rows that are known as rows drawn under a condition are
MOST_GIVEN = 3  # columns that these conditions are on


class Net(Learner):
    """Log-likelihoods of all columns of a row given any of them."""

    def __init__(self, layout: Layout, width: int, hidden: int, blocks: int, *, ordered: float, dropout: float) -> None:
        super().__init__()
        self.layout = layout
        self.dropped = nn.Dropout(dropout)
        self.start = nn.Parameter(torch.randn(width) * 0.5)  # a row of which nothing is known
        sizes = [int(size) for size in np.diff(layout.base)]
        labels = [token if token.place is None else layout.tokens[i - 1] for i, token in enumerate(layout.tokens)]
        self.embed = Spread([spread_of(label, size) for label, size in zip(labels, sizes, strict=True)], width, std=0.5)
        self.up = nn.ModuleList(nn.Linear(width, hidden) for _ in range(blocks))
        self.down = nn.ModuleList(nn.Linear(hidden, width) for _ in range(blocks))
        firsts = [spread_of(token, token.levels) for token in layout.firsts]
        self.first = Spread(firsts, width, bias=True)  # the first tokens of all columns, side by side
        self.given_row = nn.ModuleList(nn.Linear(width, layout.depth) for _ in layout.later)
        self.given_column = nn.ModuleList(nn.Linear(width, layout.depth, bias=False) for _ in layout.later)
        later = [layout.tokens[token] for token in layout.later]
        self.later = nn.ModuleList(Spread([spread_of(t, t.levels)], layout.depth, bias=True) for t in later)
        for down in self.down:
            for parameter in down.parameters():
                nn.init.zeros_(parameter)
        self.reading = Reading(layout, ordered)

    def forward(self, batch: tuple[Tensor, ...], rng: torch.Generator, turn: str = "all") -> Tensor:
        """Loss of each row, shape (rows,): an unbiased estimate of minus its log-likelihood, divided by the number of columns,
        in the default order for some rows, averaged over the orders for others (Uria, Murray and Larochelle 2014, eq. 10)."""
        codes = batch[0].long()
        known, weight = self.reading.reveal(self.reading.how_many(len(codes), rng), rng)
        inputs, factor = self.reading.looked_up(codes)
        vectors = self.embed.weight()
        known = known[:, self.reading.column_of] * factor
        h = self.trunk(self.start + summed(vectors, inputs, known))
        return (self.losses(h, codes, vectors, inputs, factor) * weight).sum(dim=1)

    def trunk(self, x: Tensor) -> Tensor:
        for up, down in zip(self.up, self.down, strict=True):
            x = x + down(self.dropped(torch.relu(up(normed(x)))))
        return normed(x)

    def losses(self, h: Tensor, codes: Tensor, vectors: Tensor, inputs: Tensor, factor: Tensor) -> Tensor:
        """Minus the log-likelihood of every column given what is known, shape (rows, columns)."""
        logits = self.first(h).split([token.levels for token in self.layout.firsts], dim=1)
        found = [self.reading.loss(part, start, codes) for part, start in zip(logits, self.layout.starts, strict=True)]
        for place, token in enumerate(self.layout.later):
            column = int(self.layout.column_of[token])
            before = slice(self.layout.starts[column], token)
            sofar = summed(vectors, inputs[:, before], factor[:, before])
            hidden = torch.relu(self.given_row[place](h) + self.given_column[place](sofar))
            found[column] = found[column] + self.reading.loss(self.later[place](hidden), token, codes)
        return torch.stack(found, dim=1)


class Reading(nn.Module):
    """What a network reads of rows of tokens, and what it loses by its guesses; nothing of it is trained."""

    base: Tensor  # what `Layout.buffers` says of each token
    is_place: Tensor
    label: Tensor
    weights: Tensor
    weight_base: Tensor
    weight_step: Tensor
    column_of: Tensor
    place: Tensor

    def __init__(self, layout: Layout, ordered: float, conditioned: float = CONDITIONED) -> None:
        super().__init__()
        self.layout, self.ordered, self.conditioned = layout, ordered, conditioned
        for name, array in layout.buffers().items():
            self.register_buffer(name, torch.from_numpy(array), persistent=False)
        for place, token in enumerate(layout.tokens):
            self.register_buffer(f"prior_{place}", torch.from_numpy(token.prior), persistent=False)

    def how_many(self, rows: int, rng: torch.Generator) -> Tensor:
        """Of how many columns each row is known, shape (rows, 1): any number but all, as likely as any other."""
        return torch.randint(len(self.layout.starts), (rows, 1), generator=rng, device=rng.device)

    def reveal(self, known: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Which columns of each row are known, and what the loss of each counts; both float of shape (rows, columns).

        known: how many are. Of some rows these are the first ones in the default order; of others a few of any, as conditions
        are, and then the first ones; of the rest any.
        """
        rows, columns, device = len(known), len(self.layout.starts), known.device
        noise = torch.rand((rows, columns), generator=rng, device=device)
        in_order = torch.rand((rows, 1), generator=rng, device=device) < self.ordered
        of_any = noise.argsort(dim=1).argsort(dim=1)
        given = of_any < torch.randint(1, MOST_GIVEN + 1, (rows, 1), generator=rng, device=device)
        conditioned = torch.rand((rows, 1), generator=rng, device=device) < self.conditioned
        after = torch.where(given, of_any, columns + self.place).argsort(dim=1).argsort(dim=1)
        place = torch.where(in_order, self.place, torch.where(conditioned, after, of_any))
        unknown = (place >= known).to(noise.dtype)
        weight = unknown / (columns - known)
        return 1 - unknown, torch.where(in_order | conditioned, (1 - NEXT) * weight + NEXT * (place == known), weight)

    def looked_up(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """The embedding of each token, and what it counts in the sum: 1, for a piece where in its bin it lies, for none 0."""
        label = codes.gather(1, self.label.expand(len(codes), -1)).clamp_min(0)
        code = codes.clamp_min(0)
        inputs = self.base + torch.where(self.is_place, label, code)
        factor = torch.where(self.is_place, self.weights[self.weight_base + self.weight_step * label + code], 1.0)
        return inputs, torch.where(codes >= 0, factor, 0.0)

    def loss(self, logits: Tensor, token: int, codes: Tensor) -> Tensor:
        prior = getattr(self, f"prior_{token}")
        if self.layout.tokens[token].nested:
            prior = prior[codes[:, token - 1].clamp_min(0)]
        code = codes[:, token]
        chance = torch.log_softmax((logits + prior).float(), dim=1)
        return -torch.where(code >= 0, chance.gather(1, code.clamp_min(0)[:, None])[:, 0], 0.0)


def normed(x: Tensor) -> Tensor:
    """Root mean square 1 (Zhang and Sennrich 2019); the scale is the next layer's to learn."""
    return x * torch.rsqrt((x * x).mean(dim=-1, keepdim=True) + 1e-6)


class Spread(nn.Module):
    """Vectors of levels, put together as `spread_of` says; with a bias, a linear map to one number per level.

    std: of the first values; 0 to start from nothing: from the training shares, where these are added.
    """

    share: Tensor
    hats: Tensor

    def __init__(self, parts: list[tuple[np.ndarray, np.ndarray]], width: int, *, std: float = 0.0, bias: bool = False) -> None:
        super().__init__()
        hats = np.zeros((sum(len(own) for own, _ in parts), sum(knots.shape[1] for _, knots in parts)), dtype=np.float32)
        row = column = 0
        for _, knots in parts:
            hats[row : row + len(knots), column : column + knots.shape[1]] = knots
            row, column = row + len(knots), column + knots.shape[1]
        self.register_buffer("share", torch.from_numpy(np.concatenate([own for own, _ in parts])[:, None]), persistent=False)
        self.register_buffer("hats", torch.from_numpy(hats), persistent=False)
        self.own = nn.Parameter(torch.randn(len(hats), width) * std)
        self.knots = nn.Parameter(torch.randn(hats.shape[1], width) * std)
        self.bias = nn.Parameter(torch.zeros(len(hats))) if bias else None

    def weight(self) -> Tensor:
        return self.share * self.own + self.hats @ self.knots

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight(), self.bias)


def summed(vectors: Tensor, inputs: Tensor, factor: Tensor) -> Tensor:
    """The vectors that are looked up, each times its factor, added up row by row: shape (rows, width)."""
    return nn.functional.embedding_bag(inputs, vectors, mode="sum", per_sample_weights=factor)


def folded(net: Net, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The trained weights as plain tables and matrices, for `AnyOrder`."""
    load_weights(net, weights)
    spreads = {name: module for name, module in net.named_modules() if isinstance(module, Spread)}
    parts = ("own", "knots")
    made = {name: weight for name, weight in weights.items() if name.rpartition(".")[2] not in parts}
    with torch.no_grad():
        return made | {f"{name}.weight": module.weight().numpy() for name, module in spreads.items()}
