"""DP-SGD: gradients that are bounded row by row, added up over a random sample of the rows, and blurred. Imports torch.

After Abadi et al., "Deep learning with differential privacy" (2016). What each step does:

    draw      every row by a lot of its own (Poisson sampling): batches vary in size, as the accounting takes for granted
    clip      each row's gradient to length 1, without ever writing it down: for linear layers its length follows from what went
              in and what came back (Goodfellow 2015; Li et al., "Large language models can be strong differentially private
              learners", 2022), and so does the clipped sum (Bu et al., "Differentially private optimization on large model at
              small cost", 2023). One pass back, where Opacus' ghost clipping takes two
    add       over the rows that were drawn. It is never divided by how many these were, nor by how many rows there are
    blur      with Gaussian noise; lots and noise come from the operating system's entropy
    step      of Adam, which asks for no scale: gradients are handed to it in units of the noise

Floating point. Sum and noise are added as doubles and rounded to a coarse grid, a thousandth of the noise: what comes out has
none of the low digits that tell noise drawn as a double (Mironov 2012; Jin et al. 2022). Opacus' secure mode adds up four draws
instead, and takes a package that is no longer made. Rows are held to a length of 1 − MARGIN, since what single precision adds
up is not exactly the sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from synth.errors import ConfigError, GenerationError
from synth.privacy.mechanisms import Noise
from synth.privacy.sampled_gaussian import NoisySteps
from synth.progress import Progress, silent

MARGIN = 0.01  # of a row's bound, for rounding: sums of a few thousand rows in single precision err by some 1e-5 of it
ROUNDING = 2.0**-20  # of single precision, of what is added up for one row
FINER = 1024  # the grid of what is released, in parts of the noise
ROWS = 1024  # that go through the network together, whatever the batch

Loss = Callable[[tuple[Tensor, ...], torch.Generator], Tensor]


def train_privately(
    network: nn.Module,
    loss: Loss,
    data: tuple[np.ndarray, ...],
    how: NoisySteps,
    noise: Noise,
    *,
    learning_rate: Callable[[int], float],
    average: float,
    betas: tuple[float, float] = (0.9, 0.999),
    beside: Callable[[ClippedSum], Mapping[str, Tensor]] | None = None,
    after: Callable[[int], None] | None = None,
    device: str = "cpu",
    progress: Progress = silent,
) -> dict[str, np.ndarray]:
    """Train a network's linear layers on rows of `data`, arrays of shape (rows, …); its averaged weights, by name.

    loss: of each row of a batch, shape (rows,); the network may see a row several times over (layers are given (rows, times,
    features)), and a row's gradient is that of all. Its randomness comes from the generator it is given, row by row.
    how: what was paid for; exactly so many steps are taken. learning_rate, betas: of Adam (Kingma and Ba 2015), the first for
    each step. average: decay of the running average of the weights, which is what is returned.
    beside: a gradient that no row has a part in, by parameter, in units of a row's bound; it is added to the noisy sum. after:
    what else is done after each step, such as training a network that sees no row. Both are post-processing: they see weights
    alone.
    Raises ConfigError for a network with other trained parts, GenerationError where the weights leave the finite numbers.
    """
    network.to(device).train()
    rows = [torch.from_numpy(np.ascontiguousarray(values)).to(device) for values in data]
    clipped = ClippedSum(network)
    parameters = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    optimizer = torch.optim.Adam(parameters.values(), betas=betas, eps=1e-8)
    averaged = {name: value.detach().clone() for name, value in parameters.items()}
    rng = torch.Generator(device)
    rng.manual_seed(int.from_bytes(noise.entropy(8)) >> 1)  # what a row is shown with must not depend on who else is there
    for step in range(how.steps):
        sums = clipped.of(loss, rows, drawn(len(data[0]), how.sampling_rate, noise.entropy), rng)
        public = {} if beside is None else beside(clipped)
        for name, parameter in parameters.items():
            blurred_ = blurred(sums[name].cpu().numpy(), how.noise_multiplier, noise.entropy)
            parameter.grad = torch.from_numpy(blurred_).to(parameter)
            if name in public:
                parameter.grad += (public[name] / how.noise_multiplier).to(parameter)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        optimizer.step()
        with torch.no_grad():
            decay = min(average, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(averaged.values()), [p.detach() for p in parameters.values()], 1 - decay)
        if after is not None:
            after(step)
        progress("fit", step + 1, how.steps)
    weights = {name: value.cpu().numpy() for name, value in averaged.items()}
    if not all(np.isfinite(value).all() for value in weights.values()):
        raise GenerationError("weights left the finite numbers; lower the learning rate (the budget is spent)")
    return weights


# draw --------------------------------------------------------------------------------------------------------------------


def drawn(rows: int, rate: float, entropy: Callable[[int], bytes]) -> np.ndarray:
    """Which rows are in a batch, each with this probability, rounded down to 64 bits; ascending int64."""
    lots = np.frombuffer(entropy(8 * rows), dtype=np.uint64)
    return np.arange(rows) if rate >= 1 else np.flatnonzero(lots < np.uint64(math.floor(math.ldexp(rate, 64))))


# clip and add ------------------------------------------------------------------------------------------------------------


class ClippedSum:
    """The sum over rows of a network's gradients, each first shortened to 1 − MARGIN where it is longer.

    Trained parts are linear layers, each asked once per row and pass, with inputs of shape (rows, times, features), or of
    (rows · times, features), row by row.
    Raises ConfigError for others.
    """

    def __init__(self, network: nn.Module, bound: float = 1 - MARGIN) -> None:
        self.bound = bound
        self.layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Linear)}
        known = {f"{name}.{part}" for name, layer in self.layers.items() for part, _ in layer.named_parameters(recurse=False)}
        trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
        if strange := sorted(trained ^ known):
            raise ConfigError(
                f"{strange[0]} is no weight of a linear layer, or shared; gradients are bounded row by row for "
                "linear layers alone: write the network in these"
            )
        self.shapes = {name: p.shape for name, p in network.named_parameters() if p.requires_grad}

    def of(self, loss: Loss, rows: list[Tensor], batch: np.ndarray, rng: torch.Generator) -> dict[str, Tensor]:
        """The sum over these rows, by parameter, float64."""
        device = rows[0].device
        sums = {name: torch.zeros(shape, dtype=torch.float64, device=device) for name, shape in self.shapes.items()}
        for start in range(0, len(batch), ROWS):
            index = torch.from_numpy(batch[start : start + ROWS]).to(device)
            for name, part in self._part(loss, tuple(values.index_select(0, index) for values in rows), rng):
                sums[name] += part
        return sums

    def along(self, loss: Loss, rows: list[Tensor], released: Mapping[str, Tensor], rng: torch.Generator) -> Tensor:
        """For audits: how far what was released goes along each row's shortened gradient, float64 of shape (rows,).

        released: by parameter; of weights alone, and what is left out counts as nothing.
        """
        found = torch.zeros(len(rows[0]), dtype=torch.float64, device=rows[0].device)
        for name, given, back in self._shortened(loss, tuple(rows), rng):
            if f"{name}.weight" in released:
                found += ((given @ released[f"{name}.weight"].to(given).T) * back).sum(dim=(1, 2)).double()
        return found

    def _part(self, loss: Loss, rows: tuple[Tensor, ...], rng: torch.Generator) -> Iterator[tuple[str, Tensor]]:
        for name, given, back in self._shortened(loss, rows, rng):
            back = back.flatten(0, 1)
            yield f"{name}.weight", back.T @ given.flatten(0, 1)
            if self.layers[name].bias is not None:
                yield f"{name}.bias", back.sum(dim=0)

    def _shortened(self, loss: Loss, rows: tuple[Tensor, ...], rng: torch.Generator) -> Iterator[tuple[str, Tensor, Tensor]]:
        """What went into each layer and what came back, of which each row's gradient, no longer than the bound, is made."""
        with self._watched(len(rows[0])) as (went_in, came_out):
            total = loss(rows, rng).sum()
        backs = torch.autograd.grad(total, list(came_out.values()))
        came_back = {name: back.reshape(len(rows[0]), -1, back.shape[-1]) for name, back in zip(came_out, backs, strict=True)}
        square = torch.zeros(len(rows[0]), dtype=torch.float64, device=total.device)
        for name, back in came_back.items():
            square += squared_length(self.layers[name], went_in[name], back)
        lost = ~torch.isfinite(square)  # a row whose gradient has no length counts as none at all
        scale = torch.clamp(self.bound / square.sqrt().clamp_min(1e-30), max=1.0).to(total.dtype)[:, None, None]
        for name, back in came_back.items():
            given, back = went_in[name], back * scale
            if lost.any():
                given, back = (part.masked_fill(lost[:, None, None], 0.0) for part in (given, back))
            yield name, given, back

    @contextmanager
    def _watched(self, rows: int) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        """What goes into each layer, and what comes out of it."""
        went_in: dict[str, Tensor] = {}
        came_out: dict[str, Tensor] = {}

        def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
            def hook(layer: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
                if name in came_out or out.ndim not in (2, 3) or len(out) % rows:
                    raise ConfigError(f"{name} is asked twice, or for no (rows, times, features); bounded gradients need that")
                went_in[name], came_out[name] = given[0].detach().reshape(rows, -1, given[0].shape[-1]), out

            return hook

        hooks = [layer.register_forward_hook(watch(name)) for name, layer in self.layers.items()]
        try:
            yield went_in, came_out
        finally:
            for hook in hooks:
                hook.remove()


def squared_length(layer: nn.Linear, went_in: Tensor, came_back: Tensor) -> Tensor:
    """The squared length of each row's gradient of a layer, or a little more; float64 of shape (rows,).

    The gradient of the weights is Σ_t b_t a_tᵀ over the times a row is seen, so its squared length is Σ_tu (a_t·a_u)(b_t·b_u);
    that of the bias is Σ_t b_t. Where the terms nearly cancel, what rounding may have hidden of them counts as well.
    """
    a = (went_in @ went_in.transpose(1, 2)).double() + (layer.bias is not None)
    b = (came_back @ came_back.transpose(1, 2)).double()
    apart = (a.diagonal(dim1=1, dim2=2) * b.diagonal(dim1=1, dim2=2)).clamp_min(0).sqrt().sum(dim=1).square()
    return (a * b).sum(dim=(1, 2)).clamp_min(0) + ROUNDING * apart


# blur --------------------------------------------------------------------------------------------------------------------


def blurred(sums: np.ndarray, noise_multiplier: float, entropy: Callable[[int], bytes]) -> np.ndarray:
    """Sums of gradients no longer than 1 with their noise, in units of it, float64 of their shape, on a grid.

    The grid is a power of two of the sums' own unit, between a thousandth of the noise and half of that.
    """
    grid = 2.0 ** math.floor(math.log2(noise_multiplier / FINER))
    noisy = sums + noise_multiplier * normals(sums.size, entropy).reshape(sums.shape)
    return np.asarray(np.rint(noisy / grid) * (grid / noise_multiplier))


def normals(n: int, entropy: Callable[[int], bytes]) -> np.ndarray:
    """Independent standard normal draws, float64 of shape (n,), of 53 random bits each (Box and Muller 1958)."""
    bits = np.frombuffer(entropy(16 * (-(-n // 2))), dtype=np.uint64).reshape(2, -1) >> np.uint64(11)
    radius = np.sqrt(-2 * np.log((bits[0] + 0.5) * 2.0**-53))
    angle = bits[1] * (2 * math.pi * 2.0**-53)
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:n]
