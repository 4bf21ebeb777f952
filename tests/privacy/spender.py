"""A process that spends from a ledger and waits where it is told to, so that it can be killed there, by test_ledger.py.

It says each thing that it has done on a line of its own, only after it is done.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from synth.errors import BudgetError
from synth.privacy.ledger import Ledger


def say(what: object) -> None:
    print(what, flush=True)


def until_refused(ledger: Ledger, cost: int, times: int) -> None:
    """Spend so often, once a line comes in; say how often it was allowed."""
    say("ready")
    sys.stdin.readline()
    allowed = 0
    for _ in range(times):
        try:
            ledger.spend("adult", cost, what="a fit", by="a test")
            allowed += 1
        except BudgetError:
            pass
    say(allowed)


def for_ever(ledger: Ledger, cost: int) -> None:
    """Spend again and again, and say so each time."""
    while True:
        say(ledger.spend("adult", cost, what="a fit", by="a test").number)


def then_touch(ledger: Ledger, cost: int, data: Path, moment: str) -> None:
    """Spend, then touch the data; stop at the moment before or after that, or before the entry is on the disk."""
    if moment == "unwritten":
        with ledger._writing() as book:
            book.append("adult", "spending", {"cost": {"micro_rho": cost}, "what": "a fit", "by": "a test"})
            wait()
    ledger.spend("adult", cost, what="a fit", by="a test")
    if moment == "before":
        wait()
    data.write_text(data.read_text() + "touched")
    wait()


def wait() -> None:
    say("here")
    time.sleep(600)


if __name__ == "__main__":
    how, path, micro_rho, *rest = sys.argv[1:]
    ledger, cost = Ledger(path), int(micro_rho)
    if how == "until refused":
        until_refused(ledger, cost, int(rest[0]))
    elif how == "for ever":
        for_ever(ledger, cost)
    else:
        then_touch(ledger, cost, Path(rest[0]), how)
