"""One seed governs one step; what a seed may be is said here once."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from synth.errors import ConfigError


def check_seed(seed: Any) -> int:
    """The seed as an int. Raises ConfigError for what is not a whole number, 0 or more."""
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ConfigError(f"seed is {seed!r}; give a whole number, 0 or more: the same seed gives the same rows")
    return int(seed)
