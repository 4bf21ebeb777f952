"""The commands that there are, and whether a line that documents one would be understood: parsed, never run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from synth.cli import app, load_commands

load_commands()
ROOT: Any = get_command(app)


def commands() -> Iterator[tuple[str, Any]]:
    """Every command by its words, groups too, the group before what is in it."""
    yield from _within("", ROOT)


def _within(words: str, group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield f"{words} {name}".strip(), command
        if hasattr(command, "commands"):
            yield from _within(f"{words} {name}".strip(), command)


def parse(line: str) -> None:
    """Parse a line as a shell and the command line would. Raises what they raise where it is not understood."""
    words = shlex.split(line, comments=True)
    assert words[0] == "synth", line
    command, arguments, parent = ROOT, words[1:], None
    while True:
        context = command.make_context(command.name, list(arguments), parent=parent)
        rest = [*context._protected_args, *context.args] if hasattr(command, "commands") else []
        if not rest:
            return
        _, command, arguments = command.resolve_command(context, rest)
        parent = context


def lines_in(text: str) -> Iterator[str]:
    """Every `synth …` line of the shell blocks of a page, without what is said beside it after two spaces or more."""
    for block in re.findall(r"```(?:bash|console|sh|shell|text)\n(.*?)```", text, flags=re.S):
        joined = re.sub(r"\\\n\s*", "", block)
        for line in joined.splitlines():
            shown = line.strip().removeprefix("$ ")
            if re.match(r"synth [a-z-]+", shown) and not shown.startswith("synth: "):
                for part in re.split(r"\s{2,}|\s&&\s", shown):
                    if part.startswith("synth "):
                        yield part
