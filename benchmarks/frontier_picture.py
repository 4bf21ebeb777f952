"""The picture of `benchmarks.frontier`: a panel for each table, C2ST over the floor (up) against membership (across).

Written by hand as SVG: its bytes depend on the figures alone, and it needs no drawing library.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from benchmarks.frontier_page import IN_ALL, MEMBERSHIP, OVER_FLOOR, Outcome

ACROSS = 4  # panels in a row
PANEL = (236.0, 214.0)  # width and height of a panel with its ticks
LEFT, TOP, RIGHT, BOTTOM = 38.0, 26.0, 10.0, 20.0  # of a panel, around its plane
MARGIN = (26.0, 8.0)  # left and top of the whole
UNIT = 0.02  # of both axes: nearly straight below it, logarithmic above, since methods differ by two orders
UP = (0.0, 0.01, 0.03, 0.1, 0.2, 0.5)  # ticks of C2ST AUC over the floor
OVER = (0.5, 0.51, 0.52, 0.54, 0.6, 0.7, 0.9)  # ticks of membership AUC
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#000000", "#56b4e9", "#8c6d1f", "#5e3c99")  # Okabe and Ito, and two
SHAPES = ("square", "triangle", "diamond", "cross", "plus", "down", "bar", "star")
CURVE, OPEN, GOAL = "#0072b2", "#ffffff", "#e4efe4"


@dataclass(frozen=True)
class Look:
    """How a setting is drawn: its shape and colour, and whether the shape is filled."""

    shape: str
    colour: str
    filled: bool
    size: float = 4.6
    note: str = ""  # beside each of its markers


@dataclass(frozen=True)
class Spot:
    """The medians of a setting's seeds on one table, with their ends."""

    label: str
    x: tuple[float, float, float]  # low, median, high of the membership AUC
    y: tuple[float, float, float]  # the same of the C2ST AUC over the floor
    floor: float


def draw(found: Sequence[Outcome], *, default: str, curve: Sequence[str]) -> str:
    """The picture as SVG text.

    default: the label of the setting whose marker is filled among the curve's. curve: labels that a line joins, in its order.
    """
    spots = {table: list(_spots(found, table)) for table in dict.fromkeys(o.cell.table for o in found)}
    labels = list(dict.fromkeys(o.cell.setting.label for o in found))
    looks = _looks(labels, default, curve)
    drawn = {spot.label for several in spots.values() for spot in several}
    axes = _Axes.around([spot for several in spots.values() for spot in several])
    rows = -(-len(spots) // ACROSS)
    width = MARGIN[0] + min(ACROSS, max(1, len(spots))) * PANEL[0]
    legend, depth = _legend([label for label in labels if label in drawn], looks, width)
    below = MARGIN[1] + rows * PANEL[1] + 22
    height = below + depth
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="11" fill="#222222" role="img">',
        "<title>C2ST AUC over what real rows score, against membership AUC, for each table and setting</title>",
        f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>',
        f'<text transform="translate(13 {MARGIN[1] + rows * PANEL[1] / 2:g}) rotate(-90)" text-anchor="middle">'
        "C2ST AUC − floor (0: like real rows)</text>",
        f'<text x="{width / 2:g}" y="{below - 6:g}" text-anchor="middle">'
        "membership AUC of the strongest attack (.5: nobody is recognised)</text>",
    ]
    for place, (table, several) in enumerate(spots.items()):
        x, y = MARGIN[0] + place % ACROSS * PANEL[0], MARGIN[1] + place // ACROSS * PANEL[1]
        parts.append(f'<g transform="translate({x:g} {y:g})">{_panel(table, several, axes, looks, curve)}</g>')
    parts.append(f'<g transform="translate(0 {below:g})">{legend}</g></svg>')
    return "\n".join(parts) + "\n"


def _spots(found: Sequence[Outcome], table: str) -> Iterator[Spot]:
    by_label: dict[str, list[tuple[float, float, float]]] = {}
    for outcome in found:
        x, y = outcome.value("privacy.membership_auc"), outcome.value("fidelity.detection")
        floor = outcome.value("fidelity.detection", "reference")
        if outcome.cell.table == table and x is not None and y is not None and floor is not None:
            by_label.setdefault(outcome.cell.setting.label, []).append((x, y - floor, floor))
    for label, points in by_label.items():
        across, up, base = ((min(side), statistics.median(side), max(side)) for side in zip(*points))
        yield Spot(label, across, up, base[1])


def _looks(labels: Sequence[str], default: str, curve: Sequence[str]) -> dict[str, Look]:
    """The curve's settings are circles, the default filled and large, the others with what they differ in beside them.

    Every other setting has a shape and a colour of its own.
    """
    looks = {label: Look("circle", CURVE, False, 4.2, label.rsplit(" ", 1)[-1]) for label in curve}
    looks |= {default: Look("circle", CURVE, True, 6.0)}
    others = [label for label in labels if label not in looks]
    colours = [colour for colour in COLOURS if colour != CURVE]
    for place, label in enumerate(others):
        looks[label] = Look(SHAPES[place % len(SHAPES)], colours[place % len(colours)], True)
    return looks


# a panel --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Axes:
    """The scales, the same in every panel so that tables can be compared."""

    x: tuple[float, float]
    y: tuple[float, float]

    @classmethod
    def around(cls, spots: Sequence[Spot]) -> _Axes:
        """Wide enough for all spots and for the goal."""
        right = 0.5 + 1.15 * (max([0.53, *(spot.x[2] for spot in spots)]) - 0.5)
        left = min([0.499, *(spot.x[0] for spot in spots)]) - 0.003
        top = max([0.1, *(spot.y[2] for spot in spots)]) * 1.25
        low = min([-0.004, *(spot.y[0] * 1.15 for spot in spots)])
        return cls((_bent(left - 0.5), _bent(right - 0.5)), (_bent(low), _bent(top)))

    def across(self, value: float) -> float:
        share = (_bent(value - 0.5) - self.x[0]) / (self.x[1] - self.x[0])
        return LEFT + share * (PANEL[0] - LEFT - RIGHT)

    def up(self, value: float) -> float:
        share = (_bent(value) - self.y[0]) / (self.y[1] - self.y[0])
        return PANEL[1] - BOTTOM - share * (PANEL[1] - TOP - BOTTOM)


def _bent(value: float) -> float:
    return math.asinh(value / UNIT)


def _panel(table: str, spots: Sequence[Spot], axes: _Axes, looks: dict[str, Look], curve: Sequence[str]) -> str:
    left, right, top, bottom = LEFT, PANEL[0] - RIGHT, TOP, PANEL[1] - BOTTOM
    parts = [f'<text x="{left:g}" y="{top - 8:g}" font-size="13" font-weight="bold">{escape(table)}</text>']
    goal = _goal(table, spots)
    if goal is not None:
        x, y = axes.across(MEMBERSHIP), axes.up(goal)
        parts.append(f'<path d="M{left:g} {y:.1f}H{x:.1f}V{bottom:g}H{left:g}Z" fill="{GOAL}"/>')
    parts += _ticks(axes, left, right, top, bottom)
    by_label = {spot.label: spot for spot in spots}
    joined = [by_label[label] for label in curve if label in by_label]
    if len(joined) > 1:
        way = "L".join(f"{axes.across(s.x[1]):.1f} {axes.up(s.y[1]):.1f}" for s in joined)
        parts.append(f'<path d="M{way}" fill="none" stroke="{CURVE}" stroke-width="1.2"/>')
    for spot in sorted(spots, key=lambda s: looks[s.label].size):  # the default last, over the others
        parts.append(_spread(spot, axes, looks[spot.label].colour))
    for spot in sorted(spots, key=lambda s: looks[s.label].size):
        said = f"{spot.label}: membership {spot.x[1]:.3f}, C2ST − floor {spot.y[1]:.3f}"
        x, y, look = axes.across(spot.x[1]), axes.up(spot.y[1]), looks[spot.label]
        parts.append(_marker(x, y, look, said))
        if look.note:
            parts.append(f'<text x="{x + 8:.1f}" y="{y + 3:.1f}" font-size="9">{escape(look.note)}</text>')
    return "".join(parts)


def _goal(table: str, spots: Sequence[Spot]) -> float | None:
    """The C2ST AUC over the floor that the default must not pass; None where nothing is asked of it."""
    if table in IN_ALL[1] and spots:
        return IN_ALL[0] - spots[0].floor
    return OVER_FLOOR[0] if table in OVER_FLOOR[1] else None


def _ticks(axes: _Axes, left: float, right: float, top: float, bottom: float) -> Iterator[str]:
    yield f'<path d="M{left:g} {top:g}V{bottom:g}H{right:g}" fill="none" stroke="#777777"/>'
    for value in UP:
        y = axes.up(value)
        if y >= top:
            colour = "#777777" if value == 0 else "#dddddd"
            yield f'<path d="M{left:g} {y:.1f}H{right:g}" stroke="{colour}" stroke-width="0.7"/>'
            yield f'<text x="{left - 4:g}" y="{y + 3.5:.1f}" text-anchor="end" font-size="10">{_short(value)}</text>'
    for value in OVER:
        x = axes.across(value)
        if x <= right:
            yield f'<path d="M{x:.1f} {bottom:g}v4" stroke="#777777"/>'
            yield f'<text x="{x:.1f}" y="{bottom + 14:g}" text-anchor="middle" font-size="10">{_short(value)}</text>'


def _short(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".") if value else "0"


def _spread(spot: Spot, axes: _Axes, colour: str) -> str:
    x, y = [axes.across(v) for v in spot.x], [axes.up(v) for v in spot.y]
    way = f"M{x[0]:.1f} {y[1]:.1f}H{x[2]:.1f}M{x[1]:.1f} {y[0]:.1f}V{y[2]:.1f}"
    return f'<path d="{way}" stroke="{colour}" stroke-width="1" stroke-opacity="0.7"/>'


def _marker(x: float, y: float, look: Look, said: str = "") -> str:
    told = f"<title>{escape(said)}</title>" if said else ""
    r = look.size
    style = f'fill="{look.colour if look.filled else OPEN}" stroke="{look.colour}" stroke-width="1.6"'
    if look.shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:g}" {style}>{told}</circle>'
    way = {
        "square": f"m{-r} {-r}h{2 * r}v{2 * r}h{-2 * r}z",
        "triangle": f"m0 {-1.2 * r:.2f}l{1.15 * r:.2f} {2.1 * r:.2f}h{-2.3 * r:.2f}z",
        "down": f"m0 {1.2 * r:.2f}l{1.15 * r:.2f} {-2.1 * r:.2f}h{-2.3 * r:.2f}z",
        "diamond": f"m0 {-1.3 * r:.2f}l{1.1 * r:.2f} {1.3 * r:.2f}l{-1.1 * r:.2f} {1.3 * r:.2f}l{-1.1 * r:.2f} {-1.3 * r:.2f}z",
        "cross": f"m{-r} {-r}l{2 * r} {2 * r}m0 {-2 * r}l{-2 * r} {2 * r}",
        "plus": f"m{-1.2 * r:.2f} 0h{2.4 * r:.2f}m{-1.2 * r:.2f} {-1.2 * r:.2f}v{2.4 * r:.2f}",
        "bar": f"m{-0.5 * r:.2f} {-1.2 * r:.2f}h{r:.2f}v{2.4 * r:.2f}h{-r:.2f}z",
        "star": f"m0 {-1.2 * r:.2f}v{2.4 * r:.2f}m{-r} {-1.8 * r:.2f}l{2 * r} {1.2 * r}m0 {-1.2 * r}l{-2 * r} {1.2 * r}",
    }[look.shape]
    return f'<path d="M{x:.1f} {y:.1f}{way}" {style}>{told}</path>'


def _legend(labels: Sequence[str], looks: dict[str, Look], width: float) -> tuple[str, float]:
    """The markers with their names, as many in a row as there is room for, and the height of it all."""
    noted = [label for label in labels if looks[label].note]
    entries = [(label, _marker(0, 0, looks[label])) for label in labels if label not in noted]
    if noted:
        others = f"{noted[0].removesuffix(looks[noted[0]].note)}{', '.join(looks[label].note for label in noted)}"
        entries.insert(0, (others, _marker(0, 0, looks[noted[0]])))
    entries.append(("the targets of the default", f'<path d="M-8 -6h16v12h-16z" fill="{GOAL}"/>'))
    parts: list[str] = []
    x, y = MARGIN[0] + 12, 14.0
    for label, marker in entries:
        room = 34 + 5.6 * len(label)
        if x + room > width:
            x, y = MARGIN[0] + 12, y + 20
        parts.append(f'<g transform="translate({x:.1f} {y:g})">{marker}<text x="12" y="4">{escape(label)}</text></g>')
        x += room
    return "".join(parts), y + 14
