"""Class-conditional diffusion of small images, after Ho, Jain and Abbeel, "Denoising diffusion probabilistic models" (2020).

Velocities on the cosine schedule (Nichol and Dhariwal 2021; Salimans and Ho 2022), guidance without a classifier (Ho and
Salimans 2022), the multistep solver DPM-Solver++ (Lu et al. 2022); network, schedule and solver are those of diffusers. A
table is taken for images by the names of its columns (`synth.data.images`). What was tried is in decision 024.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from synth.data.conditions import Clause, Where
from synth.data.encoding import Encoded
from synth.data.images import WHAT, ImageShape
from synth.data.schema import Schema
from synth.errors import ConfigError, DataError, GenerationError
from synth.generators._estimate import TableSize
from synth.generators._hyperparameters import real_number, whole_number
from synth.generators._training import (
    Plan,
    check_torch,
    load_weights,
    one_thread,
    train,
    validate_training,
)
from synth.generators.base import Generator
from synth.progress import Progress

if TYPE_CHECKING:
    from synth.generators._image_net import Net, Painter

BLOCK = 200_000  # numbers in the images that one thread draws at a time, which decides the last bits of what is drawn
WHAT_FOR = "drawing images by diffusion"
MOST_LEVELS = 6  # U-Net levels
ENOUGH = 1_000  # images of which none satisfies a condition on pixels before it is given up
EFFECTIVE = 5e10  # multiplications and additions a second, of two cores


@dataclass
class ImageDiffusion(Generator):
    """Images, a row each, given what they show.

    Conditions on the label are exact: only labels that satisfy them are drawn. Those on pixels are met by turning images down.
    """

    epochs: int = 40  # passes over the images
    batch_rows: int = 64  # images per step
    learning_rate: float = 1e-3  # of AdamW, at its highest
    widths: tuple[int, ...] = (32, 64)  # channels of the U-Net's levels, multiples of 8; each level halves the sides
    layers: int = 1  # residual blocks per level on the way down; one more on the way up
    patch: int = 2  # sides of the squares of pixels that the U-Net takes as one: a quarter of the work for 2
    dropout: float = 0.05  # in the residual blocks; against learning images by heart
    drop_label: float = 0.1  # share of the images that are learned without their label, which guidance needs
    guidance: float = 1.3  # how far the label pulls: 1 as learned, more is clearer and less varied
    steps: int = 15  # of the solver, from noise to image
    max_seconds: float | None = None  # then training stops, and the best weights so far are kept
    device: str = "auto"  # where it is trained: cpu, cuda, …; rows are drawn on the CPU
    devices: int = 1  # that share each step
    precision: str = "32-true"  # of the arithmetic in training

    name: ClassVar[str] = "image-diffusion"
    summary: ClassVar[str] = "small labelled images (columns pixel_0_0, …) by diffusion, given what they show"
    refusal: ClassVar[str] = (
        "it learns from images without noise, and no method here learns images under a budget; release none of them"
    )
    keeps_checkpoints: ClassVar[bool] = True

    _shard_rows: ClassVar[int] = 5_000  # an image costs what thousands of other rows do

    def _validate(self) -> None:
        validate_training(self)
        for name in ("layers", "patch", "steps"):
            whole_number(name, getattr(self, name), 1, 1_000 if name == "steps" else 16)
        real_number("dropout", self.dropout, least=0.0, most=0.9)
        real_number("drop_label", self.drop_label, least=0.0, most=0.9)
        real_number("guidance", self.guidance, least=0.0, most=100.0)
        widths: Any = self.widths
        if (
            not isinstance(widths, (tuple, list))
            or not 1 <= len(widths) <= MOST_LEVELS
            or not all(type(width) is int and width > 0 and width % 8 == 0 for width in widths)
        ):
            raise ConfigError(f"widths is {widths!r}; give 1 to {MOST_LEVELS} multiples of 8, such as (32, 64)")
        if self.guidance != 1 and self.drop_label == 0:
            raise ConfigError(
                f"guidance is {self.guidance}, and needs images learned without label; raise drop_label, or give 1"
            )

    def _fit(self, rows: Encoded, schema: Schema, rng: np.random.Generator, progress: Progress) -> None:
        shape, label = _image_of(schema, rows)
        self._template, self._shape, self._label = rows.take(np.arange(0)), shape, label
        images = shape.stack(lambda name: rows[name].values.astype(np.float32))
        self._low, self._high = images.min(axis=0), images.max(axis=0)
        codes = rows[label].values
        self._counts = np.bincount(codes + 1, minlength=1 + (rows[label].levels or 0))  # null comes first
        check_torch(WHAT_FOR, "diffusers")
        from synth.generators._image_net import Painter

        data = np.ascontiguousarray(self._scaled(images).transpose(0, 3, 1, 2)), codes.astype(np.int64) + 1
        make, seed = partial(Painter, self._net), int(rng.integers(2**31))
        trained = train(make, data, self._plan, seed=seed, progress=progress, checkpoint=self._checkpoint)
        self._weights, self._facts = trained.weights, trained.facts

    @property
    def _plan(self) -> Plan:
        return Plan(
            self.epochs,
            self.batch_rows,
            self.learning_rate,
            max_seconds=self.max_seconds,
            device=self.device,
            devices=self.devices,
            precision=self.precision,
        )

    @property
    def _net(self) -> Net:
        from synth.generators._image_net import Net

        shape = self._shape
        return Net(
            shape.height, shape.width, shape.channels, len(self._counts), self.patch, tuple(self.widths), self.layers,
            self.dropout, self.drop_label,
        )  # fmt: skip

    @property
    def _span(self) -> tuple[float, float]:
        """The darkest and the brightest pixel of all images."""
        low, high = float(self._low.min()), float(self._high.max())
        return low, max(high, low + 1)

    def _scaled(self, images: np.ndarray) -> np.ndarray:
        low, high = self._span
        return np.asarray((images - low) / (high - low) * 2 - 1, dtype=np.float32)

    def _estimate(self, size: TableSize) -> tuple[float, float, float]:
        """Multiplications of the convolutions, three times forward for a training step; weights, and a batch's activations."""
        pixels = max(1, sum(column.is_number for column in size.columns))
        area, work, weights, held = pixels / self.patch**2, 0.0, 0.0, 0.0
        for level, width in enumerate(self.widths):
            before = self.widths[max(0, level - 1)]
            blocks = 9 * width * ((before + width) + 2 * width * (self.layers - 1) + (3 * width) * (self.layers + 1))
            work += 2 * blocks * area / 4**level
            weights += blocks + 8 * self.widths[0] * width * (2 * self.layers + 1)
            held += 12 * width * (2 * self.layers + 1) * area / 4**level
        weights += 36 * self.widths[-1] ** 2
        seconds = 3 * work * size.rows * self.epochs / EFFECTIVE
        return 5 + seconds, 8 * pixels * size.rows + 4 * held * self.batch_rows + 40 * weights + 400e6, 4 * weights

    # drawing ---------------------------------------------------------------------------------------------------------

    def _sample(self, n: int, rng: np.random.Generator) -> Encoded:
        return self._draw(n, None, rng)

    def _sample_where(self, n: int, where: Where, rng: np.random.Generator) -> Encoded:
        """The label exactly; images are turned down by their pixels, and given up where none of many would do."""
        clauses = {clause.column: clause for clause in where.clauses}
        rows = self._draw(n, clauses.pop(self._label, None), rng)
        if clauses and n >= ENOUGH:
            good = np.logical_and.reduce([clause.holds(rows[name].values) for name, clause in clauses.items()])
            if not good.any():
                raise GenerationError(
                    f"none of {n:,} images drawn satisfies the condition on {', '.join(clauses)}; images can be conditioned "
                    f"on {self._label!r}, others are turned down: widen the condition"
                )
        return rows

    def _draw(self, n: int, clause: Clause | None, rng: np.random.Generator) -> Encoded:
        codes = np.arange(-1, len(self._counts) - 1, dtype=np.int32)
        weight = self._counts * (1 if clause is None else clause.holds(codes))
        if not weight.any():
            raise GenerationError(f"no training image has such a {self._label!r}; widen the condition")
        label = rng.choice(codes, size=n, p=weight / weight.sum())
        low, high = self._span
        images = np.rint(low + (self._paint(label, rng) + 1) / 2 * (high - low))
        images = np.clip(images, self._low, self._high)
        return self._template.with_values({**self._shape.unstack(images), self._label: label})

    def _paint(self, label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Images in [-1, 1] of shape (rows, height, width, channels), in blocks: one thread each, so that what is drawn does
        not depend on how many there are."""
        shape = self._shape
        rows = max(1, BLOCK // shape.pixels)
        parts = [label[start : start + rows] for start in range(0, len(label), rows)]
        seeds = rng.integers(2**63, size=len(parts))
        if not parts:
            return np.empty((0, shape.height, shape.width, shape.channels))
        import torch

        painter = self._painter
        from synth.generators._image_net import solver_of

        draw = partial(_block, painter, solver_of(self.steps), float(self.guidance))
        with one_thread(), ThreadPoolExecutor(os.cpu_count() or 1, initializer=partial(torch.set_num_threads, 1)) as pool:
            done = list(pool.map(draw, parts, seeds))
        return np.concatenate(done).transpose(0, 2, 3, 1)

    @property
    def _painter(self) -> Painter:
        if "_ready" not in self.__dict__:
            check_torch(WHAT_FOR, "diffusers")
            from synth.generators._image_net import Painter

            self.__dict__["_ready"] = load_weights(Painter(self._net), self._weights)
        ready: Painter = self.__dict__["_ready"]
        return ready

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        arrays = {"low": self._low, "high": self._high, "counts": self._counts}
        state = {"shape": asdict(self._shape), "label": self._label, "training": self._facts}
        return state, arrays | {f"net.{name}": values for name, values in self._weights.items()}

    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray], template: Encoded) -> None:
        self._template, self._shape = template, ImageShape(**state["shape"])
        self._label, self._facts = state["label"], state["training"]
        self._low, self._high, self._counts = arrays["low"], arrays["high"], arrays["counts"]
        self._weights = {name[4:]: values for name, values in arrays.items() if name.startswith("net.")}


def _block(painter: Painter, solver: Any, guidance: float, label: np.ndarray, seed: int) -> np.ndarray:
    """Some images in [-1, 1], of shape (rows, channels, height, width)."""
    import torch

    net = painter.net
    noise = np.random.default_rng(seed).standard_normal((len(label), net.channels, net.height, net.width), dtype=np.float32)
    with torch.inference_mode():
        drawn = painter.paint(torch.from_numpy(label.astype(np.int64) + 1), torch.from_numpy(noise), solver, guidance)
    return drawn.clamp(-1, 1).numpy()


def _image_of(schema: Schema, rows: Encoded) -> tuple[ImageShape, str]:
    """The grid of pixels and the name of the label. Raises DataError for a table that is none of images."""
    shape = ImageShape.of(schema)
    if shape is None:
        raise DataError(f"the table holds no images: {WHAT}")
    pixels = set(shape.names)
    others = [column for column in schema.learned if column.name not in pixels]
    target = schema.target
    if target is None or not target.is_learned or not target.kind.is_category:
        raise DataError(f"the images have no label: {WHAT}")
    for column in others:
        if column.name != target.name:
            raise DataError(f"column {column.name!r} is neither a pixel nor the target; drop it: {WHAT}")
    for name in shape.names:
        if rows[name].null.any():
            raise DataError(f"{int(rows[name].null.sum()):,} images lack {name!r}; remove them, or fill in their pixels")
    return shape, target.name
