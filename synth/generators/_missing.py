"""What is said where a missing cell cannot be filled in."""

from __future__ import annotations

from synth.errors import GenerationError


def nothing_to_fill(column: str) -> GenerationError:
    """For a missing cell of a column that the method has never seen a value of."""
    return GenerationError(f"column {column!r} was null in every training row: there is nothing to fill it with; drop it")


def fillers() -> str:
    """The methods that can fill in, in words."""
    from synth.generators import by_name, names
    from synth.generators.base import Generator

    *others, last = (name for name in names() if by_name(name)._impute is not Generator._impute)
    return f"{', '.join(others)} and {last}"
