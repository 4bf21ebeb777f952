"""What the figures of `benchmarks.private` are to show, each held against all cells; what falls short is named."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

TVD, TSTR, SHAPE, FOUND = "tvd2", "utility.tstr", "fidelity.shape", "privacy.membership_tpr"
FALSE_ALARMS, DELTA = 0.01, 1e-5
FLOOR, BEST = "independent", "aim"
OURS = ("mst", "aim", "network", "autoregressive", "diffusion", "gan")
PEERS = ("dpmm-mst", "dpmm-aim", "opendp-mst", "opendp-aim")
GOALS = {0.5: 0.84, 1.0: 0.87, 3.0: 0.89, 10.0: 0.90}  # TSTR of AIM on Adult
CLOSE = 0.03  # 2-way TVD of AIM on Adult at ε = 1
QUICK = 90.0  # seconds of CPU of AIM on Adult at ε = 1
NETWORK = ((TSTR, 1, 0.89), (SHAPE, -1, 0.04))  # autoregressive on Adult at ε = 10: at least, at most

Cell = dict[str, Any]


@dataclass(frozen=True)
class Claim:
    """words: what is claimed. looked: at how many comparisons. short: those in which it does not hold, in words."""

    words: str
    looked: int
    short: tuple[str, ...]

    @property
    def line(self) -> str:
        """For the page."""
        if not self.looked:
            return f"- Not measured: {self.words}."
        if not self.short:
            return f"- Holds ({self.looked} of {self.looked}): {self.words}."
        held = self.looked - len(self.short)
        return f"- **Falls short** ({held} of {self.looked} hold): {self.words}. Not so: {'; '.join(self.short)}."


def claims(cells: Sequence[Cell]) -> list[Claim]:
    """Every claim about these cells; a cell that failed says nothing."""
    at = _Figures([each for each in cells if "failed" not in each])
    said: list[tuple[str, Callable[[_Figures], Iterator[tuple[bool, str]]]]] = [
        ("every private method beats independent columns at ε ≥ 1, in the error of pairs and in TSTR (medians)", _beats),
        ("the error of pairs falls as ε grows (medians)", _falls),
        ("the share of members found at 1% false alarms is, within its interval, at most e^ε · 1% + δ", _hidden),
        ("on Adult, AIM's TSTR is at least .84, .87, .89 and .90 at ε = .5, 1, 3 and 10 (medians)", _useful),
        ("on Adult, AIM's error of pairs at ε = 1 is at most .03 (median)", _close),
        ("on Adult, AIM's fit and drawing at ε = 1 take at most 90 s of CPU, of which a free machine needs no longer", _quick),
        ("on Adult, autoregressive's TSTR at ε = 10 is at least .89 and its Shape at most 4% (medians)", _network),
        (
            "AIM is never behind dpmm's or OpenDP's methods, in the error of pairs or in TSTR, beyond noise: behind is a "
            "median that is worse than the worst of theirs, where not one fit of ours reaches the median of theirs either",
            _ahead,
        ),
    ]
    found = []
    for words, looks in said:
        looked = list(looks(at))
        found.append(Claim(words, len(looked), tuple(what for holds, what in looked if not holds)))
    return found


class _Figures:
    """Cells by table, ε and method."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.cells = cells
        self.places = sorted({(c["table"], c["epsilon"]) for c in cells if c["epsilon"]})

    def values(self, table: str, epsilon: float, method: str, figure: str) -> list[float]:
        """The figure of each seed; of one with an interval its value."""
        here = [
            c[figure] for c in self.cells if (c["table"], c["epsilon"], c["method"]) == (table, epsilon, method) and figure in c
        ]
        return [float(value[0] if isinstance(value, list) else value) for value in here if value is not None]

    def median(self, table: str, epsilon: float, method: str, figure: str) -> float | None:
        values = self.values(table, epsilon, method, figure)
        return median(values) if values else None


def _beats(at: _Figures) -> Iterator[tuple[bool, str]]:
    for table, epsilon in at.places:
        for method in OURS if epsilon >= 1 else ():
            for figure, sign in ((TVD, -1), (TSTR, 1)):
                ours, floor = (at.median(table, epsilon, each, figure) for each in (method, FLOOR))
                if ours is not None and floor is not None:
                    yield sign * (ours - floor) > 0, f"{table}, ε {epsilon:g}, {method}: {figure} {ours:.3f} to {floor:.3f}"


def _falls(at: _Figures) -> Iterator[tuple[bool, str]]:
    for table in dict.fromkeys(table for table, _ in at.places):
        for method in OURS:
            errors = [(e, at.median(table, e, method, TVD)) for t, e in at.places if t == table]
            known = [(epsilon, error) for epsilon, error in errors if error is not None]
            for (before, one), (after, other) in pairwise(known):
                yield other < one, f"{table}, {method}: {one:.4f} at ε {before:g}, {other:.4f} at {after:g}"


def _hidden(at: _Figures) -> Iterator[tuple[bool, str]]:
    for each in at.cells:
        if each["epsilon"] and each.get(FOUND):
            low, most = each[FOUND][1], allowed(each["epsilon"])
            yield (
                low <= most,
                f"{each['table']}, ε {each['epsilon']:g}, {each['method']}: {low:.1%} at least, {most:.1%} allowed",
            )


def allowed(epsilon: float) -> float:
    """The most members that an attack finds at 1% false alarms, of what is (ε, δ)-differentially private."""
    return min(1.0, math.exp(epsilon) * FALSE_ALARMS + DELTA)


def _useful(at: _Figures) -> Iterator[tuple[bool, str]]:
    for epsilon, goal in GOALS.items():
        reached = at.median("Adult", epsilon, BEST, TSTR)
        if reached is not None:
            yield reached >= goal, f"{reached:.3f} at ε {epsilon:g}"


def _close(at: _Figures) -> Iterator[tuple[bool, str]]:
    error = at.median("Adult", 1.0, BEST, TVD)
    if error is not None:
        yield error <= CLOSE, f"{error:.4f}"


def _quick(at: _Figures) -> Iterator[tuple[bool, str]]:
    took = at.median("Adult", 1.0, BEST, "cpu")
    if took is not None:
        yield took <= QUICK, f"{took:.0f} s"


def _network(at: _Figures) -> Iterator[tuple[bool, str]]:
    for figure, sign, limit in NETWORK:
        reached = at.median("Adult", 10.0, "autoregressive", figure)
        if reached is not None:
            yield sign * (reached - limit) >= 0, f"{figure} {reached:.3f}"


def _ahead(at: _Figures) -> Iterator[tuple[bool, str]]:
    for table, epsilon in at.places:
        for peer in PEERS:
            for figure, sign in ((TVD, -1), (TSTR, 1)):
                ours, theirs = (at.values(table, epsilon, each, figure) for each in (BEST, peer))
                if ours and theirs:
                    reaches = max(sign * value for value in ours) >= sign * median(theirs)
                    above = sign * median(ours) >= min(sign * value for value in theirs)
                    said = f"{table}, ε {epsilon:g}, {peer}: {figure} {median(theirs):.3f}, ours {median(ours):.3f}"
                    yield above or reaches, said
