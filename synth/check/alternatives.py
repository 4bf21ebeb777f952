"""What a hyperparameter may be instead of its value, for the check that each of them does something."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any


def alternatives(value: Any, hint: Any, columns: tuple[str, ...]) -> Iterator[Any]:
    """Other values of a hyperparameter, of the types that its annotation names. columns: what a list of names may name."""
    parts = typing.get_args(hint)
    types = parts if parts and typing.get_origin(hint) not in (tuple, list, typing.Literal) else (hint,)
    found: list[Any] = []
    for kind in types:
        origin = typing.get_origin(kind)
        if origin is typing.Literal:
            found += typing.get_args(kind)
        elif origin in (tuple, list) or kind in (tuple, list):
            found += [origin(columns[-1:]), origin(columns[:2]), origin(())] if origin else []
        elif kind is bool:
            found += [False, True]
        elif kind is int:
            found += [1, 2, 3, 5, 20] + ([value // 2, value * 2] if isinstance(value, int) else [])
        elif kind is float:
            found += [0.0, 0.1, 0.5, 0.9, 2.0, 10.0]
        elif kind is type(None):
            found.append(None)
    return (other for other in found if type(other) is not type(value) or other != value)
