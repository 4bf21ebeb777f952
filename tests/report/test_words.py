"""Numbers keep the digits that matter, and the page's colours can be read in both schemes."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from synth.metrics.measurement import Interval, Measurement
from synth.report import words

STYLE = resources.files("synth.report").joinpath("base.css.jinja").read_text()
SYNTHETIC = float(re.search(r"\.synthetic\{fill:var\(--accent\);fill-opacity:([.\d]+)", STYLE)[1])  # type: ignore[index]


@pytest.mark.parametrize(
    ("value", "name", "told"),
    [
        (0.0003, "fidelity.shape", "0.00030"),
        (0.4870, "fidelity.detection", "0.487"),
        (-0.0062, "utility.gap", "−0.0062"),
        (0.00058, "privacy.exact_copies", "0.058%"),
        (0.5619, "privacy.exact_copies", "56.2%"),
        (1.0, "privacy.near_copies", "100%"),
        (0.0, "validity.schema", "0%"),
        (1e-17, "fidelity.shape", "0"),
        (0.00996, "fairness.group_share", "1.0\u00a0pp"),
        (2.5e-8, "fidelity.trend", "2.5e−08"),
        (None, "fidelity.trend", "–"),
    ],
)
def test_a_number_keeps_the_digits_that_matter(value: float | None, name: str, told: str) -> None:
    assert words.number(value, name) == told


def test_the_ends_of_an_interval_have_the_decimals_of_its_value_and_are_never_rounded_to_nothing() -> None:
    assert words.interval(Interval(0.0053, -0.0151, 0.02566, 9), "utility.gap") == "[−0.0151, 0.0257]"
    assert words.interval(Interval(0.25, 0.0002, 0.5, 9), "fidelity.shape") == "[0.0002, 0.500]"
    assert words.interval(Interval(0.562, 0.544, 1.0, 9), "privacy.exact_copies") == "[54.4, 100]"


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        ((0.0203, 0.016, 0.0255, 0.02), "2.03% [1.60, 2.55]; at most 2.0% is allowed"),
        ((0.0104, 0.006, 0.01996, 0.02), "1.040% [0.600, 1.996]; at most 2.0% is allowed"),
        ((0.02, 0.01, 0.03, 0.02), "2.0% [1.0, 3.0]; at most 2.0% is allowed"),
        ((0.3, 0.2, 0.4, None), "30.0% [20.0, 40.0]; reported only"),
    ],
)
def test_rounding_never_makes_a_figure_meet_its_limit(figures: tuple[float, float, float, float | None], told: str) -> None:
    score = Interval(0.1, 0.1, 0.1, 9)
    assert words.compared(Measurement("privacy.membership_tpr", "lower", score), *figures, None) == told


def palettes() -> dict[str, dict[str, str]]:
    """The colours of each scheme; print redefines those of the screen."""
    found = re.findall(r":root\{([^}]*)\}", STYLE)
    light, dark, paper = (dict(re.findall(r"--(\w+):(#\w+)", block)) for block in found)
    return {"light": light, "dark": light | dark, "print": light | paper}


def channels(colour: str) -> tuple[float, ...]:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    return tuple(int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))


def mixed(above: tuple[float, ...], below: tuple[float, ...], opacity: float) -> tuple[float, ...]:
    return tuple(opacity * a + (1 - opacity) * b for a, b in zip(above, below))


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """WCAG 2.2's ratio of relative luminances."""

    def luminance(colour: tuple[float, ...]) -> float:
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_ratio_is_that_of_the_standard() -> None:
    assert contrast((0, 0, 0), (1, 1, 1)) == pytest.approx(21)
    assert contrast(channels("#777"), channels("#fff")) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_text_and_drawings_keep_wcag_aa(scheme: str) -> None:
    colour = {name: channels(value) for name, value in palettes()[scheme].items()}
    for text in ("ink", "soft", "accent", "good", "bad", "unsure"):
        for ground in ("paper", "wash"):
            assert contrast(colour[text], colour[ground]) >= 4.5, f"{text} on {ground}"
    colour["synthetic"] = mixed(colour["accent"], colour["paper"], SYNTHETIC)
    drawn = [
        *(("edge", "paper"), ("bad", "paper"), ("bad", "band"), ("accent", "paper"), ("accent", "band")),
        *(("synthetic", "paper"), ("ink", "synthetic"), ("accent", "wash"), ("ink", "wash")),
    ]
    for mark, ground in drawn:
        assert contrast(colour[mark], colour[ground]) >= 3, f"{mark} on {ground}"
