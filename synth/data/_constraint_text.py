"""The grammar of a constraint's text: a hand-written tokenizer and parser.

    constraint = side ( "<" | "<=" | ">" | ">=" ) side
               | column ( "=" | "==" ) [ "-" ] column { ( "+" | "-" ) column }
               | "unique" "(" column { "," column } ")"
               | "combinations" "(" column "," column { "," column } ")"
               | "pattern" "(" column "," 'regular expression' ")"
    side       = column | number | 'ISO 8601 moment'
    column     = bare word | "in double quotes" | `in backticks`

A bare word may hold "-" where a column is called so ("education-num"); elsewhere the "-" subtracts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from synth.errors import SchemaError, did_you_mean

Form = Literal["inequality", "sum", "unique", "pattern", "combinations"]

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<text>'(?:[^']|'')*')
      | (?P<column>"(?:[^"]|"")*"|`(?:[^`]|``)*`)
      | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<word>[^\W\d][\w.\-]*)
      | (?P<mark><=|>=|==|!=|<>|=|<|>|\(|\)|,|\+|-)""",
    re.VERBOSE,
)
_SHAPES = "a <= b, total = a + b, unique(a), pattern(a, '…') or combinations(a, b)"


@dataclass(frozen=True)
class Constant:
    """A number, or the text of a moment, in place of a column."""

    value: float | str


@dataclass(frozen=True)
class Parsed:
    """A constraint's parts; `columns` in the order of the text, a sum's total first."""

    text: str
    form: Form
    columns: tuple[str, ...]
    operator: str = ""
    sides: tuple[str | Constant, ...] = ()
    terms: tuple[tuple[int, str], ...] = ()  # of a sum: sign and column
    regex: str | None = None


def parse_text(text: str, names: tuple[str, ...]) -> Parsed:
    """Read a constraint over columns of these names. Raises SchemaError where the text goes wrong."""
    return _Parser(text, names).parse()


class _Parser:
    def __init__(self, text: str, names: tuple[str, ...]) -> None:
        self.text, self.names = text, names
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise self._error(f"{text[at]!r} means nothing here")
            kind, found = str(match.lastgroup), match.group()
            if kind == "word" and "-" in found and found not in names:
                found = self._before_minus(found)
            if kind != "space":
                self.tokens.append((kind, found))
            at += len(found)
        self.tokens.append(("end", "the end"))
        self.next = 0

    def _before_minus(self, word: str) -> str:
        """The longest part of "a-b" that is a column, up to a minus."""
        cuts = [match.start() for match in re.finditer("-", word)]
        known = [word[:cut] for cut in cuts if word[:cut] in self.names]
        return max(known, key=len) if known else word

    def _error(self, message: str) -> SchemaError:
        return SchemaError(f"constraint {self.text!r}: {message}; write {_SHAPES}")

    def _take(self) -> tuple[str, str]:
        token = self.tokens[self.next]
        self.next += 1
        return token

    def _peek(self) -> tuple[str, str]:
        return self.tokens[self.next]

    def _expect(self, mark: str) -> None:
        kind, found = self._take()
        if kind != "mark" or found != mark:
            raise self._error(f"expected {mark!r}, found {found}")

    def _end(self) -> None:
        kind, found = self._take()
        if kind != "end":
            raise self._error(f"expected the end, found {found}")

    # grammar -------------------------------------------------------------------------------------------------------

    def parse(self) -> Parsed:
        following = self.tokens[min(1, len(self.tokens) - 1)]
        is_call = self._peek()[0] == "word" and following == ("mark", "(")
        parsed = self._function() if is_call else self._relation()
        self._end()
        if len(set(parsed.columns)) < len(parsed.columns):
            raise self._error("a column is named twice")
        return parsed

    def _function(self) -> Parsed:
        word = self._take()[1].lower()
        self._expect("(")
        if word == "pattern":
            column = self._column()
            self._expect(",")
            kind, found = self._take()
            if kind != "text":
                raise self._error(f"expected a regular expression in single quotes, found {found}")
            self._expect(")")
            return Parsed(self.text, "pattern", (column,), regex=found[1:-1].replace("''", "'"))
        if word not in ("unique", "combinations"):
            raise self._error(f"there is no {word!r}{did_you_mean(word, ('unique', 'pattern', 'combinations'))}")
        columns = [self._column()]
        while self._peek() == ("mark", ","):
            self._take()
            columns.append(self._column())
        self._expect(")")
        if word == "combinations":
            if len(columns) < 2:
                raise self._error("a combination needs two columns or more")
            return Parsed(self.text, "combinations", tuple(columns))
        return Parsed(self.text, "unique", tuple(columns))

    def _relation(self) -> Parsed:
        left = self._side()
        kind, operator = self._take()
        if kind == "mark" and operator in ("=", "=="):
            if isinstance(left, Constant):
                raise self._error("a sum has a column on its left")
            return self._sum(left)
        if kind != "mark" or operator not in ("<", "<=", ">", ">="):
            raise self._error(f"expected <, <=, >, >= or =, found {operator}")
        right = self._side()
        if self._peek()[1] in ("<", "<=", ">", ">="):
            raise self._error("one comparison at a time: declare a <= b and b <= c as two constraints")
        columns = tuple(side for side in (left, right) if isinstance(side, str))
        if not columns:
            raise self._error("no column is named")
        return Parsed(self.text, "inequality", columns, operator, (left, right))

    def _sum(self, total: str) -> Parsed:
        terms: list[tuple[int, str]] = []
        sign = 1
        if self._peek()[1] in ("+", "-"):
            sign = -1 if self._take()[1] == "-" else 1
        terms.append((sign, self._column()))
        while self._peek()[0] == "mark" and self._peek()[1] in ("+", "-"):
            sign = -1 if self._take()[1] == "-" else 1
            terms.append((sign, self._column()))
        return Parsed(self.text, "sum", (total, *(name for _, name in terms)), terms=tuple(terms))

    def _side(self) -> str | Constant:
        kind, found = self._peek()
        if kind == "text":
            self._take()
            return Constant(found[1:-1].replace("''", "'"))
        sign = 1.0
        if kind == "mark" and found in ("+", "-"):
            self._take()
            sign = -1.0 if found == "-" else 1.0
            kind, found = self._peek()
            if kind != "number":
                raise self._error(f"expected a number after the sign, found {found}")
        if kind == "number":
            self._take()
            return Constant(sign * float(found))
        return self._column()

    def _column(self) -> str:
        kind, found = self._take()
        if kind == "column":
            mark = found[0]
            found = found[1:-1].replace(mark * 2, mark)
        elif kind != "word":
            raise self._error(f"expected a column, found {found}")
        if found not in self.names:
            raise SchemaError(f"constraint {self.text!r} names no column {found!r}{did_you_mean(found, self.names)}")
        return found
