"""The network of `autoregressive` under a budget. Imports torch, so nothing imports this but a fit.

It computes what `_autoregressive_net.Net` does, of linear layers alone: gradients of these can be bounded row by row at little
cost (`synth.privacy.dpsgd`). What the vectors of a column's levels have in common, fixed beforehand, stands before and behind
the layers. A row is shown several times, each time with other columns known: it is paid for once, and its gradient varies less
(De et al., "Unlocking high-accuracy differentially private image classification through scale", 2022). There is no dropout:
the noise does as much.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from synth.generators._any_order import Layout, spread_of
from synth.generators._autoregressive_net import Reading, normed, summed
from synth.generators._tokens import Token


class PrivateNet(nn.Module):
    """Log-likelihoods of all columns of a row given any of them; trained parts are linear layers, asked once each."""

    def __init__(self, layout: Layout, width: int, hidden: int, blocks: int, *, ordered: float, times: int) -> None:
        super().__init__()
        self.layout, self.times = layout, times
        self.reading = Reading(layout, ordered, conditioned=0.0)  # as its settings were chosen
        sizes = [int(size) for size in np.diff(layout.base)]
        labels = [token if token.place is None else layout.tokens[i - 1] for i, token in enumerate(layout.tokens)]
        self.levels = Fixed([spread_of(label, size) for label, size in zip(labels, sizes, strict=True)])
        self.embed = nn.Linear(self.levels.features, width)
        nn.init.normal_(self.embed.weight, std=0.5)
        nn.init.normal_(self.embed.bias, std=0.5)
        self.up = nn.ModuleList(nn.Linear(width, hidden) for _ in range(blocks))
        self.down = nn.ModuleList(nn.Linear(hidden, width) for _ in range(blocks))
        self.heads = Fixed([_spread(token) for token in layout.firsts])
        self.first = nn.Linear(width, self.heads.features)
        self.given_row = nn.ModuleList(nn.Linear(width, layout.depth) for _ in layout.later)
        self.given_column = nn.ModuleList(nn.Linear(width, layout.depth, bias=False) for _ in layout.later)
        self.later_heads = nn.ModuleList(Fixed([_spread(layout.tokens[token])]) for token in layout.later)
        self.later = nn.ModuleList(nn.Linear(layout.depth, heads.features) for heads in self._later_heads())
        for layer in (*self.down, self.first, *self.later):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def _later_heads(self) -> list[Fixed]:
        return [heads for heads in self.later_heads if isinstance(heads, Fixed)]

    def forward(self, batch: tuple[Tensor, ...], rng: torch.Generator) -> Tensor:
        """Loss of each row, shape (rows,), as `Net` says it, averaged over the times that the row is shown."""
        rows, times = len(batch[0]), self.times
        codes = batch[0].long().repeat_interleave(times, dim=0)
        known, weight = self.reading.reveal(self._how_many(rows, rng), rng)
        inputs, factor = self.reading.looked_up(codes)
        known = known[:, self.reading.column_of] * factor
        x = self.embed(summed(self.levels.table(), inputs, known).view(rows, times, -1))
        for up, down in zip(self.up, self.down, strict=True):
            x = x + down(torch.relu(up(normed(x))))
        losses = self._losses(normed(x), codes, inputs, factor)
        return (losses * weight).sum(dim=1).view(rows, times).mean(dim=1)

    def _how_many(self, rows: int, rng: torch.Generator) -> Tensor:
        """Of how many columns each row is known each time, shape (rows · times, 1), spread evenly over the times."""
        columns = len(self.layout.starts)
        u = torch.rand((rows, 1), generator=rng, device=rng.device) + torch.arange(self.times, device=rng.device)
        return (u * (columns / self.times)).long().clamp_max(columns - 1).view(-1, 1)

    def _losses(self, h: Tensor, codes: Tensor, inputs: Tensor, factor: Tensor) -> Tensor:
        """Minus the log-likelihood of every column given what is known, shape (rows · times, columns)."""
        rows, times, _ = h.shape
        logits = self.heads.mixed(self.first(h)).flatten(0, 1)
        parts = torch.split(logits, [token.levels for token in self.layout.firsts], dim=1)
        found = [self.reading.loss(part, start, codes) for part, start in zip(parts, self.layout.starts, strict=True)]
        if self.layout.later:
            with torch.no_grad():  # a layer is asked once: what the column's tokens so far say is taken as it is
                vectors = self.levels.table() @ self.embed.weight.T
        for place, token in enumerate(self.layout.later):
            column = int(self.layout.column_of[token])
            before = slice(self.layout.starts[column], token)
            sofar = summed(vectors, inputs[:, before], factor[:, before]).view(rows, times, -1)
            hidden = torch.relu(self.given_row[place](h) + self.given_column[place](sofar))
            logit = self._later_heads()[place].mixed(self.later[place](hidden)).flatten(0, 1)
            found[column] = found[column] + self.reading.loss(logit, token, codes)
        return torch.stack(found, dim=1)

    def folded(self, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Trained weights as plain tables and matrices, for `AnyOrder`."""
        kept = ("up.", "down.", "given_row.", "given_column.")
        made = {name: weight for name, weight in weights.items() if name.startswith(kept)}
        made |= {"start": weights["embed.bias"], "embed.weight": self.levels.table().numpy() @ weights["embed.weight"].T}
        for name, heads in [("first", self.heads), *((f"later.{i}", heads) for i, heads in enumerate(self._later_heads()))]:
            table = heads.table().numpy()
            made |= {f"{name}.weight": table @ weights[f"{name}.weight"], f"{name}.bias": table @ weights[f"{name}.bias"]}
        return {name: np.ascontiguousarray(weight, dtype=np.float32) for name, weight in made.items()}


class Fixed(nn.Module):
    """How a vector for each level is put together from features, as `spread_of` says; nothing of it is trained.

    A level has a feature of its own, of which it takes a share, and levels on a line have features at a few knots in common.
    """

    share: Tensor
    hats: Tensor

    def __init__(self, parts: list[tuple[np.ndarray, np.ndarray]]) -> None:
        super().__init__()
        ends = np.cumsum([knots.shape for _, knots in parts], axis=0)
        hats = np.zeros(ends[-1], dtype=np.float32)
        for (levels, knots), (_, part) in zip(ends, parts, strict=True):
            hats[levels - part.shape[0] : levels, knots - part.shape[1] : knots] = part
        self.register_buffer("share", torch.from_numpy(np.concatenate([own for own, _ in parts])), persistent=False)
        self.register_buffer("hats", torch.from_numpy(hats), persistent=False)

    @property
    def features(self) -> int:
        return int(sum(self.hats.shape))

    def table(self) -> Tensor:
        """Shape (levels, features)."""
        return torch.cat([torch.diag(self.share), self.hats], dim=1)

    def mixed(self, features: Tensor) -> Tensor:
        """A number for each level: shape (…, features) to (…, levels)."""
        own, knots = torch.split(features, list(self.hats.shape), dim=-1)
        return self.share * own + knots @ self.hats.T


def _spread(token: Token) -> tuple[np.ndarray, np.ndarray]:
    return spread_of(token, token.levels)
