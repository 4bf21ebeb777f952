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
from benchmarks.private_claims import allowed, claims

SHOWN = (("tvd2", "2-way TVD"), ("tvd3", "3-way TVD"), ("utility.tstr", "TSTR"), ("group", "worst group"))
COLOURS = {  # of the methods, in the order of the page
    "real": "#000000",
    "independent": "#8a8a8a",
    "mst": "#c26a00",
    "aim": "#1f5fbf",
    "network": "#00a0a0",
    "autoregressive": "#1a7f4b",
    "diffusion": "#7a4fbf",
    "gan": "#b5306a",
    "dpmm-mst": "#e3b778",
    "dpmm-aim": "#8fb3e8",
    "opendp-mst": "#a08050",
    "opendp-aim": "#5a7aa8",
}


def write_page(out: Path, found: Sequence[dict[str, Any]]) -> None:
    """private.md and private.svg in a folder, of all cells that there are."""
    from benchmarks import private

    about = (private.__doc__ or "").split("\n\n", 3)[3].strip()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    lines = [
        "# What a privacy budget buys\n",
        f"Made by `{command(found)}` at commit {commit} and before, Python {platform.python_version()}, {os.cpu_count()} "
        "cores, in parts: each row says of how many seeds it is. Medians over seeds, in brackets the least and the most.\n",
        about + "\n",
        *(["Rows without CPU seconds are of an earlier run, before these were taken.\n"] if _without_cpu(found) else []),
        "## What it shows\n",
        *(claim.line for claim in claims(found)),
        "\n![TSTR and 2-way error against epsilon](private.svg)\n",
    ]
    for table in dict.fromkeys(each["table"] for each in found):
        lines += section(table, [each for each in found if each["table"] == table])
    out.mkdir(parents=True, exist_ok=True)
    (out / "private.md").write_text("\n".join(lines), encoding="utf-8")
    (out / "private.svg").write_text(picture(found), encoding="utf-8")


def _without_cpu(found: Sequence[dict[str, Any]]) -> bool:
    return any("fit" in each and "cpu" not in each for each in found)


def command(found: Sequence[dict[str, Any]]) -> str:
    """The command that makes all of these cells, as far as they are not there yet."""
    tables = " ".join(dict.fromkeys(each["table"] for each in found))
    methods = ",".join(method for method in COLOURS if method != "real" and any(each["method"] == method for each in found))
    peers = " --peers …" if any("-" in each["method"] for each in found) else ""
    return f"python -m benchmarks.private {tables} --methods {methods} --seeds {1 + max(each['seed'] for each in found)}{peers}"


def section(table: str, found: Sequence[dict[str, Any]]) -> list[str]:
    """The table of one data set."""
    names = ["ε", "method", "seeds", *(label for _, label in SHOWN), "Shape", "found (allowed)", "fit s", "CPU s", "peak MB"]
    lines = [f"## {table}\n", f"| {' | '.join(names)} |", "|---:|---" + "|---:" * 10 + "|"]
    keys = sorted({(each["epsilon"], each["method"]) for each in found}, key=lambda key: (key[0], list(COLOURS).index(key[1])))
    for epsilon, method in keys:
        cells = [each for each in found if (each["epsilon"], each["method"]) == (epsilon, method)]
        whole = [each for each in cells if "failed" not in each]
        at = f"{epsilon:g}" if epsilon else ""
        if not whole:
            lines.append(f"| {at} | `{method}` | 0 | {cells[0]['failed']} | | | | | | | | |")
            continue
        figures = [spread([value(each, name) for each in whole]) for name, _ in SHOWN]
        shape = f"{median(each['fidelity.shape'][0] for each in whole):.2%}"
        costs = [middle([each.get(name) for each in whole], unit) for name, unit in (("fit", 1), ("cpu", 1), ("peak", 1e6))]
        seeds = f"{len(whole)}" + (f" ({len(cells) - len(whole)} failed)" if len(cells) > len(whole) else "")
        lines.append(f"| {at} | `{method}` | {seeds} | {' | '.join([*figures, shape, hit(whole, epsilon), *costs])} |")
    return [*lines, ""]


def hit(cells: Sequence[dict[str, Any]], epsilon: float) -> str:
    """Members found, with the interval, beside what is allowed."""
    attacked = [each["privacy.membership_tpr"] for each in cells if each.get("privacy.membership_tpr")]
    if not attacked:
        return ""
    share, low, high = attacked[0]
    return f"{share:.1%} [{low:.1%}–{high:.1%}] ({allowed(epsilon):.1%})"


def middle(values: Sequence[float | None], unit: float) -> str:
    """The median of what is known, in units."""
    known = [each / unit for each in values if each is not None]
    return f"{median(known):.{0 if unit > 1 else 1}f}" if known else ""


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
            here = [each for each in found if each["table"] == table]
            cells = [each for each in here if "failed" not in each and each["method"] != "real"]
            real = [value(each, figure) for each in here if each["method"] == "real"]
            parts.append(_panel(cells, figure, f"{table}: {label}", column * width, row * height, width, height, real))
    shown = [method for method in COLOURS if any(each["method"] == method for each in found)]
    legend = "".join(
        f'<text x="{12 + 112 * (i % 6)}" y="{len(names) * height + 18 + 20 * (i // 6)}" fill="{COLOURS[method]}" '
        f'font-size="12">● {method}</text>'
        for i, method in enumerate(shown)
    )
    box = f'viewBox="0 0 {2 * width} {len(names) * height + 52}" width="{2 * width}"'
    style = '<style>text{font-family:sans-serif}</style><rect width="100%" height="100%" fill="#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img">{style}{"".join(parts)}{legend}</svg>\n'


def _panel(
    cells: Sequence[dict[str, Any]], figure: str, title: str, x: int, y: int, width: int, height: int, real: Sequence[float]
) -> str:
    points = {}
    for method in COLOURS:
        for epsilon in sorted({each["epsilon"] for each in cells}):
            values = [value(each, figure) for each in cells if (each["method"], each["epsilon"]) == (method, epsilon)]
            if values:
                points[method, epsilon] = median(values)
    every = [*points.values(), *real]
    low, high = min(every, default=0.0), max(every, default=1.0)
    low, high = low - 0.05 * (high - low + 1e-9), high + 0.05 * (high - low + 1e-9)
    epsilons = sorted({epsilon for _, epsilon in points}) or [1.0]
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
    for level in real[:1]:
        across = f'x1="{left}" x2="{left + wide}" y1="{at(epsilons[0], level)[1]:.1f}" y2="{at(epsilons[0], level)[1]:.1f}"'
        out.append(f'<line {across} stroke="{COLOURS["real"]}" stroke-dasharray="4 3"/>')
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
