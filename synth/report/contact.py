"""A contact sheet: held-out real images beside synthetic ones, class by class, as PNG inside the page."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from synth.data.encoding import encode_column
from synth.data.images import ImageShape
from synth.data.schema import Schema
from synth.data.table import Table

CLASSES, EACH = 12, 8  # classes that are shown, and images of each
MOST = 150_000  # numbers in a sheet: about what the page grows by
GAP, PAPER = 1, 255  # pixels between images, and their brightness


@dataclass(frozen=True)
class Sheet:
    """One picture of many images: a row for each class."""

    name: str
    words: str
    source: str  # a data URI
    width: int
    height: int


def contact_sheets(synthetic: Table | None, holdout: Table | None) -> tuple[Sheet, ...]:
    """The first images of each class, the real ones before the synthetic ones; none for a table without labelled images."""
    if synthetic is None:
        return ()
    schema = synthetic.schema if holdout is None else holdout.schema
    shape, target = ImageShape.of(schema), schema.target
    if shape is None or target is None or not target.kind.is_category:
        return ()
    sides = [("Held-out real images", holdout), ("Synthetic images", synthetic)]
    taken = [(name, table) for name, table in sides if table is not None]
    if not all(_is_drawn(shape, table) for _, table in taken):
        return ()
    labels = [_labels(schema, target.name, table) for _, table in taken]
    classes = [str(level) for level in _levels(schema, target.name) if any((told == str(level)).any() for told in labels)]
    shown = classes[:CLASSES]
    if not shown:
        return ()
    each = max(1, min(EACH, MOST // (len(shown) * shape.pixels)))
    chosen = [[np.flatnonzero(told == level)[:each] for level in shown] for told in labels]
    images = [_images(shape, table, np.concatenate(rows)) for (_, table), rows in zip(taken, chosen, strict=True)]
    ends = min(float(part.min(initial=np.inf)) for part in images), max(float(part.max(initial=-np.inf)) for part in images)
    said = f"the first {each} of each class, from top to bottom: {', '.join(shown)}"
    said += f" (and {len(classes) - len(shown)} classes more)" if len(classes) > len(shown) else ""
    return tuple(
        _sheet(name, said, part, [len(of) for of in rows], each, ends)
        for (name, _), part, rows in zip(taken, images, chosen, strict=True)
    )


def _is_drawn(shape: ImageShape, table: Table) -> bool:
    """Whether the pixels are numbers: rows that somebody claims to fit a schema may hold anything."""
    found = dict(zip(table.arrow.schema.names, table.arrow.schema.types, strict=True))
    kinds = [found[name] for name in shape.names if name in found]
    return len(kinds) == shape.pixels and all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds)


def _levels(schema: Schema, target: str) -> Sequence[Any]:
    column = schema.column(target)
    return column.categories if column.categories is not None else (False, True)


def _labels(schema: Schema, target: str, table: Table) -> np.ndarray:
    """Each row's label as text."""
    values = table.arrow.column(target)
    plain = values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
    return np.array([str(value) for value in plain.to_pylist()], dtype=object)


def _images(shape: ImageShape, table: Table, rows: np.ndarray) -> np.ndarray:
    part = table.take(rows)
    pixels = shape.stack(lambda name: encode_column(part.schema.column(name), part.arrow.column(name)).values)
    return np.asarray(np.nan_to_num(pixels, nan=0.0, posinf=0.0, neginf=0.0))


def _sheet(name: str, said: str, images: np.ndarray, counts: Sequence[int], each: int, ends: tuple[float, float]) -> Sheet:
    """Images in a grid, `counts` of them in each row; channels beyond three are left away, and two are shown as one."""
    low, high = ends
    images = np.clip((images - low) / ((high - low) or 1.0) * 255, 0, 255).astype(np.uint8)
    images = images[..., :3] if images.shape[3] >= 3 else images[..., :1]
    _, height, width, channels = images.shape
    paper = np.full((len(counts) * (height + GAP) - GAP, each * (width + GAP) - GAP, channels), PAPER, dtype=np.uint8)
    first = 0
    for row, count in enumerate(counts):
        for place in range(count):
            top, left = row * (height + GAP), place * (width + GAP)
            paper[top : top + height, left : left + width] = images[first + place]
        first += count
    data = base64.b64encode(png(paper)).decode()
    return Sheet(name, f"{name}: {said}", f"data:image/png;base64,{data}", paper.shape[1], paper.shape[0])


def png(picture: np.ndarray) -> bytes:
    """PNG (W3C, third edition) of uint8 of shape (height, width, 1 or 3)."""
    height, width, channels = picture.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), picture.reshape(height, width * channels)], axis=1)  # no filter
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
