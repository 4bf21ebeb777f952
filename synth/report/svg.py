"""Small inline drawings: a figure against its band, marginals, and pair densities. Colours come from the page's style.

No mark is told from another by its colour alone: real rows are an outline, synthetic rows are filled, limits are dashed, what
lies beyond them is striped. Marks of one shade are one path, so that a page of a hundred columns stays small.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from markupsafe import Markup, escape

WIDTH = 320
SQUARE = 320  # sides of a square of errors, beside its names
NAMED = 30  # columns beyond which the names no longer fit beside their rows
LETTERS = 18  # of a name beside a bar or a row
SHADES = 10  # steps of a shade, about as many as an eye tells apart

Box = tuple[float, float, float, float]  # left, top, width, height


def frame(width: float, height: float, words: str, body: str) -> Markup:
    """An SVG with its alternative in words."""
    said = escape(words)
    head = f'<svg class="drawing" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{said}"><title>{said}</title>'
    return Markup(head + body + "</svg>")


def band(
    value: float,
    low: float,
    high: float,
    reference: tuple[float, float] | None,
    limit: float | None,
    words: str,
    better: str = "nearer",
    scale: tuple[float, float] | None = None,
) -> Markup:
    """A value with its interval, over what real rows score (a band) and the policy's limit (dashed, striped beyond it).

    scale: the least and the largest number that the drawing must hold, so that several can be compared.
    """
    marks = [value, low, high, *(reference or ()), *(() if limit is None else (limit,)), *(scale or ())]
    start, end = min(marks), max(marks)
    pad = 0.08 * (end - start) or max(abs(value), 0.01) * 0.1

    def x(mark: float) -> float:
        return round(float(6 + (WIDTH - 12) * (mark - start + pad) / (end - start + 2 * pad)), 1)

    body = f'<path class="axis" d="M4 16H{WIDTH - 4}"/>'
    if limit is not None and better in ("lower", "higher"):
        left, right = (x(limit), WIDTH - 2) if better == "lower" else (2, x(limit))
        body += f'<rect class="beyond" x="{left:g}" y="4" width="{max(right - left, 0):.1f}" height="24"/>'
    if reference is not None:
        left, right = x(reference[0]), x(reference[1])
        body += f'<rect class="reference" x="{left - 1.5:g}" y="4" width="{right - left + 3:.1f}" height="24" rx="2"/>'
    if limit is not None:
        body += f'<path class="limit" d="M{x(limit):g} 1V31"/>'
    body += f'<path class="interval" d="M{x(low):g} 16H{x(high):g}"/>'
    body += f'<circle class="value" cx="{x(value):g}" cy="16" r="5.5"/>'
    return frame(WIDTH, 32, words, body)


def gap(
    value: float,
    low: float,
    high: float,
    reference: tuple[float, float] | None,
    ends: tuple[float, float],
) -> Markup:
    """A difference with its interval, over what real rows score, on a scale between `ends`; the upright line is nothing.

    It stands beside the same numbers in words, so it has none of its own.
    """
    start, end = ends

    def x(mark: float) -> float:
        return round(6 + 80 * (min(max(mark, start), end) - start) / ((end - start) or 1.0), 1)

    body = ""
    if reference is not None and reference[0] != reference[1]:
        left, right = x(reference[0]), x(reference[1])
        body += f'<rect class="reference" x="{left:g}" y="2" width="{max(right - left, 1):.1f}" height="14" rx="1.5"/>'
    body += f'<path class="axis" d="M2 9H90"/><path class="nought" d="M{x(0.0):g} 0V18"/>'
    body += f'<path class="interval" d="M{x(low):g} 9H{x(high):g}"/><circle class="value" cx="{x(value):g}" cy="9" r="4"/>'
    return Markup(f'<svg class="gap" viewBox="0 0 92 18" aria-hidden="true" focusable="false">{body}</svg>')


def differences(lines: Sequence[tuple[str, float, float, float]], words: str) -> Markup:
    """Named differences with their intervals, one under the other, beside a line at 0: (name, value, low, high) each."""
    left, height = 150, 22
    ends = [end for _, _, low, high in lines for end in (low, high)]
    start, end = min(0.0, *ends), max(0.0, *ends)
    span = (end - start) or 1.0

    def x(mark: float) -> float:
        return round(left + 8 + (WIDTH - 16) * (mark - start) / span, 1)

    low_end = len(lines) * height + 4
    body = f'<line class="limit" x1="{x(0)}" x2="{x(0)}" y1="0" y2="{low_end}"/>'
    for place, (name, value, low, high) in enumerate(lines):
        y = place * height + height / 2 + 2
        body += f'<text x="{left - 6}" y="{y + 4:g}" text-anchor="end">{escape(name)}</text>'
        body += f'<line class="interval" x1="{x(low)}" x2="{x(high)}" y1="{y:g}" y2="{y:g}"/>'
        body += f'<circle class="value" cx="{x(value)}" cy="{y:g}" r="4.5"/>'
    body += f'<text x="{left + 8}" y="{low_end + 12}">{start:+.3f}</text>'
    body += f'<text x="{left + WIDTH - 8}" y="{low_end + 12}" text-anchor="end">{end:+.3f}</text>'
    return frame(left + WIDTH, low_end + 16, words, body)


def histogram(synthetic: Sequence[float], real: Sequence[float] | None, ends: tuple[str, str], words: str) -> Markup:
    """Shares per bin, the last one for nulls: synthetic as filled bars, real as an outline."""
    top = max([*synthetic, *(real or ()), 1e-9])
    count = len(synthetic)
    step = (WIDTH - 24) / count

    def boxes(shares: Sequence[float]) -> list[Box]:
        lefts = (i * step + (14 if i == count - 1 else 4) for i in range(count))
        return [(left, 100 - 96 * share / top, step, 96 * share / top) for left, share in zip(lefts, shares)]

    body = _path("synthetic", boxes(synthetic)) + ("" if real is None else _path("real", boxes(real)))
    body += f'<path class="axis" d="M4 100H{WIDTH - 4}"/><text x="4" y="116">{escape(ends[0])}</text>'
    body += f'<text x="{WIDTH - 56}" y="116" text-anchor="end">{escape(ends[1])}</text>'
    body += f'<text class="quiet" x="{WIDTH - 4}" y="116" text-anchor="end">null</text>'
    return frame(WIDTH, 122, words, body)


def bars(labels: Sequence[str], synthetic: Sequence[float], real: Sequence[float] | None, words: str) -> Markup:
    """Shares per category, one under the other: synthetic filled, real as an outline below it, each with its percentage."""
    top = max([*synthetic, *(real or ()), 1e-9])
    names, fake, true, y = "", [], [], 2
    for i, label in enumerate(labels):
        names += f'<text x="116" y="{y + 12}" text-anchor="end">{escape(shortened(label))}</text>'
        fake.append((122.0, y, 158 * synthetic[i] / top, 8.0))
        longest = synthetic[i]
        if real is not None:
            true.append((122.0, y + 8.0, 158 * real[i] / top, 7.0))
            longest = max(longest, real[i])
        told = _percent(synthetic[i])
        names += f'<text class="quiet" x="{127 + 158 * longest / top:.0f}" y="{y + 12}">{told}</text>'
        y += 20
    return frame(WIDTH, y + 2, words, _path("synthetic", fake) + (_path("real", true) if true else "") + names)


def density(joint: np.ndarray, top: float, words: str) -> Markup:
    """Shares of shape (across, up) as squares, darker where there are more rows."""
    across, up = joint.shape
    wide, high = 150 / across, 150 / up
    cells = [
        (max(1, round(SHADES * float(joint[i, j] / top) ** 0.5)), (i * wide, 150 - (j + 1) * high, wide, high))
        for i, j in zip(*np.nonzero(joint))
    ]
    return frame(150, 150, words, '<path class="plane" d="M0 0H150V150H0z"/>' + _shaded(cells))


def difference(real: np.ndarray, synthetic: np.ndarray, top: float, words: str) -> Markup:
    """Where two densities differ: a square whose area is the difference, filled for more synthetic rows, hollow for fewer."""
    across, up = real.shape
    wide, high = 150 / across, 150 / up
    marks: dict[bool, list[Box]] = {True: [], False: []}
    for i, j in zip(*np.nonzero(synthetic - real)):
        off = float(synthetic[i, j] - real[i, j])
        part = min(1.0, abs(off) / top) ** 0.5
        w, h = wide * part, high * part
        if min(w, h) >= 1.0:  # below it nothing is seen
            marks[off > 0].append((i * wide + (wide - w) / 2, 150 - (j + 1) * high + (high - h) / 2, w, h))
    body = '<path class="plane" d="M0 0H150V150H0z"/>' + _path("more", marks[True]) + _path("fewer", marks[False])
    return frame(150, 150, words, body)


def matrix(size: int, pairs: Sequence[Sequence[float]], names: Sequence[str], words: str) -> Markup:
    """Errors of pairs as a square, darker where larger; rows and columns are named where there is room."""
    top = max([error for _, _, error in pairs] or [0.0]) or 1.0
    longest = max(len(shortened(name)) for name in names)
    cell, left = SQUARE / size, round(10 + 6.4 * longest) if size <= NAMED else 0
    body = f'<path class="plane" d="M{left} {left}h{SQUARE}v{SQUARE}h{-SQUARE}z"/>'
    for place, name in enumerate(names if left else ()):
        said, middle = escape(shortened(name)), left + (place + 0.5) * cell + 4
        body += f'<text x="{left - 6}" y="{middle:.1f}" text-anchor="end">{said}</text>'
        body += f'<text transform="translate({middle:.1f} {left - 6})rotate(-90)">{said}</text>'
    cells = [
        (round(SHADES * error / top), (left + a * cell, left + b * cell, cell, cell))
        for i, j, error in pairs
        for a, b in ((i, j), (j, i))
    ]
    return frame(left + SQUARE, left + SQUARE, words, body + _shaded(cells))


def shortened(label: str) -> str:
    return label if len(label) <= LETTERS else label[: LETTERS - 1] + "…"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%" if share < 0.995 else f"{100 * share:.0f}%"


def _shaded(cells: Iterable[tuple[int, Box]]) -> str:
    """Cells of a shade from 0 (not drawn) to SHADES, one path for each shade."""
    shades: dict[int, list[Box]] = {}
    for shade, box in cells:
        if shade:
            shades.setdefault(shade, []).append(box)
    return "".join(_path("cell", boxes, f' fill-opacity="{shade / SHADES:g}"') for shade, boxes in sorted(shades.items()))


def _path(kind: str, boxes: Sequence[Box], more: str = "") -> str:
    """Boxes as one path; none where there is nothing to draw."""
    drawn = "".join(f"M{_short(x)} {_short(y)}h{_short(w)}v{_short(h)}H{_short(x)}z" for x, y, w, h in boxes)
    return f'<path class="{kind}"{more} d="{drawn}"/>' if drawn else ""


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
