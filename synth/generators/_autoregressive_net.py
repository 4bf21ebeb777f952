"""The network behind `autoregressive`, and its loss. Imports torch, so nothing imports this but a fit.

What is known of a row is the sum of its tokens' embeddings; a residual trunk, shared by all columns, turns it into what each
column's head needs. Nothing here looks at two rows at once. `_any_order.AnyOrder` computes the same with numpy, for drawing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from synth.generators._any_order import Layout
from synth.generators._learner import Learner


class Net(Learner):
    """Log-likelihoods of all columns of a row given any of them."""

    def __init__(self, layout: Layout, width: int, hidden: int, blocks: int, *, ordered: float, dropout: float) -> None:
        super().__init__()
        self.layout, self.ordered = layout, ordered
        self.dropped = nn.Dropout(dropout)
        self.start = nn.Parameter(torch.randn(width) * 0.5)  # a row of which nothing is known
        self.embed = nn.Embedding(layout.inputs, width)
        nn.init.normal_(self.embed.weight, std=0.5)
        self.up = nn.ModuleList(nn.Linear(width, hidden) for _ in range(blocks))
        self.down = nn.ModuleList(nn.Linear(hidden, width) for _ in range(blocks))
        self.first = nn.Linear(width, layout.outputs)  # the first tokens of all columns, side by side
        self.given_row = nn.ModuleList(nn.Linear(width, layout.depth) for _ in layout.later)
        self.given_column = nn.ModuleList(nn.Linear(width, layout.depth, bias=False) for _ in layout.later)
        self.later = nn.ModuleList(nn.Linear(layout.depth, layout.tokens[token].levels) for token in layout.later)
        for zero in (*self.down, self.first, *self.later):  # it starts from the training shares
            nn.init.zeros_(zero.weight)
            nn.init.zeros_(zero.bias)
        for name, array in layout.buffers().items():
            self.register_buffer(name, torch.from_numpy(array), persistent=False)
        for place, token in enumerate(layout.tokens):
            self.register_buffer(f"prior_{place}", torch.from_numpy(token.prior), persistent=False)

    def forward(self, batch: tuple[Tensor, ...], rng: torch.Generator, turn: str = "all") -> Tensor:
        """Loss of each row, shape (rows,): an unbiased estimate of minus its log-likelihood, averaged over the orders and
        divided by the number of columns (Uria, Murray and Larochelle 2014, eq. 10)."""
        codes = batch[0].long()
        known, weight = self.reveal(len(codes), codes.device, rng)
        inputs, factor = self.looked_up(codes)
        known = known[:, self.column_of] * factor
        h = self.trunk(self.start + self.summed(inputs, known))
        return (self.losses(h, codes, inputs, factor) * weight).sum(dim=1)

    def reveal(self, rows: int, device: torch.device, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Which columns of each row are known, and what the loss of each counts; both float of shape (rows, columns).

        Of some rows the columns that come before a random place in the default order, of the others as many of any.
        """
        columns = len(self.layout.starts)
        known = torch.randint(columns, (rows, 1), generator=rng, device=device)
        noise = torch.rand((rows, columns), generator=rng, device=device)
        in_order = torch.rand((rows, 1), generator=rng, device=device) < self.ordered
        place = torch.where(in_order, self.place, noise.argsort(dim=1).argsort(dim=1))
        unknown = (place >= known).to(noise.dtype)
        return 1 - unknown, unknown / (columns - known)

    def looked_up(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """The embedding of each token, and what it counts in the sum: 1, for a piece where in its bin it lies, for none 0."""
        label = codes.gather(1, self.label.expand(len(codes), -1)).clamp_min(0)
        code = codes.clamp_min(0)
        inputs = self.base + torch.where(self.is_place, label, code)
        factor = torch.where(self.is_place, self.weights[self.weight_base + self.weight_step * label + code], 1.0)
        return inputs, torch.where(codes >= 0, factor, 0.0)

    def summed(self, inputs: Tensor, factor: Tensor) -> Tensor:
        return nn.functional.embedding_bag(inputs, self.embed.weight, mode="sum", per_sample_weights=factor)

    def trunk(self, x: Tensor) -> Tensor:
        for up, down in zip(self.up, self.down, strict=True):
            x = x + down(self.dropped(torch.relu(up(normed(x)))))
        return normed(x)

    def losses(self, h: Tensor, codes: Tensor, inputs: Tensor, factor: Tensor) -> Tensor:
        """Minus the log-likelihood of every column given what is known, shape (rows, columns)."""
        logits = self.first(h).split([token.levels for token in self.layout.firsts], dim=1)
        found = [self.loss(part, start, codes) for part, start in zip(logits, self.layout.starts, strict=True)]
        for place, token in enumerate(self.layout.later):
            column = int(self.layout.column_of[token])
            before = slice(self.layout.starts[column], token)
            sofar = self.summed(inputs[:, before], factor[:, before])
            hidden = torch.relu(self.given_row[place](h) + self.given_column[place](sofar))
            found[column] = found[column] + self.loss(self.later[place](hidden), token, codes)
        return torch.stack(found, dim=1)

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
