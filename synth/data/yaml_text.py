"""Reading YAML that a person wrote: plain values, and no more of them than the text can have meant."""

from __future__ import annotations

from typing import Any

import yaml

MOST_VALUES = 1_000_000


def parse_yaml(text: str) -> Any:
    """The value that a YAML text stands for; an empty text gives None.

    Raises ValueError, in one line, for what is not YAML and for aliases that contain themselves or multiply beyond
    `MOST_VALUES` values ("billion laughs").
    """
    try:
        value = yaml.safe_load(text)
        _count(value, 0)
    except RecursionError:
        raise ValueError("it is nested too deeply, or contains itself") from None
    except yaml.YAMLError as problem:
        raise ValueError(" ".join(str(problem).split())[:160]) from problem
    return value


def _count(value: Any, before: int) -> int:
    """How many values there are, an alias counted each time that it is used."""
    count = before + 1
    if count > MOST_VALUES:
        raise ValueError(f"its aliases stand for more than {MOST_VALUES:,} values")
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, (list, set)) else ():
        count = _count(part, count)
    return count
