"""The command line: `synth --help`. Only this package and `report` print.

Exit codes everywhere: 0 done or approved, 1 rejected, 2 error (bad input, bad usage, interrupted), 3 inconclusive,
4 verification failed.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Never

import typer

from synth.errors import SynthError

app = typer.Typer(
    name="synth",
    help="Make synthetic tables, judge them against real ones, and release only what a policy approves and a key signs.",
    epilog="Start with `synth demo`. Exit codes: 0 done or approved, 1 rejected, 2 error, 3 inconclusive, 4 not verified.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Interrupted(BaseException):
    """Ctrl-C or a request to end. No Exception, so that nothing which survives a crashed metric survives this."""


def main() -> None:
    """Run the command line; every error that synth raises on purpose is one message and its exit code."""
    from synth.cli import jobs, judging, listing  # noqa: F401 - each registers its commands on the app

    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app()
    except Interrupted:
        _fail("interrupted; nothing half-done was left behind", 2)
    except SynthError as problem:
        _fail(str(problem), problem.exit_code)
    except MemoryError:
        _fail("not enough memory for this table; sample fewer rows with -n, or fit on fewer columns", 2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(2)


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # cleaning up is not interrupted a second time
    raise Interrupted


def _fail(message: str, code: int) -> Never:
    print(f"synth: {message}", file=sys.stderr)
    sys.exit(code)
