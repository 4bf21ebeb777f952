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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.data._places import Issue
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
_BEGINS = [(sre.AT, sre.AT_BEGINNING), (sre.AT, sre.AT_BEGINNING_STRING)]
_ENDS = [(sre.AT, sre.AT_END), (sre.AT, sre.AT_END_STRING)]
_MAX_ROUNDS = 40


def matching(pattern: str, issue: Issue, keep: Callable[[str], bool] | None = None) -> list[str]:
    """A string for each row that matches the pattern in full, and that `keep` accepts; different ones unless they may repeat.

    Raises GenerationError where the pattern admits fewer, or uses what is not supported.
    """
    space = _read(pattern)
    match = re.compile(pattern).fullmatch

    def good(text: str) -> bool:
        return match(text) is not None and (keep is None or keep(text))

    if issue.repeats:
        return _any(pattern, space, issue, good)
    if keep is None and space.tells_apart:
        if space.size < issue.total:
            raise _admits(pattern, space.size, True, issue)
        return list(space.apart(issue, pattern).tolist())
    found = issue.taken
    before = len(found)
    few = space.size <= 8 * issue.total + 1_000
    for _ in range(1 if few else _MAX_ROUNDS):
        missing = before + len(issue) - len(found)
        drawn = space.build(issue.rng.permutation(int(space.size))) if few else space.draw(2 * missing + 16, issue.rng)
        fresh = dict.fromkeys(text for text in drawn.tolist() if good(text) and text not in found)
        found |= dict.fromkeys(list(fresh)[:missing])
        if len(found) - before == len(issue):
            return issue.latest()
    raise _admits(pattern, len(found), few, issue)


def goes_in_order(pattern: str) -> bool:
    """Whether different strings for different parts can only be had by knowing what earlier parts were given."""
    return not _read(pattern).tells_apart


def _any(pattern: str, space: _Node, issue: Issue, good: Callable[[str], bool]) -> list[str]:
    found: list[str] = []
    for _ in range(_MAX_ROUNDS):
        found += [text for text in space.draw(len(issue) + 16, issue.rng).tolist() if good(text)]
        if len(found) >= len(issue):
            return found[: len(issue)]
    raise _admits(pattern, len(found), False, issue)


def _admits(pattern: str, found: int, all_of_them: bool, issue: Issue) -> GenerationError:
    return GenerationError(
        f"the pattern {pattern!r} admits {found:,} different values{'' if all_of_them else ' that could be found'}, "
        f"and {issue.total:,} are needed; ask for fewer rows, or widen the pattern"
    )


@dataclass(frozen=True)
class _Node:
    size: int  # how many ways there are to make a string

    @property
    def width(self) -> int | None:
        """How long its strings are, where all are equally long."""
        raise NotImplementedError

    @property
    def tells_apart(self) -> bool:
        """Whether each way is certain to make another string."""
        raise NotImplementedError

    def build(self, index: np.ndarray) -> np.ndarray:
        """The strings with these numbers, each in [0, size), as an array of text."""
        raise NotImplementedError

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """n strings at random, repeats possible."""
        return self.build(rng.integers(0, self.size, n))

    def apart(self, issue: Issue, pattern: str) -> np.ndarray:
        """A different string for each row of all parts, where `tells_apart`."""
        return self.build(issue.places(self.size, f"the pattern {pattern!r}"))


@dataclass(frozen=True)
class _Characters(_Node):
    letters: np.ndarray
    width = 1
    tells_apart = True

    def build(self, index: np.ndarray) -> np.ndarray:
        return np.asarray(self.letters[index])


@dataclass(frozen=True)
class _Sequence(_Node):
    parts: tuple[_Node, ...]

    @property
    def width(self) -> int | None:
        widths = [part.width for part in self.parts]
        return None if None in widths else sum(width for width in widths if width is not None)

    @property
    def tells_apart(self) -> bool:
        """With one part of open width, the length of the whole tells that part's, and so where each part begins."""
        return all(part.tells_apart for part in self.parts) and sum(part.width is None for part in self.parts) <= 1

    def apart(self, issue: Issue, pattern: str) -> np.ndarray:
        """Numbered by the largest parts, as many as an int64 can number together; the others as they come."""
        parts = tuple(_flat(self))
        numbered, size = set(), 1
        for place in sorted(range(len(parts)), key=lambda place: -parts[place].size):
            if size * parts[place].size < _LIMIT:
                size *= parts[place].size
                numbered.add(place)
        index = issue.places(size, f"the pattern {pattern!r}")
        made = np.full(len(issue), "", dtype=np.str_)
        for place, part in enumerate(parts):
            if place in numbered:
                index, digit = np.divmod(index, part.size)
                made = np.strings.add(made, part.build(digit))
            else:
                made = np.strings.add(made, part.draw(len(issue), issue.rng))
        return made

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
    width = None

    @property
    def tells_apart(self) -> bool:
        """Where each alternative makes strings of another length."""
        widths = [part.width for part in self.parts]
        lengths_differ = None not in widths and len(set(widths)) == len(widths)
        return lengths_differ and self.size < _LIMIT and all(part.tells_apart for part in self.parts)

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


@dataclass(frozen=True)
class _Anchor(_Node):
    """Inside a pattern: a string that it makes wrong is caught by the match that follows."""

    width = 0
    tells_apart = False

    def build(self, index: np.ndarray) -> np.ndarray:
        return np.full(len(index), "", dtype=np.str_)


def _flat(node: _Node) -> Iterator[_Node]:
    if isinstance(node, _Sequence):
        for part in node.parts:
            yield from _flat(part)
    else:
        yield node


# reading -----------------------------------------------------------------------------------------------------------------


def _read(pattern: str) -> _Node:
    parsed = parser.parse(pattern)
    if parsed.state.flags & ~sre.SRE_FLAG_UNICODE:
        raise _unsupported(pattern, "flags such as (?i)")
    items = list(parsed)
    while items and items[0] in _BEGINS:  # values match in full, so anchors at the ends say nothing
        del items[0]
    while items and items[-1] in _ENDS:
        del items[-1]
    return _sequence(items, pattern)


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
    if operator is sre.AT and argument in [where for _, where in (*_BEGINS, *_ENDS)]:
        return _Anchor(1)
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
