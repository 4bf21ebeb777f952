"""A conditional tabular GAN: a writer of rows that learns from a critic which cannot tell them from real ones.

After CTGAN (Xu et al., "Modeling tabular data using conditional GAN", NeurIPS 2019) and CTAB-GAN+ (Zhao et al., Frontiers in
Big Data 2024), written from the papers: modes, conditions, training-by-sampling, a Wasserstein critic with a gradient penalty,
a classifier of the target. What differs, and why, is in decision 022: states given to a row are held rather than hoped for,
columns are written one after another, rare levels share states, and each column's frequencies are set right afterwards.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from synth.data.conditions import Clause, Where
from synth.data.encoding import Encoded, EncodedColumn
from synth.data.schema import Schema
from synth.errors import GenerationError
from synth.generators._codes import Codebook
from synth.generators._effort import Drawn, Effort
from synth.generators._estimate import TableSize
from synth.generators._hyperparameters import real_number, whole_number
from synth.generators._modes import MOST_ATOMS, MOST_STATES, Modes
from synth.generators._private_cells import private_book
from synth.generators._private_training import BINS_SHARE, begun, buy, private_cost, rate_of, validate_private
from synth.generators._training import (
    Plan,
    check_torch,
    train,
    validate_training,
)
from synth.generators._variety import Variety
from synth.generators._writers import Writers
from synth.generators._written import Written, apart
from synth.generators.base import Generator
from synth.privacy.accounting import Curve
from synth.privacy.budget import Budget
from synth.progress import Progress

if TYPE_CHECKING:
    from synth.generators._private import Access

Column = TypeVar("Column", EncodedColumn, Codebook)

FEWEST_TOGETHER = 32  # rows per step: fewer tell the critic too little
FASTEST = 0.02  # learning rate: faster ones collapse
JUDGED = 10_000  # rows that frequencies and variety are judged by
PILOT = 4_096  # rows that tell how many come through a condition
MOST_BEGUN = 100.0  # rows begun for one that comes through; where it takes more, rows are given the condition
FEWEST_BEGUN, MOST_TOGETHER = 512, 100_000  # rows that are begun together


def _target_last(columns: Sequence[Column], target: str | None) -> list[Column]:
    """The columns in order, but for the target: in its draw all others can have a say."""
    return sorted(columns, key=lambda column: column.name == target)


@dataclass
class Gan(Generator):
    """A generative adversarial network for mixed tables. It keeps marginals and strong relations; likelihoods it has none."""

    epochs: int = 50  # passes over the rows, each once per step of the writer
    batch_rows: int = 128  # rows per step
    learning_rate: float = 1e-3  # of AdamW, for writer and critic
    width: int = 128  # of the writer's layers
    noise: int = 64  # random numbers that a row is written from
    critic_width: int = 128  # of the critic's layers
    critic_steps: int = 2  # steps of the critic to one of the writer
    gradient_penalty: float = 10.0  # holds the critic's slope near 1 (Gulrajani et al. 2017)
    modes: int = 10  # stretches that a number's range is cut into, beside its spikes
    given: float = 0.5  # share of the rows that are trained under a condition
    balance: float = 0.0  # 0: conditions count as often as they occur; 1: by the logarithm of that, as in CTGAN
    classifier: float = 0.0  # weight of a classifier of the target in the writer's loss, as in CTAB-GAN+; 0 for none
    private_steps: int = 1_000  # under a budget: noisy steps of the critic
    private_rate: float = 0.125  # ... the probability with which a row is drawn into each
    private_counts: float = 0.1  # ... share of the budget for the domain and the counts of single columns
    private_critic_steps: int = 4  # ... steps of the critic to one of the writer, which costs nothing
    private_learning_rate: float = 0.002  # ... of Adam, for writer and critic, at its highest
    private_unrelated: float = 0.25  # ... share of the rows whose columns are drawn apart: noise makes up relations of its own
    max_seconds: float | None = None  # then training stops, and the best weights so far are kept
    device: str = "auto"  # cpu, cuda, …; auto takes a GPU where there is one
    devices: int = 1  # that share each step
    precision: str = "32-true"  # of the arithmetic in training

    name: ClassVar[str] = "gan"
    summary: ClassVar[str] = "a conditional GAN for mixed tables, after CTGAN and CTAB-GAN+; needs synth[torch]"
    private: ClassVar[bool] = True
    bins_share: ClassVar[float] = BINS_SHARE
    keeps_checkpoints: ClassVar[bool] = True

    def _validate(self) -> None:
        validate_training(self)
        whole_number("batch_rows", self.batch_rows, FEWEST_TOGETHER)
        real_number("learning_rate", self.learning_rate, above=0.0, most=FASTEST)
        for name in ("width", "noise", "critic_width", "critic_steps", "modes"):
            whole_number(name, getattr(self, name), 1)
        real_number("gradient_penalty", self.gradient_penalty, above=0.0)
        real_number("classifier", self.classifier, least=0.0)
        for name in ("given", "balance"):
            real_number(name, getattr(self, name), least=0.0, most=1.0)
        validate_private(self)
        whole_number("private_critic_steps", self.private_critic_steps, 1)
        real_number("private_unrelated", self.private_unrelated, least=0.0, most=0.9)

    def _plan(self) -> Plan:
        return Plan(
            epochs=self.epochs,
            batch_rows=self.batch_rows,
            learning_rate=self.learning_rate,
            betas=(0.5, 0.99),
            average=0.9995,  # a step of either network counts as one
            patience=20,  # validation chooses the weights; it does not end the training
            clip=0.0,
            max_seconds=self.max_seconds,
            device=self.device,
            devices=self.devices,
            precision=self.precision,
        )

    def _fit(self, rows: Encoded, schema: Schema, rng: np.random.Generator, progress: Progress) -> None:
        check_torch("the GAN")
        from synth.generators._gan_net import ColumnFacts, GanLearner, Manner

        self._template = rows.take(np.arange(0))
        target = None if schema.target is None else schema.target.name
        last = _target_last(rows.columns, target)
        self._modes = [Modes.of(column, self.modes) for column in last]
        states, positions = self._encode(rows, rng)
        to_classify = len(last) - 1 if last[-1].name == target and last[-1].is_category else None
        sizes = (self.width, self.noise, self.critic_width, self.critic_steps)
        manner = Manner(*sizes, self.gradient_penalty, self.given, self.balance, self.classifier, to_classify)
        make = partial(GanLearner, [ColumnFacts.of(modes) for modes in self._modes], manner)
        seed = int(rng.integers(2**31))
        trained = train(make, (states, positions), self._plan(), seed=seed, progress=progress, checkpoint=self._checkpoint)
        mine = "writer."
        weights = {name.removeprefix(mine): w for name, w in trained.weights.items() if name.startswith(mine)}
        self._writers = Writers(self._modes, self.width, self.noise, [weights]).set_right(JUDGED, rng)
        judged = rng.permutation(rows.rows)[:JUDGED]
        variety = self._variety(states[judged], positions[judged], rng)
        self._facts = {"training": trained.facts, "variety": variety.to_dict()}
        self._say(variety)

    def _private_cost(self, budget: Budget, delta: float, aside: int = 0) -> Curve:
        return private_cost(self, self.name, budget, delta, aside)

    def _fit_private(self, rows: Encoded, schema: Schema, access: Access, progress: Progress) -> None:
        """Modes and frequencies from noisy counts of single columns; what they have to do with each other by DP-SGD."""
        from synth.generators._gan_net import ColumnFacts, Manner
        from synth.generators._private_gan import PrivateGan

        bought = buy(self, rows, schema, access)
        self._template = access.domain.decode(bought.cells[:0], access.rng)
        books = [private_book(*of) for of in zip(access.domain.columns, self._template.columns, bought.counts, strict=True)]
        target = None if schema.target is None else schema.target.name
        self._modes = [Modes.of_book(book, self.modes) for book in _target_last(books, target)]
        sizes = (self.width, self.noise, self.critic_width, self.private_critic_steps)
        manner = Manner(*sizes, self.gradient_penalty, self.given, self.balance, 0.0, None)
        facts = [ColumnFacts.of(modes) for modes in self._modes]
        nets = begun(partial(PrivateGan, facts, manner, bought.how.sampling_rate * bought.rows), access)
        weights = nets.train(
            self._encode(access.domain.decode(bought.cells, access.rng), access.rng),
            bought.how,
            access.noise,
            rate=rate_of(self, bought.how),
            progress=progress,
        )
        writers = Writers(self._modes, self.width, self.noise, weights, self.private_unrelated)
        self._writers = writers.set_right(JUDGED, access.rng)
        strangers = apart(self._modes, self._writers.open(JUDGED), access.rng)  # for real rows, which would cost
        variety = self._variety(strangers.states, strangers.positions, access.rng)
        self._facts = {"training": {"private": asdict(bought.how)}, "variety": variety.to_dict()}
        if variety.is_unusable:
            self._say(variety)

    def _variety(self, states: np.ndarray, positions: np.ndarray, rng: np.random.Generator) -> Variety:
        """What as many rows hold as these that networks have written."""
        written = self._writers.networks_alone.write(self._writers.open(len(states)), rng, {})
        return Variety.of((states, positions), (written.states, written.positions), [modes.name for modes in self._modes])

    def _say(self, variety: Variety) -> None:
        """Tell of a collapse. Raises GenerationError where what is left cannot be used."""
        if variety.is_unusable:
            raise GenerationError(
                f"the GAN has collapsed: {variety};\nlower learning_rate, raise gradient_penalty, or train longer"
            )
        if variety.is_collapsed:
            advice = "its rows lack variety: train longer, or take another method"
            warnings.warn(f"the GAN has partly collapsed: {variety}; {advice}", UserWarning, stacklevel=4)

    # rows as states and positions --------------------------------------------------------------------------------------

    def _encode(self, rows: Encoded, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """States, int32 of shape (rows, columns), and positions, float32 of shape (rows, columns that have them)."""
        states = np.empty((rows.rows, len(self._modes)), dtype=np.int32)
        positions = np.empty((rows.rows, sum(modes.has_position for modes in self._modes)), dtype=np.float32)
        place = 0
        for k, modes in enumerate(self._modes):
            states[:, k], position = modes.encode(rows[modes.name].values, rng)
            if modes.has_position:
                positions[:, place] = position
                place += 1
        return states, positions

    def _decode(self, rows: Written, rng: np.random.Generator, only: Mapping[str, Clause] | None = None) -> Encoded:
        """The rows of these states and positions. only: clauses that decide which of the levels sharing a state are drawn."""
        values, place = {}, 0
        for k, modes in enumerate(self._modes):
            position = np.zeros(len(rows.states))
            if modes.has_position:
                position = rows.positions[:, place]
                place += 1
            clause = (only or {}).get(modes.name)
            drawn_from = modes if clause is None else modes.given(clause)
            values[modes.name] = drawn_from.decode(rows.states[:, k], position, rng)
        return self._template.with_values(values)

    # sampling ----------------------------------------------------------------------------------------------------------

    def _sample(self, n: int, rng: np.random.Generator) -> Encoded:
        return self._decode(self._writers.write(self._writers.open(n), rng, {}), rng)

    def _sample_where(self, n: int, where: Where, rng: np.random.Generator) -> Encoded:
        """Rows that are drawn within the condition and kept by their weight, or, where that keeps too few, given it.

        The first is likelihood weighting (Fung and Chang 1990) with rejection at the largest weight that was seen (Caffo, Booth
        and Davis 2002): its rows are those that the model would draw without the condition. The second are what the writer has
        learned to write under one, for conditions too rare for that.
        """
        clauses = {clause.column: clause for clause in where.clauses}
        chances = {name: self._chances(name, clause) for name, clause in clauses.items()}
        within = {}
        for name, clause in clauses.items():
            share = self._modes[self._place(name)].share(clause)
            of_number = self._modes[self._place(name)].is_number  # the caller turns down what lies beyond its bounds
            within[self._place(name)] = (share > 0).astype(float) if of_number else share
        first = self._writers.write(self._writers.open(PILOT), rng, within)
        highest = float(first.weights.max())
        if first.weights.mean() < highest / MOST_BEGUN or highest <= 0:
            written = self._writers.write(self._given(n, chances, rng), rng, {})
            return self._decode(written, rng, {name: clauses[name] for name in self._chosen(chances)})
        kept: list[Written] = []
        have, begun = 0, 0
        while have < n or not kept:
            size = int(min(MOST_TOGETHER, max(FEWEST_BEGUN, 1.1 * (n - have) * highest / first.weights.mean())))
            rows = self._writers.write(self._writers.open(size), rng, within)
            kept.append(rows.take(np.flatnonzero(rng.random(size) * highest < rows.weights)))
            have, begun = have + len(kept[-1].weights), begun + size
        rows = Written.together(kept).take(np.arange(min(n, have)))
        made = self._decode(rows, rng, clauses)
        return Drawn(made.columns, made.rows, Effort(begun, have, have))

    def _chosen(self, chances: Mapping[str, np.ndarray]) -> list[str]:
        """The clauses that rows are given: all that one state alone can satisfy, or the rarest of the others, if it is rarer.

        How the states that satisfy one clause go with those of another is not known, so one such clause is given alone.
        """
        fixed = [name for name, chance in chances.items() if (chance > 0).sum() == 1]
        rarest = min((name for name in chances if name not in fixed), key=lambda name: float(chances[name].sum()), default=None)
        likely = np.prod([chances[name].sum() for name in fixed])
        return fixed if rarest is None or (fixed and likely <= chances[rarest].sum()) else [rarest]

    def _given(self, n: int, chances: Mapping[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
        """What n rows are given, int64 of shape (n, columns): states drawn by how often they come and satisfy the clause."""
        given = self._writers.open(n)
        for name in self._chosen(chances):
            chance = chances[name]
            given[:, self._place(name)] = rng.choice(len(chance), size=n, p=chance / chance.sum())
        return given

    def _place(self, name: str) -> int:
        return next(k for k, modes in enumerate(self._modes) if modes.name == name)

    def _chances(self, name: str, clause: Clause) -> np.ndarray:
        """The probability of each of a column's states and a draw from it that satisfies a clause."""
        modes = self._modes[self._place(name)]
        chance = modes.share(clause) * modes.counts / modes.counts.sum()
        if not chance.any():
            raise GenerationError(f"no training row was near the condition on {name!r}; widen the condition")
        return np.asarray(chance)

    # cost --------------------------------------------------------------------------------------------------------------

    def _estimate(self, size: TableSize) -> tuple[float, float, float]:
        """Products of matrices, at a rate that includes everything around them; see decision 022."""
        states = sum(
            min(MOST_ATOMS + self.modes, c.distinct) if c.is_number else min(MOST_STATES, c.distinct) for c in size.columns
        )
        columns = len(size.columns)
        writer = (states + self.noise + self.width + states) * self.width + states * states / 2
        critic = (states + 3 * columns + self.critic_width) * self.critic_width
        batch = min(self.batch_rows, size.rows)
        steps = max(1, self.epochs * size.rows / batch)
        work = 2 * batch * (self.critic_steps * (9 * critic + writer) + 3 * (writer + critic))
        around = 3e-4 * columns * (self.critic_steps + 3)
        training = steps * (work / 4e10 + around)
        seconds = 2.0 + (training if self.max_seconds is None else min(training, self.max_seconds))
        weights = 4 * (writer + critic)
        peak = 4 * size.rows * 2 * columns + 40 * batch * (states + self.width) * 4 + 8 * weights + 300e6
        return seconds, peak, 4 * writer + 16 * sum(c.distinct for c in size.columns if not c.is_number)

    def _plans(self) -> Iterator[Mapping[str, Any]]:
        for rows in (64, FEWEST_TOGETHER):
            if rows < self.batch_rows:
                yield {"batch_rows": rows}

    # saving ------------------------------------------------------------------------------------------------------------

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        writers = enumerate(self._writers.weights)
        arrays = {f"weights.{number}.{name}": weight for number, weights in writers for name, weight in weights.items()}
        for k, modes in enumerate(self._modes):
            arrays |= modes.to_arrays(f"{k}")
        arrays |= {f"knots.{place}": knots for place, knots in enumerate(self._writers.knots)} | {"bias": self._writers.bias}
        columns = [{"name": m.name, "null": m.has_null, "between": m.between} for m in self._modes]
        return {"columns": columns, "unrelated": self._writers.unrelated, **self._facts}, arrays

    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray], template: Encoded) -> None:
        self._template = template
        self._modes = [
            Modes.from_arrays(f"{k}", arrays, template[column["name"]], column["null"], column["between"])
            for k, column in enumerate(state["columns"])
        ]
        weights: defaultdict[int, dict[str, np.ndarray]] = defaultdict(dict)
        for name, values in arrays.items():
            if name.startswith("weights."):
                number, parameter = name.removeprefix("weights.").split(".", 1)
                if number.isdigit():
                    weights[int(number)][parameter] = values
                else:  # as models were saved that had one writer always
                    weights[0][f"{number}.{parameter}"] = values
        in_order = [weights[number] for number in sorted(weights)]
        knots = [arrays[f"knots.{place}"] for place in range(sum(modes.has_position for modes in self._modes))]
        sizes = (self._modes, self.width, self.noise)
        bias = np.atleast_2d(arrays["bias"])
        self._writers = Writers(*sizes, in_order, state.get("unrelated", 0.0), bias, knots)
        self._facts = {"training": state["training"], "variety": state["variety"]}
