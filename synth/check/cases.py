"""A generator on a table, as its checks see it: fresh copies, one fitted model, what it learned as bytes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from synth.check.conformance import Broken
from synth.check.fits import fit
from synth.data.table import Table
from synth.errors import SynthError
from synth.generators.base import Generator


@dataclass
class Case:
    """One generator on one table, with a model that the checks share."""

    generator: Generator
    table: Table

    def fresh(self, **changes: Any) -> Generator:
        return type(self.generator)(**{**self.generator.get_params(), **changes})

    @cached_property
    def model(self) -> Generator:
        return fit(self.fresh(), self.table)  # type: ignore[no-any-return]

    @cached_property
    def made(self) -> Table:
        """The real table without its dropped columns: the shape of what comes out."""
        return self.table.select([column.name for column in self.table.schema.made])

    def other(self) -> Table:
        """Another table of the same schema: the upper half of the rows, upside down."""
        return self.table.take(np.arange(len(self.table) - 1, len(self.table) // 2 - 1, -1))


def must_raise(error: type[SynthError], call: Callable[[], Any], what: str) -> None:
    try:
        call()
    except error:
        return
    except Exception as problem:
        raise Broken(f"{what} raises {type(problem).__name__} ({problem}), not {error.__name__}") from problem
    raise Broken(f"{what} raises nothing; it must raise {error.__name__}")


def bytes_of(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sink.getvalue()


def learned(model: Generator) -> bytes:
    """What was learned, without the hyperparameters, as bytes."""
    state, arrays = model._state()
    parts = [json.dumps(state, sort_keys=True).encode()]
    for name in sorted(arrays):
        held = arrays[name]
        content = repr(held.tolist()).encode() if held.dtype.hasobject else held.tobytes()
        parts += [name.encode(), f"{held.dtype}{held.shape}".encode(), content]
    return b"\0".join(parts)
