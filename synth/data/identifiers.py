"""Identifiers: recognised by name and values, and re-issued; no real value is ever kept."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.data.schema import Column


def recognise(name: str, values: pa.ChunkedArray | pa.Array) -> str | None:
    """The provider that re-issues such values, or None."""
    return None


def reissue(column: Column, kind: pa.DataType, n: int, rng: np.random.Generator, *, null_rate: float = 0.0) -> pa.Array:
    """n new values of the physical type `kind`."""
    numbers = pa.array(np.arange(1, n + 1))
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    made = numbers.cast(plain)
    if null_rate:
        made = pc.if_else(pa.array(rng.random(n) < null_rate), pa.scalar(None, plain), made)
    return made.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else made
