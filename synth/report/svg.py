"""Small inline drawings: a figure against its band, marginals, and pair densities. Colours come from the page's style."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

WIDTH = 320
SQUARE, NAMES = 320, 120  # sides of a square of errors, and what its rows' names take
NAMED = 30  # columns beyond which the names no longer fit beside their rows
LETTERS = 18  # of a name beside a bar or a row


def frame(width: float, height: float, words: str, body: str) -> Markup:
    """An SVG with its alternative in words."""
    said = escape(words)
    head = f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{said}"><title>{said}</title>'
    return Markup(head + body + "</svg>")


def band(
    value: float,
    low: float,
    high: float,
    reference: tuple[float, float] | None,
    limit: float | None,
    words: str,
) -> Markup:
    """A value with its interval, over what real rows score (a band) and the policy's limit (a dashed line)."""
    marks = [value, low, high, *(reference or ()), *(() if limit is None else (limit,))]
    start, end = min(marks), max(marks)
    pad = 0.08 * (end - start) or max(abs(value), 0.01) * 0.1

    def x(mark: float) -> float:
        return round(float(6 + (WIDTH - 12) * (mark - start + pad) / (end - start + 2 * pad)), 1)

    body = f'<line class="axis" x1="4" x2="{WIDTH - 4}" y1="16" y2="16"/>'
    if reference is not None:
        left, right = x(reference[0]), x(reference[1])
        body += f'<rect class="reference" x="{left - 1.5:g}" y="4" width="{right - left + 3:.1f}" height="24" rx="2"/>'
    if limit is not None:
        body += f'<line class="limit" x1="{x(limit)}" x2="{x(limit)}" y1="1" y2="31"/>'
    body += f'<line class="interval" x1="{x(low)}" x2="{x(high)}" y1="16" y2="16"/>'
    body += f'<circle class="value" cx="{x(value)}" cy="16" r="5"/>'
    return frame(WIDTH, 32, words, body)


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

    def box(i: int, share: float, kind: str) -> str:
        left = i * step + (14 if i == count - 1 else 4)
        height = 96 * share / top
        return f'<rect class="{kind}" x="{left:.1f}" y="{100 - height:.1f}" width="{step:.1f}" height="{height:.1f}"/>'

    body = "".join(box(i, share, "synthetic") for i, share in enumerate(synthetic))
    body += "".join(box(i, share, "real") for i, share in enumerate(real or ()))
    body += f'<line class="axis" x1="4" x2="{WIDTH - 4}" y1="100" y2="100"/><text x="4" y="116">{escape(ends[0])}</text>'
    body += f'<text x="{WIDTH - 56}" y="116" text-anchor="end">{escape(ends[1])}</text>'
    body += f'<text x="{WIDTH - 4}" y="116" text-anchor="end">null</text>'
    return frame(WIDTH, 122, words, body)


def bars(labels: Sequence[str], synthetic: Sequence[float], real: Sequence[float] | None, words: str) -> Markup:
    """Shares per category, one under the other: synthetic filled, real as an outline below it."""
    top = max([*synthetic, *(real or ()), 1e-9])
    body, y = "", 2
    for i, label in enumerate(labels):
        body += f'<text x="116" y="{y + 12}" text-anchor="end">{escape(shortened(label))}</text>'
        body += f'<rect class="synthetic" x="122" y="{y}" width="{194 * synthetic[i] / top:.1f}" height="8"/>'
        if real is not None:
            body += f'<rect class="real" x="122" y="{y + 8}" width="{194 * real[i] / top:.1f}" height="7"/>'
        y += 19
    return frame(WIDTH, y + 2, words, body)


def density(joint: np.ndarray, top: float, words: str) -> Markup:
    """Shares of shape (across, up) as squares, darker where there are more rows."""
    across, up = joint.shape
    wide, high = 150 / across, 150 / up
    body = '<rect class="plane" x="0" y="0" width="150" height="150"/>'
    for i, j in zip(*np.nonzero(joint)):
        shade = 0.08 + 0.92 * float(joint[i, j] / top) ** 0.5
        body += (
            f'<rect class="cell" x="{i * wide:.1f}" y="{150 - (j + 1) * high:.1f}" width="{wide:.1f}" height="{high:.1f}" '
            f'fill-opacity="{shade:.2f}"/>'
        )
    return frame(150, 150, words, body)


def matrix(size: int, pairs: Sequence[Sequence[float]], names: Sequence[str], words: str) -> Markup:
    """Errors of pairs as a square, darker where larger; rows are named, columns have the same order."""
    top = max([error for _, _, error in pairs] or [0.0]) or 1.0
    cell, left = SQUARE / size, NAMES if size <= NAMED else 0
    body = f'<rect class="plane" x="{left}" y="0" width="{SQUARE}" height="{SQUARE}"/>'
    for row, name in enumerate(names if left else ()):
        body += f'<text x="{left - 6}" y="{(row + 0.5) * cell + 4:.1f}" text-anchor="end">{escape(shortened(name))}</text>'
    for i, j, error in pairs:
        told = f"<title>{escape(f'{names[int(i)]} × {names[int(j)]}: {error:.3f}')}</title>" if left else ""
        for a, b in ((i, j), (j, i)):
            body += (
                f'<rect class="cell" x="{left + a * cell:.1f}" y="{b * cell:.1f}" width="{cell:.1f}" height="{cell:.1f}" '
                f'fill-opacity="{error / top:.2f}">{told}</rect>'
            )
    return frame(left + SQUARE, SQUARE, words, body)


def shortened(label: str) -> str:
    return label if len(label) <= LETTERS else label[: LETTERS - 1] + "…"
