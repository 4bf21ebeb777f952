"""Rows from a trained denoiser: from noise to places by a scheduler of diffusers, and from masks to tokens on the way.

Tokens are drawn in an order of each row's own, one at a time where there are enough steps: two that are drawn at once would not
know of each other. Cells that are given stay as they are from the first step to the last.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from diffusers import EDMDPMSolverMultistepScheduler
from torch import Tensor

from synth.generators._clamping import Given
from synth.generators._diffusion_net import Denoiser, Seen, time_at
from synth.generators._training import one_thread

BLOCK = 4_096  # rows that are drawn together, by one thread
MOST_NOISE, LEAST_NOISE = 10.0, 0.01  # σ of the first and the last step


def draw(
    net: Denoiser,
    given: Given,
    steps: int,
    guidance: float,
    rng: np.random.Generator,
    done: Callable[[int], None] = lambda _: None,
    come: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens, int64 of shape (rows, tokens), and places on the normal scale, float32 of shape (rows, places).

    Blocks have seeds of their own and a thread each, so that the rows do not depend on how many there are. come: float64 of
    shape (states of all tokens,), to which is added how many rows each state is expected in when its token's turn comes.
    """
    starts = range(0, len(given), BLOCK)
    seeds = rng.integers(2**62, size=len(starts))
    tokens, x = given.tokens.copy(), given.x.copy()
    expected = None if come is None else np.zeros((len(starts), len(come)))

    def block(place: int) -> None:
        rows = slice(starts[place], starts[place] + BLOCK)
        own = None if expected is None else expected[place]
        tokens[rows], x[rows] = _draw_block(net, given.take(rows), steps, guidance, int(seeds[place]), own)

    for finished, _ in enumerate(_by_threads(block, len(starts))):
        done(min(len(given), (finished + 1) * BLOCK))
    if come is not None and expected is not None:
        come += expected.sum(axis=0)
    return tokens, x


def chances(net: Denoiser, given: Given, token: int, rng: np.random.Generator) -> np.ndarray:
    """What the network says of a token while all that is not known is masked or noise: float64 of shape (rows, states)."""
    starts = range(0, len(given), BLOCK)
    seeds = rng.integers(2**62, size=len(starts))
    found = np.empty((len(given), net.form.sizes[token]))

    def block(place: int) -> None:
        rows = slice(starts[place], starts[place] + BLOCK)
        part, noise = given.take(rows), torch.Generator().manual_seed(int(seeds[place]))
        tokens, x, clean = _begun(net, part, noise)
        logits = net.denoise(Seen(tokens, x, clean, net.off_scale(tokens)), torch.tensor([MOST_NOISE]))[1]
        logits = torch.split(logits, list(net.form.sizes), dim=1)[token]
        found[rows] = torch.softmax(logits.double(), dim=1).numpy()

    for _ in _by_threads(block, len(starts)):
        pass
    return found


def _by_threads(block: Callable[[int], None], count: int) -> Iterator[None]:
    """Do so many blocks, each by one thread."""

    def quietly(place: int) -> None:
        with torch.inference_mode():
            block(place)

    with one_thread(), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield from pool.map(quietly, range(count))


def _begun(net: Denoiser, given: Given, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, places and which of them are known, before the first step."""
    known_tokens, known_x = torch.from_numpy(given.tokens), torch.from_numpy(given.x)
    clean = ~torch.isnan(known_x)
    x = torch.randn(known_x.shape, generator=rng) * (MOST_NOISE**2 + 1) ** 0.5
    return torch.where(known_tokens < 0, net.masked, known_tokens), torch.where(clean, known_x, x), clean


def _draw_block(
    net: Denoiser, given: Given, steps: int, guidance: float, seed: int, come: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    rng = torch.Generator().manual_seed(seed)
    tokens, x, clean = _begun(net, given, rng)
    known_tokens, known_x = torch.from_numpy(given.tokens), x
    allowed = [None if states is None else torch.from_numpy(states) for states in given.allowed]
    scheduler = _scheduler(steps)
    due = _due(net, known_tokens, scheduler.sigmas, rng)
    guided = guidance != 1 and bool(clean.any() or (known_tokens >= 0).any())
    for step, time in enumerate(scheduler.timesteps):
        sigma = scheduler.sigmas[step].reshape(1)
        x = torch.where(clean, known_x, x)
        noise, logits = net.denoise(Seen(tokens, x, clean, net.off_scale(tokens)), sigma)
        if guided:
            free_tokens = torch.where(known_tokens < 0, tokens, net.masked)
            free = Seen(free_tokens, x, torch.zeros_like(clean), clean | net.off_scale(free_tokens))
            free_noise, free_logits = net.denoise(free, sigma)
            noise, logits = torch.lerp(free_noise, noise, guidance), torch.lerp(free_logits, logits, guidance)
        scheduler.scale_model_input(x, time)
        x = scheduler.step(noise, time, x, generator=rng, return_dict=False)[0]
        tokens = _reveal(net, tokens, logits, due == step, allowed, rng, come)
    return tokens.numpy(), torch.where(clean, known_x, x).numpy()


def _scheduler(steps: int) -> Any:
    """DPM-Solver++ of second order (Lu et al. 2022), which asks the network once a step."""
    scheduler: Any = EDMDPMSolverMultistepScheduler(sigma_min=LEAST_NOISE, sigma_max=MOST_NOISE, sigma_data=1.0)  # type: ignore[no-untyped-call]
    scheduler.set_timesteps(steps)
    return scheduler


def _due(net: Denoiser, known: Tensor, sigmas: Tensor, rng: torch.Generator) -> Tensor:
    """The step at which each token is drawn, int64 of shape (rows, tokens); -1 for those that are known.

    Each has its own time, uniform as in training; steps that would draw two tokens of a row are spread out.
    """
    rows, count = known.shape
    steps = len(sigmas) - 1
    since = torch.rand((rows, count), generator=rng)
    for second, first in enumerate(net.form.parent):
        if first >= 0:
            since[:, second] *= since[:, first]
    since = torch.where(known < 0, since, 2.0)
    order = torch.argsort(since, dim=1, descending=True, stable=True)
    later = time_at(sigmas[1:-1])  # the time after each step but the last
    step = torch.searchsorted(-later, -since.gather(1, order), right=False)
    rank = torch.arange(count) - (known >= 0).sum(1, keepdim=True)
    unknown = (known < 0).sum(1, keepdim=True)
    step = torch.where(rank < 0, 0, step)
    if count <= steps:
        # Nothing earlier than one step after the token before, nothing later than leaves a step for each that follows.
        step = torch.cummax(step - rank, dim=1).values + rank
        step = torch.minimum(step, steps - unknown + rank)
    due = torch.empty_like(step).scatter_(1, order, step)
    for second, first in enumerate(net.form.parent):
        if first >= 0 and count > steps:
            due[:, first] = due[:, first].clamp(max=steps - 2)
            due[:, second] = torch.maximum(due[:, second], due[:, first] + 1)
    return torch.where(known < 0, due, -1)


def _reveal(
    net: Denoiser,
    tokens: Tensor,
    logits: Tensor,
    now: Tensor,
    allowed: list[Tensor | None],
    rng: torch.Generator,
    come: np.ndarray | None,
) -> Tensor:
    """The tokens, with those drawn whose turn it is; how likely each state was of these is added to `come`."""
    own = None if come is None else np.split(come, np.cumsum(net.form.sizes)[:-1])
    tokens, before = tokens.clone(), tokens
    for token, part in enumerate(torch.split(logits, list(net.form.sizes), dim=1)):
        rows = torch.nonzero(now[:, token])[:, 0]
        if not len(rows):
            continue
        chance = torch.softmax(part[rows].double(), dim=1)
        states = allowed[token]
        if states is not None:
            first = net.form.parent[token]
            chance = torch.where(states if first < 0 else states[before[rows, first]], chance + 1e-300, 0.0)
        ends = torch.cumsum(chance, dim=1)
        if own is not None:
            own[token] += (chance / ends[:, -1:]).sum(0).numpy()
        at = torch.rand((len(rows), 1), generator=rng, dtype=torch.float64) * ends[:, -1:]
        drawn = torch.searchsorted(ends, at, right=True)[:, 0]
        tokens[rows, token] = torch.minimum(drawn, (ends < ends[:, -1:]).sum(1))
    return tokens
