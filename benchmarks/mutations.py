"""Faults of privacy that were found in real libraries, planted, each with the audit that has to catch it.

Each function runs one audit, on sound code or with the fault planted, and says whether it raised the alarm. The tests run them
at a size that CI can, on noise from seeds; `benchmarks.audits` counts how often each is caught, on the noise that is shipped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import count
from typing import Any
from unittest.mock import patch

import numpy as np

from synth.data.schema import Column, Kind, Schema
from synth.data.table import Table
from synth.generators._exact_counts import ExactCounts
from synth.generators._factors import Columns, NoisyMarginal
from synth.generators._product_mixture import ProductMixture
from synth.generators.marginals import Marginals, learn
from synth.privacy import mechanisms
from synth.privacy.accounting import dpsgd_curve, zcdp_epsilon
from synth.privacy.allowance import Allowance
from synth.privacy.audit import (
    WORST,
    WORST_SIZES,
    Audit,
    Pair,
    attempts,
    audit_epsilon,
    audit_mu,
    audit_rate,
    choice_mu,
    gaussian_mu,
    likelihood_ratio,
)
from synth.privacy.columns import PrivateColumn
from synth.privacy.domains import PrivateDomain, encode_rows
from synth.privacy.mechanisms import Noise
from synth.privacy.neighbours import NEIGHBOURS, told_apart
from synth.progress import silent

MICRO_RHO = 1_783_000  # ε = 10 at δ = 1e-5: the larger the claim, the fewer runs a fault of the same kind takes to show
SMALL_RHO = 30_600  # ε = 1
DELTA = 1e-3  # of a threshold: 1e-5 could not be told from nothing in thousands of runs
RUNS = 600  # a side, of which half are held out: at this size each fault is caught in well over 95% of audits

NewNoise = Callable[[], Noise]


@dataclass(frozen=True)
class Mutation:
    """A fault, where it was found, and an audit: `alarm(planted, seed, runs)`; a seed of None is the noise that is shipped."""

    name: str
    found_in: str
    audit: str
    alarm: Callable[[bool, int | None, int], bool]


def noises(micro_rho: int, seed: int | None, *, delta: float = 0.0) -> NewNoise:
    """What gives a new noise with an allowance of its own for each run."""
    numbers = count(0 if seed is None else 10**6 * seed)
    return lambda: Noise(Allowance(micro_rho), delta=delta, seed=None if seed is None else next(numbers))


def measured(codes: np.ndarray, noise: Noise, micro_rho: int) -> NoisyMarginal:
    """The counts of all three columns together."""
    return ExactCounts(codes, WORST_SIZES, "abc", 1).measure((0, 1, 2), noise, micro_rho)


# noise and spending ------------------------------------------------------------------------------------------------------


def half_the_noise(planted: bool, seed: int | None, runs: int = RUNS) -> bool:
    """Noise at half the scale that is paid for, as where ε is halved twice or sensitivity forgotten."""

    def release(codes: np.ndarray, noise: Noise) -> list[NoisyMarginal]:
        with less_noise() if planted else nullcontext():
            return [measured(codes, noise, MICRO_RHO)]

    tries = attempts(release, likelihood_ratio, noises(MICRO_RHO, seed), runs=runs)
    return not audit_mu("counts", gaussian_mu(MICRO_RHO), tries).holds


def double_spend(planted: bool, seed: int | None, runs: int = RUNS) -> bool:
    """Two measurements that each cost the whole: the allowance looks at its total, and not at what is left."""
    half = MICRO_RHO // 2

    def release(codes: np.ndarray, noise: Noise) -> list[NoisyMarginal]:
        with patch.object(Allowance, "left", property(lambda self: self.total)) if planted else nullcontext():
            return [measured(codes, noise, MICRO_RHO if planted else half) for _ in range(2)]

    tries = attempts(release, likelihood_ratio, noises(MICRO_RHO, seed), runs=2 * runs)  # √2 of its claim, no more
    return not audit_mu("two counts", math.sqrt(2) * gaussian_mu(half), tries).holds


def cheap_choice(planted: bool, seed: int | None, runs: int = RUNS) -> bool:
    """A choice with half the noise, which costs four times what it says (opendp#2911)."""
    scores = {4: np.array([0.0, 1.0]), 5: np.array([1.0, 0.0])}  # by rows; one unit moves both candidates, apart

    def release(codes: np.ndarray, noise: Noise) -> int:
        with less_noise() if planted else nullcontext():
            return noise.choose(scores[len(codes)], MICRO_RHO, sensitivity=1, what="a choice")

    tries = attempts(release, lambda chosen, _: float(chosen == 0), noises(MICRO_RHO, seed), runs=runs)
    return not audit_mu("a choice", choice_mu(MICRO_RHO), tries).holds


@contextmanager
def less_noise(part: float = 2) -> Iterator[None]:
    """All noise at half its scale, or another part, whether from a seed or not; the question what it costs is not asked."""
    scale = mechanisms.sigma
    with (
        patch.object(mechanisms, "sigma", lambda *given: scale(*given) / part),
        patch.object(mechanisms, "_affordable", lambda make, scale, *_: make(scale)),
    ):
        yield


# facts read off the rows -------------------------------------------------------------------------------------------------


def raw_bounds(planted: bool, seed: int | None, runs: int = RUNS) -> bool:
    """The least and the largest value seen stand for the bounds (synthcity, smartnoise, dpmm)."""

    def of_rows(schema: Schema, table: Table) -> Schema:
        values = table.column("size").to_numpy()
        return schema.with_columns(
            *(
                replace(c, minimum=int(values.min()), maximum=int(values.max())) if c.name == "size" else c
                for c in schema.columns
            )
        )

    return bool(told_apart(_domain(of_rows if planted else None), *NEIGHBOURS["an extreme"]))


def raw_categories(planted: bool, seed: int | None, runs: int = RUNS) -> bool:
    """The categories seen stand for the legal ones."""

    def of_rows(schema: Schema, table: Table) -> Schema:
        seen = tuple(sorted(set(table.column("kind").to_pylist())))
        return schema.with_columns(*(replace(c, categories=seen) if c.name == "kind" else c for c in schema.columns))

    return bool(told_apart(_domain(of_rows if planted else None), *NEIGHBOURS["a unique category"]))


def raw_nulls(planted: bool, seed: int | None, runs: int = RUNS) -> bool:
    """A column may be null if one of the rows is."""

    def of_rows(schema: Schema, table: Table) -> Schema:
        null = table.column("share").null_count > 0
        return schema.with_columns(*(replace(c, nullable=null) if c.name == "share" else c for c in schema.columns))

    return bool(told_apart(_domain(of_rows if planted else None), *NEIGHBOURS["a single null"]))


def dropped_constants(planted: bool, seed: int | None, runs: int = RUNS) -> bool:
    """Columns that hold a single value are left out."""

    def of_rows(schema: Schema, table: Table) -> Schema:
        return Schema(tuple(c for c in schema.columns if len(table.column(c.name).unique()) > 1))

    pair = NEIGHBOURS["the row that keeps a column from being constant"]
    return bool(told_apart(_domain(of_rows if planted else None), *pair))


def _domain(of_rows: Callable[[Schema, Table], Schema] | None) -> Callable[[Table], Any]:
    """The cells of a table: all that is decided before anything is counted."""

    def fit(table: Table) -> Any:
        schema = table.schema if of_rows is None else of_rows(table.schema, table)
        held = Table(table.arrow.select(schema.names), schema)
        domain = PrivateDomain.of(encode_rows(held), schema)
        return {"domain": domain.to_dict(), "sizes": domain.sizes, "schema": domain.schema(schema).to_dict()}

    return fit


def naive_threshold(planted: bool, seed: int | None, runs: int = RUNS) -> bool:
    """Categories are shown from a noisy count of 1 on, so one that a single row has shows every other time."""

    def shown(noise: Noise) -> bool:
        with patch.object(mechanisms, "threshold", lambda *_, **__: 1) if planted else nullcontext():
            return "rare" in noise.thresholded({"usual": 40, "rare": 1}, SMALL_RHO, DELTA, what="categories")

    return not unique_category("categories", shown, noises(SMALL_RHO, seed, delta=DELTA), runs).holds


def unique_category(what: str, shown: Callable[[Noise], bool], new_noise: NewNoise, runs: int) -> Audit:
    """How often a category is told of that one row alone has, beside δ."""
    return audit_rate(what, DELTA, sum(shown(new_noise()) for _ in range(runs)), runs)


# what is used again ------------------------------------------------------------------------------------------------------


def raw_conditions(planted: bool, seed: int | None, runs: int = RUNS) -> bool:
    """Rows are drawn given classes as frequent as in the data (smartnoise DP-CTGAN), not as in the noisy counts."""

    def release(codes: np.ndarray, noise: Noise) -> np.ndarray:
        counts = ExactCounts(codes, WORST_SIZES, "abc", 1)
        noisy = counts.measure((0,), noise, SMALL_RHO).counts
        frequencies = np.asarray(counts[(0,)] if planted else np.maximum(noisy, 1), dtype=float)
        return frequencies / frequencies.sum()

    tries = attempts(release, lambda conditions, _: float(conditions[1]), noises(SMALL_RHO, seed), runs=runs)
    return not audit_epsilon("conditions", zcdp_epsilon(SMALL_RHO / 1e6, 1e-5), 1e-5, tries).holds


def raw_conditions_of_gan(planted: bool, seed: int | None, runs: int = RUNS) -> bool:
    """The same in the GAN's own code: what its writer is given follows from exact counts, not from those that were bought."""
    from synth.generators import _private_cells
    from synth.generators._gan_net import ColumnFacts
    from synth.generators._modes import Modes
    from synth.generators._private_gan import conditions

    columns = tuple(Column(name, Kind.CATEGORICAL, categories=("a", "b"), declared=("categories",)) for name in "abc")
    domain = PrivateDomain(tuple(PrivateColumn(column) for column in columns))
    like = domain.decode(np.zeros((0, 3), dtype=np.int32), np.random.default_rng(0)).columns

    def release(codes: np.ndarray, noise: Noise) -> np.ndarray:
        counts = _private_cells.counted(domain, codes, noise, rows_per_unit=1)
        if planted:
            counts = [np.bincount(codes[:, place], minlength=2).astype(float) for place in range(3)]
        books = [_private_cells.private_book(*of) for of in zip(domain.columns, like, counts, strict=True)]
        return np.array([float(share[1]) for share in conditions([ColumnFacts.of(Modes.of_book(book, 5)) for book in books])])

    # a state that nobody has counts as one row, so here some have each of them
    pair = Pair(*(np.array([(0, 0, 0)] * 4 + [(1, 1, 1)] * ones, dtype=np.int32) for ones in (3, 4)))
    tries = attempts(release, lambda shares, _: float(shares.sum()), noises(SMALL_RHO, seed), runs=runs, pair=pair)
    return not audit_epsilon("conditions of gan", zcdp_epsilon(SMALL_RHO / 1e6, 1e-5), 1e-5, tries).holds


def refit_in_sampling(planted: bool, seed: int | None, runs: int = RUNS) -> bool:
    """Each call of `sample` measures the rows again (synthcity AIM), here three; a sound model knows one measurement alone."""
    samples = 3

    def release(codes: np.ndarray, noise: Noise) -> list[NoisyMarginal]:
        drawn_again = [again() for _ in range(samples - 1)] if planted else []
        return [measured(codes, one, MICRO_RHO) for one in (noise, *drawn_again)]

    again = noises(MICRO_RHO, None if seed is None else seed + 1_000)
    tries = attempts(release, likelihood_ratio, noises(MICRO_RHO, seed), runs=runs)
    return not audit_mu("a few samples", gaussian_mu(MICRO_RHO), tries).holds


def raw_training(planted: bool, seed: int | None, runs: int = RUNS) -> bool:
    """A network is trained on the counts themselves, and the noisy ones are only shown.

    Both sides are made to choose and release the same, whatever their rows are: a sound model follows from that alone.
    """
    from synth.generators._marginal_net import Fitting

    usual, train = ExactCounts(WORST.without, WORST_SIZES, "abc", 1), Fitting.fit

    class Same(ExactCounts):
        def measure(self, columns: Columns, noise: Noise, micro_rho: int) -> NoisyMarginal:
            return usual.measure(columns, noise, micro_rho)

    def fit(codes: np.ndarray) -> Any:
        counts = Same(codes, WORST_SIZES, "abc", 1)

        def on_rows(self: Fitting, released: Sequence[NoisyMarginal], steps: int, **given: Any) -> ProductMixture:
            raw = [NoisyMarginal(one.columns, counts[one.columns], one.sigma) for one in released]
            return train(self, raw if planted else released, steps, **given)

        how = Marginals(method="network", rounds=2, iterations=3, components=8)
        with patch.object(Noise, "choose", _in_turn), patch.object(Fitting, "fit", on_rows):
            model, released = learn(counts, Noise(Allowance(SMALL_RHO), seed=seed or 0), how, silent)
        return {"model": model, "released": released}

    return bool(told_apart(fit, WORST.without, WORST.with_))


def _in_turn(noise: Noise, scores: np.ndarray, micro_rho: int, *, sensitivity: float, what: str) -> int:
    """A choice that no score has a say in."""
    noise.allowance.spend(micro_rho, what)
    return len(noise.allowance.spent) % len(scores)


# DP-SGD ------------------------------------------------------------------------------------------------------------------

STEPS, RATE, NOISE, LOOSE = 64, 0.25, 2.0, 0.1  # of a training; LOOSE is the δ at which lots and shuffles lie furthest apart
OTHERS = 16  # rows whose gradients all point away from the unit's
ONE_STEP = Pair(-np.ones((OTHERS, 1)), np.append(-np.ones((OTHERS, 1)), [[1.0]], axis=0))


def shuffled_batches(planted: bool, seed: int | None, runs: int = RUNS) -> bool:
    """Batches of a fixed size from rows in random order, accounted as if each row were drawn by its own lot (synthcity DPGAN).

    The size of such a batch is known, so the one that holds the unit stands out by twice its gradient.
    """
    from synth.privacy import dpsgd

    size, in_a_pass = round(RATE * OTHERS), round(1 / RATE)

    def sums(gradients: np.ndarray, noise: Noise) -> np.ndarray:
        """Of the gradients in each batch, all steps at once: float64 of shape (steps,)."""
        rows = len(gradients)
        if planted:
            rng = np.random.default_rng(int.from_bytes(noise.entropy(8), "little"))
            passes = rng.permuted(np.tile(np.arange(rows), (STEPS // in_a_pass, 1)), axis=1)[:, : size * in_a_pass]
            return np.asarray(gradients[passes.reshape(STEPS, size)].sum(axis=1))
        lots = np.zeros(STEPS * rows)
        lots[dpsgd.drawn(STEPS * rows, RATE, noise.entropy)] = 1
        return np.asarray(lots.reshape(STEPS, rows) @ gradients)

    def release(gradients: np.ndarray, noise: Noise) -> np.ndarray:
        return dpsgd.blurred(sums(gradients[:, 0], noise), NOISE, noise.entropy) * NOISE

    def score(steps: np.ndarray, _: Pair) -> float:
        """The likelihood ratio of shuffled batches, of which one in each pass holds the unit."""
        logs = (steps + size - 1) * 2 / NOISE**2
        return float(np.logaddexp.reduce(logs.reshape(-1, in_a_pass), axis=1).sum())

    claim = dpsgd_curve(NOISE, RATE, STEPS).epsilon(LOOSE)
    tries = attempts(release, score, noises(1, seed), runs=2 * runs, pair=ONE_STEP)  # small beside its claim, and quick
    return not audit_epsilon("DP-SGD", claim, LOOSE, tries).holds


MUTATIONS = (
    Mutation("half the noise", "a forgotten sensitivity", "white box, μ", half_the_noise),
    Mutation("double spend", "what is left is not looked at", "white box, μ", double_spend),
    Mutation("cheap choice", "opendp#2911", "black box, μ", cheap_choice),
    Mutation("raw minimum and maximum", "synthcity, smartnoise, dpmm", "neighbours", raw_bounds),
    Mutation("raw categories", "dpmm, dpsynth", "neighbours", raw_categories),
    Mutation("raw nulls", "NaN flags read off the data", "neighbours", raw_nulls),
    Mutation("dropped constants", "constant columns left out", "neighbours", dropped_constants),
    Mutation("naive threshold", "observed categories sold as pure DP", "rate of a unique category", naive_threshold),
    Mutation("raw condition vector", "smartnoise DP-CTGAN", "black box, ε", raw_conditions),
    Mutation("raw condition vector in gan", "smartnoise DP-CTGAN", "black box, ε", raw_conditions_of_gan),
    Mutation("refit in sampling", "synthcity AIM", "white box, μ", refit_in_sampling),
    Mutation("raw training", "counts only shown with noise", "neighbours", raw_training),
    Mutation("shuffled batches", "synthcity DPGAN", "white box, ε", shuffled_batches),
)
