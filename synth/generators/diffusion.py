"""Mixed diffusion: numbers are denoised and categories unmasked, at one continuous time, by one small network.

In the line of TabDiff (Shi et al., "TabDiff: a mixed-type diffusion model for tabular data generation", ICLR 2025), with the
preconditioning of EDM (Karras et al., NeurIPS 2022) and the masked diffusion of MDLM (Sahoo et al., NeurIPS 2024). How a row is
told is in `_cells`, the network and its loss in `_diffusion_net`, drawing in `_diffusion_draw`; what was tried in decision 021.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from synth.data.conditions import Clause, Where
from synth.data.encoding import Encoded
from synth.data.schema import Schema
from synth.errors import GenerationError, MissingExtraError
from synth.generators._cells import Cells
from synth.generators._effort import Drawn, Effort
from synth.generators._training import Plan, check_torch, load_weights, real_number, train, validate_training, whole_number
from synth.generators.base import Generator, nothing_to_fill
from synth.progress import Progress, silent

if TYPE_CHECKING:
    from synth.generators._diffusion_draw import Given
    from synth.generators._diffusion_net import Denoiser


@dataclass
class Diffusion(Generator):
    """A diffusion over mixed columns. Equality conditions are met by columns that are clean from the first step on."""

    width: int = 256  # of the network
    blocks: int = 3  # residual ones, each of two layers
    dropout: float = 0.0  # share of a block's inner values that a training step leaves out
    shown: float = 0.2  # share of the training rows with some of their columns clean: what conditions and filling in build on
    steps: int = 30  # evaluations of the network per row drawn
    guidance: float = 1.0  # how far conditions are followed: 1 as learned, above it overstates them (Ho and Salimans 2021)
    epochs: int = 100  # most passes over the rows
    batch_rows: int = 512  # rows per step
    learning_rate: float = 2e-3  # of AdamW, at its highest
    max_seconds: float | None = None  # then training stops, with the best weights so far
    device: str = "auto"  # cpu, cuda, …; auto takes a GPU where there is one
    devices: int = 1  # that share each step
    precision: str = "32-true"  # of training: 32-true, bf16-mixed or 16-mixed

    name: ClassVar[str] = "diffusion"
    summary: ClassVar[str] = "mixed diffusion: numbers denoised, categories unmasked, by one network; exact on equalities"

    def _validate(self) -> None:
        validate_training(self)
        whole_number("width", self.width, 4)
        whole_number("blocks", self.blocks, 1)
        whole_number("steps", self.steps, 2)
        real_number("dropout", self.dropout, least=0.0, most=0.9)
        real_number("shown", self.shown, least=0.0, most=1.0)
        real_number("guidance", self.guidance, least=0.0, most=20.0)

    def _plan(self) -> Plan:
        return Plan(
            epochs=self.epochs,
            batch_rows=self.batch_rows,
            learning_rate=self.learning_rate,
            max_seconds=self.max_seconds,
            device=self.device,
            devices=self.devices,
            precision=self.precision,
        )

    def _fit(self, rows: Encoded, schema: Schema, rng: np.random.Generator, progress: Progress) -> None:
        check_torch("diffusion")
        self._template = rows.take(np.arange(0))
        self._cells = Cells.of(rows)
        data = self._cells.encode(rows, rows.rows)
        trained = train(
            self._maker(),
            data,
            self._plan(),
            seed=int(rng.integers(2**31)),
            progress=progress,
            checkpoint=getattr(self, "_checkpoint", None),
        )
        self._weights, self._facts = trained.weights, trained.facts

    def _maker(self) -> partial[Denoiser]:
        from synth.generators._diffusion_net import Denoiser, Form

        cells = self._cells
        columns = range(len(cells.cells))
        form = Form(
            cells.sizes,
            cells.parent,
            cells.gates,
            tuple(column for column in columns for _ in cells.cells[column].sizes),
            tuple(column for column in columns if cells.cells[column].scale is not None),
        )
        return partial(Denoiser, form, self.width, self.blocks, self.dropout, self.shown)

    @property
    def _net(self) -> Denoiser:
        """The trained network, made once."""
        if "_loaded" not in self.__dict__:
            self.__dict__["_loaded"] = load_weights(self._maker()(), self._weights)
        net: Denoiser = self.__dict__["_loaded"]
        return net

    # sampling ------------------------------------------------------------------------------------------------------

    def _sample(self, n: int, rng: np.random.Generator) -> Encoded:
        return self._template.with_values(self._draw(self._nothing_known(n), rng))

    def _sample_where(self, n: int, where: Where, rng: np.random.Generator) -> Encoded:
        """Exact for equalities; what other clauses turn down, the caller draws again."""
        given = self._nothing_known(n)
        known: dict[str, np.ndarray] = {}
        for clause in where.clauses:
            value = only_value(clause)
            if value is not None:
                known[clause.column] = np.full(n, value)
                self._know(given, clause.column, known[clause.column], rng)
        drawn = self._draw(given, rng)
        rows = self._template.with_values({**drawn, **known})
        return Drawn(rows.columns, rows.rows, Effort(n, n, n))

    def _know(self, given: Given, name: str, values: np.ndarray, rng: np.random.Generator) -> None:
        """Put a column's encoded values among what is known."""
        column = list(self._template).index(name)
        cell, at, place = self._cells.cells[column], self._cells.tokens_at[column], self._cells.place_at[column]
        states = cell.states(values)
        if (states < 0).any():
            raise GenerationError(f"no training row has the value that is asked for in {name!r}; widen the condition")
        given.tokens[:, at] = cell.tokens(states)
        if place is not None:
            given.x[:, place] = _normal(*cell.intervals(values), rng)

    def _nothing_known(self, n: int) -> Given:
        from synth.generators._diffusion_draw import Given

        cells = self._cells
        allowed: list[np.ndarray | None] = []
        for column, cell in enumerate(cells.cells):
            legal = cells.legal(column)
            allowed += by_token(legal, cell.base) if cell.sizes and not legal.all() else [None] * len(cell.sizes)
        return Given(
            np.full((n, len(cells.sizes)), -1, dtype=np.int64),
            np.full((n, cells.places), np.nan, dtype=np.float32),
            tuple(allowed),
        )

    def _draw(self, given: Given, rng: np.random.Generator, progress: Progress = silent) -> dict[str, np.ndarray]:
        """Encoded values by column, given what is known of them."""
        check_torch("diffusion")
        if find_spec("diffusers") is None:
            raise MissingExtraError("diffusion", "diffusers", "torch")
        from scipy.special import ndtr

        from synth.generators._diffusion_draw import draw

        rows = len(given)
        tokens, x = draw(self._net, given, self.steps, self.guidance, rng, lambda done: progress("sample", done, rows))
        return self._cells.decode(tokens, ndtr(x.astype(np.float64)))

    # filling in ----------------------------------------------------------------------------------------------------

    def _impute(self, rows: Encoded, rng: np.random.Generator, progress: Progress) -> Encoded:
        """Missing cells are drawn, null excepted, while the others are clean."""
        given = self._nothing_known(rows.rows)
        allowed = list(given.allowed)
        for column, (cell, at, place) in enumerate(
            zip(self._cells.cells, self._cells.tokens_at, self._cells.place_at, strict=True)
        ):
            values = rows[cell.name]
            if values.null.any() and not cell.book.counts.any():
                raise nothing_to_fill(cell.name)
            seen = ~values.null
            states = cell.states(values.values)
            seen &= states >= 0  # a level that no training row has tells nothing
            given.tokens[seen, at] = cell.tokens(states[seen])
            if place is not None:
                given.x[seen, place] = _normal(*cell.intervals(values.values[seen]), rng)
            if cell.sizes:
                allowed[at] = by_token(self._cells.legal(column, cell.codes != -1), cell.base)
        given = type(given)(given.tokens, given.x, tuple(allowed))
        drawn = self._draw(given, rng, progress)
        return rows.with_values({name: np.where(rows[name].null, drawn[name], rows[name].values) for name in self._template})

    # saving --------------------------------------------------------------------------------------------------------

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        weights = {f"net.{name}": values for name, values in self._weights.items()}
        return {"nulls": self._cells.nulls, "training": self._facts}, {**self._cells.to_arrays(), **weights}

    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray], template: Encoded) -> None:
        self._template = template
        self._cells = Cells.from_arrays(state["nulls"], arrays, template)
        self._weights = {name.removeprefix("net."): arrays[name] for name in arrays if name.startswith("net.")}
        self._facts = dict(state["training"])


def only_value(clause: Clause) -> float | None:
    """The one encoded value that satisfies a clause, or None where there are several."""
    if clause.codes is not None:
        return min(clause.codes) if len(clause.codes) == 1 else None
    if clause.null:
        return np.nan
    return min(clause.values) if clause.values is not None and len(clause.values) == 1 else None


def by_token(states: np.ndarray, base: int) -> list[np.ndarray | None]:
    """Which states each token may take, for a column of which these states are allowed."""
    if not base:
        return [states]
    table = states.reshape(-1, base)
    return [np.asarray(table.any(axis=1)), table]


def _normal(low: np.ndarray, high: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A place in each interval, on the normal scale."""
    from scipy.special import ndtri

    place = np.clip(low + (high - low) * rng.random(len(low)), 1e-6, 1 - 1e-6)
    return np.asarray(ndtri(place), dtype=np.float32)
