"""The contact sheet shows images as they are, real ones only inside the house, and no page without images has one."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest

import synth
from synth.data.example import example_table
from synth.data.images import as_rows
from synth.data.sources import read
from synth.metrics.measurement import Measurements
from synth.report.contact import EACH, contact_sheets
from synth.report.page import render
from tests.digits import digits, image_table

IMAGES, LABELS = digits()
FIGURES = Measurements((), {})


def picture(source: str) -> np.ndarray:
    image = pytest.importorskip("PIL.Image", reason="the test reads PNG by Pillow: pip install 'synth[torch]'")
    return np.asarray(image.open(io.BytesIO(base64.b64decode(source.removeprefix("data:image/png;base64,")))))


def test_each_image_stands_in_its_place() -> None:
    real, fake = contact_sheets(image_table(IMAGES[:300], LABELS[:300]), image_table(IMAGES[300:600], LABELS[300:600]))
    assert (real.name, fake.name) == ("Held-out real images", "Synthetic images")
    for sheet, first in ((real, 300), (fake, 0)):
        shown = picture(sheet.source)
        assert shown.shape == (sheet.height, sheet.width) == (10 * 9 - 1, EACH * 9 - 1)
        for digit in range(10):
            second = np.flatnonzero(LABELS[first : first + 300] == digit)[1] + first
            cell = shown[9 * digit : 9 * digit + 8, 9:17]
            assert np.array_equal(cell, (IMAGES[second] / 16 * 255).astype(np.uint8))


def test_colours_stay_and_a_class_that_is_missing_leaves_its_row_empty() -> None:
    colour = np.random.default_rng(0).integers(0, 256, (40, 6, 5, 3), dtype=np.uint8)
    colour[0, 0, 0], colour[0, 0, 1] = 0, 255  # so that the scale is the whole one
    real = read(as_rows(colour, np.array(["a", "b"])[np.arange(40) % 2]), target="label")
    made = real.where({"label": "a"})
    shown = picture(contact_sheets(made, real)[1].source)
    assert np.array_equal(shown[:6, :5], colour[0])
    assert (shown[7:] == 255).all()


def test_a_sheet_stays_small_however_large_the_images() -> None:
    large = np.random.default_rng(0).integers(0, 256, (60, 40, 40, 3), dtype=np.uint8)
    sheets = contact_sheets(read(as_rows(large, np.arange(60) % 10), target="label"), None)
    assert len(sheets[0].source) < 300_000


def test_the_page_shows_both_inside_and_synthetic_images_alone_outside() -> None:
    real, fake = image_table(IMAGES[:300], LABELS[:300]), image_table(IMAGES[300:600], LABELS[300:600])
    inside = render(FIGURES, train=real, holdout=real, synthetic=fake)
    outside = render(FIGURES, train=real, holdout=real, synthetic=fake, public=True)
    sources = [re.findall(r'<img src="([^"]+)"', page) for page in (inside, outside)]
    assert sources[0] == [sheet.source for sheet in contact_sheets(fake, real)]
    assert sources[1] == [sheet.source for sheet in contact_sheets(fake, None)]
    assert all(re.search(r'<img [^>]*alt="[^"]+: the first 8 of each class', page) for page in (inside, outside))
    assert "pixel_0_0" not in inside  # no distribution of a single pixel


def test_the_headlines_are_those_of_images() -> None:
    tables = [image_table(IMAGES[start : start + 400], LABELS[start : start + 400]) for start in (0, 400, 800)]
    page = render(synth.evaluate(*tables, only="image"), train=tables[0], holdout=tables[1], synthetic=tables[2])
    assert "Images like their label" in page
    assert "Shape, each column" not in page


def test_other_tables_have_no_sheet() -> None:
    table = example_table(50)
    assert contact_sheets(table, table) == ()
    assert "<img" not in render(FIGURES, train=table, holdout=table, synthetic=table)
    unlabelled = read(as_rows(IMAGES[:50], LABELS[:50]))
    assert contact_sheets(unlabelled, None) == ()
