"""The table of attacks: read off the tests that try them, `@pytest.mark.attack("what is done", "what happens")`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MARKER = "pytest.mark.attack"


@dataclass(frozen=True)
class Attack:
    """One thing that somebody may do to the gate, and the test that does it."""

    file: str  # of the test, from the root of the repository
    test: str  # its name, with its class where it has one: `TestKeys::test_a_forged_key`
    what: str
    answer: str


def attacks() -> list[Attack]:
    """Every attack that a test names, sorted by file, in the order of the file. Raises ValueError for a marker out of form."""
    return [attack for file in sorted((ROOT / "tests").rglob("test_*.py")) for attack in attacks_of(file.read_text(), file)]


def attacks_of(source: str, file: Path) -> Iterator[Attack]:
    """The attacks of one file. A marker stands on a test, or in its parameters, and is called with two texts."""
    tree = ast.parse(source)
    name, all_of_them = str(file.relative_to(ROOT)), _markers(tree)
    for test, function in _tests(tree):
        for call in (marker for decorator in function.decorator_list for marker in _markers(decorator)):
            all_of_them.remove(call)
            try:
                what, answer = (ast.literal_eval(argument) for argument in call.args)
            except ValueError:
                what = answer = None
            if not (isinstance(what, str) and isinstance(answer, str)) or call.keywords:
                raise ValueError(f"{name}:{call.lineno}: {MARKER} takes two texts: what the attacker does, and what happens")
            yield Attack(name, test, what, answer)
    if all_of_them:
        raise ValueError(f"{name}:{all_of_them[0].lineno}: {MARKER} stands on no test; write it over the test that tries it")


def _markers(tree: ast.AST) -> list[ast.Call]:
    found = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == MARKER)
    return sorted(found, key=lambda call: call.lineno)


def _tests(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        inside = [(f"{node.name}::", child) for child in node.body] if isinstance(node, ast.ClassDef) else [("", node)]
        for prefix, child in inside:
            if isinstance(child, ast.FunctionDef) and child.name.startswith("test_"):
                yield prefix + child.name, child


def page() -> str:
    """The table as Markdown."""
    parts = [
        "# Attacks on the gate",
        "",
        "Made by `make docs` from the tests' markers. Each is tried by the test named beside it, in every run of the tests;",
        "one that was skipped counts as failed.",
        "",
        "| | attack | what happens | test |",
        "|---|---|---|---|",
    ]
    for number, attack in enumerate(attacks(), start=1):
        short = attack.file.removeprefix("tests/")
        link = f"[`{short}::{attack.test}`](../{attack.file})"
        parts.append(f"| {number} | {_cell(attack.what)} | {_cell(attack.answer)} | {link} |")
    return "\n".join([*parts, ""])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
