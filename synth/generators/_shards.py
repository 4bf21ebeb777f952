"""Samples in shards: rows that are drawn by whoever is free, and are the same rows whoever drew them.

Shard k of a sample holds the rows from k × SHARD on. Its learned cells come from a generator seeded by [seed, 1, k], its issued
ones from their row numbers, so that it can be drawn alone. What cannot is done where all shards come together, in their order:
rows that repeat an earlier shard's under `unique(…)` are drawn again, values are issued that no numbering keeps apart, and what
the shards cost is added up to what the provenance says of all rows.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from bisect import bisect_right
from collections import abc
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from synth.data.conditions import Where
from synth.data.constraints import Unique, parse
from synth.data.files import parquet_parts, write_parquet
from synth.data.quarantine import PRIVATE, QUARANTINE, origin
from synth.data.table import HashingSink, Provenance, Table
from synth.errors import GenerationError, TooLargeError
from synth.generators._effort import Effort
from synth.generators._rejection import draw
from synth.memory import in_words, memory_there
from synth.progress import Progress, silent
from synth.workers import Work, Workers, name_of, named

if TYPE_CHECKING:
    from synth.generators.base import Generator

Parts = abc.Generator[Table, None, None]  # whole shards, in their order

EFFORT = b"synth:effort"
SHARD = 100_000  # rows; also those of a row group, so that each is written as it comes
MOST_REFILLS = 200  # draws of what a shard misses before the rows that may not repeat are taken to be used up


@dataclass(frozen=True)
class Part:
    """Rows of a sample that satisfy a condition of their own."""

    rows: int
    where: Where


@dataclass(frozen=True)
class Cut:
    """How a sample whose parts have so many rows is cut: no shard holds rows of two parts, and none more than `size`.

    There is always one. Shards are counted, not listed: a sample may have more of them than there is memory for.
    """

    parts: tuple[int, ...]
    size: int

    @cached_property
    def _ends(self) -> list[int]:
        """For each part the number of the shard after its last."""
        return list(accumulate(-(-rows // self.size) for rows in self.parts))

    def __len__(self) -> int:
        return max(1, self._ends[-1])

    def part(self, k: int) -> int:
        """The place of the part that shard k belongs to."""
        return min(bisect_right(self._ends, k), len(self.parts) - 1)

    def rows(self, k: int) -> range:
        """Which rows of the sample are in shard k."""
        place = self.part(k)
        start = sum(self.parts[:place])
        at = (k - (self._ends[place - 1] if place else 0)) * self.size
        return range(start + at, start + min(at + self.size, self.parts[place]))


@dataclass(frozen=True, eq=False)
class Shards:
    """Rows of a fitted model, in one part or in several, each under a condition of its own."""

    model: Generator
    parts: tuple[Part, ...]
    seed: int
    size: int = SHARD

    @cached_property
    def _cut(self) -> Cut:
        return Cut(tuple(part.rows for part in self.parts), self.size)

    @property
    def n(self) -> int:
        """All rows of all parts."""
        return sum(part.rows for part in self.parts)

    def __len__(self) -> int:
        return len(self._cut)

    def rows(self, k: int) -> range:
        """Which rows of the sample are in shard k."""
        return self._cut.rows(k)

    def where(self, k: int) -> Where:
        """What the rows of shard k satisfy."""
        return self.parts[self._cut.part(k)].where

    def draw(self, k: int, progress: Progress = silent) -> Shard:
        """Shard k by itself: its learned columns, and those of the others that need not know of earlier shards."""
        rows, fitted = self.rows(k), self.model.fitted

        def so_far(stage: str, done: int, total: int) -> None:
            progress(stage, rows.start + done, self.n)

        drawn, effort = self.learned(k, 0, len(rows), so_far)
        learned = drawn.arrow
        issued = [c.name for c in fitted.schema.columns if not c.is_learned and c.name not in fitted.in_order]
        for name in issued:
            learned = learned.append_column(
                fitted.layout.field(name), pa.chunked_array([fitted.reissue(name, rows, self.n, self.seed)])
            )
        return Shard(learned, effort)

    def learned(self, k: int, attempt: int, n: int, progress: Progress = silent) -> tuple[Table, Effort]:
        """n rows of the learned columns, for shard k, and what they cost."""
        rng = np.random.default_rng([self.seed, 1, k, *([attempt] if attempt else [])])
        try:
            return draw(self.model, n, self.where(k), rng, progress)
        except GenerationError as problem:
            if len(self) == 1:
                raise
            rows = self.rows(k)
            under = f" ({where})" if len(self.parts) > 1 and (where := self.where(k)) else ""
            raise GenerationError(f"rows {rows.start + 1:,} to {rows.stop:,} of {self.n:,}{under}: {problem}") from problem


@dataclass(frozen=True, eq=False)
class Shard:
    """What one worker hands in: the columns that it could fill, and what the rows cost."""

    rows: pa.Table
    effort: Effort

    def to_bytes(self) -> bytes:
        """An Arrow stream; the effort travels in its schema's metadata."""
        told = {**(self.rows.schema.metadata or {}), EFFORT: json.dumps(asdict(self.effort))}
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.rows.schema.with_metadata(told)) as stream:
            stream.write_table(self.rows.replace_schema_metadata(told))
        return bytes(sink.getvalue())

    @classmethod
    def from_bytes(cls, content: bytes) -> Shard:
        """The shard of which these are the bytes."""
        rows = pa.ipc.open_stream(content).read_all()
        told = dict(rows.schema.metadata)
        effort = Effort(**json.loads(told.pop(EFFORT)))
        return cls(rows.replace_schema_metadata(told or None), effort)


@dataclass(eq=False)
class Joined:
    """Brings shards together in their order; keeps what later ones must not repeat, and what all of them cost."""

    shards: Shards
    _effort: Effort = field(default_factory=Effort)
    _worth: float = 0.0  # of the rows so far, in independent ones
    _seen: dict[str, np.ndarray] = field(default_factory=dict)  # marks of the rows so far, ascending, for each rule
    _taken: dict[str, dict[str, None]] = field(default_factory=dict)  # texts issued so far, for each column

    def add(self, k: int, shard: Shard) -> Table:
        """The whole of shard k, which follows shard k - 1."""
        fitted, rows = self.shards.model.fitted, self.shards.rows(k)
        columns, effort = dict(zip(shard.rows.column_names, shard.rows.columns, strict=True)), shard.effort
        if self._rules and len(self.shards) > 1:
            names = [column.name for column in fitted.schema.learned]
            learned, more = self._without_repeats(k, Table(shard.rows.select(names), fitted.schema.select(names)))
            columns |= dict(zip(names, learned.arrow.columns, strict=True))
            effort += more
        self._effort += effort
        self._worth += effort.worth(len(rows))
        for name in fitted.in_order:
            columns[name] = fitted.reissue(name, rows, self.shards.n, self.shards.seed, self._taken.setdefault(name, {}))
        return fitted.table(columns)

    @property
    def in_order(self) -> bool:
        """Whether a shard can only be told once those before it are there: it may not repeat them, or is issued after them."""
        return len(self.shards) > 1 and bool(self._rules or self.shards.model.fitted.in_order)

    def provenance(self) -> Provenance:
        """Where the rows come from; under a condition, too, what those so far cost and are worth."""
        shards = self.shards
        receipt = shards.model.receipt
        private, known = (None, None) if receipt is None else (True, None if receipt.secure else True)
        made = Provenance(shards.model.name, shards.model.digest(), shards.seed, shards.n, private=private, noise_known=known)
        if any(part.where for part in shards.parts):
            made = replace(made, acceptance=self._effort.acceptance, effective_rows=self._worth)
        said = tuple((part.rows, str(part.where) or None) for part in shards.parts)
        return replace(made, parts=said) if len(said) > 1 else replace(made, where=said[0][1])

    @cached_property
    def _rules(self) -> list[Unique]:
        """What a row of learned columns must not share with another. Keys are issued apart."""
        schema = self.shards.model.fitted.schema
        learned = {column.name for column in schema.learned}
        rules = [parse(text, schema) for text in schema.constraints]
        return [rule for rule in rules if isinstance(rule, Unique) and learned.issuperset(rule.columns)]

    def _without_repeats(self, k: int, learned: Table) -> tuple[Table, Effort]:
        """The rows that repeat none of an earlier shard, others in place of those that do, and what these others cost."""
        wanted, effort = len(learned), Effort()
        kept = [self._new(learned, wanted)]
        have = len(kept[0])
        for attempt in range(1, MOST_REFILLS + 1):
            if have == wanted:
                return Table.concat(kept), effort
            more, cost = self.shards.learned(k, attempt, min(wanted, max(wanted - have, 1_000)))
            kept.append(self._new(more, wanted - have))
            have += len(kept[-1])
            effort += cost
        if have == wanted:
            return Table.concat(kept), effort
        raise GenerationError(
            f"after {self.shards.rows(k).start + have:,} rows the model hardly gives one that repeats none of them under "
            f"{' and '.join(rule.text for rule in self._rules)}; {self.shards.n:,} were asked for: ask for fewer rows"
        )

    def _new(self, rows: Table, most: int) -> Table:
        """The first rows, at most so many, that share no marks with earlier ones; their own are kept in mind."""
        marks = {rule.text: rule.marks(rows) for rule in self._rules}
        fresh = np.ones(len(rows), dtype=bool)
        for text, (mark, known) in marks.items():
            fresh &= ~(known & _within(mark, self._seen.get(text, np.empty(0, dtype=np.uint64))))
        chosen = np.flatnonzero(fresh)[:most]
        for text, (mark, known) in marks.items():
            seen, new = self._seen.get(text, np.empty(0, dtype=np.uint64)), np.sort(mark[chosen][known[chosen]])
            self._seen[text] = np.insert(seen, np.searchsorted(seen, new), new)
        return rows.take(chosen)


def _within(values: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    if not len(ascending):
        return np.zeros(len(values), dtype=bool)
    place = np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)
    return np.asarray(ascending[place] == values)


def drawn_again(shards: Shards, wanted: Iterable[int], progress: Progress = silent) -> Iterator[tuple[int, Table]]:
    """These shards, each as it is among all, in ascending order; others are drawn only where these depend on them."""
    joined, numbers = Joined(shards), sorted(set(wanted))
    needed = range(numbers[-1] + 1) if numbers and joined.in_order else numbers
    for k in needed:
        part = joined.add(k, shards.draw(k, progress))
        if k in numbers:
            yield k, part


# who draws them ----------------------------------------------------------------------------------------------------------


def drawn_here(joined: Joined, progress: Progress) -> Parts:
    """All shards in their order, drawn in this process."""
    for k in range(len(joined.shards)):
        yield joined.add(k, joined.shards.draw(k, progress))


def drawn_by(workers: Workers, joined: Joined, progress: Progress) -> Parts:
    """All shards in their order, each drawn by a worker that has loaded the model from a folder."""
    shards = joined.shards
    with tempfile.TemporaryDirectory(prefix="synth-") as place:
        folder = Path(place) / "model"
        shards.model.save(folder)
        settings: dict[str, Any] = {
            "model": str(folder),
            "method": name_of(type(shards.model)),
            "parts": [(part.rows, str(part.where) or None) for part in shards.parts],
            "seed": shards.seed,
            "size": shards.size,
        }
        progress("sample", 0, shards.n)
        with closing(workers.map_in_order(drawer, settings, range(len(shards)))) as answers:
            for k, answer in enumerate(answers):
                yield joined.add(k, Shard.from_bytes(answer))
                progress("sample", shards.rows(k).stop, shards.n)


def drawer(model: str, method: str, parts: Iterable[tuple[int, str | None]], seed: int, size: int) -> Work:
    """What a worker starts with: a function that gives shard k as bytes."""
    from synth.generators._storage import load

    loaded = load(model, method=named(method))
    shards = Shards(loaded, tuple(Part(n, Where.parse(where, loaded.fitted.schema)) for n, where in parts), seed, size)
    return lambda k: shards.draw(k).to_bytes()


# where they go -----------------------------------------------------------------------------------------------------------


def in_memory(shards: Shards, progress: Progress) -> Table:
    """All rows as one table.

    Raises TooLargeError, after the first shard rather than after hours, where memory cannot hold it.
    """
    joined = Joined(shards)
    parts: list[Table] = []
    for part in drawn_here(joined, progress):
        if not parts:
            _check_memory(part, shards.n)
        parts.append(part)
    return replace(Table.concat(parts), provenance=joined.provenance())


def to_file(shards: Shards, path: Path, workers: Workers | None, progress: Progress) -> None:
    """Write the rows as they come, marked as not approved: the bytes of `write_quarantined` for all of them at once.

    Raises TooLargeError, after the first shard rather than after hours, where the disk has no room for all.
    """
    joined = Joined(shards)
    parts = drawn_here(joined, progress) if workers is None else drawn_by(workers, joined, progress)
    mark = QUARANTINE if shards.model.receipt is None else PRIVATE
    with closing(parts), parquet_parts(path, metadata=mark, footer=lambda: origin(joined.provenance())) as append:
        for k, part in enumerate(parts):
            rows = _plainly_issued(part)
            if k == 0 and len(rows) < shards.n:
                _check_disk(replace(part, arrow=rows), path, shards.n)
            append(rows)


def _check_memory(first: Table, n: int) -> None:
    needed, there = first.arrow.nbytes / max(len(first), 1) * (n - len(first)), memory_there()
    if there is not None and needed > there:
        raise TooLargeError(
            f"{n:,} rows would need about {in_words(needed)} of memory, and {in_words(there)} are there; "
            "write them to a file with `sample_to`, or ask for fewer"
        )


def _check_disk(first: Table, path: Path, n: int) -> None:
    sink = HashingSink()
    write_parquet(first, sink)
    needed, there = sink.tell() / len(first) * n, shutil.disk_usage(path.parent).free
    if needed > there:
        raise TooLargeError(
            f"{n:,} rows would take about {needed / 2**30:,.1f} GiB, and {there / 2**30:,.1f} GiB are free beside {path}; "
            "ask for fewer rows, or write elsewhere"
        )


def _plainly_issued(part: Table) -> pa.Table:
    """Issued values are no categories: a dictionary of them would differ from shard to shard."""
    arrow = part.arrow
    for place, column in enumerate(part.schema.columns):
        kind = arrow.schema.field(place).type
        if not column.is_learned and pa.types.is_dictionary(kind):
            field_ = arrow.schema.field(place).with_type(kind.value_type)
            arrow = arrow.set_column(place, field_, arrow.column(place).cast(kind.value_type))
    return arrow
