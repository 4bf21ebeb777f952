"""The one loop that trains all networks, on Lightning Fabric (decision 018). Needs torch.

All randomness of a step follows from the seed and the step's number. So a training that goes on from a checkpoint takes the
same steps as one that was never interrupted, and no state of generators need be kept.
"""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from synth.errors import ConfigError, DataError, GenerationError
from synth.folder import in_words, new_file
from synth.generators._learner import Learner
from synth.generators._training import FEWEST_VALIDATION, MOST_VALIDATION, Checkpoint, Plan, Trained
from synth.progress import Progress, silent

LOOK_EVERY = 20  # steps between looks at whether the loss is finite and the time is up: a look waits for a GPU
MOST_ROLLBACKS = 4  # the rate is halved so often before it is given up
VALIDATION_ROWS = 4_096  # at a time
FORMAT = 1


def launch(
    make: Callable[[], Learner],
    data: tuple[np.ndarray, ...],
    plan: Plan,
    seed: int,
    progress: Progress,
    checkpoint: Checkpoint | None,
    name: str,
) -> Trained:
    """Train in this process, or in one for each of several devices."""
    with _quiet():
        fabric = _fabric(plan, several_turns=plan.devices > 1 and len(make().turns) > 1)
        job = partial(_train, make=make, data=data, plan=plan, seed=seed, checkpoint=checkpoint, name=name)
        if plan.devices == 1:
            return Trained(*job(fabric, progress=progress))
        done = fabric.launch(partial(job, progress=silent))  # the processes that could tell are not this one
        progress("fit", 1, 1)
        return Trained(*done)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's advice, and with torch's own generator as it was before."""
    import logging

    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _fabric(plan: Plan, several_turns: bool) -> Fabric:
    kind, _, number = plan.device.partition(":")
    devices: Any = [int(number)] if number else plan.devices
    accelerator = kind if kind != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    strategy: Any = "auto"
    if plan.devices > 1:
        from lightning_fabric.strategies.ddp import DDPStrategy

        strategy = DDPStrategy(start_method="spawn" if accelerator == "cuda" else "fork", find_unused_parameters=several_turns)
    try:
        return Fabric(accelerator=accelerator, devices=devices, precision=plan.precision, strategy=strategy)  # type: ignore[arg-type]
    except (RuntimeError, ValueError, TypeError) as problem:  # Lightning's MisconfigurationException is a RuntimeError
        said = " ".join(str(problem).split())[:200]
        raise ConfigError(
            f"device {plan.device!r} × {plan.devices} with precision {plan.precision!r} cannot be used: {said};\n"
            "leave device at auto"
        ) from problem


@dataclass
class _State:
    """How far a training has come; everything that a later step depends on."""

    step: int = 0
    scale: float = 1.0  # of the learning rate, halved by each rollback
    rollbacks: int = 0
    elapsed: float = 0.0  # seconds of earlier processes
    best: float = float("inf")
    best_step: int = 0
    since_best: int = 0  # looks at the validation loss


def _train(
    fabric: Fabric,
    *,
    make: Callable[[], Learner],
    data: tuple[np.ndarray, ...],
    plan: Plan,
    seed: int,
    checkpoint: Checkpoint | None,
    name: str,
    progress: Progress,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    torch.default_generator.manual_seed(_mixed(seed, 0))  # weights are drawn on the CPU
    learner = make()
    training = _Training(fabric, learner, data, plan, seed)
    if checkpoint is not None:
        training.keep_in(checkpoint, name, _digest(learner, data, plan, seed))
    return training.run(progress)


class _Training:
    """One training: learner, averaged weights, optimisers, and where it stands."""

    def __init__(self, fabric: Fabric, learner: Learner, data: tuple[np.ndarray, ...], plan: Plan, seed: int) -> None:
        self.fabric, self.plan, self.seed, self.state = fabric, plan, seed, _State()
        rows = len(data[0])
        order = np.random.default_rng([seed, 1]).permutation(rows)
        held = min(MOST_VALIDATION, int(plan.validation * rows))
        held = held if held >= FEWEST_VALIDATION else 0
        self.batch = min(plan.batch_rows, rows - held) // fabric.world_size * fabric.world_size or fabric.world_size
        self.train = _tensors(data, np.sort(order[held:]), fabric.device)
        self.held = _tensors(data, np.sort(order[:held]), fabric.device)
        self.rows = rows - held
        self.steps = max(1, round(plan.epochs * self.rows / self.batch)) * len(learner.turns)
        self.learner = learner
        raw = [_optimizer(learner, turn, plan) for turn in dict.fromkeys(learner.turns)]
        self.wrapped, *optimizers = fabric.setup(learner, *raw)
        self.optimizers = dict(zip(dict.fromkeys(learner.turns), optimizers, strict=True))
        self.averaged = {key: value.detach().clone() for key, value in learner.named_parameters() if value.requires_grad}
        self.kept = self._weights()  # the best so far
        self.rng = torch.Generator(fabric.device)
        self.epoch, self.order = -1, torch.empty(0)
        self.saved = time.monotonic()
        self.file: Path | None = None
        self.every, self.digest = 0.0, ""  # told where checkpoints are kept

    # running ---------------------------------------------------------------------------------------------------------

    def run(self, progress: Progress) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The best weights, and how it went."""
        state, plan, begun = self.state, self.plan, time.monotonic()
        look_at = max(1, self.steps // plan.checks)
        good, healthy, why = self._snapshot(), torch.ones((), dtype=torch.bool, device=self.fabric.device), "all epochs"
        while state.step < self.steps:
            healthy = healthy & torch.isfinite(self._step(state.step))
            state.step += 1
            last, looking = state.step == self.steps, state.step % look_at == 0
            late = plan.max_seconds is not None and state.elapsed + time.monotonic() - begun > plan.max_seconds
            if not (last or looking or state.step % LOOK_EVERY == 0 or (late and self.fabric.world_size == 1)):
                continue
            late = bool(self.fabric.broadcast(late))
            sound = bool(healthy)
            if sound and (last or looking or late):
                sound = self._look()
            if not sound:
                self._roll_back(good)
                healthy = torch.ones_like(healthy)
                continue
            if last or looking:
                good = self._snapshot()
            progress("fit", state.step, self.steps)
            if late or (len(self.held[0]) and state.since_best >= plan.patience):
                why = "max_seconds" if late else "no better loss"
                break
            self._save(begun)
        progress("fit", self.steps, self.steps)
        if self.file is not None and self.fabric.is_global_zero:
            self.file.unlink(missing_ok=True)
        facts = {
            "steps": state.step,
            "epochs": round(state.step / len(self.learner.turns) * self.batch / self.rows, 2),
            "stopped": why,
            "rollbacks": state.rollbacks,
            "validation_rows": len(self.held[0]),
            "validation_loss": None if not len(self.held[0]) else state.best,
            "best_step": state.best_step,
        }
        return {key: value.float().cpu().numpy() for key, value in self.kept.items()}, facts

    def _step(self, step: int) -> Tensor:
        """Take a step; its loss."""
        turn = self.learner.turns[step % len(self.learner.turns)]
        optimizer = self.optimizers[turn]
        for group in optimizer.param_groups:
            group["lr"] = self.plan.learning_rate * self.state.scale * self.plan.rate(step, self.steps)
        self._seed(2, step, self.state.rollbacks, self.fabric.global_rank)
        loss = self.wrapped(self._batch(step), self.rng, turn).mean()
        self.fabric.backward(loss)
        if self.plan.clip:
            self.fabric.clip_gradients(self.learner, optimizer, max_norm=self.plan.clip, error_if_nonfinite=False)
        optimizer.step()
        self.learner.zero_grad(set_to_none=True)
        self._average(step)
        return loss.detach()  # type: ignore[no-any-return]

    def _batch(self, step: int) -> tuple[Tensor, ...]:
        """This device's share of the rows of a step: the next of a stream of shuffled passes over all."""
        first = step // len(self.learner.turns) * self.batch
        share = self.batch // self.fabric.world_size
        first += share * self.fabric.global_rank
        places = []
        while share:
            epoch, at = divmod(first, self.rows)
            if epoch != self.epoch:
                order = np.random.default_rng([self.seed, 3, epoch]).permutation(self.rows)
                self.epoch, self.order = epoch, torch.from_numpy(order).to(self.fabric.device)
            places.append(self.order[at : at + share])
            first, share = first + len(places[-1]), share - len(places[-1])
        index = places[0] if len(places) == 1 else torch.cat(places)
        return tuple(values.index_select(0, index) for values in self.train)

    def _seed(self, *of: int) -> None:
        _seed_dropout(self.fabric.device, _mixed(self.seed, *of))
        self.rng.manual_seed(_mixed(self.seed, *of, 1))

    @torch.no_grad()
    def _average(self, step: int) -> None:
        """Move the averaged weights toward the present ones, faster in the first steps."""
        parameters = dict(self.learner.named_parameters())
        decay = min(self.plan.average, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.averaged.values()), [parameters[key].detach() for key in self.averaged], 1 - decay)

    # looking ---------------------------------------------------------------------------------------------------------

    def _look(self) -> bool:
        """Look at the validation loss of the averaged weights and keep them where they are the best; whether it is finite."""
        state = self.state
        if len(self.held[0]):
            loss = float(self.fabric.broadcast(self._validation_loss()))
            if not np.isfinite(loss):
                return False
            if loss >= state.best:
                state.since_best += 1
                return True
            state.best, state.since_best = loss, 0
        elif not all(bool(torch.isfinite(value).all()) for value in self.averaged.values()):
            return False
        state.best_step, self.kept = state.step, self._weights()
        return True

    @torch.no_grad()
    def _validation_loss(self) -> float:
        self._seed(4)  # the same each time, so that looks differ by the weights alone
        parameters = dict(self.learner.named_parameters())
        present = {key: parameters[key].detach().clone() for key in self.averaged}
        total = 0.0
        try:
            for key, value in self.averaged.items():
                parameters[key].copy_(value)
            self.learner.eval()
            with self.fabric.autocast():
                for start in range(0, len(self.held[0]), VALIDATION_ROWS):
                    rows = tuple(values[start : start + VALIDATION_ROWS] for values in self.held)
                    total += float(self.learner.validate(rows, self.rng).double().sum())
        finally:
            self.learner.train()
            for key, value in present.items():
                parameters[key].copy_(value)
        return total / len(self.held[0])

    def _weights(self) -> dict[str, Tensor]:
        return {key: self.averaged.get(key, value).detach().clone() for key, value in self.learner.state_dict().items()}

    # going back, and going on ------------------------------------------------------------------------------------------

    def _snapshot(self) -> dict[str, Any]:
        return {
            "state": asdict(self.state),
            "learner": {key: value.detach().clone() for key, value in self.learner.state_dict().items()},
            "averaged": {key: value.clone() for key, value in self.averaged.items()},
            "kept": self.kept,
            "optimizers": {turn: _cloned(optimizer.state_dict()) for turn, optimizer in self.optimizers.items()},
        }

    def _restore(self, snapshot: dict[str, Any]) -> None:
        self.learner.load_state_dict(snapshot["learner"])
        for key, value in snapshot["averaged"].items():
            self.averaged[key].copy_(value)
        self.kept = {key: value.clone() for key, value in snapshot["kept"].items()}
        for turn, optimizer in self.optimizers.items():
            optimizer.load_state_dict(_cloned(snapshot["optimizers"][turn]))
        for key, value in snapshot["state"].items():
            setattr(self.state, key, value)

    def _roll_back(self, good: dict[str, Any]) -> None:
        scale, rollbacks = self.state.scale / 2, self.state.rollbacks + 1
        if rollbacks > MOST_ROLLBACKS:
            raise GenerationError(
                f"the loss left the finite numbers {rollbacks} times, last with a learning rate of "
                f"{self.plan.learning_rate * self.state.scale:.2g}; lower learning_rate, or look for extreme values in the data"
            )
        self._restore(good)
        self.state.scale, self.state.rollbacks = scale, rollbacks

    def keep_in(self, checkpoint: Checkpoint, name: str, digest: str) -> None:
        """Save checkpoints there from now on, and go on from the one there, if asked to. DataError: it is another fit's."""
        self.file, self.every, self.digest = checkpoint.file(name), checkpoint.every, digest
        if checkpoint.resume and self.file.is_file():
            try:
                held = torch.load(self.file, map_location=self.fabric.device, weights_only=True)
                same = held["format"] == FORMAT and held["digest"] == self.digest
            except Exception as problem:
                raise DataError(
                    f"{self.file} cannot be read as a checkpoint ({problem}); remove it, or leave out --resume"
                ) from problem
            if not same:
                raise DataError(
                    f"{self.file} is the checkpoint of another fit: of other rows, seed, hyperparameters or version "
                    "of torch;\nfit as it was begun, or leave out --resume to begin anew"
                )
            self._restore(held)

    def _save(self, begun: float) -> None:
        if self.file is None or not self.fabric.is_global_zero or time.monotonic() - self.saved < self.every:
            return
        self.saved = time.monotonic()
        held = self._snapshot() | {"format": FORMAT, "digest": self.digest}
        held["state"]["elapsed"] += self.saved - begun
        with in_words(self.file):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with new_file(self.file) as out:
                torch.save(held, out)


def _seed_dropout(device: torch.device, seed: int) -> None:
    """Seed the generator that layers use. Not by torch.manual_seed: without a GPU that keeps a traceback of each call."""
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def _optimizer(learner: Learner, turn: str, plan: Plan) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in learner.parameters_of(turn) if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in parameters if parameter.ndim >= 2], "weight_decay": plan.weight_decay},
        {"params": [parameter for parameter in parameters if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=plan.learning_rate, betas=plan.betas, fused=plan.precision != "16-mixed")


def _tensors(data: tuple[np.ndarray, ...], rows: np.ndarray, device: torch.device) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(np.ascontiguousarray(values[rows])).to(device) for values in data)


def _mixed(*of: int) -> int:
    """A seed that follows from these numbers."""
    return int.from_bytes(hashlib.blake2b(repr(of).encode(), digest_size=8).digest()) >> 1


def _digest(learner: Learner, data: tuple[np.ndarray, ...], plan: Plan, seed: int) -> str:
    """What a checkpoint must be of: these rows, this plan, these weights to begin with."""
    said = hashlib.sha256(repr((plan, seed, torch.__version__, learner.turns)).encode())
    for values in data:
        said.update(f"{values.dtype}{values.shape}".encode() + np.ascontiguousarray(values).tobytes())
    for key, weight in learner.state_dict().items():
        said.update(key.encode() + weight.detach().cpu().numpy().tobytes())
    return said.hexdigest()


def _cloned(state: Any) -> Any:
    """An optimiser's state that later steps do not change."""
    if isinstance(state, Tensor):
        return state.clone()
    if isinstance(state, dict):
        return {key: _cloned(value) for key, value in state.items()}
    return [_cloned(value) for value in state] if isinstance(state, list) else state
