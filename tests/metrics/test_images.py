"""What is planted into images shows in the figure that is for it; fresh real images show nothing; other tables are told so."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

import synth
from synth.check import METRIC_CHECKS, check_metric
from synth.data.example import example_table
from synth.data.table import Table
from synth.metrics.evidence import Evidence
from synth.metrics.images import ON_IMAGES
from synth.metrics.measurement import Measurements
from synth.metrics.registry import metrics
from tests.digits import digits, image_table

FAMILY = [one.name for one in metrics() if one.family == "image"]
RNG = np.random.default_rng(3)
IMAGES, LABELS = digits()
TRAIN, HOLDOUT = slice(0, 700), slice(700, 1_250)


def part(rows: slice) -> Table:
    return image_table(IMAGES[rows], LABELS[rows])


def real() -> tuple[Table, Table]:
    return part(TRAIN), part(HOLDOUT)


def measured(images: np.ndarray, labels: np.ndarray) -> Measurements:
    return synth.evaluate(*real(), image_table(images, labels), only="image")


@cache
def fresh() -> Measurements:
    return measured(IMAGES[1_250:], LABELS[1_250:])


def value(found: Measurements, name: str) -> float:
    score = found[f"image.{name}"].score
    assert score is not None
    return score.value


def clearly(found: Measurements, name: str, *, above: bool) -> bool:
    """Whether the figure's interval and real images' do not meet, and it lies on that side."""
    one = found[f"image.{name}"]
    assert one.score is not None
    assert one.reference is not None
    return one.score.low > one.reference.high if above else one.score.high < one.reference.low


def test_fresh_images_score_as_real_ones_do() -> None:
    found = fresh()
    assert [m.name for m in found] == FAMILY
    for m in found:
        assert m.score is not None
        assert m.reference is not None
        assert m.score.low <= m.reference.high
        assert m.reference.low <= m.score.high
    assert value(found, "frechet") < 0.03
    assert min(value(found, name) for name in ("precision", "recall", "consistency")) > 0.85
    assert value(found, "copies") < 0.05


# planted faults ------------------------------------------------------------------------------------------------------


def test_copies_are_caught_exact_or_with_a_little_noise_though_they_excel_in_all_else() -> None:
    for noise in (0.0, 1.0):
        images = IMAGES[:500] + RNG.normal(0, noise, (500, 8, 8))
        found = measured(images, LABELS[:500])
        assert value(found, "copies") > 0.9
        assert clearly(found, "copies", above=True)
        assert value(found, "precision") > value(fresh(), "precision")


def test_a_few_copies_among_fresh_images_are_caught() -> None:
    mixed = np.concatenate([IMAGES[:80], IMAGES[1_250:1_700]])
    found = measured(mixed, np.concatenate([LABELS[:80], LABELS[1_250:1_700]]))
    assert value(found, "copies") > 0.1
    assert clearly(found, "copies", above=True)


def test_shuffled_labels_lose_consistency_and_nothing_else() -> None:
    found = measured(IMAGES[1_250:], RNG.permutation(LABELS[1_250:]))
    assert value(found, "consistency") < 0.2
    assert clearly(found, "consistency", above=False)
    assert [found[name].score for name in FAMILY if name != "image.consistency"] == [
        fresh()[name].score for name in FAMILY if name != "image.consistency"
    ]


def test_noise_is_far_from_every_image() -> None:
    found = measured(RNG.integers(0, 17, (500, 8, 8)), LABELS[:500])
    assert value(found, "frechet") > 0.5
    assert clearly(found, "frechet", above=True)
    assert value(found, "precision") < 0.2
    assert clearly(found, "precision", above=False)


def test_images_of_one_kind_reach_few_others() -> None:
    threes = np.flatnonzero(LABELS[700:] == 3) + 700
    found = measured(IMAGES[threes], LABELS[threes])
    assert value(found, "recall") < 0.4
    assert clearly(found, "recall", above=False)
    assert clearly(found, "frechet", above=True)


# as other metrics ----------------------------------------------------------------------------------------------------


@cache
def evidence() -> Evidence:
    return Evidence(*real(), part(slice(1_250, 1_797)), 0)


@pytest.mark.parametrize("name", FAMILY)
def test_every_image_metric_keeps_every_promise(name: str) -> None:
    report = check_metric(name, evidence(), fresh())
    assert set(report.passed) | {"order"} == set(METRIC_CHECKS), report.skipped  # some images are drawn at random


def test_other_tables_have_nothing_that_image_metrics_are_about() -> None:
    tables = [example_table(300, seed=seed) for seed in range(3)]
    found = synth.evaluate(*tables, only="image")
    assert {(m.status, m.reason) for m in found} == {("absent", "the table holds no images")}


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        (lambda t: t.head(99), "skipped", "99 images are too few"),
        (lambda t: t.where({"label": 4}), "skipped", "images are too few|have one label"),
    ],
)
def test_what_cannot_be_measured_says_why(change: Callable[[Table], Table], status: str, reason: str) -> None:
    train, holdout = real()
    found = synth.evaluate(change(train), holdout, holdout, only="image")
    assert {m.status for m in found} == {status}

    assert all(re.search(reason, m.reason) for m in found)


def test_without_a_holdout_likeness_is_measured_and_copies_are_not() -> None:
    found = synth.evaluate(real()[0], None, part(HOLDOUT), only="image")
    assert {m.name for m in found if m.score is None} == {"image.copies"}
    assert all(m.reference is None for m in found)


# what is measured of an image table ------------------------------------------------------------------------------------


def test_metrics_of_columns_are_left_out_unless_they_are_named() -> None:
    tables = [*real(), part(slice(1_250, 1_797))]
    found = synth.evaluate(*tables)
    left = {m.name for m in found if "each pixel is a column" in m.reason}
    taken = {m.name for m in found if m.score is not None}
    assert not left & taken
    assert "fidelity.trend" in left
    assert all(m.status == "skipped" for m in found if m.name in left)
    assert taken >= {*FAMILY, "validity.schema", "privacy.exact_copies", "privacy.membership_auc"}
    assert not [name for name in taken if name not in ON_IMAGES and name.split(".")[0] not in ON_IMAGES]
    assert synth.evaluate(*tables, only=["fidelity.shape"])["fidelity.shape"].score is not None
    assert synth.evaluate(*tables, only=["fidelity"])["fidelity.trend"].score is None


def test_what_is_named_as_fit_for_images_exists() -> None:
    known = {one.name for one in metrics()} | {one.family for one in metrics()}
    assert set(ON_IMAGES) <= known
