"""The grammar of a `where` text: a hand-written tokenizer and parser. Nothing of the text is ever executed.

condition  = term { "and" term }
term       = "(" condition ")" | comparison
comparison = column ( "=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">=" ) value
           | column "between" value "and" value
           | column [ "not" ] "in" "(" value { "," value } ")"
           | column "is" [ "not" ] "null"
column     = bare word (letters, digits, "_", ".", "-") | "in double quotes" | `in backticks`
value      = 'text' (a quote inside is doubled) | "text" | number | true | false
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from synth.errors import ConditionError

Literal = str | int | float | bool

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<text>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")*")
      | (?P<ticked>`(?:[^`]|``)*`)
      | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<word>[^\W\d][\w.\-]*)
      | (?P<mark><=|>=|<>|!=|==|=|<|>|\(|\)|,)""",
    re.VERBOSE,
)
_OPERATORS = {"=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_KEYWORDS = {"and", "or", "not", "in", "is", "between", "like", "null", "true", "false"}
_WINDOW = 90  # characters of a long text that an error shows


@dataclass(frozen=True)
class Comparison:
    """One comparison: `operator` is =, !=, <, <=, >, >=, between, in, not in, is null or is not null."""

    column: str
    operator: str
    values: tuple[Literal, ...] = ()


@dataclass(frozen=True)
class _Token:
    kind: str  # text, quoted, ticked, number, word, mark, end
    text: str
    at: int

    @property
    def shown(self) -> str:
        """The token on one line of an error."""
        plain = re.sub(r"\s", " ", self.text)
        return plain if len(plain) <= 40 else plain[:39] + "…"

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.lower() in words

    def is_mark(self, mark: str) -> bool:
        return self.kind == "mark" and self.text == mark


def parse_text(text: str) -> list[Comparison]:
    """The comparisons of a text, all of which must hold. Raises ConditionError with a caret where the text goes wrong."""
    return _Parser(text).parse()


def quote_column(name: str) -> str:
    """A column name as the grammar reads it back."""
    bare = re.fullmatch(r"[^\W\d][\w.\-]*", name) and name.lower() not in _KEYWORDS
    return name if bare else '"' + name.replace('"', '""') + '"'


def quote_value(value: Literal) -> str:
    """A value as the grammar reads it back."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        if not text.strip():
            raise ConditionError('the condition is empty; write one such as "age >= 30", or leave `where` out')
        self.tokens = self._tokens()
        self.next = 0

    # tokens --------------------------------------------------------------------------------------------------------

    def _tokens(self) -> list[_Token]:
        tokens: list[_Token] = []
        at = 0
        while at < len(self.text):
            match = _TOKEN.match(self.text, at)
            if match is None:
                raise self._error(at, self._strange(at))
            if match.lastgroup != "space":
                tokens.append(_Token(str(match.lastgroup), match.group(), at))
            at = match.end()
        tokens.append(_Token("end", "the end", len(self.text)))
        return tokens

    def _strange(self, at: int) -> str:
        mark = self.text[at]
        if mark in "'\"`":
            return f"the quote {mark} is never closed"
        if mark.isdigit() or mark in "+-.":
            return "this is not a number; write text in quotes, and column names that start so in double quotes"
        return f"{mark!r} means nothing here"

    def _error(self, at: int, message: str) -> ConditionError:
        """The message, the text, and a caret under the place; a long text is cut to a window around it."""
        start = max(0, min(at - _WINDOW // 2, len(self.text) - _WINDOW))
        shown = re.sub(r"\s", " ", self.text[start : start + _WINDOW])
        return ConditionError(f"{message}\n  {shown}\n  {' ' * (at - start)}^")

    def _peek(self) -> _Token:
        return self.tokens[self.next]

    def _take(self) -> _Token:
        token = self.tokens[self.next]
        self.next += 1
        return token

    def _expect(self, mark: str, after: str) -> None:
        token = self._take()
        if not token.is_mark(mark):
            raise self._error(token.at, f"expected {mark!r} after {after}, found {token.shown}")

    def _expect_word(self, word: str, after: str) -> None:
        token = self._take()
        if not token.is_word(word):
            raise self._error(token.at, f"expected {word!r} after {after}, found {token.shown}")

    # grammar -------------------------------------------------------------------------------------------------------

    def parse(self) -> list[Comparison]:
        # Only conjunctions exist, so parentheses change nothing but must balance: a counter, no recursion.
        found: list[Comparison] = []
        open_at: list[int] = []
        while True:
            while self._peek().is_mark("("):
                open_at.append(self._take().at)
            found.append(self._comparison())
            while self._peek().is_mark(")") and open_at:
                self._take()
                open_at.pop()
            token = self._take()
            if token.kind == "end" and not open_at:
                return found
            if token.kind == "end":
                raise self._error(open_at[-1], "this parenthesis is never closed")
            if not token.is_word("and"):
                raise self._error(token.at, self._not_and(token))

    def _not_and(self, token: _Token) -> str:
        if token.is_word("or"):
            return "`or` is not supported: use `column in (a, b)`, or sample once for each alternative"
        if token.is_mark(")"):
            return "this parenthesis was never opened"
        return f"expected `and` between two comparisons, found {token.shown}"

    def _comparison(self) -> Comparison:
        column = self._column()
        token = self._take()
        if token.kind == "mark" and token.text in _OPERATORS:
            return Comparison(column, _OPERATORS[token.text], (self._value(token.text),))
        if token.is_word("between"):
            low = self._value("between")
            self._expect_word("and", "the lower value of `between`")
            return Comparison(column, "between", (low, self._value("and")))
        if token.is_word("in"):
            return Comparison(column, "in", self._list("in"))
        if token.is_word("not"):
            following = self._take()
            if following.is_word("in"):
                return Comparison(column, "not in", self._list("not in"))
            raise self._error(following.at, f"after `not` only `in` is supported, found {following.shown}; use != or `not in`")
        if token.is_word("is"):
            negated = self._peek().is_word("not")
            if negated:
                self._take()
            self._expect_word("null", "is not" if negated else "is")
            return Comparison(column, "is not null" if negated else "is null")
        raise self._error(token.at, self._not_operator(token))

    def _not_operator(self, token: _Token) -> str:
        if token.is_word("like", "ilike"):
            return "`like` is not supported: list the values with `in (…)`"
        if token.is_mark("("):
            return "functions are not supported: compare a column with values"
        return f"expected =, !=, <, <=, >, >=, between, in, not in or is null after the column, found {token.shown}"

    def _column(self) -> str:
        token = self._take()
        if token.kind in ("quoted", "ticked"):
            mark = token.text[0]
            return token.text[1:-1].replace(mark * 2, mark)
        if token.is_word("not"):
            raise self._error(token.at, "`not` before a comparison is not supported: use != or `not in`")
        if token.kind == "word" and token.text.lower() not in _KEYWORDS:
            return token.text
        hint = "; the column comes first, the value after it" if token.kind in ("text", "number") else ""
        raise self._error(token.at, f"expected a column name, found {token.shown}{hint}")

    def _list(self, after: str) -> tuple[Literal, ...]:
        self._expect("(", f"`{after}`")
        values = [self._value("(")]
        while True:
            token = self._take()
            if token.is_mark(")"):
                return tuple(values)
            if not token.is_mark(","):
                raise self._error(token.at, f"expected ',' or ')' in the list, found {token.shown}")
            values.append(self._value(","))

    def _value(self, after: str) -> Literal:
        token = self._take()
        if token.kind in ("text", "quoted"):
            mark = token.text[0]
            return token.text[1:-1].replace(mark * 2, mark)
        if token.kind == "number":
            return int(token.text) if re.fullmatch(r"[+-]?\d{1,18}", token.text) else float(token.text)
        if token.is_word("true", "false"):
            return token.text.lower() == "true"
        if token.is_word("null"):
            raise self._error(token.at, "nothing equals null: write `column is null` or `column is not null`")
        if token.kind == "word":
            raise self._error(
                token.at, f"expected a value after {after}, found {token.shown}; write text in quotes: '{token.shown}'"
            )
        raise self._error(token.at, f"expected a value after {after}, found {token.shown}")
