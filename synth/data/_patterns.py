"""Strings that match a regular expression, drawn evenly and fast.

A pattern is read into nodes that each know how many strings they hold and can make the i-th of them for a whole array of i.
Supported: literals, classes, \\d \\w \\s and their opposites, ".", groups, alternation, ?, *, + and {m,n}. Open-ended
repetition stops at REPEATS more than its least. Characters come from printable ASCII; "." and \\w from letters and digits.
"""

from __future__ import annotations

import re
import re._constants as sre  # type: ignore[import-not-found]  # the parser of the standard library; re.compile uses the same
import re._parser as parser  # type: ignore[import-not-found]
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.errors import GenerationError

REPEATS = 8
_LIMIT = 2**62  # spaces below this are numbered by an int64
_PRINTABLE = "".join(chr(code) for code in range(32, 127))
_CLASSES = {
    sre.CATEGORY_DIGIT: string.digits,
    sre.CATEGORY_WORD: string.ascii_letters + string.digits,
    sre.CATEGORY_SPACE: " ",
    sre.CATEGORY_NOT_DIGIT: "".join(c for c in _PRINTABLE if not c.isdigit()),
    sre.CATEGORY_NOT_WORD: "".join(c for c in _PRINTABLE if not (c.isalnum() or c == "_")),
    sre.CATEGORY_NOT_SPACE: "".join(c for c in _PRINTABLE if c != " "),
}
_MAX_ROUNDS = 40


def matching(pattern: str, n: int, rng: np.random.Generator, keep: Callable[[str], bool] | None = None) -> list[str]:
    """n different strings that match the pattern in full, and that `keep` accepts.

    Raises GenerationError where the pattern admits fewer, or uses what is not supported.
    """
    space = _read(pattern)
    match = re.compile(pattern).fullmatch
    found: dict[str, None] = {}
    few = space.size <= 8 * n + 1_000
    for _ in range(1 if few else _MAX_ROUNDS):
        drawn = space.build(rng.permutation(int(space.size))) if few else space.draw(n + n // 8 + 16 - len(found) // 2, rng)
        found |= {text: None for text in drawn.tolist() if match(text) and (keep is None or keep(text))}
        if len(found) >= n:
            return list(found)[:n]
    raise GenerationError(
        f"the pattern {pattern!r} admits {len(found):,} different values{'' if few else ' that could be found'}, "
        f"and {n:,} are needed; ask for fewer rows, or widen the pattern"
    )


@dataclass(frozen=True)
class _Node:
    size: int  # how many ways there are to make a string

    def build(self, index: np.ndarray) -> np.ndarray:
        """The strings with these numbers, each in [0, size), as an array of text."""
        raise NotImplementedError

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """n strings at random, repeats possible."""
        return self.build(rng.integers(0, self.size, n))


@dataclass(frozen=True)
class _Characters(_Node):
    letters: np.ndarray

    def build(self, index: np.ndarray) -> np.ndarray:
        return np.asarray(self.letters[index])


@dataclass(frozen=True)
class _Sequence(_Node):
    parts: tuple[_Node, ...]

    def build(self, index: np.ndarray) -> np.ndarray:
        made = np.full(len(index), "", dtype=np.str_)
        for part in self.parts:
            index, digit = np.divmod(index, part.size)
            made = np.strings.add(made, part.build(digit))
        return made

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        if self.size < _LIMIT:
            return super().draw(n, rng)
        made = np.full(n, "", dtype=np.str_)
        for part in self.parts:
            made = np.strings.add(made, part.draw(n, rng))
        return made


@dataclass(frozen=True)
class _Choice(_Node):
    parts: tuple[_Node, ...]

    def _spread(self, chosen: np.ndarray, make: Callable[[_Node, np.ndarray], np.ndarray]) -> np.ndarray:
        pieces = [(np.flatnonzero(chosen == k), part) for k, part in enumerate(self.parts)]
        made = [(rows, make(part, rows)) for rows, part in pieces if len(rows)]
        width = max((text.dtype.itemsize // 4 for _, text in made), default=1)
        out = np.full(len(chosen), "", dtype=f"<U{max(width, 1)}")
        for rows, text in made:
            out[rows] = text
        return out

    def build(self, index: np.ndarray) -> np.ndarray:
        starts = np.cumsum([0] + [part.size for part in self.parts])
        chosen = np.searchsorted(starts, index, side="right") - 1
        return self._spread(chosen, lambda part, rows: part.build(index[rows] - starts[chosen[rows[0]]]))

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        if self.size < _LIMIT:
            return super().draw(n, rng)
        chosen = rng.choice(len(self.parts), size=n, p=[part.size / self.size for part in self.parts])
        return self._spread(chosen, lambda part, rows: part.draw(len(rows), rng))


# reading -----------------------------------------------------------------------------------------------------------------


def _read(pattern: str) -> _Node:
    parsed = parser.parse(pattern)
    if parsed.state.flags & ~sre.SRE_FLAG_UNICODE:
        raise _unsupported(pattern, "flags such as (?i)")
    return _sequence(parsed, pattern)


def _unsupported(pattern: str, what: str) -> GenerationError:
    return GenerationError(
        f"values for the pattern {pattern!r} cannot be issued: {what} are not supported; "
        "write it with literals, classes, groups, | and {m,n}"
    )


def _sequence(items: Any, pattern: str) -> _Node:
    parts = [_node(operator, argument, pattern) for operator, argument in items]
    size = 1
    for part in parts:
        size *= part.size
    return parts[0] if len(parts) == 1 else _Sequence(size, tuple(parts))


def _characters(letters: str, pattern: str) -> _Node:
    distinct = "".join(dict.fromkeys(letters))
    if not distinct:
        raise _unsupported(pattern, "classes without a printable ASCII character")
    return _Characters(len(distinct), np.array(list(distinct)))


def _node(operator: Any, argument: Any, pattern: str) -> _Node:
    if operator is sre.LITERAL:
        return _Characters(1, np.array([chr(argument)]))
    if operator is sre.NOT_LITERAL:
        return _characters(_PRINTABLE.replace(chr(argument), ""), pattern)
    if operator is sre.ANY:
        return _characters(string.ascii_letters + string.digits, pattern)
    if operator is sre.IN:
        return _class(argument, pattern)
    if operator is sre.SUBPATTERN:
        _, added, removed, items = argument
        if added or removed:
            raise _unsupported(pattern, "flags such as (?i)")
        return _sequence(items, pattern)
    if operator is sre.BRANCH:
        return _choice([_sequence(items, pattern) for items in argument[1]])
    if operator in (sre.MAX_REPEAT, sre.MIN_REPEAT, getattr(sre, "POSSESSIVE_REPEAT", None)):
        least, most, items = argument
        return _repeat(least, most, items, pattern)
    if operator is sre.AT and argument in (sre.AT_BEGINNING, sre.AT_BEGINNING_STRING, sre.AT_END, sre.AT_END_STRING):
        return _Sequence(1, ())  # values match in full: an anchor inside is caught by the match that follows
    names = {
        sre.GROUPREF: "back-references",
        sre.ASSERT: "look-arounds",
        sre.ASSERT_NOT: "look-arounds",
        sre.AT: "word boundaries",
        sre.GROUPREF_EXISTS: "conditional groups",
    }
    raise _unsupported(pattern, names.get(operator, f"{str(operator).lower()} items"))


def _class(items: Any, pattern: str) -> _Node:
    letters, negated = "", False
    for operator, argument in items:
        if operator is sre.NEGATE:
            negated = True
        elif operator is sre.LITERAL:
            letters += chr(argument)
        elif operator is sre.RANGE:
            letters += "".join(chr(code) for code in range(argument[0], argument[1] + 1))
        else:
            letters += _CLASSES[argument]
    return _characters("".join(c for c in _PRINTABLE if c not in letters) if negated else letters, pattern)


def _choice(parts: list[_Node]) -> _Node:
    return parts[0] if len(parts) == 1 else _Choice(sum(part.size for part in parts), tuple(parts))


def _repeat(least: int, most: Any, items: Any, pattern: str) -> _Node:
    part = _sequence(items, pattern)
    most = least + REPEATS if most is sre.MAXREPEAT else int(most)
    return _choice([_Sequence(part.size**times, (part,) * times) for times in range(int(least), most + 1)])
