"""The network of a mixed diffusion and its loss: tokens that are masked, places that are noised, at one time. Needs torch.

Numbers after EDM (Karras et al., "Elucidating the design space of diffusion-based generative models", NeurIPS 2022), tokens
after masked diffusion (Sahoo et al., "Simple and effective masked diffusion language models", NeurIPS 2024; Shi et al., 2024).
Both have one time t, uniform in (0, 1): a token is masked with probability t, and noise has the deviation σ(t), whose
logarithm is normal. Some rows are shown with a few of their columns clean at any time, so that what follows from known columns
is learned rather than pieced together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from synth.generators._learner import Learner

LOG_SIGMA, SPREAD = (
    -0.5,
    1.5,
)  # ln σ(t) is normal with this mean and deviation (EDM's P_mean and P_std, for data of deviation 1)
WAVES = 8  # frequencies that a place is told in (Gorishniy et al. 2022), as expected without noise (Barron et al. 2021)
TIME = 64  # numbers that tell the time
HIDDEN = 0.1  # share of the rows with clean columns in which these are hidden instead: what guidance leads away from
PLACE = 3.0  # what a place's error weighs beside a token's nats: about its own share of the likelihood where σ is small
LOOKS = 4  # times at which each validation row is looked at
PLACE_EDGE = 1e-6  # places are held this far from 0 and 1


@dataclass(frozen=True)
class Form:
    """What the network is told of a table: as in `_cells.Cells`, the column of each token and place, and the shares of all
    states of all tokens, side by side, which it starts from."""

    sizes: tuple[int, ...]
    parent: tuple[int, ...]
    gates: tuple[tuple[int, int], ...]
    token_column: tuple[int, ...]
    place_column: tuple[int, ...]
    shares: tuple[float, ...]

    @property
    def columns(self) -> int:
        return max((-1, *self.token_column, *self.place_column)) + 1


@dataclass(frozen=True, eq=False)
class Seen:
    """Rows as the network sees them.

    tokens: int64 of shape (rows, tokens), the number of states where masked. x: noised places on the normal scale, of shape
    (rows, places). clean: boolean like x, those without noise. absent: boolean like x, those that have no place or hide it.
    """

    tokens: Tensor
    x: Tensor
    clean: Tensor
    absent: Tensor


def sigma_at(t: Tensor) -> Tensor:
    """The deviation of the noise at times in (0, 1)."""
    return torch.exp(LOG_SIGMA + SPREAD * torch.special.ndtri(t))


def time_at(sigma: Tensor) -> Tensor:
    """The inverse of `sigma_at`."""
    time: Tensor = torch.special.ndtr((torch.log(sigma) - LOG_SIGMA) / SPREAD)
    return time


class Denoiser(Learner):
    """A residual network on the sum of what all cells tell, modulated by the time (AdaLN, Peebles and Xie 2023)."""

    masked: Tensor
    first: Tensor
    token_column: Tensor
    place_column: Tensor

    def __init__(self, form: Form, width: int, blocks: int, dropout: float, shown: float) -> None:
        super().__init__()
        self.form, self.shown = form, shown
        sizes = torch.tensor(form.sizes, dtype=torch.int64)
        self.register_buffer("masked", sizes, persistent=False)  # the state that says nothing, after all others
        self.register_buffer("first", torch.cumsum(sizes + 1, 0) - sizes - 1, persistent=False)
        self.register_buffer("token_column", torch.tensor(form.token_column, dtype=torch.int64), persistent=False)
        self.register_buffer("place_column", torch.tensor(form.place_column, dtype=torch.int64), persistent=False)
        places, parts = len(form.gates), len(form.gates) + len(form.sizes)
        if form.sizes:
            self.states: nn.Module = nn.EmbeddingBag(int((sizes + 1).sum()), width, mode="sum")
            self.logits = nn.Linear(width, int(sizes.sum()))
            nn.init.normal_(self.states.get_parameter("weight"), std=1 / math.sqrt(parts))
            nn.init.zeros_(self.logits.weight)
            self.logits.bias.data.copy_(torch.log(torch.tensor(form.shares)))
        if places:
            self.frequencies = nn.Parameter(0.25 * 2 ** torch.linspace(0, 5, WAVES).repeat(places, 1))
            self.places = nn.Linear(places * (2 * WAVES + 3), width)
            self.noise = nn.Linear(width, places)
            nn.init.zeros_(self.noise.weight)
        self.time = nn.Sequential(nn.Linear(TIME, TIME), nn.SiLU(), nn.Linear(TIME, TIME), nn.SiLU())
        self.blocks = nn.ModuleList(Block(width, dropout) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)

    def denoise(self, seen: Seen, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """EDM's F for each place, of shape (rows, places), and logits of all states of all tokens, side by side.

        sigma: of shape (rows,), or (1,) where it is the same for all rows.
        """
        h = self._told_of_places(seen, sigma) if self.form.gates else torch.zeros(1, device=sigma.device)
        if self.form.sizes:
            h = h + self.states(seen.tokens + self.first)
        time = self.time(_waves(torch.log(sigma) / 4))
        for block in self.blocks:
            h = block(h, time)
        h = self.norm(h)
        nothing = h.new_zeros((len(h), 0))
        return self.noise(h) if self.form.gates else nothing, self.logits(h) if self.form.sizes else nothing

    def _told_of_places(self, seen: Seen, sigma: Tensor) -> Tensor:
        """Each place as it is expected without its noise, and waves of it, which fade as the noise grows, fast ones first."""
        noisy = torch.where(seen.clean, 0.0, sigma[:, None]) ** 2
        mean = torch.where(seen.absent, 0.0, seen.x / (noisy + 1))[:, :, None]
        angle = 2 * math.pi * self.frequencies
        fading = torch.exp(-0.5 * angle**2 * (noisy / (noisy + 1))[:, :, None])
        told = [mean, fading * torch.sin(angle * mean), fading * torch.cos(angle * mean)]
        flags = [seen.clean[:, :, None].to(mean.dtype), seen.absent[:, :, None].to(mean.dtype)]
        found: Tensor = self.places(torch.cat([*told, *flags], dim=2).flatten(1))
        return found

    def forward(self, batch: tuple[Tensor, ...], rng: torch.Generator, turn: str) -> Tensor:
        """The loss of each row at a time of its own, evenly over the batch (Kingma et al. 2021)."""
        rows, device = len(batch[0]), batch[0].device
        return self.losses(
            batch, (torch.arange(rows, device=device) / rows + torch.rand(1, generator=rng, device=device)) % 1, rng
        )

    def losses(self, batch: tuple[Tensor, ...], t: Tensor, rng: torch.Generator) -> Tensor:
        """EDM's weighted squared error of the places and the bound on the tokens' likelihood, for each row at its time t."""
        tokens, low, high = batch
        rows, device = len(tokens), tokens.device

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=rng, device=device)

        t = t.clamp(1e-3, 1 - 1e-3)
        sigma = sigma_at(t)[:, None]
        x0 = torch.special.ndtri((low + (high - low) * uniform(*low.shape)).clamp(PLACE_EDGE, 1 - PLACE_EDGE))

        # Columns that are shown clean, or hidden, whatever the time.
        given = uniform(rows, self.form.columns) < uniform(rows, 1)
        given &= uniform(rows, 1) < self.shown
        hidden = given & (uniform(rows, 1) < HIDDEN)
        token_given, place_given = given[:, self.token_column], given[:, self.place_column]
        token_hidden, place_hidden = hidden[:, self.token_column], hidden[:, self.place_column]

        # Tokens are masked from a time of their own on; the second of two is masked before the first.
        since = uniform(rows, len(self.form.sizes))
        for second, first in enumerate(self.form.parent):
            if first >= 0:
                since[:, second] *= since[:, first]
        hides = (since < t[:, None]) & ~token_given
        state = tokens.long()
        told = torch.where(hides | token_hidden, self.masked, state)

        clean = place_given & ~place_hidden
        x = torch.where(clean, x0, x0 + sigma * torch.randn(x0.shape, generator=rng, device=device))
        absent = place_hidden | self.off_scale(told)
        noise, logits = self.denoise(Seen(told, x, clean, absent), sigma[:, 0])

        # D(x) = c_skip x + c_out F, and λ = 1 / c_out²: the error of F, which is of one size at all σ (EDM, table 1).
        target = (x0 - x / (sigma**2 + 1)) * torch.sqrt(sigma**2 + 1) / sigma
        loss: Tensor = PLACE * ((noise - target) ** 2 * ~(absent | place_given)).sum(1)
        # The bound weighs a masked token by 1/t; this is the mean of that given how many are masked, and varies far less.
        weight = ((~token_given).sum(1) + 1) / hides.sum(1).clamp(min=1)
        for token, part in enumerate(torch.split(logits, list(self.form.sizes), dim=1)):
            first = self.form.parent[token]
            asked = hides[:, token] & (~hides[:, first] if first >= 0 else True)
            loss = loss + functional.cross_entropy(part, state[:, token], reduction="none") * asked * weight
        return loss

    def validate(self, batch: tuple[Tensor, ...], rng: torch.Generator) -> Tensor:
        """The loss, averaged over several times: at one it depends much on which."""
        repeated = tuple(values.repeat(LOOKS, 1) for values in batch)
        loss: Tensor = self(repeated, rng, "all")
        return loss.reshape(LOOKS, -1).mean(0)

    def off_scale(self, told: Tensor) -> Tensor:
        """Which places are known not to be: their token says missing, or an atom. Boolean of shape (rows, places)."""
        off = torch.zeros((len(told), len(self.form.gates)), dtype=torch.bool, device=told.device)
        for place, (token, state) in enumerate(self.form.gates):
            if token >= 0:
                off[:, place] = (told[:, token] != state) & (told[:, token] != self.form.sizes[token])
        return off


class Block(nn.Module):
    """h + W₂ SiLU(W₁ (scale · norm(h) + shift)), with scale and shift from the time."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulate = nn.Linear(TIME, 2 * width)
        self.first = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Linear(width, width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, h: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.modulate(time).chunk(2, dim=1)
        inner = functional.silu(self.first(self.norm(h) * (1 + scale) + shift))
        out: Tensor = h + self.second(self.dropout(inner))
        return out


def _waves(time: Tensor) -> Tensor:
    """A time as sines and cosines, of shape (rows, TIME)."""
    angles = time[:, None] * torch.exp(torch.linspace(-1, 4, TIME // 2, device=time.device))
    return torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)
