"""Columns as tokens: small whole numbers that a network can draw one after another, and back.

A category is one token, or two where it has hundreds of levels: a group of levels about as common, and the level in it. A
number is a bin, and a piece of it where values are many (see `_bins`). A moment is a day, or a week and a weekday where
days hardly repeat, then a time of day. Null is one more value of a column's first token; its other tokens are then -1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from synth.data.conditions import Clause
from synth.data.encoding import EncodedColumn
from synth.generators._bins import Scale
from synth.generators._codes import OFTEN

MOST_LEVELS = 256  # a category with more levels is told by two tokens
NEVER = -1e9  # log-probability of what cannot be
MONDAY = 3  # 1970-01-01 was a Thursday: three days after one


@dataclass(frozen=True, eq=False)
class Token:
    """One token of a column.

    prior: log-probabilities in the training rows, float32 of shape (levels,), or (levels of the token before, levels) where
    `nested`: what the token means then depends on the one before. place: for the pieces of a bin, where in the bin each lies,
    in [-1, 1], shape as the prior's; None: a label. line: how many of the levels, the first ones, lie on a line.
    """

    prior: np.ndarray
    nested: bool = False
    place: np.ndarray | None = None
    line: int = 0

    @property
    def levels(self) -> int:
        return int(self.prior.shape[-1])


class Coder(Protocol):
    """A column's way into tokens and back. Arrays of tokens have shape (rows, tokens)."""

    @property
    def name(self) -> str: ...

    @property
    def has_null(self) -> bool: ...

    @property
    def tokens(self) -> tuple[Token, ...]: ...

    def encode(self, values: np.ndarray) -> np.ndarray:
        """The tokens of encoded values; of a value that no token stands for, those of the nearest one."""

    def decode(self, codes: np.ndarray, rng: np.random.Generator, clause: Clause | None = None) -> np.ndarray:
        """Encoded values, drawn given their tokens and, as far as `shares` knows it, the clause."""

    def chance(self, values: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """How likely `decode` gives these values for these tokens; 0 for a value that it cannot give."""

    def shares(self, clause: Clause) -> list[np.ndarray | None]:
        """For each token, which share of its draws can satisfy the clause, in the shape of its prior; None: all."""

    def to_arrays(self, prefix: str) -> dict[str, np.ndarray]: ...


def coder_of(column: EncodedColumn, bins: int) -> Coder:
    """Learn how a column is told by tokens, from its training rows."""
    null = column.null
    nulls = int(null.sum())
    if column.levels is not None:
        return Levels(column.name, np.bincount(column.values[~null], minlength=column.levels), nulls)
    if column.per_day is None:
        return Numbers(column.name, nulls, Scale.of(column, bins))
    return Moments.of(column, nulls, bins)


def coder_from(column: EncodedColumn, prefix: str, arrays: Mapping[str, np.ndarray]) -> Coder:
    """The inverse of `to_arrays`; `column` is the template's."""
    facts = arrays[f"{prefix}.facts"]
    if column.levels is not None:
        return Levels(column.name, arrays[f"{prefix}.counts"], int(facts[0]))
    if column.per_day is None:
        return Numbers(column.name, int(facts[0]), Scale.from_arrays(f"{prefix}.scale", arrays))
    time = Scale.from_arrays(f"{prefix}.time", arrays) if column.per_day > 1 else None
    weekdays = arrays.get(f"{prefix}.weekdays")
    return Moments(column.name, int(facts[0]), column.per_day, Scale.from_arrays(f"{prefix}.days", arrays), weekdays, time)


def log_shares(mass: np.ndarray) -> np.ndarray:
    """Log of the shares along the last axis; one row more is spread over all, so that none is 0."""
    mass = mass + 1 / max(1, mass.shape[-1])
    return np.asarray(np.log(mass / mass.sum(axis=-1, keepdims=True)), dtype=np.float32)


# categories --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Levels:
    """A category. counts: training rows per level; nulls: rows without one."""

    name: str
    counts: np.ndarray
    nulls: int

    @property
    def has_null(self) -> bool:
        return self.nulls > 0

    @cached_property
    def is_large(self) -> bool:
        return len(self.counts) > MOST_LEVELS

    @cached_property
    def order(self) -> np.ndarray:
        """Levels from common to rare: neighbours share a group."""
        return np.argsort(-self.counts, kind="stable")

    @cached_property
    def width(self) -> int:
        """Levels in a group, about as many as there are groups."""
        return int(np.ceil(np.sqrt(len(self.counts)))) if self.is_large else 1

    @cached_property
    def rank(self) -> np.ndarray:
        """The place of each level: its group times `width`, plus its place there."""
        rank = np.arange(len(self.counts))
        if self.is_large:
            rank[self.order] = np.arange(len(self.counts))
        return rank

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        null = [float(self.nulls)] if self.has_null else []
        if not self.is_large:
            return (Token(log_shares(np.concatenate([self.counts, null]))),)
        table = self._by_group(self.counts.astype(np.float64), np.nan)
        prior = log_shares(np.nan_to_num(table))
        prior[np.isnan(table)] = NEVER
        groups = np.concatenate([np.nansum(table, axis=1), null])
        return Token(log_shares(groups)), Token(np.vstack([prior, *([prior[:1]] if null else [])]), nested=True)

    def _by_group(self, of_levels: np.ndarray, nothing: float) -> np.ndarray:
        table = np.full((-(-len(self.counts) // self.width), self.width), nothing)
        table.reshape(-1)[self.rank] = of_levels
        return table

    def encode(self, values: np.ndarray) -> np.ndarray:
        null = values < 0
        if not self.is_large:
            last = len(self.counts) - (not self.has_null)
            return np.where(null, last, values).astype(np.int32)[:, None]
        rank = self.rank[values]
        codes = np.column_stack([rank // self.width, rank % self.width]).astype(np.int32)
        codes[null] = (-(-len(self.counts) // self.width) - (not self.has_null), -1)
        return codes

    def decode(self, codes: np.ndarray, rng: np.random.Generator, clause: Clause | None = None) -> np.ndarray:
        if not self.is_large:
            return np.where(codes[:, 0] < len(self.counts), codes[:, 0], -1).astype(np.int32)
        rank = np.minimum(codes[:, 0].astype(np.int64) * self.width + codes[:, 1], len(self.counts) - 1)
        return np.where(codes[:, 1] < 0, -1, self.order[rank]).astype(np.int32)

    def chance(self, values: np.ndarray, codes: np.ndarray) -> np.ndarray:
        return np.where((values < 0) & (not self.has_null), 0.0, 1.0)

    def shares(self, clause: Clause) -> list[np.ndarray | None]:
        good = clause.holds(np.arange(len(self.counts))).astype(np.float64)
        null = clause.holds(np.array([-1])).astype(np.float64) if self.has_null else np.zeros(0)
        if not self.is_large:
            return [np.concatenate([good, null])]
        table = self._by_group(good, 0.0)
        return _nested_shares(self.tokens, table, null)

    def to_arrays(self, prefix: str) -> dict[str, np.ndarray]:
        return {f"{prefix}.counts": self.counts, f"{prefix}.facts": np.array([self.nulls])}


def _nested_shares(tokens: tuple[Token, ...], table: np.ndarray, null: np.ndarray) -> list[np.ndarray | None]:
    """The shares of a token and the one nested in it, where `table` has those of the latter, but for null."""
    first = (np.exp(tokens[1].prior[: len(table)]) * table).sum(axis=1)
    return [np.concatenate([first, null]), np.vstack([table, *([np.ones((1, table.shape[1]))] if len(null) else [])])]


# numbers -----------------------------------------------------------------------------------------------------------------


def _scale_tokens(scale: Scale, nulls: int) -> tuple[Token, ...]:
    """The bin, and the piece where a bin has several."""
    null = [float(nulls)] if nulls else []
    first = Token(log_shares(np.concatenate([scale.bin_mass, null])), line=scale.bins)
    if scale.most == 1:
        return (first,)
    table = scale.by_bin(scale.mass.astype(np.float64), np.nan)
    prior = np.where(np.isnan(table), NEVER, np.log(table / np.nansum(table, axis=1, keepdims=True)))
    pieces = np.diff(scale.first)
    place = (np.arange(scale.most) + 0.5) / pieces[:, None] * 2 - 1
    place[np.isnan(table)] = 0
    if nulls:
        prior, place = np.vstack([prior, prior[:1]]), np.vstack([place, np.zeros((1, scale.most))])
    return first, Token(prior.astype(np.float32), nested=True, place=place.astype(np.float32), line=scale.most)


def _scale_codes(scale: Scale, values: np.ndarray, has_null: bool) -> np.ndarray:
    codes = np.full((len(values), 1 if scale.most == 1 else 2), -1, dtype=np.int32)
    null = np.isnan(values)
    codes[null, 0] = scale.bins - (not has_null)
    if scale.pieces:
        piece = scale.piece_near(values[~null])
        codes[~null, 0] = scale.bin_of[piece]
        if scale.most > 1:
            codes[~null, 1] = piece - scale.first[scale.bin_of[piece]]
    return codes


def _pieces(scale: Scale, codes: np.ndarray) -> np.ndarray:
    """The piece that tokens which are not null tell."""
    return np.asarray(scale.first[codes[:, 0]] + (codes[:, 1] if scale.most > 1 else 0))


def _scale_shares(scale: Scale, clause: Clause, tokens: tuple[Token, ...], null: np.ndarray) -> list[np.ndarray | None]:
    share = scale.share(clause)
    if scale.most == 1:
        return [np.concatenate([share, null])]
    return _nested_shares(tokens, scale.by_bin(share), null)


@dataclass(frozen=True, eq=False)
class Numbers:
    """A number that is no moment."""

    name: str
    nulls: int
    scale: Scale

    @property
    def has_null(self) -> bool:
        return self.nulls > 0

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        return _scale_tokens(self.scale, self.nulls)

    def encode(self, values: np.ndarray) -> np.ndarray:
        return _scale_codes(self.scale, values, self.has_null)

    def decode(self, codes: np.ndarray, rng: np.random.Generator, clause: Clause | None = None) -> np.ndarray:
        values = np.full(len(codes), np.nan)
        known = codes[:, 0] < self.scale.bins
        piece = _pieces(self.scale, codes[known])
        if clause is None:
            values[known] = self.scale.draw(piece, rng.random(len(codes))[known])
        else:
            values[known] = self.scale.draw_given(piece, clause, rng)
        return values

    def chance(self, values: np.ndarray, codes: np.ndarray) -> np.ndarray:
        chance = np.full(len(values), float(self.has_null))
        known = ~np.isnan(values)
        if self.scale.pieces:
            chance[known] = self.scale.chance(values[known], _pieces(self.scale, codes[known]))
        return chance

    def shares(self, clause: Clause) -> list[np.ndarray | None]:
        null = np.array([float(clause.null)]) if self.has_null else np.zeros(0)
        return _scale_shares(self.scale, clause, self.tokens, null)

    def to_arrays(self, prefix: str) -> dict[str, np.ndarray]:
        return {f"{prefix}.facts": np.array([self.nulls]), **self.scale.to_arrays(f"{prefix}.scale")}


# moments -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Moments:
    """A moment: its day and its time of day.

    per_day: units in a day. days: of days since 1970, or of weeks since the Monday before where `weekdays` says how many rows
    each weekday has: a day drawn between days that were seen would know of no weekend. time: of the units since midnight.
    """

    name: str
    nulls: int
    per_day: int
    days: Scale
    weekdays: np.ndarray | None
    time: Scale | None

    @classmethod
    def of(cls, column: EncodedColumn, nulls: int, bins: int) -> Moments:
        assert column.per_day is not None
        known = column.values[~column.null]
        day = np.floor(known / column.per_day)
        sparse = len(day) < OFTEN * len(np.unique(day))
        week = np.floor((day + MONDAY) / 7)
        weekdays = np.bincount((day + MONDAY - 7 * week).astype(np.int64), minlength=7) if sparse else None
        days = Scale.of(_as_number(column, week if sparse else day), bins)
        time = Scale.of(_as_number(column, known - day * column.per_day), bins) if column.per_day > 1 else None
        return cls(column.name, nulls, column.per_day, days, weekdays, time)

    @property
    def has_null(self) -> bool:
        return self.nulls > 0

    @cached_property
    def _widths(self) -> tuple[int, int]:
        """How many tokens tell the day (or week), and how many the time."""
        return (1 if self.days.most == 1 else 2), 0 if self.time is None else (1 if self.time.most == 1 else 2)

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        tokens = _scale_tokens(self.days, self.nulls)
        if self.weekdays is not None:
            weekday = log_shares(self.weekdays)
            weekday[self.weekdays == 0] = NEVER
            tokens += (Token(weekday if self.weekdays.any() else np.zeros(7, dtype=np.float32)),)
        return tokens if self.time is None else tokens + _scale_tokens(self.time, 0)

    def encode(self, values: np.ndarray) -> np.ndarray:
        day, weekday, time = self._parts(values)
        codes = [_scale_codes(self.days, day, self.has_null)]
        null = np.isnan(values)
        if self.weekdays is not None:
            codes.append(np.where(null, -1, np.nan_to_num(weekday)).astype(np.int32)[:, None])
        if self.time is not None:
            codes.append(np.where(null[:, None], -1, _scale_codes(self.time, time, False)))
        return np.hstack(codes)

    def _parts(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Day or week, weekday (0 is Monday), and units since midnight."""
        day = np.floor(values / self.per_day)
        week = np.floor((day + MONDAY) / 7)
        return (day if self.weekdays is None else week), day + MONDAY - 7 * week, values - day * self.per_day

    def decode(self, codes: np.ndarray, rng: np.random.Generator, clause: Clause | None = None) -> np.ndarray:
        values = np.full(len(codes), np.nan)
        known = codes[:, 0] < self.days.bins
        u = rng.random((2, len(codes)))[:, known]
        told = codes[known]
        width, _ = self._widths
        day = self.days.draw(_pieces(self.days, told[:, :width]), u[0])
        if self.weekdays is not None:
            day = 7 * day - MONDAY + told[:, width]
            width += 1
        values[known] = day * self.per_day
        if self.time is not None:
            values[known] += self.time.draw(_pieces(self.time, told[:, width:]), u[1])
        return values

    def chance(self, values: np.ndarray, codes: np.ndarray) -> np.ndarray:
        chance = np.full(len(values), float(self.has_null))
        known = ~np.isnan(values)
        if not self.days.pieces:
            return chance
        day, weekday, time = (part[known] for part in self._parts(values))
        width, _ = self._widths
        chance[known] = self.days.chance(day, _pieces(self.days, codes[known, :width]))
        if self.weekdays is not None:
            chance[known] *= self.weekdays[weekday.astype(np.int64)] > 0
            width += 1
        if self.time is not None:
            chance[known] *= self.time.chance(time, _pieces(self.time, codes[known, width:]))
        return chance

    def shares(self, clause: Clause) -> list[np.ndarray | None]:
        """By whole days: the time is left to itself, and the caller turns down what is too early or too late."""
        low, high = np.floor(clause.low / self.per_day), np.floor(clause.high / self.per_day)
        values = None if clause.values is None else {np.floor(v / self.per_day) for v in clause.values}
        if self.weekdays is not None:
            low, high = np.floor((low + MONDAY) / 7), np.floor((high + MONDAY) / 7)
            values = None if values is None else {np.floor((v + MONDAY) / 7) for v in values}
        days = replace(clause, low=low, high=high, values=None if values is None else frozenset(values), excluded=frozenset())
        null = np.array([float(clause.null)]) if self.has_null else np.zeros(0)
        some = np.ceil(np.minimum(self.days.share(days), 1.0))
        tokens = self.tokens
        width, _ = self._widths
        first = [np.concatenate([some, null])] if width == 1 else _nested_shares(tokens[:2], self.days.by_bin(some), null)
        return [*first, *([None] * (len(tokens) - width))]

    def to_arrays(self, prefix: str) -> dict[str, np.ndarray]:
        arrays = {f"{prefix}.facts": np.array([self.nulls]), **self.days.to_arrays(f"{prefix}.days")}
        if self.weekdays is not None:
            arrays[f"{prefix}.weekdays"] = self.weekdays
        return arrays if self.time is None else {**arrays, **self.time.to_arrays(f"{prefix}.time")}


def _as_number(column: EncodedColumn, values: np.ndarray) -> EncodedColumn:
    return EncodedColumn(column.name, values, decimals=0)
