"""Where the parts of a job are done: the core asks, whoever calls it hands in the workers (see `synth.scale`)."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Protocol

from synth.errors import ConfigError

Work = Callable[[int], bytes]  # does one part, named by its number
Results = Generator[bytes, None, None]  # closing it ends the workers at once


class Workers(Protocol):
    """Whoever can do parts of a job in any order, and hand in the results in the right one."""

    def map_in_order(self, start: Callable[..., Work], settings: Mapping[str, Any], parts: Sequence[int]) -> Results:
        """What `start(**settings)` makes of each part, in the order of the parts; few results wait at any time.

        start: a function that can be imported by its name, called once by each worker. settings: JSON values.
        """
        ...


def name_of(what: Any) -> str:
    """The name that something can be imported by in another process. Raises ConfigError where it cannot."""
    module, name = getattr(what, "__module__", None), getattr(what, "__qualname__", "")
    try:
        found: Any = None if module in (None, "__main__") else importlib.import_module(module)
        for step in name.split("."):
            found = getattr(found, step)
    except (ImportError, AttributeError):
        found = None
    if found is not what:
        raise ConfigError(
            f"{name or what!r} cannot be imported by a worker process (it is defined in {module}); "
            "put it into a module of its own, or work without processes"
        )
    return f"{module}:{name}"


def named(name: str) -> Any:
    """What "module:name" stands for."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for step in path.split("."):
        found = getattr(found, step)
    return found
