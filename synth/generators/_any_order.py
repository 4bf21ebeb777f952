"""Drawing from an any-order autoregressive network with numpy: one column after another, given any that are known.

Small matrices, one thread each: blocks of rows are drawn side by side, and each from a seed of its own, so that rows do not
depend on how many threads there are. As long as a block holds few different beginnings of rows, these are computed once each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from synth.generators._tokens import Coder, Token

CHUNK = 1_024  # rows that go through the trunk together: what they need stays in the cache
COMMON = 0.02  # share of the rows from which on a level is learned at full speed
RARE = 0.1  # the least speed
ALONE = 0.2  # share of it for levels on a line, by themselves
MOST_KNOTS = 16
LEAST = 1e-30  # probability below which a likelihood does not fall


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the tokens of all columns stand in the network's inputs and outputs. order: the columns as they are drawn."""

    coders: tuple[Coder, ...]
    order: tuple[int, ...]
    depth: int  # hidden units of the heads of a column's later tokens

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        return tuple(token for coder in self.coders for token in coder.tokens)

    @cached_property
    def starts(self) -> list[int]:
        """The first token of each column."""
        return [0, *np.cumsum([len(coder.tokens) for coder in self.coders]).tolist()][:-1]

    @cached_property
    def stops(self) -> list[int]:
        return [*self.starts[1:], len(self.tokens)]

    @property
    def firsts(self) -> list[Token]:
        return [self.tokens[start] for start in self.starts]

    @cached_property
    def column_of(self) -> np.ndarray:
        """The column of each token."""
        return np.repeat(np.arange(len(self.coders)), [len(coder.tokens) for coder in self.coders])

    @cached_property
    def later(self) -> list[int]:
        """The tokens that are not their column's first."""
        return [token for token in range(len(self.tokens)) if token not in self.starts]

    @cached_property
    def bounds(self) -> list[int]:
        """Where each column's first token stands among the outputs, and last, how many these are."""
        return [0, *np.cumsum([token.levels for token in self.firsts]).tolist()]

    @property
    def outputs(self) -> int:
        return self.bounds[-1]

    @cached_property
    def base(self) -> np.ndarray:
        """Where the embeddings of each token begin, and last, how many these are. A piece's stretch that of its bin."""
        sizes = [len(t.prior) if t.place is not None else t.levels for t in self.tokens]
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    @property
    def inputs(self) -> int:
        return int(self.base[-1])

    def buffers(self) -> dict[str, np.ndarray]:
        """What the network looks up per token, and the default place of each column."""
        placed = [t.place for t in self.tokens]
        tables = [np.zeros(1, dtype=np.float32) if place is None else place.reshape(-1) for place in placed]
        steps = [0 if place is None else place.shape[1] for place in placed]
        is_place = np.array([place is not None for place in placed])
        # a label needs no weight: it looks at the head of the table, wherever its code would lead
        weights = np.concatenate([*tables, np.zeros(max(t.levels for t in self.tokens), dtype=np.float32)])
        base = np.where(is_place, np.cumsum([0, *map(len, tables)])[:-1], 0)
        position = np.empty(len(self.coders), dtype=np.int64)
        position[list(self.order)] = np.arange(len(self.order))
        return {
            "base": self.base[:-1],
            "is_place": is_place,
            "label": np.maximum(np.arange(len(self.tokens)) - is_place, 0),
            "weights": weights.astype(np.float32),
            "weight_base": base.astype(np.int64),
            "weight_step": np.array(steps, dtype=np.int64),
            "column_of": self.column_of,
            "place": position,
        }


def spread_of(token: Token, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """How the vectors of a token's levels are put together: (levels,) and (levels, knots).

    Each is a share of a vector of its own, smaller for rare levels, so that these are learned more slowly; and, for levels on a
    line, a mixture of vectors at a few knots, so that neighbours are alike.
    """
    share = np.exp(token.prior.astype(np.float64))
    share = share if share.ndim == 1 else share.mean(axis=0)
    share = np.ones(levels) if len(share) != levels else share
    own = np.clip(np.sqrt(share / COMMON), RARE, 1.0)
    if not token.line:
        return own.astype(np.float32), np.zeros((levels, 0), dtype=np.float32)
    knots = max(2, min(MOST_KNOTS, token.line // 4))
    at = np.arange(token.line) / max(1, token.line - 1) * (knots - 1)
    hats = np.zeros((levels, knots))
    hats[: token.line] = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(knots)))
    own[: token.line] *= ALONE
    return own.astype(np.float32), hats.astype(np.float32)


@dataclass(frozen=True, eq=False)
class AnyOrder:
    """A trained network. weights: as `_autoregressive_net.Net` names them, float32."""

    layout: Layout
    weights: Mapping[str, np.ndarray]

    @property
    def start(self) -> np.ndarray:
        """What is known of a row before anything is."""
        return self.weights["start"]

    @cached_property
    def _trunk(self) -> list[tuple[np.ndarray, ...]]:
        blocks = sum(name.startswith("up.") for name in self.weights) // 2
        names = [(f"up.{i}", f"down.{i}") for i in range(blocks)]
        return [tuple(part for name in pair for part in self._linear(name)) for pair in names]

    def _linear(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        return np.ascontiguousarray(self.weights[f"{name}.weight"].T), self.weights[f"{name}.bias"]

    @cached_property
    def _first(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weights and bias of each column's first token; the bias holds its prior."""
        weight, bias = self._linear("first")
        made = []
        for column, start in enumerate(self.layout.starts):
            part = slice(self.layout.bounds[column], self.layout.bounds[column + 1])
            made.append((np.ascontiguousarray(weight[:, part]), bias[part] + self.layout.tokens[start].prior))
        return made

    @cached_property
    def _later(self) -> list[tuple[np.ndarray, ...]]:
        made: list[tuple[np.ndarray, ...]] = []
        for place in range(len(self.layout.later)):
            to_column = np.ascontiguousarray(self.weights[f"given_column.{place}.weight"].T)
            made.append((*self._linear(f"given_row.{place}"), to_column, *self._linear(f"later.{place}")))
        return made

    def trunk(self, x: np.ndarray) -> np.ndarray:
        """What the heads need of what is known, both of shape (rows, width)."""
        h = np.empty_like(x)
        for begin in range(0, len(x), CHUNK):
            part = x[begin : begin + CHUNK]
            for up, up_bias, down, down_bias in self._trunk:
                inner = _normed(part) @ up
                inner += up_bias
                np.maximum(inner, 0, out=inner)
                inner = inner @ down
                inner += down_bias
                part = part + inner
            h[begin : begin + CHUNK] = _normed(part)
        return h

    def shares(self, column: int, h: np.ndarray) -> np.ndarray:
        """Probabilities of the column's first token, not yet divided by their sum, which is near 1; (rows, levels)."""
        weight, bias = self._first[column]
        return _exp(h @ weight + bias)

    def later_shares(self, token: int, h: np.ndarray, before: np.ndarray, sofar: np.ndarray) -> np.ndarray:
        """The same for another token of a column, given the code of the one before and the vectors of all so far."""
        to_row, row_bias, to_column, out, bias = self._later[self.layout.later.index(token)]
        hidden = h @ to_row
        hidden += row_bias
        hidden += sofar @ to_column
        np.maximum(hidden, 0, out=hidden)
        prior = self.layout.tokens[token].prior
        return _exp(hidden @ out + (bias + prior[before] if self.layout.tokens[token].nested else bias + prior))

    def vector(self, token: int, codes: np.ndarray, before: np.ndarray) -> np.ndarray:
        """What a token adds to what is known: float32 of shape (rows, width)."""
        base, place = self.layout.base[token], self.layout.tokens[token].place
        if place is None:
            vector = self.weights["embed.weight"][base + np.maximum(codes, 0)]
            return np.asarray(vector if codes.min(initial=0) >= 0 else vector * (codes >= 0)[:, None])
        weight = np.where(codes >= 0, place[before, codes], 0)
        return np.asarray(self.weights["embed.weight"][base + before] * weight[:, None])

    def tokens_of(self, column: int) -> range:
        return range(self.layout.starts[column], self.layout.stops[column])

    def embed(self, column: int, codes: np.ndarray) -> np.ndarray:
        """What a column adds to what is known. codes: its tokens, shape (rows, tokens)."""
        first = self.layout.starts[column]
        total = self.vector(first, codes[:, 0], codes[:, 0])
        for token in range(first + 1, self.layout.stops[column]):
            total = total + self.vector(token, codes[:, token - first], codes[:, token - first - 1])
        return total

    def draw(
        self,
        column: int,
        h: np.ndarray,
        rng: np.random.Generator,
        *,
        of: np.ndarray | None = None,
        allowed: Sequence[np.ndarray | None] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of a column for each row, and how much of the model's probability was allowed, float64 of shape (rows,).

        of: which row of h each row is, where several share one. allowed: which share of each token's draws is (`Coder.shares`).
        """
        start = self.layout.starts[column]
        p = self.shares(column, h)
        mass = np.ones(len(h) if of is None else len(of))
        given = None if allowed is None else allowed[0]
        if given is not None:
            whole = p.sum(axis=1)
            p *= given.astype(np.float32)
            part = p.sum(axis=1) / whole
            mass *= part if of is None else part[of]
        codes = [picked(p, rng, of)]
        tokens = self.tokens_of(column)
        if len(tokens) == 1:
            return codes[0][:, None], mass
        if of is not None:
            h = h[of]
        sofar = self.vector(start, codes[0], codes[0])
        present = codes[0] < self.layout.tokens[start].levels - self.layout.coders[column].has_null
        for place, token in enumerate(tokens[1:], 1):
            before = codes[-1]
            p = self.later_shares(token, h, np.maximum(before, 0), sofar)
            within = None if allowed is None else allowed[place]
            if within is not None and given is not None:
                whole = p.sum(axis=1)
                p *= within[before].astype(np.float32)
                mass *= np.where(present, p.sum(axis=1) / whole / np.maximum(given[before], 1e-12), 1.0)
            code = np.where(present, picked(p, rng), -1)
            sofar = sofar + self.vector(token, code, np.maximum(before, 0))
            codes.append(code)
        return np.column_stack(codes), mass

    def log_chance(self, column: int, h: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Log-probability of a column's tokens, float64 of shape (rows,)."""
        rows, start = np.arange(len(codes)), self.layout.starts[column]
        sofar, total = np.zeros((1, h.shape[1]), dtype=np.float32), np.zeros(len(codes))
        for place, token in enumerate(self.tokens_of(column)):
            code = codes[:, place]
            before = np.maximum(codes[:, place - 1], 0)
            p = self.shares(column, h) if token == start else self.later_shares(token, h, before, sofar)
            share = p[rows, code] / p.sum(axis=1, dtype=np.float64)
            total += np.where(code >= 0, np.log(np.maximum(share, LEAST)), 0.0)
            sofar = sofar + self.vector(token, code, before)
        return total


def picked(p: np.ndarray, rng: np.random.Generator, of: np.ndarray | None = None) -> np.ndarray:
    """A column of p for each row (of those that `of` names), drawn in proportion; one of probability 0 never is."""
    ends = np.cumsum(p, axis=1)
    if of is not None:
        ends = ends[of]
    u = rng.random(len(ends), dtype=np.float32) * (ends[:, -1] * np.float32(1 - 1e-6))
    return np.asarray(np.minimum((ends <= u[:, None]).sum(axis=1), p.shape[1] - 1), dtype=np.int32)


def _exp(logits: np.ndarray) -> np.ndarray:
    logits -= logits.max(axis=1, keepdims=True)
    return np.asarray(np.exp(logits, out=logits))


def _normed(x: np.ndarray) -> np.ndarray:
    scale = np.einsum("ij,ij->i", x, x) / x.shape[1] + np.float32(1e-6)
    return np.asarray(x / np.sqrt(scale)[:, None])
