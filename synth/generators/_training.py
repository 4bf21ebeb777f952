"""How a network is trained: what a torch method says of it, and where an unfinished training is kept.

None of it needs torch. The loop itself is in `_training_loop`, what it trains in `_learner`; both do, and are imported as a
fit begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from synth.errors import ConfigError, MissingExtraError
from synth.generators._hyperparameters import real_number, whole_number
from synth.progress import Progress

if TYPE_CHECKING:
    from torch import nn

    from synth.generators._learner import Learner

Network = TypeVar("Network", bound="nn.Module")

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
SAVED_EVERY = 15.0  # seconds between two checkpoints
MOST_VALIDATION = 5_000  # rows held back to tell when to stop, at most
FEWEST_VALIDATION = 20  # with fewer there is nothing to tell, and training goes on to its end


@dataclass(frozen=True)
class Plan:
    """How a network is trained."""

    epochs: int  # passes over the rows
    batch_rows: int  # rows per step
    learning_rate: float  # of AdamW (Loshchilov and Hutter 2019), at its highest
    weight_decay: float = 0.0  # of matrices and embeddings; biases and norms have none
    betas: tuple[float, float] = (0.9, 0.999)
    warm_up: float = 0.02  # share of the steps over which the rate rises
    decay: bool = True  # whether it falls to 0 along half a cosine (Loshchilov and Hutter 2017)
    average: float = 0.999  # decay of the running average of the weights (Polyak and Juditsky 1992), 0 for none
    validation: float = 0.05  # share of the rows held back to tell when to stop; 0 for none
    checks: int = 20  # looks at them, evenly over the steps
    patience: int = 5  # looks without a better loss before it stops
    max_seconds: float | None = None  # then it stops, and the best weights so far are kept
    clip: float = 1.0  # longest gradient, 0 for any
    device: str = "auto"  # cpu, cuda, …; auto takes a GPU where there is one
    devices: int = 1  # that share each step (data-parallel)
    precision: str = "32-true"  # of the arithmetic, in Lightning's words

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, as a share of the highest."""
        from math import cos, pi

        rising = max(1, round(self.warm_up * steps))
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + cos(pi * (step - rising) / max(1, steps - rising))) if self.decay else 1.0


@dataclass(frozen=True, eq=False)
class Trained:
    """weights: by name, the averaged ones where the validation loss was least. facts: how it went, for JSON."""

    weights: dict[str, np.ndarray]
    facts: dict[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """Where an unfinished training is kept, so that a killed one can go on. One file a network, written whole or not at all."""

    folder: Path
    resume: bool = False  # go on from what is there; else it is begun anew, and the file replaced
    every: float = SAVED_EVERY  # seconds

    def file(self, name: str) -> Path:
        return self.folder / f"{name}.pt"


class TrainingFields(Protocol):
    """The hyperparameters that all torch methods have."""

    epochs: int
    batch_rows: int
    learning_rate: float
    max_seconds: float | None
    device: str
    devices: int
    precision: str


def validate_training(method: TrainingFields) -> None:
    """Raise ConfigError for a hyperparameter of the training that is out of range."""
    for name in ("epochs", "batch_rows", "devices"):
        whole_number(name, getattr(method, name), 1)
    real_number("learning_rate", method.learning_rate, above=0.0, most=1.0)
    if method.max_seconds is not None:
        real_number("max_seconds", method.max_seconds, above=0.0)
    if method.precision not in PRECISIONS:
        raise ConfigError(f"precision is {method.precision!r}; give one of {', '.join(PRECISIONS)}")
    if not isinstance(method.device, str) or method.device.partition(":")[0] not in ("auto", "cpu", "cuda", "mps"):
        raise ConfigError(f"device is {method.device!r}; give auto, cpu, cuda or mps")


def check_torch(what: str, *more: str) -> None:
    """Raise MissingExtraError where torch or Lightning Fabric, or another package that is named, is not installed."""
    for package, name in (("torch", "torch"), ("lightning_fabric", "lightning-fabric"), *zip(more, more, strict=True)):
        if find_spec(package) is None:
            raise MissingExtraError(what, name, "torch")


def train(
    make: Callable[[], Learner],
    data: tuple[np.ndarray, ...],
    plan: Plan,
    *,
    seed: int,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
    name: str = "network",
) -> Trained:
    """Train what `make` builds on rows of `data`, arrays of shape (rows, …), and return its best weights.

    make: a function that can be pickled where there are several devices (functools.partial of a class).
    On one machine the same arguments give the same weights, bit for bit on a CPU, whether or not the training was interrupted
    and went on from its checkpoint; except where `max_seconds` ended it.
    Raises MissingExtraError without torch, ConfigError for a device that is not there, GenerationError where the loss does not
    stay finite at any learning rate tried, DataError for a checkpoint that is of another fit.
    """
    check_torch("training a network")
    from synth.generators._training_loop import launch

    return launch(make, data, plan, seed, progress, checkpoint, name)


def load_weights(network: Network, weights: Mapping[str, np.ndarray]) -> Network:
    """The network with these weights, ready to be asked."""
    import torch

    network.load_state_dict({name: torch.from_numpy(np.array(values)) for name, values in weights.items()})
    return network.eval()


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread: the last bits of what is computed then do not depend on how many cores there are."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)
