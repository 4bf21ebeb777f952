"""What a hyperparameter may be: the checks that methods share."""

from __future__ import annotations

from typing import Any

import numpy as np

from synth.errors import ConfigError


def whole_number(name: str, value: Any, least: int, most: int | None = None) -> None:
    """Raise ConfigError unless a hyperparameter is a whole number in this range."""
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, np.integer))
        or value < least
        or (most is not None and value > most)
    ):
        to = "or more" if most is None else f"to {most}"
        raise ConfigError(f"{name} is {value!r}; give a whole number, {least} {to}")


def real_number(name: str, value: Any, *, least: float = -np.inf, above: float = -np.inf, most: float = np.inf) -> None:
    """Raise ConfigError unless a hyperparameter is a finite number in this range."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not np.isfinite(value) or not (least <= value <= most and value > above):
        low = f"above {above:g}" if np.isfinite(above) else f"from {least:g}"
        raise ConfigError(f"{name} is {value!r}; give a number {low}{'' if np.isinf(most) else f', at most {most:g}'}")
