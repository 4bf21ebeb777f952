"""The page and the picture of `benchmarks.private`."""

from __future__ import annotations

import math
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.cells import ROOT

SHOWN = (("tvd2", "2-way TVD"), ("tvd3", "3-way TVD"), ("utility.tstr", "TSTR"), ("group", "worst group"))
COLOURS = {"independent": "#8a8a8a", "mst": "#c26a00", "aim": "#1f5fbf", "network": "#7a3fb0", "autoregressive": "#1a7f4b"}


def write_page(out: Path, found: Sequence[dict[str, Any]], command: str) -> None:
    """private.md and private.svg in a folder."""
    from benchmarks import private

    about = (private.__doc__ or "").split("\n\n", 3)[3].strip()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    lines = [
        "# What a privacy budget buys\n",
        f"Made by `{command}` at commit {commit}, Python {platform.python_version()}, {os.cpu_count()} cores. Medians over "
        "seeds, in brackets the least and the most.\n",
        about + "\n",
        "![TSTR and 2-way error against epsilon](private.svg)\n",
    ]
    for table in dict.fromkeys(each["table"] for each in found):
        lines += section(table, [each for each in found if each["table"] == table])
    out.mkdir(parents=True, exist_ok=True)
    (out / "private.md").write_text("\n".join(lines), encoding="utf-8")
    (out / "private.svg").write_text(picture(found), encoding="utf-8")


def section(table: str, found: Sequence[dict[str, Any]]) -> list[str]:
    """The table of one data set."""
    head = "| ε | method | seeds | 2-way TVD | 3-way TVD | TSTR | worst group | Shape | found (allowed) | fit s | peak MB |"
    lines = [f"## {table}\n", head, "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
    keys = sorted({(each["epsilon"], each["method"]) for each in found}, key=lambda key: (key[0], list(COLOURS).index(key[1])))
    for epsilon, method in keys:
        cells = [each for each in found if (each["epsilon"], each["method"]) == (epsilon, method)]
        whole = [each for each in cells if "failed" not in each]
        if not whole:
            lines.append(f"| {epsilon:g} | `{method}` | 0 | {cells[0]['failed']} | | | | | | | |")
            continue
        figures = [spread([value(each, name) for each in whole]) for name, _ in SHOWN]
        attacked = [each["privacy.membership_tpr"][0] for each in whole if each.get("privacy.membership_tpr")]
        allowed = min(1.0, math.exp(epsilon) * 0.01 + 1e-5)
        hit = f"{attacked[0]:.1%} ({allowed:.1%})" if attacked else ""
        shape = f"{median(each['fidelity.shape'][0] for each in whole):.2%}"
        costs = f"{median(each['fit'] for each in whole):.1f} | {median(each['peak'] for each in whole) / 1e6:.0f}"
        lines.append(f"| {epsilon:g} | `{method}` | {len(whole)} | {' | '.join(figures)} | {shape} | {hit} | {costs} |")
    return [*lines, ""]


def value(cell: dict[str, Any], name: str) -> float:
    """A figure of a cell; of those with an interval the value."""
    found = cell[name]
    return float(found[0] if isinstance(found, list) else found)


def spread(values: Sequence[float]) -> str:
    """The median, and between which ends all lie."""
    whole = f"{median(values):.3f}"
    return whole if len(values) == 1 else f"{whole} [{min(values):.3f}–{max(values):.3f}]"


def picture(found: Sequence[dict[str, Any]]) -> str:
    """Two panels for each table: TSTR, and 2-way TVD, against ε on a logarithmic axis."""
    names = list(dict.fromkeys(each["table"] for each in found))
    width, height, parts = 340, 220, []
    for row, table in enumerate(names):
        for column, (figure, label) in enumerate((("utility.tstr", "TSTR"), ("tvd2", "2-way TVD"))):
            cells = [each for each in found if each["table"] == table and "failed" not in each]
            parts.append(_panel(cells, figure, f"{table}: {label}", column * width, row * height, width, height))
    legend = "".join(
        f'<text x="{12 + 130 * i}" y="{len(names) * height + 18}" fill="{colour}" font-size="12">● {method}</text>'
        for i, (method, colour) in enumerate(COLOURS.items())
        if any(each["method"] == method for each in found)
    )
    box = f'viewBox="0 0 {2 * width} {len(names) * height + 30}" width="{2 * width}"'
    style = '<style>text{font-family:sans-serif}</style><rect width="100%" height="100%" fill="#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img">{style}{"".join(parts)}{legend}</svg>\n'


def _panel(cells: Sequence[dict[str, Any]], figure: str, title: str, x: int, y: int, width: int, height: int) -> str:
    points = {}
    for method in COLOURS:
        for epsilon in sorted({each["epsilon"] for each in cells}):
            values = [value(each, figure) for each in cells if (each["method"], each["epsilon"]) == (method, epsilon)]
            if values:
                points[method, epsilon] = median(values)
    low, high = min(points.values(), default=0.0), max(points.values(), default=1.0)
    low, high = low - 0.05 * (high - low + 1e-9), high + 0.05 * (high - low + 1e-9)
    epsilons = sorted({epsilon for _, epsilon in points})
    left, top, wide, tall = x + 52, y + 28, width - 70, height - 66

    def at(epsilon: float, found: float) -> tuple[float, float]:
        span = math.log(epsilons[-1] / epsilons[0]) or 1.0
        return left + wide * math.log(epsilon / epsilons[0]) / span, top + tall * (high - found) / (high - low)

    out = [f'<text x="{left}" y="{y + 18}" font-size="13">{title}</text>']
    out.append(f'<rect x="{left}" y="{top}" width="{wide}" height="{tall}" fill="none" stroke="#bbb"/>')
    out += [
        f'<text x="{at(e, low)[0]:.0f}" y="{top + tall + 16}" font-size="11" text-anchor="middle">ε {e:g}</text>'
        for e in epsilons
    ]
    for share in (0, 0.5, 1):
        level = low + share * (high - low)
        out.append(
            f'<text x="{left - 6}" y="{at(epsilons[0], level)[1] + 4:.0f}" font-size="11" text-anchor="end">{level:.3f}</text>'
        )
    for method, colour in COLOURS.items():
        line = [at(e, points[method, e]) for e in epsilons if (method, e) in points]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in line)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in line]
    return "".join(out)
