"""Rows from an any-order network: freely, under a condition, with holes filled in; and how likely rows are.

Columns that a condition names are drawn first. Where it leaves one value that is exact at once. Other columns are drawn from
what their clause allows, which alone would be biased: an early value after which a later clause is unlikely would come too
often. So each beginning of a row has a weight, the share of the model's probability that its clauses allowed. It is kept with
the probability of its weight (rejection, von Neumann 1951), and rows are exact and independent; where that would keep too few,
beginnings are drawn by weight (sampling-importance-resampling, Rubin 1987), and the rows say what they are worth (Kish).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from synth.data.conditions import Clause
from synth.errors import GenerationError
from synth.generators._any_order import AnyOrder
from synth.generators._effort import Effort

BLOCK = 8_192  # rows that are drawn together, from one seed
MOST_BEGUN, MOST_PER_ROW = 500_000, 50  # rows begun in all, or per row wanted where that is more
FEWEST_BEGUN = 4_096  # rows begun at a time, at least
WORTH = 3.0  # independent beginnings per row wanted, by weight, before these are drawn from
FEWEST_EFFECTIVE = 0.1  # share of the rows that must be independent ones
UNSEEN = 1e-9  # likelihood of a value that is never drawn, given the token nearest to it

Arrays = dict[str, np.ndarray]


class Drawing:
    """Draws from one network. order: the columns as they are drawn, by their places."""

    def __init__(self, net: AnyOrder) -> None:
        self.net, self.coders, self.order = net, net.layout.coders, net.layout.order
        self.place = {coder.name: column for column, coder in enumerate(self.coders)}

    # free ----------------------------------------------------------------------------------------------------------------

    def sample(self, n: int, rng: np.random.Generator) -> Arrays:
        """n rows, as encoded values by column."""
        return in_blocks(n, lambda rows, rng: self._go_on(self._nothing(rows.stop - rows.start), self.order, rng), rng)

    def _nothing(self, rows: int) -> _Begun:
        return _Begun(np.zeros(rows, dtype=np.int64), self.net.start[None])

    def _go_on(self, begun: _Begun, columns: Sequence[int], rng: np.random.Generator) -> Arrays:
        """Values of these columns, one after another."""
        values = {}
        for column in columns:
            codes, _ = self.net.draw(column, self.net.trunk(begun.x), rng, of=begun.of)
            values[self.coders[column].name] = self.coders[column].decode(codes, rng)
            begun = begun.having(self.net, column, codes)
        return values

    # under a condition -----------------------------------------------------------------------------------------------------

    def sample_where(self, n: int, clauses: Mapping[str, Clause], rng: np.random.Generator) -> tuple[Arrays, Effort]:
        """n rows that satisfy the clauses, and what they cost. Raises GenerationError where too few are found."""
        fixed = {name: value for name, clause in clauses.items() if (value := _only(clause)) is not None}
        x = self.net.start
        for name, value in fixed.items():
            coder = self.coders[self.place[name]]
            codes = coder.encode(value)
            if not coder.chance(value, codes)[0] > 0:
                raise _never([name])
            x = x + self.net.embed(self.place[name], codes)[0]
        open_ = {name: clause for name, clause in clauses.items() if name not in fixed}
        begun, effort = self._begin(n, open_, x, rng)
        rest = [column for column in self.order if self.coders[column].name not in clauses]

        def block(rows: slice, rng: np.random.Generator) -> Arrays:
            start = _Begun(np.zeros(rows.stop - rows.start, dtype=np.int64), x[None])
            for name in open_:
                start = start.having(self.net, self.place[name], begun[f"codes {name}"][rows])
            return self._go_on(start, rest, rng)

        values = in_blocks(n, block, rng)
        values |= {name: np.repeat(value, n) for name, value in fixed.items()}
        return values | {name: begun[f"values {name}"] for name in open_}, effort

    def _begin(self, n: int, clauses: Mapping[str, Clause], x: np.ndarray, rng: np.random.Generator) -> tuple[Arrays, Effort]:
        """Codes and values of the columns with a clause, for n rows that satisfy them all."""
        if not clauses:
            return {}, Effort(n, n, n)
        allowed, bound = self._allowed(clauses, x)

        def block(rows: slice, rng: np.random.Generator) -> Arrays:
            begun = _Begun(np.zeros(rows.stop - rows.start, dtype=np.int64), x[None])
            weight = np.full(rows.stop - rows.start, 1.0 / bound)
            drawn: Arrays = {}
            for name in allowed:
                column, coder = self.place[name], self.coders[self.place[name]]
                codes, mass = self.net.draw(column, self.net.trunk(begun.x), rng, of=begun.of, allowed=allowed[name])
                weight = weight * mass
                alive = np.flatnonzero(weight > 0)
                value = coder.decode(codes[alive], rng, clauses[name])
                alive, value = alive[holds := clauses[name].holds(value)], value[holds]
                drawn = {key: array[alive] for key, array in drawn.items()}
                drawn |= {f"codes {name}": codes[alive], f"values {name}": value}
                begun, weight = begun.take(alive), weight[alive]
                begun = begun.having(self.net, column, drawn[f"codes {name}"])
            return drawn | {"weight": weight, "kept": rng.random(len(weight)) < weight}

        return _chosen(n, block, list(clauses), bound, rng)

    def _allowed(self, clauses: Mapping[str, Clause], x: np.ndarray) -> tuple[dict[str, list[np.ndarray | None]], float]:
        """What each clause allows of its column's tokens, in the order in which they are drawn: the rarest clause first. And
        the probability of that one: no row can weigh more."""
        h = self.net.trunk(x[None])
        shares = {name: self.coders[self.place[name]].shares(clause) for name, clause in clauses.items()}
        exact = {name: self._exactly(self.place[name], h, allowed) for name, allowed in shares.items()}
        first, *others = sorted(clauses, key=lambda name: exact[name][1])
        allowed, bound = exact[first]
        if bound <= 0:
            raise _never([first])
        # the others' first tokens as a whole or not at all, so that no weight exceeds 1
        return {first: allowed, **{name: [np.ceil(shares[name][0]), *shares[name][1:]] for name in others}}, bound  # type: ignore[arg-type]

    def _exactly(self, column: int, h: np.ndarray, allowed: list[np.ndarray | None]) -> tuple[list[np.ndarray | None], float]:
        """The shares of a column that all rows draw alike: of the first token what the second really allows; and of all."""
        p = self.net.shares(column, h)[0].astype(np.float64)
        first = allowed[0]
        assert first is not None
        if len(allowed) > 1 and allowed[1] is not None:
            start, levels = self.net.layout.starts[column], np.flatnonzero(first)
            levels = levels[levels < len(first) - self.coders[column].has_null].astype(np.int32)
            within = self.net.later_shares(
                start + 1, np.repeat(h, len(levels), axis=0), levels, self.net.vector(start, levels, levels)
            ).astype(np.float64)
            first = first.copy()
            first[levels] = (within * allowed[1][levels]).sum(axis=1) / within.sum(axis=1)
        return [first, *allowed[1:]], float((p * first).sum() / p.sum())

    # filling in, and likelihood ----------------------------------------------------------------------------------------------

    def impute(self, values: Mapping[str, np.ndarray], null: Mapping[str, np.ndarray], rng: np.random.Generator) -> Arrays:
        """The values with draws given all that is not null, in the default order, where they are."""
        total = len(next(iter(values.values())))

        def block(rows: slice, rng: np.random.Generator) -> Arrays:
            x = np.repeat(self.net.start[None], rows.stop - rows.start, axis=0)
            filled = {name: column[rows].copy() for name, column in values.items()}
            holes = {name: np.flatnonzero(column[rows]) for name, column in null.items()}
            for column, coder in enumerate(self.coders):
                seen = np.flatnonzero(~null[coder.name][rows])
                x[seen] += self.net.embed(column, coder.encode(filled[coder.name][seen]))
            for column in self.order:
                coder, hole = self.coders[column], holes[self.coders[column].name]
                if not len(hole):
                    continue
                present = np.ones(coder.tokens[0].levels)
                present[len(present) - coder.has_null :] = 0
                allowed = [present, *([None] * (len(coder.tokens) - 1))]
                codes, _ = self.net.draw(column, self.net.trunk(x[hole]), rng, allowed=allowed)
                filled[coder.name][hole] = coder.decode(codes, rng)
                x[hole] += self.net.embed(column, codes)
            return filled

        return in_blocks(total, block, rng)

    def score(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Log-probability with which `sample` draws each row, float64 of shape (rows,): the chain rule in the default order."""

        def block(rows: slice, rng: np.random.Generator) -> Arrays:
            x, total = np.repeat(self.net.start[None], rows.stop - rows.start, axis=0), np.zeros(rows.stop - rows.start)
            for column in self.order:
                coder = self.coders[column]
                value = values[coder.name][rows]
                codes = coder.encode(value)
                total += self.net.log_chance(column, self.net.trunk(x), codes)
                total += np.log(np.maximum(coder.chance(value, codes), UNSEEN))
                x += self.net.embed(column, codes)
            return {"score": total}

        return in_blocks(len(next(iter(values.values()))), block, np.random.default_rng(0))["score"]


class _Begun:
    """Rows of which something is known. of: which row of x, what is known, each is; several may be alike."""

    def __init__(self, of: np.ndarray, x: np.ndarray) -> None:
        self.of, self.x = of, x

    def having(self, net: AnyOrder, column: int, codes: np.ndarray) -> _Begun:
        """The same rows with one more column, of which these are the tokens."""
        if codes.shape[1] > 1 or len(self.x) >= len(self.of):
            return _Begun(np.arange(len(self.of)), self.x[self.of] + net.embed(column, codes))
        levels = net.layout.tokens[net.layout.starts[column]].levels
        pair, of = np.unique(self.of * levels + codes[:, 0], return_inverse=True)
        x = self.x[pair // levels] + net.embed(column, (pair % levels).astype(np.int32)[:, None])
        return _Begun(of, x)

    def take(self, rows: np.ndarray) -> _Begun:
        return _Begun(self.of[rows], self.x)


def _chosen(
    n: int, block: Callable[[slice, np.random.Generator], Arrays], names: list[str], bound: float, rng: np.random.Generator
) -> tuple[Arrays, Effort]:
    """n of the rows that `block` begins: those kept by rejection where they are enough, else some by weight."""
    budget = max(MOST_BEGUN, MOST_PER_ROW * n)
    parts: list[Arrays] = []
    begun = have = 0
    while have < n or not parts:
        left = budget - begun
        rate = (have + 1) / (begun + 1) if parts else 1.0
        if left <= 0 or (parts and (n - have) / rate > left and begun >= FEWEST_BEGUN and _worth(parts) >= WORTH * n):
            return _by_weight(n, parts, begun, names, bound, rng)
        size = int(min(left, max(FEWEST_BEGUN if parts else 1, 1.1 * (n - have) / rate + 16)))
        parts.append(in_blocks(size, block, rng))
        begun, have = begun + size, have + int(parts[-1]["kept"].sum())
    rows = {key: np.concatenate([part[key][part["kept"]] for part in parts])[:n] for key in parts[0]}
    return rows, Effort(begun, have, have)


def _worth(parts: list[Arrays]) -> float:
    weight = np.concatenate([part["weight"] for part in parts])
    return float(weight.sum() ** 2 / max(1e-300, (weight**2).sum()))


def _by_weight(
    n: int, parts: list[Arrays], begun: int, names: list[str], bound: float, rng: np.random.Generator
) -> tuple[Arrays, Effort]:
    """n rows drawn by weight, evenly spread (systematic resampling, Kitagawa 1996), in a random order."""
    rows = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    ends = np.cumsum(rows["weight"])
    asked = f"the condition on {', '.join(names)}"
    if not len(ends) or ends[-1] <= 0:
        raise GenerationError(
            f"of {begun:,} rows begun, none satisfies {asked}: the model gives it a probability below "
            f"{3 * bound / begun:.1g};\nwiden the condition"
        )
    places = np.minimum(np.searchsorted(ends, (np.arange(n) + rng.random()) / n * ends[-1], side="right"), len(ends) - 1)
    effective = n**2 / (np.unique(places, return_counts=True)[1] ** 2).sum()
    if effective < FEWEST_EFFECTIVE * n:
        raise GenerationError(
            f"of {begun:,} rows begun, about {effective:,.0f} independent ones satisfy {asked}; {n:,} were asked for.\n"
            f"Ask for at most {effective:,.0f}, or widen the condition."
        )
    places = rng.permutation(places)
    return {key: array[places] for key, array in rows.items()}, Effort(begun, n, effective)


def _only(clause: Clause) -> np.ndarray | None:
    """The one encoded value that a clause allows, shape (1,); None where there are several."""
    if clause.codes is not None:
        return np.array(list(clause.codes), dtype=np.int32) if len(clause.codes) == 1 else None
    if clause.null:
        return np.array([np.nan])
    if clause.values is not None:
        values = np.array(sorted(clause.values))
        values = values[clause.holds(values)]
        return values if len(values) == 1 else None
    return np.array([clause.low]) if clause.low == clause.high else None


def _never(names: list[str]) -> GenerationError:
    return GenerationError(
        f"the model gives no row with this condition on {', '.join(names)}: no training row was near it;\nwiden the condition"
    )


def in_blocks(n: int, draw: Callable[[slice, np.random.Generator], Arrays], rng: np.random.Generator) -> Arrays:
    """What `draw` gives for each block of rows, put together; blocks side by side, one thread each."""
    from threadpoolctl import threadpool_limits

    blocks = [slice(begin, min(n, begin + BLOCK)) for begin in range(0, n, BLOCK)] or [slice(0, 0)]
    seeds = rng.integers(2**63, size=len(blocks))
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(min(len(blocks), os.cpu_count() or 1)) as pool:
        parts = list(pool.map(draw, blocks, map(np.random.default_rng, seeds)))
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
