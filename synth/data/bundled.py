"""Real tables that come with a package rather than over the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from synth.data.sources import read
from synth.data.table import Table
from synth.errors import DataError, MissingExtraError, did_you_mean


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


def load_adult() -> Table:
    """48,842 people of the 1994 US census; target `income`, sensitive `sex` and `race`. Downloaded from OpenML on first use.

    Becker, B. and Kohavi, R. (1996), UCI Machine Learning Repository, CC BY 4.0.
    Raises DataError where OpenML cannot be reached.
    """
    from sklearn.datasets import fetch_openml

    try:
        frame = fetch_openml("adult", version=2, as_frame=True, parser="auto").frame
    except (ImportError, OSError) as problem:
        raise DataError(
            f"the Adult table could not be downloaded from OpenML ({problem}); go online (and pip install pandas), "
            "or point SYNTH_DATA at a folder that holds adult_train.parquet"
        ) from problem
    frame = frame.rename(columns=lambda name: name.replace("-", "_")).rename(columns={"class": "income"})
    return read(frame, target="income", sensitive=["sex", "race"])


BUNDLED: Mapping[str, Callable[[], Table]] = {"arrests": load_arrests, "adult": load_adult}


def load_bundled(name: str) -> Table:
    """A table by its name in `BUNDLED`. Raises DataError, with the nearest name, where there is none."""
    if name not in BUNDLED:
        raise DataError(f"no bundled table {name!r}{did_you_mean(name, BUNDLED)}")
    return BUNDLED[name]()
