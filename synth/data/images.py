"""Images as rows of a table: one column of whole numbers for each pixel, in scikit-learn's naming.

`pixel_R_C` is the pixel in row R and column C, counted from 0 at the top left; `pixel_R_C_K` its channel K where there are
several (0, 1, 2 for red, green, blue). So whatever holds for a table (schema, split, digests, quarantine, approval, export)
holds for images.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from synth.data.schema import Kind, Schema

LABEL = "label"  # the column of what is shown, where images are read from files
SMALLEST = 2  # rows and columns that make an image
WHAT = (
    "an image table has a column of whole numbers for each pixel, pixel_0_0, pixel_0_1, … (pixel_0_0_0, … with channels), "
    "and one column more, its target: a category that says what is shown"
)

_PIXEL = re.compile(r"pixel_(0|[1-9][0-9]*)_(0|[1-9][0-9]*)(?:_(0|[1-9][0-9]*))?")


@dataclass(frozen=True)
class ImageShape:
    """How the pixels of a table's images lie: a full grid."""

    height: int
    width: int
    channels: int = 1
    is_named_with_channel: bool = False

    @classmethod
    def of(cls, schema: Schema) -> ImageShape | None:
        """The grid that a schema's learned columns of whole numbers are, whatever else the schema holds; None where none."""
        places = [place for column in schema.learned if column.kind is Kind.INTEGER and (place := _place(column.name))]
        if not places or len({len(place) for place in places}) > 1:
            return None
        sizes = [1 + max(axis) for axis in zip(*places, strict=True)]
        if min(sizes[:2]) < SMALLEST or len(places) != np.prod(sizes):  # names differ, so as many as the grid has are the grid
            return None
        return cls(sizes[0], sizes[1], sizes[2] if len(sizes) == 3 else 1, len(sizes) == 3)

    @property
    def pixels(self) -> int:
        """Numbers per image."""
        return self.height * self.width * self.channels

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns: row by row, in a row from left to right, channel by channel."""
        places = np.ndindex(self.height, self.width, *([self.channels] if self.is_named_with_channel else []))
        return tuple(f"pixel_{'_'.join(map(str, place))}" for place in places)

    def stack(self, column: Callable[[str], np.ndarray]) -> np.ndarray:
        """Images of shape (rows, height, width, channels) from a function that gives each column's values."""
        flat = np.stack([column(name) for name in self.names], axis=1)
        return flat.reshape(len(flat), self.height, self.width, self.channels)

    def unstack(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """The inverse: each column's values, shape (rows,)."""
        flat = images.reshape(len(images), self.pixels)
        return {name: np.ascontiguousarray(flat[:, place]) for place, name in enumerate(self.names)}

    def __str__(self) -> str:
        return f"{self.height} × {self.width}" + (f" × {self.channels}" if self.channels > 1 else "")


def _place(name: str) -> tuple[int, ...] | None:
    found = _PIXEL.fullmatch(name)
    return None if found is None else tuple(int(part) for part in found.groups() if part is not None)


def as_rows(images: np.ndarray, labels: Any) -> pa.Table:
    """Arrow rows of images: uint8 of shape (rows, height, width) or (rows, height, width, channels), and their labels."""
    many = images.ndim == 4 and images.shape[3] > 1
    shape = ImageShape(images.shape[1], images.shape[2], images.shape[3] if images.ndim == 4 else 1, many)
    return pa.table({**shape.unstack(images), LABEL: labels})
