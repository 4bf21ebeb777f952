"""Every error is in the catalogue, and what it says names the value, the rule and the next step."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import synth
from docs.errors import ENTRIES, classes, example

NAMES = tuple(kind.__name__ for kind in classes())
PACKAGE = Path(synth.__file__).parent
CANDIDATES = ("did_you_mean", "reason_of", "; ", ": ", ";\n", ".\n")  # what comes before a next step or a list of right values
FINDINGS = ("VerificationError",)  # says what is wrong with an export, on which `verify` itself says what to do


def test_the_catalogue_has_every_error_and_no_other() -> None:
    assert set(ENTRIES) == set(NAMES)
    assert {"DataError", "BudgetError", "TrackingError"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_error_can_be_met_and_says_so_in_three_lines(name: str) -> None:
    said = example(name)
    assert 1 <= len(said.splitlines()) <= 3
    assert not said.endswith("\n")


def test_every_message_leads_on() -> None:
    """Of each error that is raised with its text in place: after the value and the rule comes what to do, or what there is."""
    silent = [f"{place}: {text}" for place, name, text in raised() if name not in FINDINGS and not leads_on(text)]
    assert silent == []


def test_a_message_that_leads_nowhere_is_found() -> None:
    assert not leads_on(text_of(ast.parse('f"column {name!r} is broken"', mode="eval").body) or "")
    assert leads_on(text_of(ast.parse('f"no column {name!r}{did_you_mean(name, names)}"', mode="eval").body) or "")
    assert len(list(raised())) > 400


def leads_on(text: str) -> bool:
    return any(mark in text for mark in CANDIDATES)


def raised() -> Iterator[tuple[str, str, str]]:
    """Where an error of synth is raised with a text, which one, and the text with the code of its values."""
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
                name, given = node.exc.func.id, node.exc.args
                text = text_of(given[0]) if name in NAMES and len(given) == 1 else None
                if text is not None and text != "{problem}":
                    yield f"{file.relative_to(PACKAGE)}:{node.lineno}", name, text


def text_of(node: ast.expr) -> str | None:
    """The text that an expression makes, where it is written down in place."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (
            f"{{{ast.unparse(part.value)}}}" if isinstance(part, ast.FormattedValue) else part.value for part in node.values
        )  # type: ignore[attr-defined]
        return "".join(parts)
    if isinstance(node, ast.BinOp):
        left, right = text_of(node.left), text_of(node.right)
        return None if left is None or right is None else left + right
    return None
