"""A module that is called like the function it is named after.

`synth.run(…)` is the function until someone writes `import synth.run`: Python then puts the module in its place. Both work.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def callable_as(function: Callable[..., Any]) -> None:
    """Let the module that defines this function be called in its stead."""

    class Calls(ModuleType):
        __call__ = staticmethod(function)

    sys.modules[function.__module__].__class__ = Calls
