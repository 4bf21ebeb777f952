"""Every error synth raises on purpose, and the exit code each one leaves behind.

    SynthError                     2
    ├── InputError                 2   what was given cannot be used
    │   ├── DataError              2   a table cannot be read, or breaks its schema
    │   ├── SchemaError            2   a schema contradicts itself or the data
    │   ├── ConditionError         2   a `where` that cannot be parsed or cannot be met
    │   ├── ConfigError            2   a run config, a policy or a hyperparameter
    │   ├── BudgetError            2   a cost that would pass what may be spent on a data set's privacy
    │   ├── TooLargeError          2   a job that the memory there is cannot hold
    │   └── MissingExtraError      2   a method needs an extra that is not installed
    ├── NotFittedError             2   `sample` before `fit`
    ├── GenerationError            2   rows that satisfy what was asked could not be made
    ├── WorkerError                2   a worker process died, or failed for a reason that is nobody's input
    ├── NotApprovedError           1   export without an approval
    └── VerificationError          4   an export differs from what was signed

Messages name the value, the rule and the next step, in at most three lines.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SynthError(Exception):
    """Base of every error that synth raises on purpose."""

    exit_code = 2


class InputError(SynthError):
    """What the caller gave cannot be used."""


class DataError(InputError):
    """A table cannot be read, or breaks the schema it claims."""


class SchemaError(InputError):
    """A schema contradicts itself or the data."""


class ConditionError(InputError):
    """A `where` that cannot be parsed, or that no row can satisfy."""


class ConfigError(InputError):
    """A run config, a policy or a hyperparameter outside its range."""


class BudgetError(InputError):
    """A cost would pass what may be spent; the message says what is left, and nothing was read."""


class MissingExtraError(InputError):
    """A method needs a package that is not installed."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(f"{what} needs the package {package!r}, which is not installed; run: pip install 'synth[{extra}]'")


class TooLargeError(InputError):
    """A job that the memory there is cannot hold; the message names one that it can."""


class NotFittedError(SynthError):
    """`sample`, `save` or `impute` was called before `fit`."""


class GenerationError(SynthError):
    """Rows that satisfy what was asked could not be made."""


class WorkerError(SynthError):
    """A worker process died, or failed for a reason that is nobody's input."""


class NotApprovedError(SynthError):
    """Synthetic rows were about to leave without a matching approval."""

    exit_code = 1


class VerificationError(SynthError):
    """An export differs from what was signed, or was signed by an unknown key."""

    exit_code = 4


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest candidate, else the list of candidates, else ""."""
    known = [str(candidate) for candidate in candidates]
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    if not known:
        return ""
    shown = ", ".join(repr(candidate) for candidate in known[:12])
    return f"; there is {shown}" + (f" and {len(known) - 12} more" if len(known) > 12 else "")
