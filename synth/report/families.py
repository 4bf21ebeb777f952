"""Many figures in an order that can be read: by family, of each metric the worst first, what has no figure apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from synth.metrics.measurement import Measurement, Measurements

WORST = ("fail", "error", "missing", "skipped", "inconclusive", "insufficient")  # outcomes that stand above every excess


@dataclass(frozen=True)
class Lines:
    """One metric's figures, the worst first: those that are shown, and those that are folded away."""

    shown: tuple[Measurement, ...]
    folded: tuple[Measurement, ...]


@dataclass(frozen=True)
class Family:
    name: str
    metrics: tuple[Lines, ...]  # in the order in which they were measured


@dataclass(frozen=True)
class Gap:
    """Figures that could not be taken for one reason."""

    status: str
    reason: str
    figures: tuple[Measurement, ...]


def by_family(measurements: Measurements, *, most: int, findings: Mapping[str, Any] | None = None) -> tuple[Family, ...]:
    """The figures that there are. most: of each metric, how many of its groups or columns are shown.

    findings: by label, so that what a policy says of a figure comes before how far it is from real rows.
    """
    families: dict[str, dict[str, list[Measurement]]] = {}
    for m in measurements:
        if m.score is not None:
            families.setdefault(m.family, {}).setdefault(m.name, []).append(m)
    return tuple(
        Family(family, tuple(_lines(found, most, findings or {}) for found in metrics.values()))
        for family, metrics in families.items()
    )


def _lines(found: list[Measurement], most: int, findings: Mapping[str, Any]) -> Lines:
    def badness(m: Measurement) -> tuple[int, float]:
        outcome = getattr(findings.get(m.label), "outcome", "")
        return (WORST.index(outcome) if outcome in WORST else len(WORST)), -excess(m)

    ordered = tuple(sorted(found, key=badness))
    return Lines(ordered[:most], ordered[most:])


def excess(m: Measurement) -> float:
    """How much worse a figure is than the reference, or than nothing where there is none; larger is worse."""
    assert m.score is not None
    real = 0.0 if m.reference is None else m.reference.value
    off = m.score.value - real
    return abs(off) if m.better == "nearer" else -off if m.better == "higher" else off


def gaps(measurements: Iterable[Measurement]) -> tuple[Gap, ...]:
    """What could not be measured: errors first, then what was skipped, then what the table has nothing of."""
    found: dict[tuple[str, str], list[Measurement]] = {}
    for m in measurements:
        if m.score is None:
            found.setdefault((m.status, m.reason), []).append(m)
    order = ("error", "skipped", "absent")
    ordered = sorted(found.items(), key=lambda item: order.index(item[0][0]))
    return tuple(Gap(status, reason, tuple(figures)) for (status, reason), figures in ordered)
