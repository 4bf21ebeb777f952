"""Noise costs what is paid for it, before it is drawn; it has the distribution it claims; nobody can draw it again."""

from __future__ import annotations

import ast
import math
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import synth.privacy
from synth.errors import BudgetError, InputError, MissingExtraError
from synth.privacy import mechanisms
from synth.privacy.allowance import Allowance
from synth.privacy.mechanisms import Noise, sigma, threshold

pytest.importorskip("opendp", reason="noise is drawn by OpenDP, which the extra 'dp' brings")

ALARM = 1e-7  # probability of a false alarm, of each test of a distribution
BOTH = pytest.mark.parametrize("seed", [None, 7], ids=["secure", "seeded"])


def noise(micro_rho: int = 10**9, *, delta: float = 0.0, seed: int | None = None) -> Noise:
    return Noise(Allowance(micro_rho), delta=delta, seed=seed)


def discrete_gaussian(scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Its values and their probabilities."""
    reach = math.ceil(12 * scale)
    values = np.arange(-reach, reach + 1)
    mass = np.exp(-((values / scale) ** 2) / 2)
    return values, mass / mass.sum()


def fits(drawn: np.ndarray, values: np.ndarray, mass: np.ndarray) -> bool:
    """A chi-square test at `ALARM`, rare values taken together at either end."""
    expected = mass * len(drawn)
    low, high = np.searchsorted(np.cumsum(expected), 20), len(values) - 1 - np.searchsorted(np.cumsum(expected[::-1]), 20)
    cell = np.clip(drawn - values[0], low, high) - low
    seen = np.bincount(cell, minlength=high - low + 1)
    told = np.bincount(np.clip(np.arange(len(values)), low, high) - low, weights=expected)
    return bool(stats.chi2.sf(((seen - told) ** 2 / told).sum(), len(told) - 1) > ALARM)


# what it costs ----------------------------------------------------------------------------------------------------------


RHOS = [1, 7, 33, 100, 425, 999, 1_530, 8_500, 30_600, 100_000, 123_457, 224_000, 333_333, 1_000_000, 1_783_000]
RHOS += [2, 3, 11, 8_513, 30_599, 777_777, 2_000_001, 9_999_999]


@pytest.mark.parametrize("size", [1, 14, 1_000])
@pytest.mark.parametrize("micro_rho", RHOS)
def test_opendp_charges_no_more_than_is_spent_at_any_cost(micro_rho: int, size: int) -> None:
    """An ulp too much in its map (opendp#2789) widens the noise; it never fails, and never passes what was paid."""
    dp = mechanisms._opendp()
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64")
    for sensitivity in (1.0, 3.0, math.sqrt(2)):
        made: list[float] = []

        def make(scale: float, made: list[float] = made) -> object:
            made.append(scale)
            return dp.m.make_gaussian(*space, scale)

        mechanism = mechanisms._affordable(make, sigma(micro_rho, sensitivity), sensitivity, micro_rho)
        assert Fraction(mechanism.map(sensitivity)) <= Fraction(micro_rho, 10**6)
        assert made[-1] <= sigma(micro_rho, sensitivity) * (1 + 1e-12)
    spending = noise(micro_rho)
    assert spending.counts(np.zeros(size, dtype=np.int64), micro_rho, what="a margin").shape == (size,)
    assert spending.allowance.left == 0


@pytest.mark.parametrize("micro_rho", RHOS)
def test_the_scale_is_the_least_that_is_affordable(micro_rho: int) -> None:
    rho = Fraction(micro_rho, 10**6)
    for sensitivity in (1, 5, 0.25):
        scale = sigma(micro_rho, sensitivity)
        assert Fraction(sensitivity) ** 2 / (2 * Fraction(scale) ** 2) <= rho
        assert Fraction(sensitivity) ** 2 / (2 * Fraction(scale * (1 - 1e-15)) ** 2) > rho


def test_a_scale_that_costs_an_ulp_too_much_is_widened() -> None:
    """The planted fault: the scale is a little too small, as one that was rounded to nearest is."""
    dp = mechanisms._opendp()

    def make(scale: float) -> object:
        return dp.m.make_gaussian(dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64"), scale)

    short = math.nextafter(sigma(100_000), 0)
    assert Fraction(make(short).map(1.0)) > Fraction(1, 10)
    assert Fraction(mechanisms._affordable(make, short, 1.0, 100_000).map(1.0)) <= Fraction(1, 10)


CALLS: list[Callable[[Noise], object]] = [
    lambda drawn: drawn.counts(np.array([3, 4]), 60, what="a margin"),
    lambda drawn: drawn.count(3, 60, what="rows"),
    lambda drawn: drawn.choose(np.array([0.0, 1.0]), 60, sensitivity=1, what="a pair"),
    lambda drawn: drawn.thresholded({"a": 3}, 60, 1e-6, what="categories"),
]


@pytest.mark.parametrize("call", CALLS, ids=["counts", "count", "choose", "thresholded"])
@BOTH
def test_the_cost_is_spent_before_anything_is_drawn(
    call: Callable[[Noise], object], seed: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = noise(100, delta=1e-3, seed=seed)

    def fails(*_: object) -> object:
        assert drawn.allowance.left == 40
        raise OSError("no entropy")

    monkeypatch.setattr(Noise, "_gaussian", lambda *_: fails)
    monkeypatch.setattr(Noise, "_largest", lambda *_: fails)
    with pytest.raises(OSError, match="no entropy"):
        call(drawn)
    assert drawn.allowance.left == 40  # a crash does not give it back


@pytest.mark.parametrize("call", CALLS, ids=["counts", "count", "choose", "thresholded"])
@BOTH
def test_more_than_the_allowance_is_refused_and_nothing_drawn(
    call: Callable[[Noise], object], seed: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = noise(59, delta=1e-3, seed=seed)
    never = pytest.fail
    monkeypatch.setattr(Noise, "_gaussian", lambda *_: lambda _: never("drawn"))
    monkeypatch.setattr(Noise, "_largest", lambda *_: lambda _: never("drawn"))
    with pytest.raises(BudgetError, match="60 micro-ρ"):
        call(drawn)
    assert drawn.allowance.left == 59


def test_thresholds_share_their_delta() -> None:
    drawn = noise(delta=1e-6)
    for _ in range(10):
        drawn.thresholded({"a": 3}, 10_000, 1e-7, what="categories")
    left = drawn.allowance.left
    with pytest.raises(BudgetError, match="delta of 1e-09"):
        drawn.thresholded({"a": 3}, 10_000, 1e-9, what="categories")
    assert drawn.allowance.left == left
    with pytest.raises(BudgetError, match="0 of 0 are left"):
        noise().thresholded({"a": 3}, 10_000, 1e-9, what="categories")


# the distributions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.6, 1.0, 3.7, 25.0])
@BOTH
def test_counts_have_discrete_gaussian_noise(scale: float, seed: int | None) -> None:
    micro_rho = round(10**6 / (2 * scale**2))
    drawn = noise(seed=seed).counts(np.full(20_000, 50), micro_rho, what="a margin") - 50
    assert fits(drawn, *discrete_gaussian(sigma(micro_rho)))
    assert not fits(drawn, *discrete_gaussian(sigma(micro_rho) * 1.1))  # the test sees a scale that is a tenth off


@BOTH
def test_the_noise_grows_with_the_sensitivity(seed: int | None) -> None:
    drawn = noise(seed=seed).counts(np.zeros(20_000, dtype=np.int64), 20_000, sensitivity=4, what="a margin")
    assert fits(drawn, *discrete_gaussian(4 * 5.0))
    assert not fits(drawn, *discrete_gaussian(5.0))


@BOTH
def test_a_choice_is_the_exponential_mechanism(seed: int | None) -> None:
    """Permute-and-flip, which OpenDP drew in its place at one time, is told from it: it costs more (opendp#2911)."""
    scores, micro_rho, times = np.array([1.0, 0.0, 0.0, -1.0]), 500_000, 2_000  # ε = 2, so that shares go as exp(score)
    drawn = noise(10**10, seed=seed)
    seen = np.bincount([drawn.choose(scores, micro_rho, sensitivity=1, what="a pair") for _ in range(times)], minlength=4)
    shares = np.exp(scores) / np.exp(scores).sum()
    assert stats.chi2.sf(((seen - times * shares) ** 2 / (times * shares)).sum(), 3) > ALARM
    flipped = np.array([0.621, 0.168, 0.168, 0.043])  # permute-and-flip, to three digits
    assert stats.chi2.sf(((seen - times * flipped) ** 2 / (times * flipped)).sum(), 3) < ALARM


def test_a_choice_weighs_scores_by_their_sensitivity() -> None:
    drawn, scores = noise(10**10), np.array([2.0**-30, 0.0])
    chosen = sum(drawn.choose(scores, 500_000, sensitivity=2.0**-30, what="a pair") for _ in range(1_000))
    assert abs(chosen - 1_000 / (1 + math.e)) < 6 * math.sqrt(1_000 * 0.27 * 0.73)


@pytest.mark.parametrize("rows", [1, 4])
@BOTH
def test_a_key_of_one_unit_alone_shows_as_rarely_as_claimed(rows: int, seed: int | None) -> None:
    """By 40,000 keys at once; OpenDP's own threshold, which counts one too few (opendp#2922), shows four times as many."""
    keys, delta = 40_000, 1e-3
    drawn = noise(delta=delta, seed=seed)
    shown = drawn.thresholded(dict.fromkeys(range(keys), rows), 500_000, delta, rows_per_unit=rows, what="categories")
    assert stats.binomtest(len(shown), keys, delta, alternative="greater").pvalue > ALARM
    assert len(shown) > 0 or rows > 1  # not far from it, where a unit has one key


@pytest.mark.parametrize(("micro_rho", "delta", "rows"), [(5 * 10**5, 1e-3, 1), (200, 1e-9, 1), (10**6, 1e-6, 5), (10, 0.4, 2)])
def test_a_threshold_bounds_the_exact_tail(micro_rho: int, delta: float, rows: int) -> None:
    values, mass = discrete_gaussian(sigma(micro_rho, rows))

    def shows(at_least: int) -> float:
        return rows * float(mass[values + rows >= at_least].sum())

    at_least = threshold(micro_rho, delta, rows_per_unit=rows)
    assert shows(at_least) <= delta
    assert shows(at_least - 2 - math.ceil(sigma(micro_rho, rows) / 8)) > delta  # and is hardly higher than it must be


def test_frequent_keys_show_in_their_order_whatever_the_order_of_the_rows() -> None:
    drawn = noise(delta=1e-6)
    shown = drawn.thresholded({"b": 10_000, "z": 1, "a": 9_000, "c": 8_000}, 10_000, 1e-7, what="categories")
    assert list(shown) == ["a", "b", "c"]
    assert abs(shown["b"] - 10_000) < 12 * sigma(10_000)


def test_released_counts_are_whole_numbers() -> None:
    for seed in (None, 1):
        drawn = noise(delta=0.1, seed=seed)
        released = drawn.counts(np.arange(6).reshape(2, 3), 1_000, what="a margin")
        assert released.dtype == np.int64
        assert released.shape == (2, 3)
        assert type(drawn.count(5, 1_000, what="rows")) is int
        assert {type(count) for count in drawn.thresholded({"a": 10**6}, 1_000, 1e-3, what="categories").values()} == {int}


@BOTH
def test_nothing_counted_is_nothing_released_and_is_paid_for(seed: int | None) -> None:
    drawn = noise(100, delta=1e-6, seed=seed)
    assert drawn.thresholded({}, 60, 1e-6, what="categories") == {}
    assert drawn.counts(np.zeros((0, 3), dtype=np.int64), 40, what="a margin").shape == (0, 3)
    assert drawn.allowance.left == 0


def test_large_vectors_are_drawn_in_parts_that_differ() -> None:
    size = 2 * mechanisms.CHUNK + 5
    drawn = noise().counts(np.arange(size), 50, what="a margin") - np.arange(size)
    first, second = drawn[: mechanisms.CHUNK], drawn[mechanisms.CHUNK : 2 * mechanisms.CHUNK]
    assert (first == second).mean() < 0.1
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05
    assert abs(drawn.std() / sigma(50) - 1) < 0.05


# nobody can draw it again -----------------------------------------------------------------------------------------------


DRAW = """
import numpy as np
from synth.privacy.allowance import Allowance
from synth.privacy.mechanisms import Noise
np.random.seed(0)
for seed in (None, 3):
    print(Noise(Allowance(10_000), seed=seed).counts(np.zeros(64, dtype=np.int64), 10_000, what="a margin").tolist())
"""


def in_a_process() -> list[str]:
    return subprocess.run([sys.executable, "-c", DRAW], check=True, capture_output=True, text=True).stdout.splitlines()


def test_two_processes_draw_different_noise_unless_it_is_a_test() -> None:
    (one, seeded), (other, again) = in_a_process(), in_a_process()
    assert one != other
    assert seeded == again


def test_only_noise_of_the_operating_system_is_secure() -> None:
    assert noise().is_secure
    assert not noise(seed=0).is_secure


BANNED = ("numpy.random", "random", "secrets", "torch")
DRAWS = ("normal", "standard_normal", "normal_", "laplace", "gumbel", "geometric", "exponential", "randn", "randn_like", "rand")
MAY = {"_seeded_noise.py": BANNED + DRAWS, "dpsgd.py": ("torch",)}  # the test mode; and the networks, whose noise is Opacus'


def draws_by(source: str) -> list[str]:
    """What a module's text names that could draw noise. A generator that is handed in may fill bins: `np.random` in a type."""
    tree = ast.parse(source)
    types = [note for node in ast.walk(tree) for note in (getattr(node, "annotation", None), getattr(node, "returns", None))]
    told = {id(node) for note in types if note is not None for node in ast.walk(note)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.startswith(BANNED)]
        elif isinstance(node, ast.ImportFrom):
            found += [node.module or "" for _ in node.names if (node.module or "").startswith(BANNED)]
            found += [name for alias in node.names if (name := f"{node.module}.{alias.name}") in BANNED]
        elif isinstance(node, ast.Attribute) and id(node) not in told:
            found += [node.attr] if node.attr in DRAWS else []
            found += ["numpy.random"] if ast.unparse(node) in ("np.random", "numpy.random") else []
    return found


def test_no_module_of_this_room_draws_noise_but_by_opendp() -> None:
    modules = {path.name: path.read_text() for path in Path(synth.privacy.__file__).parent.glob("*.py")}
    assert {"_seeded_noise.py", "mechanisms.py", "bins.py"} <= set(modules)
    for name, source in modules.items():
        assert [drawn for drawn in draws_by(source) if not drawn.startswith(MAY.get(name, ("none",)))] == [], name
    assert draws_by(modules["_seeded_noise.py"])  # the check sees what it is to see


COUNTS = ("_aim.py", "_mst.py", "_exact_counts.py", "_private_cells.py", "marginals.py")  # of the generators, what counts rows


def test_what_counts_rows_draws_no_noise_of_its_own() -> None:
    room = Path(synth.privacy.__file__).parents[1] / "generators"
    for name in COUNTS:
        assert draws_by((room / name).read_text()) == [], name


FAULTS = [
    "import random",
    "from random import gauss",
    "import torch",
    "import torch.distributions",
    "from numpy import random",
    "from numpy.random import default_rng",
    "import numpy as np\nx = np.random.default_rng()",
    "def f(rng: np.random.Generator) -> float:\n    return rng.normal()",
]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_draw_is_seen(fault: str) -> None:
    assert draws_by(fault)


# refusals ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("micro_rho", [0, -1, 1.5, True, None])
def test_a_cost_is_a_whole_number(micro_rho: object) -> None:
    with pytest.raises(InputError, match="micro-ρ"):
        noise().counts(np.array([1]), micro_rho, what="a margin")  # type: ignore[arg-type]


@pytest.mark.parametrize("sensitivity", [0, -1.0, math.nan, math.inf, True])
def test_a_sensitivity_is_above_nothing(sensitivity: float) -> None:
    drawn = noise()
    with pytest.raises(InputError, match="sensitivity"):
        drawn.counts(np.array([1]), 10, sensitivity=sensitivity, what="a margin")
    with pytest.raises(InputError, match="sensitivity"):
        drawn.choose(np.array([1.0]), 10, sensitivity=sensitivity, what="a pair")
    assert drawn.allowance.spent == []


@pytest.mark.parametrize("values", [np.array([1.5]), np.array([True]), np.array([2**62])])
def test_what_is_no_count_gets_no_noise(values: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"int64|2\^62"):
        noise().counts(values, 10, what="a margin")


@pytest.mark.parametrize(
    "scores", [np.array([]), np.array([math.nan, 1]), np.array([math.inf]), np.ones((2, 2)), np.array([1e19])]
)
def test_what_is_no_score_is_not_chosen_among(scores: np.ndarray) -> None:
    with pytest.raises(InputError, match="score"):
        noise().choose(scores, 10, sensitivity=1, what="a pair")


@pytest.mark.parametrize("delta", [0, 1, -0.1, math.nan])
def test_a_threshold_needs_a_probability(delta: float) -> None:
    with pytest.raises(InputError, match="delta"):
        threshold(10, delta)


def test_an_old_opendp_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    mechanisms._opendp.cache_clear()
    monkeypatch.setattr(mechanisms, "version", lambda _: "0.15.1")
    with pytest.raises(MissingExtraError, match=r"opendp>=0\.16"):
        noise().count(1, 10, what="rows")
    monkeypatch.undo()
    assert type(noise().count(1, 10, what="rows")) is int


def test_without_opendp_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    mechanisms._opendp.cache_clear()
    monkeypatch.setitem(sys.modules, "opendp.prelude", None)
    with pytest.raises(MissingExtraError, match=r"synth\[dp\]"):
        noise().count(1, 10, what="rows")
    monkeypatch.undo()
    mechanisms._opendp.cache_clear()
