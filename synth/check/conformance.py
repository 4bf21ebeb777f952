"""How a list of checks is run over one thing, and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

Case = TypeVar("Case")


class CheckFailed(AssertionError):  # noqa: N818 - it is an assertion that failed, as in `unittest`
    """A generator or a metric broke a promise. `check` names which one."""

    def __init__(self, check: str, subject: str, message: str) -> None:
        super().__init__(f"{subject} fails check {check!r}: {message}")
        self.check = check


@dataclass(frozen=True)
class Conformance:
    """Which checks a generator or a metric passed, and which could not be run, by name with the reason."""

    subject: str
    passed: tuple[str, ...]
    skipped: dict[str, str]


class CannotRun(Exception):  # noqa: N818 - a check does not apply here; the text says why
    pass


class Broken(Exception):  # noqa: N818 - what a check found
    pass


def require(holds: bool, message: str) -> None:
    """Raise what a check found, where something does not hold."""
    if not holds:
        raise Broken(message)


def conform(subject: str, checks: Mapping[str, Callable[[Case], None]], case: Case) -> Conformance:
    """Run all checks, in order. Raises CheckFailed at the first one that is not passed."""
    passed: list[str] = []
    skipped: dict[str, str] = {}
    for check, run in checks.items():
        try:
            run(case)
        except CannotRun as reason:
            skipped[check] = str(reason)
        except Broken as found:
            raise CheckFailed(check, subject, str(found)) from None
        except Exception as problem:  # whatever someone's code raises is what the check found
            raise CheckFailed(check, subject, f"it raised {type(problem).__name__}: {problem}") from problem
        else:
            passed.append(check)
    return Conformance(subject, tuple(passed), skipped)
