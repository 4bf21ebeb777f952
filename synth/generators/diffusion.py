"""Mixed diffusion: numbers are denoised and categories unmasked, at one continuous time, by one small network.

In the line of TabDiff (Shi et al., "TabDiff: a mixed-type diffusion model for tabular data generation", ICLR 2025), with the
preconditioning of EDM (Karras et al., NeurIPS 2022) and the masked diffusion of MDLM (Sahoo et al., NeurIPS 2024). How a row is
told is in `_cells`, the network and its loss in `_diffusion_net`, drawing in `_diffusion_draw`; what was tried in decision 021.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from synth.data.conditions import Where
from synth.data.encoding import Encoded
from synth.data.schema import Schema
from synth.generators._cells import FEW, MOST_STATES, NULL, ON_SCALE, Cells
from synth.generators._clamping import Given, by_token, given_clauses, know, nothing_known
from synth.generators._effort import Drawn, Effort
from synth.generators._estimate import TableSize
from synth.generators._hyperparameters import real_number, whole_number
from synth.generators._missing import nothing_to_fill
from synth.generators._private_cells import private_book
from synth.generators._private_training import AVERAGE, BINS_SHARE, begun, buy, private_cost, rate_of, validate_private
from synth.generators._training import Plan, check_torch, load_weights, train, validate_training
from synth.generators.base import Generator
from synth.privacy.accounting import Curve
from synth.privacy.budget import Budget
from synth.progress import Progress, silent

if TYPE_CHECKING:
    from synth.generators._diffusion_net import Denoiser, Form
    from synth.generators._private import Access

# What a fit costs, measured on two cores of 2.6 GHz.
SPEED = 6e10  # floating-point operations per second
STEP = 4e-3  # seconds of a step that do not depend on its size
START = 6.0  # seconds until torch is there
LIBRARY = 3.6e8  # bytes of torch, Lightning and diffusers
TIME = 64  # numbers that tell the network the time, as in `_diffusion_net`
AS_DRAWN = np.empty((0, 0))  # quantiles of places that are left where the network draws them


@dataclass
class Diffusion(Generator):
    """A diffusion over mixed columns. Equality conditions are met by columns that are clean from the first step on."""

    width: int = 256  # of the network
    blocks: int = 3  # residual ones, each of two layers
    dropout: float = 0.0  # share of a block's inner values that a training step leaves out
    shown: float = 0.3  # share of the training rows with some of their columns clean: what conditions and filling in build on
    steps: int = 30  # evaluations of the network per row drawn
    guidance: float = 1.0  # how far conditions are followed: 1 as learned, above it overstates them (Ho and Salimans 2021)
    epochs: int = 40  # most passes over the rows; many more learn them by heart, and end before the rate has fallen
    batch_rows: int = 512  # rows per step, and at most an eighth of the rows
    learning_rate: float = 2e-3  # of AdamW, at its highest
    private_steps: int = 300  # under a budget: noisy steps
    private_rate: float = 0.0625  # ... the probability with which a row is drawn into each
    private_counts: float = 0.1  # ... share of the budget for the domain and the counts of single columns
    private_width: int = 96  # ... of the network
    private_times: int = 4  # ... how often a row that is drawn is shown, each time with other noise
    private_learning_rate: float = 0.005  # ... of Adam, at its highest
    max_seconds: float | None = None  # then training stops, with the best weights so far
    device: str = "auto"  # cpu, cuda, …; auto takes a GPU where there is one
    devices: int = 1  # that share each step
    precision: str = "32-true"  # of training: 32-true, bf16-mixed or 16-mixed

    name: ClassVar[str] = "diffusion"
    keeps_checkpoints: ClassVar[bool] = True
    summary: ClassVar[str] = "mixed diffusion: numbers denoised, categories unmasked, by one network; exact on equalities"
    private: ClassVar[bool] = True
    bins_share: ClassVar[float] = BINS_SHARE

    def _validate(self) -> None:
        validate_training(self)
        whole_number("batch_rows", self.batch_rows, 16)
        whole_number("width", self.width, 4)
        whole_number("blocks", self.blocks, 1)
        whole_number("steps", self.steps, 2)
        real_number("dropout", self.dropout, least=0.0, most=0.9)
        real_number("shown", self.shown, least=0.0, most=1.0)
        real_number("guidance", self.guidance, least=0.0, most=20.0)
        validate_private(self)
        for name in ("private_width", "private_times"):
            whole_number(name, getattr(self, name), 1)

    def _plan(self, rows: int) -> Plan:
        return Plan(
            epochs=self.epochs,
            batch_rows=min(self.batch_rows, max(16, rows // 8)),
            learning_rate=self.learning_rate,
            max_seconds=self.max_seconds,
            device=self.device,
            devices=self.devices,
            precision=self.precision,
        )

    def _fit(self, rows: Encoded, schema: Schema, rng: np.random.Generator, progress: Progress) -> None:
        check_torch(self.name, "diffusers")
        self._template = rows.take(np.arange(0))
        self._cells, self._facts, self._knots = Cells.of(rows), {}, AS_DRAWN
        if not self._cells.sizes and not self._cells.places:  # all columns are constant
            self._weights = {}
            progress("fit", 1, 1)
            return
        trained = train(
            self._maker(),
            self._cells.encode(rows, rows.rows),
            self._plan(rows.rows),
            seed=int(rng.integers(2**31)),
            progress=progress,
            checkpoint=self._checkpoint,
        )
        self._weights, self._facts = trained.weights, trained.facts

    def _private_cost(self, budget: Budget, delta: float, aside: int = 0) -> Curve:
        return private_cost(self, self.name, budget, delta, aside, "diffusers")

    def _fit_private(self, rows: Encoded, schema: Schema, access: Access, progress: Progress) -> None:
        """Values and shares of single columns from noisy counts, to which what the network draws is held; what columns have to
        do with each other by DP-SGD."""
        from synth.generators._diffusion_right import set_right
        from synth.generators._private_denoiser import PrivateDenoiser
        from synth.privacy.dpsgd import train_privately

        bought = buy(self, rows, schema, access)
        self._template = access.domain.decode(bought.cells[:0], access.rng)
        self._cells = Cells.of_books(
            private_book(*of) for of in zip(access.domain.columns, self._template.columns, bought.counts, strict=True)
        )
        real = access.domain.decode(bought.cells, access.rng)
        self._facts = {"private": asdict(bought.how)}
        size = (self.private_width, self.blocks, self.shown, self.private_times)
        net = begun(partial(PrivateDenoiser, self._form(), *size), access)
        weights = train_privately(
            net,
            net,
            self._cells.encode(real, real.rows),
            bought.how,
            access.noise,
            learning_rate=rate_of(self, bought.how),
            average=AVERAGE,
            progress=progress,
        )
        self._weights = net.folded(weights)
        self._knots = set_right(self._net, self._cells, self.steps, access.rng)
        self._weights = {name: values.numpy() for name, values in self._net.state_dict().items()}

    def _estimate(self, size: TableSize) -> tuple[float, float, float]:
        """Arithmetic of the training steps at the speed of two cores; weights, rows, and what a look at many rows holds."""
        tokens, places, states = told_by(size)
        parameters = self.blocks * 2 * self.width * (self.width + TIME) + self.width * (2 * states + 20 * places)
        steps = self.epochs * size.rows / min(self.batch_rows, max(16, size.rows // 8))
        seconds = START + STEP * steps + 6 * parameters * size.rows * self.epochs / SPEED
        seconds = seconds if self.max_seconds is None else min(seconds, START + self.max_seconds)
        looked_at = max(self.batch_rows * self.blocks, 4 * min(0.05 * size.rows, 4_096))
        peak = size.rows * (32 * places + 16 * tokens) + looked_at * 4 * (8 * self.width + 60 * places + 3 * states)
        numbers = sum(column.distinct for column in size.columns if column.is_number)
        return seconds, LIBRARY + peak + 56 * parameters + 40 * numbers, 4 * parameters + 16 * numbers

    def _plans(self) -> Iterator[Mapping[str, Any]]:
        for batch_rows in (256, 64):
            if batch_rows < self.batch_rows:
                yield {"batch_rows": batch_rows}
        for width in (128, 64):
            if width < self.width:
                yield {"batch_rows": min(64, self.batch_rows), "width": width}

    def _form(self) -> Form:
        from synth.generators._diffusion_net import Form

        cells = self._cells
        columns = range(len(cells.cells))
        return Form(
            cells.sizes,
            cells.parent,
            cells.gates,
            tuple(column for column in columns for _ in cells.cells[column].sizes),
            tuple(column for column in columns if cells.cells[column].scale is not None),
            tuple(float(share) for cell in cells.cells for shares in cell.shares() for share in shares),
        )

    def _maker(self) -> partial[Denoiser]:
        from synth.generators._diffusion_net import Denoiser

        width = self.private_width if "private" in self._facts else self.width
        return partial(Denoiser, self._form(), width, self.blocks, self.dropout, self.shown)

    @property
    def _net(self) -> Denoiser:
        """The trained network, made once."""
        if "_loaded" not in self.__dict__:
            self.__dict__["_loaded"] = load_weights(self._maker()(), self._weights)
        net: Denoiser = self.__dict__["_loaded"]
        return net

    # sampling ------------------------------------------------------------------------------------------------------

    def _sample(self, n: int, rng: np.random.Generator) -> Encoded:
        return self._template.with_values(self._draw(nothing_known(self._cells, n), rng))

    def _sample_where(self, n: int, where: Where, rng: np.random.Generator) -> Encoded:
        """Equalities, sets of categories and one range, as `_clamping` says; the caller rejects for further ranges."""
        check_torch(self.name, "diffusers")
        from synth.generators._diffusion_draw import chances

        def asked(given: Given, token: int) -> np.ndarray:
            return chances(self._net, given, token, rng)

        given, effective = given_clauses(self._cells, where.clauses, n, asked, rng)
        drawn = self._template.with_values({**self._draw(given, rng), **given.values})
        return Drawn(drawn.columns, drawn.rows, Effort(n, n, effective))

    def _draw(self, given: Given, rng: np.random.Generator, progress: Progress = silent) -> dict[str, np.ndarray]:
        """Encoded values by column, given what is known of them."""
        check_torch(self.name, "diffusers")
        from scipy.special import ndtr

        from synth.generators._diffusion_draw import draw
        from synth.generators._diffusion_right import evened

        rows = len(given)
        if not self._weights:
            return self._cells.decode(given.tokens, given.x)
        tokens, x = draw(self._net, given, self.steps, self.guidance, rng, lambda done: progress("sample", done, rows))
        places = ndtr(x.astype(np.float64))
        return self._cells.decode(tokens, evened(places, self._knots) if len(self._knots) else places)

    # filling in ----------------------------------------------------------------------------------------------------

    def _impute(self, rows: Encoded, rng: np.random.Generator, progress: Progress) -> Encoded:
        """Missing cells are drawn, null excepted, while the others are clean."""
        cells = self._cells
        given = nothing_known(cells, rows.rows)
        allowed = list(given.allowed)
        for column, cell in enumerate(cells.cells):
            values, null = rows[cell.name].values, rows[cell.name].null
            if null.any() and not cell.book.counts.any():
                raise nothing_to_fill(cell.name)
            seen = ~null & (cell.states(values) >= 0)  # a level that no training row has tells nothing
            know(given, cells, column, values[seen], seen, rng)
            if cell.sizes:
                allowed[cells.tokens_at[column]] = by_token((cell.codes >= ON_SCALE) & (cell.codes != NULL), cell.base)
        given = replace(given, allowed=tuple(allowed))
        drawn = self._draw(given, rng, progress)
        return rows.with_values({name: np.where(rows[name].null, drawn[name], rows[name].values) for name in self._template})

    # saving --------------------------------------------------------------------------------------------------------

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        weights = {f"net.{name}": values for name, values in self._weights.items()}
        knots = {"knots": self._knots} if len(self._knots) else {}
        return {"nulls": self._cells.nulls, "training": self._facts}, {**self._cells.to_arrays(), **knots, **weights}

    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray], template: Encoded) -> None:
        self._template = template
        self._cells = Cells.from_arrays(state["nulls"], arrays, template)
        self._weights = {name.removeprefix("net."): arrays[name] for name in arrays if name.startswith("net.")}
        self._facts, self._knots = dict(state["training"]), arrays.get("knots", AS_DRAWN)


def told_by(size: TableSize) -> tuple[int, int, int]:
    """About how many tokens and places tell a row of such a table, and how many states the tokens have."""
    tokens, places, states = 0, 0, 0
    for column in size.columns:
        on_scale = column.is_number and column.distinct > FEW
        large = not column.is_number and column.distinct > MOST_STATES
        tokens, places = tokens + 1 + large, places + on_scale
        states += 5 if on_scale else 2 * math.ceil(math.sqrt(column.distinct)) if large else column.distinct
    return tokens, places, states
