"""The command line: `synth --help`. Only this package and `report` print.

Exit codes everywhere: 0 done or approved, 1 rejected, 2 error (bad input, bad usage, interrupted), 3 inconclusive,
4 verification failed.
"""

from __future__ import annotations

import importlib
import signal
import sys
from types import FrameType
from typing import Annotated, Any, Never

import typer
from typer.core import TyperGroup

from synth.errors import SynthError

UsageError: type[typer.BadParameter] = typer.BadParameter.__bases__[0]  # click's, or typer's copy of it

ORDER = (  # in which `synth --help` shows the commands: as they follow each other in a job
    *("demo", "init", "balance", "release", "audit", "repair", "run", "fit", "sample", "impute", "evaluate", "gate"),
    *("approve", "reject", "waive", "export", "revoke", "verify", "replay", "attempts", "ledger", "audit-privacy"),
    *("compare", "track", "schema", "generators", "metrics", "policies", "keys", "doctor"),
)
ROOMS = (  # the modules that add commands
    *("attempts", "auditing", "balancing", "comparing", "deciding", "doctor", "fairness", "jobs", "judging", "ledger"),
    *("listing", "policies", "receiving", "releasing", "starting", "tracking"),
)


class InOrder(TyperGroup):
    """Commands as they follow each other, whichever module adds them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=ORDER.index)


WHAT_NEXT = """synthetic tables that are judged, and leave only when a policy approves and a key signs

  synth demo                  a bundled real table through everything, to a verified export: half a minute
  synth balance YOUR.csv      which remedy helps a rare class, honestly tested; then the balanced table
  synth release YOUR.csv      a table that may leave the house, with the evidence for whoever answers for it
  synth audit --help          is a synthetic table fair to every group? anybody's, not only ours
  synth init YOUR.csv         a commented run config for a table of yours; then: synth run run.yaml
  synth doctor                what is installed, what this machine has, what is missing
  synth --help                all commands; each has --help and --json

Tab completes commands, methods, policies and columns after: synth --install-completion"""


app = typer.Typer(
    name="synth",
    cls=InOrder,
    epilog="Start with `synth demo`. Exit codes: 0 done or approved, 1 rejected, 2 error, 3 inconclusive, 4 not verified.",
    invoke_without_command=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def load_commands() -> None:
    """Import every module that adds commands, so that `app` has them all."""
    for name in ROOMS:
        importlib.import_module(f"synth.cli.{name}")


@app.callback()
def begin(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Make synthetic tables, judge them against real ones, and release only what a policy approves and a key signs."""
    import synth

    if version:
        print(synth.__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(f"synth {synth.__version__}: {WHAT_NEXT}")


class Interrupted(BaseException):
    """Ctrl-C or a request to end. No Exception, so that nothing which survives a crashed metric survives this."""


def main() -> None:
    """Run the command line; every error that synth raises on purpose is one message and its exit code."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        load_commands()

        sys.exit(app(sys.argv[1:], standalone_mode=False) or 0)
    except (Interrupted, Exception) as problem:
        _end(problem)


def _end(problem: BaseException) -> Never:
    """Say what went wrong in one message, and exit. Raises what is an error of ours."""
    match problem:
        case _ if _is_interruption(problem):
            _fail("interrupted; nothing half-done was left behind", 2)
        case SynthError():
            _fail(str(problem), problem.exit_code)
        case MemoryError():
            _fail("not enough memory for this table; sample fewer rows with -n, or fit on fewer columns", 2)
        case RecursionError():
            _fail("what was given is nested too deeply to be read; write it flatter", 2)
        case BrokenPipeError():
            sys.stderr.close()
            sys.exit(2)
        case OSError():
            about = "" if problem.filename is None else f"{_short(str(problem.filename))}: "
            _fail(f"{about}{problem.strerror or problem}; check the path, or choose another", 2)
        case UsageError():  # three lines, where typer draws a box of five or more
            command = problem.ctx.command_path if problem.ctx is not None else "synth"
            said = " ".join(problem.format_message().split()).removesuffix(".")
            _fail(f"{said}; `{command} --help` shows what it takes", 2)
        case _:
            raise problem


def _is_interruption(problem: BaseException | None) -> bool:
    """Whether an interruption stands behind an error: of one that comes while a lock is waited for comes the lock's own."""
    while problem is not None and not isinstance(problem, Interrupted):
        problem = problem.__cause__ or problem.__context__
    return problem is not None


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # cleaning up is not interrupted a second time
    raise Interrupted


def _short(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else f"{text[: limit // 2]}…{text[-limit // 2 :]}"


def _fail(message: str, code: int) -> Never:
    print(f"synth: {message}", file=sys.stderr)
    sys.exit(code)
