"""The list of metrics. A metric is one function from `Evidence` to `Reading`s, registered by being in this folder."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from synth.errors import InputError, did_you_mean
from synth.metrics.measurement import Better, Interval

if TYPE_CHECKING:
    from synth.metrics.evidence import Evidence

FAMILIES = (
    "validity",
    "image",
    "fidelity",
    "utility",
    "balance",
    "privacy",
    "fairness",
)  # the order in which they are computed and shown


class SkipMetricError(Exception):
    """Raised by a metric that cannot be computed on this evidence, with the reason: too few rows, no holdout, …"""


class NothingThereError(SkipMetricError):
    """Raised where the table has nothing that the metric is about: no target, no constraints, no numbers, …"""


@dataclass(frozen=True)
class Reading:
    """One figure of a metric; `skipped` gives the reason where this one could not be taken."""

    score: Interval | None = None
    reference: Interval | None = None
    group: Mapping[str, str] | None = None
    columns: tuple[str, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)
    skipped: str = ""


Function = Callable[["Evidence"], Iterable[Reading]]


@dataclass(frozen=True)
class Metric:
    """A registered metric: what it is called, which way is good, and which values are possible."""

    name: str
    better: Better
    bounds: tuple[float, float]
    function: Function
    summary: str  # the first line of the function's docstring
    cost: float  # about how many seconds of one core it takes on Adult's 32,561 rows: the longest are begun first
    on_request: bool  # computed only where its name or its version is asked for: another tool's definition, never a default

    @property
    def family(self) -> str:
        return self.name.split(".", 1)[0]


_METRICS: dict[str, Metric] = {}


def metric(
    name: str, *, better: Better, bounds: tuple[float, float] = (0.0, 1.0), cost: float = 0.1, on_request: bool = False
) -> Callable[[Function], Function]:
    """Register a function as the metric FAMILY.NAME. Its docstring's first line says what it measures.

    cost: about how many seconds of one core it takes on Adult's 32,561 rows. on_request: only where it is named.
    """
    if name.split(".", 1)[0] not in FAMILIES:
        raise ValueError(f"{name!r} is not FAMILY.METRIC with a family among {', '.join(FAMILIES)}")

    def register(function: Function) -> Function:
        if name in _METRICS and _METRICS[name].function is not function:
            raise ValueError(f"two functions are registered as the metric {name!r}")
        summary = (function.__doc__ or "").strip().splitlines()
        if not summary:
            raise ValueError(f"the metric {name!r} has no docstring; say in its first line what it measures")
        _METRICS[name] = Metric(name, better, bounds, function, summary[0], cost, on_request)
        return function

    return register


def metrics() -> tuple[Metric, ...]:
    """All metrics: by family, then in the order in which they are written down, whatever was imported first."""
    package = importlib.import_module("synth.metrics")
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda found: found.name):
        importlib.import_module(f"synth.metrics.{module.name}")
    return tuple(sorted(_METRICS.values(), key=_place))


def _place(metric: Metric) -> tuple[int, str, int]:
    code = inspect.unwrap(metric.function).__code__
    return FAMILIES.index(metric.family), metric.function.__module__, code.co_firstlineno


def chosen(only: str | Iterable[str] | None) -> tuple[Metric, ...]:
    """The metrics of these names or families; by default all but those that are computed on request only.

    Raises InputError, with the nearest name, for one that is unknown.
    """
    everything = metrics()
    if only is None:
        return tuple(m for m in everything if not m.on_request)
    wanted = (only,) if isinstance(only, str) else tuple(only)
    known = [m.name for m in everything]
    for name in wanted:
        if name not in known and name not in FAMILIES:
            raise InputError(f"no metric {name!r}{did_you_mean(name, [*known, *FAMILIES])}")
    return tuple(m for m in everything if m.name in wanted or (m.family in wanted and not m.on_request))
