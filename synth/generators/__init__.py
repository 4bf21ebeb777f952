"""How rows are made. One file is one method; its file name is its registry name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from synth.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from synth.generators.base import Generator


def names() -> tuple[str, ...]:
    """The registry names of all methods, in alphabetical order. Imports none of them."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name.replace("_", "-") for name in found if not name.startswith("_") and name != "base"))


def by_name(name: str) -> type[Generator]:
    """The class of a method. Raises ConfigError, with the nearest name, where there is none."""
    if name not in names():
        raise ConfigError(f"no generator {name!r}{did_you_mean(name, names())}")
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    for member in vars(module).values():
        if isinstance(member, type) and getattr(member, "name", None) == name and member.__module__ == module.__name__:
            return member
    raise ConfigError(f"the module of generator {name!r} defines no class of that name; give its class name = {name!r}")


def create(name: str, params: Mapping[str, Any] | None = None) -> Generator:
    """A generator by its registry name, with these hyperparameters. Raises ConfigError, with the nearest right name.

    Raises MissingExtraError where the method needs an extra that is not installed.
    """
    kind = by_name(name)
    made = kind().set_params(**(params or {}))
    if (package := getattr(kind, "needs", None)) is not None and find_spec(package) is None:
        made._validate()  # which names the extra
    return made
