"""Real tables that come with a package rather than over the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from synth.data.sources import read
from synth.data.table import Table
from synth.errors import MissingExtraError


def load_arrests() -> Table:
    """5,226 arrests for marijuana possession, Toronto 1997-2002; target `released`, sensitive `colour` and `sex`.

    After Friendly, M., "Effect displays" (R package carData, data set Arrests); the copy in scikit-lego (MIT) is read.
    Raises MissingExtraError where scikit-lego is not installed.
    """
    try:
        from sklego.datasets import load_arrests as load
    except ImportError as problem:
        raise MissingExtraError("the table of arrests", "scikit-lego", "demo") from problem
    return read(load(as_frame=True), target="released", sensitive=["colour", "sex"])


BUNDLED: Mapping[str, Callable[[], Table]] = {"arrests": load_arrests}
