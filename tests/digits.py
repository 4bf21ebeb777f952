"""scikit-learn's 1,797 digits of 8 × 8 pixels as tables of images; they come with scikit-learn."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
from sklearn.datasets import load_digits

from synth.data.images import LABEL, as_rows
from synth.data.sources import read
from synth.data.table import Table


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """uint8 of shape (1797, 8, 8) from 0 to 16, and what they show, in an order of their own."""
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    return found.images[order].astype(np.uint8), found.target[order]


def image_table(images: np.ndarray, labels: np.ndarray) -> Table:
    return read(as_rows(np.clip(np.rint(images), 0, 255).astype(np.uint8), labels), target=LABEL)


def tiny_digits(rows: int = 200) -> Table:
    """Digits of 4 × 4 pixels with a key, some of them without a label: what every generator of images is tried on."""
    images, labels = digits()
    small = images[:rows].reshape(rows, 4, 2, 4, 2).mean(axis=(2, 4)).round().astype(np.uint8)
    unknown = np.random.default_rng(1).random(rows) < 0.1
    table = as_rows(small, pa.array(labels[:rows] % 3, mask=unknown))
    return read(table.append_column("id", pa.array(np.arange(1, rows + 1))), target=LABEL, key="id")
