"""How long work reports itself: the core calls, only the command line draws."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called with a stage's name, the steps done and the steps in all. Must be cheap and must not raise.

    A stage may say what it is at after a colon: "measure: fidelity.trend".
    """

    def __call__(self, stage: str, done: int, total: int) -> None: ...


def silent(stage: str, done: int, total: int) -> None:
    """The default: nobody is watching."""
