"""Any-order autoregressive network over discretised columns: any columns given any others.

In the line of TabularARGN (Tiwald et al., "TabularARGN: a flexible and efficient auto-regressive framework for generating
high-fidelity synthetic data", 2025), trained as Uria, Murray and Larochelle, "A deep and tractable density estimator" (ICML
2014) and Hoogeboom et al., "Autoregressive diffusion models" (ICLR 2022) say: with a random order for every row. Columns become
tokens in `_tokens`; the network is trained with torch in `_autoregressive_net`, and drawn from with numpy in `_any_order`.
What moved its fidelity is in decision 023.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from synth.data.conditions import Where
from synth.data.encoding import Encoded
from synth.data.schema import Schema
from synth.generators._any_order import AnyOrder, Layout
from synth.generators._calibrating import calibrated
from synth.generators._drawing import Drawing
from synth.generators._effort import Drawn
from synth.generators._estimate import TableSize
from synth.generators._hyperparameters import real_number, whole_number
from synth.generators._missing import nothing_to_fill
from synth.generators._private_cells import private_coder, private_coder_from, tokens_of
from synth.generators._private_training import AVERAGE, BINS_SHARE, begun, buy, private_cost, rate_of, validate_private
from synth.generators._tokens import Coder, coder_from, coder_of
from synth.generators._training import Plan, check_torch, train, validate_training
from synth.generators.base import Generator
from synth.privacy.accounting import Curve
from synth.privacy.budget import Budget
from synth.privacy.sampled_gaussian import NoisySteps
from synth.progress import Progress

if TYPE_CHECKING:
    from synth.generators._private import Access

FLOPS = 40e9  # additions and multiplications per second in training, on two cores
LIBRARY = 350e6  # bytes of torch and Lightning, loaded by the first fit
STEPS = 40  # in a pass over the rows, at least, as long as batches keep ...
FEWEST_IN_BATCH = 32  # ... so many rows


@dataclass
class Autoregressive(Generator):
    """A network that draws any column given any others, so that conditions need no luck and holes are filled in properly.

    Fitting needs torch; drawing, scoring and filling in need numpy alone. A sample's rows are independent of each other.
    """

    epochs: int = 22  # passes over the training rows
    batch_rows: int = 512  # rows per step, at most: a fortieth of them where that is less
    learning_rate: float = 0.003  # of AdamW, at its highest
    weight_decay: float = 1.6  # of AdamW; times the rate and the steps it shrinks what nothing feeds
    width: int = 192  # of what is known of a row
    hidden: int = 192  # units in each block of the trunk
    blocks: int = 2  # residual blocks of the trunk
    depth: int = 64  # hidden units behind the second and later tokens of a column
    dropout: float = 0.3  # share of the hidden units left out, in training
    ordered: float = 0.5  # share of the training rows of which the columns known are the first ones in the default order
    bins: int = 64  # of a number that has many values
    private_steps: int = 300  # under a budget: noisy steps
    private_rate: float = 0.0625  # ... the probability with which a row is drawn into each
    private_counts: float = 0.1  # ... share of the budget for the domain and the counts of single columns
    private_width: int = 64  # ... of what is known of a row, and units in each block
    private_times: int = 4  # ... how often a row that is drawn is shown, each time with other columns known
    private_learning_rate: float = 0.005  # ... of Adam, at its highest
    max_seconds: float | None = None  # of training, then the best network so far is kept
    device: str = "auto"  # cpu, cuda, or what there is
    devices: int = 1  # how many of them share each step
    precision: str = "32-true"  # of the arithmetic in training, in Lightning's words

    name: ClassVar[str] = "autoregressive"
    summary: ClassVar[str] = "any-order autoregressive network: any columns given any others, with likelihoods"
    keeps_checkpoints: ClassVar[bool] = True
    private: ClassVar[bool] = True
    bins_share: ClassVar[float] = BINS_SHARE

    def _validate(self) -> None:
        validate_training(self)
        whole_number("batch_rows", self.batch_rows, FEWEST_IN_BATCH // 2)
        for name in ("width", "hidden", "blocks", "depth", "bins"):
            whole_number(name, getattr(self, name), 1)
        real_number("weight_decay", self.weight_decay, least=0.0)
        real_number("dropout", self.dropout, least=0.0, most=0.9)
        real_number("ordered", self.ordered, least=0.0, most=1.0)
        validate_private(self)
        for name in ("private_width", "private_times"):
            whole_number(name, getattr(self, name), 1)

    def _fit(self, rows: Encoded, schema: Schema, rng: np.random.Generator, progress: Progress) -> None:
        check_torch(self.name)
        from synth.generators._autoregressive_net import Net, folded

        self._template = rows.take(np.arange(0))
        coders = tuple(coder_of(column, self.bins) for column in rows.columns)
        layout = Layout(coders, self._in_order(coders, schema), self.depth)
        codes = np.hstack([coder.encode(rows[coder.name].values) for coder in coders])
        make = partial(Net, layout, self.width, self.hidden, self.blocks, ordered=self.ordered, dropout=self.dropout)
        seed = int(rng.integers(2**31))
        trained = train(make, (codes,), self._plan(rows.rows), seed=seed, progress=progress, checkpoint=self._checkpoint)
        self._net, self._facts = AnyOrder(layout, folded(make(), trained.weights)), trained.facts
        self._drawing = Drawing(self._net)

    def _private_cost(self, budget: Budget, delta: float, aside: int = 0) -> Curve:
        return private_cost(self, self.name, budget, delta, aside)

    def _fit_private(self, rows: Encoded, schema: Schema, access: Access, progress: Progress) -> None:
        """Single columns from noisy counts, which the network starts from; what they have to do with each other by DP-SGD.

        Nothing else follows from the rows. Not even their number is used: steps and rate are public.
        """
        bought, domain = buy(self, rows, schema, access), access.domain
        coders = tuple(private_coder(*of) for of in zip(domain.columns, bought.counts, strict=True))
        layout = Layout(coders, self._in_order(coders, schema), self.depth)
        tokens = np.hstack([tokens_of(*of) for of in zip(coders, domain.columns, bought.cells.T, strict=True)])
        weights = self._trained_privately(layout, tokens, bought.how, access, progress)
        shares = [np.exp(token.prior.astype(np.float64)) for token in layout.firsts]
        self._template = domain.decode(bought.cells[:0], access.rng)
        self._net = calibrated(AnyOrder(layout, weights), shares, access.rng)
        self._facts = {"private": asdict(bought.how)}
        self._drawing = Drawing(self._net)

    def _trained_privately(
        self, layout: Layout, tokens: np.ndarray, how: NoisySteps, access: Access, progress: Progress
    ) -> dict[str, np.ndarray]:
        """Weights as `AnyOrder` has them."""
        from synth.generators._private_net import PrivateNet
        from synth.privacy.dpsgd import train_privately

        width = self.private_width
        make = partial(PrivateNet, layout, width, width, self.blocks, ordered=self.ordered, times=self.private_times)
        net = begun(make, access)
        weights = train_privately(
            net,
            net,
            (tokens,),
            how,
            access.noise,
            learning_rate=rate_of(self, how),
            average=AVERAGE,
            progress=progress,
        )
        return net.folded(weights)

    def _plan(self, rows: int) -> Plan:
        return Plan(
            epochs=self.epochs,
            batch_rows=min(self.batch_rows, max(FEWEST_IN_BATCH, rows // STEPS)),
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            max_seconds=self.max_seconds,
            device=self.device,
            devices=self.devices,
            precision=self.precision,
        )

    def _in_order(self, coders: tuple[Coder, ...], schema: Schema) -> tuple[int, ...]:
        """Columns are drawn from few values to many, the target last: the network then says it given all others."""
        target = None if schema.target is None else schema.target.name
        levels = [(coder.name == target, coder.tokens[0].levels) for coder in coders]
        return tuple(sorted(range(len(coders)), key=levels.__getitem__))

    def _estimate(self, size: TableSize) -> tuple[float, float, float]:
        """Multiplications and additions of training; tokens and weights, these with their gradients and averages."""
        levels = sum(min(column.distinct, self.bins * 2) + 1 for column in size.columns)
        weights = self.width * (2 * levels + 2 * self.hidden * self.blocks)
        training = 6 * weights * size.rows * self.epochs / FLOPS
        seconds = 5 + (training if self.max_seconds is None else min(training, self.max_seconds))
        return seconds, size.rows * 16 * len(size.columns) + 40 * weights + LIBRARY, 4 * weights

    def _plans(self) -> Iterator[Mapping[str, Any]]:
        for width in (128, 64, 32):
            if width < self.width:
                yield {"width": width, "hidden": width}

    def _sample(self, n: int, rng: np.random.Generator) -> Encoded:
        return self._template.with_values(self._drawing.sample(n, rng))

    def _sample_where(self, n: int, where: Where, rng: np.random.Generator) -> Encoded:
        values, effort = self._drawing.sample_where(n, {clause.column: clause for clause in where.clauses}, rng)
        rows = self._template.with_values(values)
        return Drawn(rows.columns, n, effort)

    def _score(self, rows: Encoded) -> np.ndarray:
        return self._drawing.score({name: rows[name].values for name in rows})

    def _impute(self, rows: Encoded, rng: np.random.Generator, progress: Progress) -> Encoded:
        values, null = ({name: getattr(rows[name], part) for name in rows} for part in ("values", "null"))
        for coder in self._net.layout.coders:
            if null[coder.name].any() and coder.tokens[0].levels == coder.has_null:
                raise nothing_to_fill(coder.name)
        return rows.with_values(self._drawing.impute(values, null, rng))

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        arrays = {f"weights.{name}": weight for name, weight in self._net.weights.items()}
        for place, coder in enumerate(self._net.layout.coders):
            arrays |= coder.to_arrays(f"{place}")
        return {"order": list(self._net.layout.order), "training": self._facts}, arrays

    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray], template: Encoded) -> None:
        coder = private_coder_from if "private" in state["training"] else coder_from
        coders = tuple(coder(column, f"{place}", arrays) for place, column in enumerate(template.columns))
        weights = {name.removeprefix("weights."): array for name, array in arrays.items() if name.startswith("weights.")}
        self._template, self._facts = template, dict(state["training"])
        self._net = AnyOrder(Layout(coders, tuple(state["order"]), self.depth), weights)
        self._drawing = Drawing(self._net)
