"""What rows under a condition cost and are worth is said of all shards together, in memory and in a file, whoever drew them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import synth
from synth.data.conditions import Where
from synth.data.quarantine import QUARANTINE, STATUS, origin, origin_of, write_quarantined
from synth.data.table import Provenance, Table
from synth.errors import DataError, GenerationError
from synth.generators import _given
from synth.generators._effort import Effort
from synth.generators._shards import Joined, Part, Shard, Shards
from synth.generators.base import Generator
from synth.generators.trees import Trees
from synth.scale import Processes
from synth.workers import Results, Work

SOME = "weight between 9 and 11 and grade = 'g17'"
RARE = "weight < 2 and grade = 'g11'"
NEVER = "size < 2 and grade = 'g12'"  # each column has such values, and no tree has a leaf with both


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Generator, "_shard_rows", 1_000)


def _table(constraints: tuple[str, ...] = ()) -> Table:
    rng = np.random.default_rng(0)
    size = rng.integers(0, 12, 2_000)
    weight = np.round(size + rng.normal(0, 2, 2_000))
    grade = np.clip(np.round(size + 0.5 * weight + rng.normal(0, 1.5, 2_000)), 0, 29).astype(int)
    day, room = np.divmod(rng.permutation(10_000)[:2_000], 100)
    arrow = pa.table({"size": size, "weight": weight, "grade": [f"g{i}" for i in grade], "day": day, "room": room})
    table = synth.read(arrow)
    return replace(table, schema=replace(table.schema, constraints=constraints))


@pytest.fixture(scope="module")
def model() -> Trees:
    return Trees(condition_on=(), trees_per_column=2).fit(_table())


class Backwards:
    """Draws every shard with a model loaded for it alone, the last shard first."""

    def map_in_order(self, start: Callable[..., Work], settings: Mapping[str, Any], parts: Sequence[int]) -> Results:
        drawn = {part: start(**settings)(part) for part in reversed(parts)}
        yield from (drawn[part] for part in parts)


def _alone(model: Trees, n: int, where: str, seed: int) -> Iterator[tuple[int, Effort]]:
    """How many rows each shard has, and what it cost, each drawn by itself."""
    shards = Shards(model, (Part(n, Where.parse(where, model.fitted.schema)),), seed, 1_000)
    for k in range(len(shards)):
        yield len(shards.rows(k)), shards.draw(k).effort


@pytest.mark.parametrize("workers", [None, Backwards(), Processes(1), Processes(3)])
@pytest.mark.parametrize("where", [SOME, RARE, None])
def test_a_file_says_of_its_rows_what_the_table_says(model: Trees, tmp_path: Path, workers: Any, where: str | None) -> None:
    whole = model.sample(2_500, where=where, seed=3)
    write_quarantined(whole, tmp_path / "whole.parquet")
    file = model.sample_to(tmp_path / "streamed.parquet", 2_500, where=where, seed=3, workers=workers)
    assert origin_of(file) == whole.provenance
    assert file.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert pq.read_schema(file).metadata[STATUS.encode()] == QUARANTINE[STATUS].encode()
    assert (whole.provenance.effective_rows is None) == (where is None)


def test_the_figures_are_those_of_all_shards_together(model: Trees, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rows are copied, too: every shard has copies of its own, and no shard speaks for the others."""
    for name, few in {"EXACT_PER_ROW": 1, "FEWEST_STARTED": 1_000, "MOST_STARTED": 40_000, "MOST_PER_ROW": 1}.items():
        monkeypatch.setattr(_given, name, few)
    made = model.sample(2_500, where=RARE, seed=3).provenance
    alone = list(_alone(model, 2_500, RARE, 3))
    assert [rows for rows, _ in alone] == [1_000, 1_000, 500]
    found, begun = sum(cost.found for _, cost in alone), sum(cost.begun for _, cost in alone)
    worth = sum(cost.worth(rows) for rows, cost in alone)
    assert made.acceptance == pytest.approx(found / begun)
    assert made.effective_rows == pytest.approx(worth)
    assert 250 < worth < 1_250
    assert made.notice is not None
    for _, cost in alone:  # what the figures would be, were one shard to speak for all
        assert cost.acceptance != pytest.approx(made.acceptance)
        assert cost.worth(2_500) != pytest.approx(made.effective_rows)


def test_a_shard_that_does_not_say_what_it_cost_is_seen(model: Trees, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault that the bytes of a shard are checked for above, planted: the effort is lost on the way."""
    sent = Shard.to_bytes
    monkeypatch.setattr(Shard, "to_bytes", lambda shard: sent(replace(shard, effort=Effort())))
    file = model.sample_to(tmp_path / "x.parquet", 2_500, where=SOME, seed=3, workers=Backwards())
    assert origin_of(file) != model.sample(2_500, where=SOME, seed=3).provenance


def test_rows_that_were_drawn_again_count_too(tmp_path: Path) -> None:
    model = Trees(trees_per_column=1).fit(_table(("unique(day, room)",)))
    where = "size > 9"
    shards = Shards(model, (Part(4_000, Where.parse(where, model.fitted.schema)),), 3, 1_000)
    joined, first = Joined(shards), Effort()
    for k in range(len(shards)):
        shard = shards.draw(k)
        first += shard.effort
        joined.add(k, shard)
    assert joined._effort.begun > first.begun
    made = model.sample(4_000, where=where, seed=3).provenance
    assert made == joined.provenance()
    assert origin_of(model.sample_to(tmp_path / "x.parquet", 4_000, where=where, seed=3, workers=Backwards())) == made


@pytest.mark.parametrize("workers", [None, Processes(1), Processes(2)])
def test_what_is_too_rare_for_a_shard_is_the_same_error_whoever_draws(model: Trees, tmp_path: Path, workers: Any) -> None:
    with pytest.raises(GenerationError, match=r"^rows 1 to 1,000 of 2,500: of [\d,]+ rows begun, 0 .* on size, grade") as here:
        model.sample(2_500, where=NEVER, seed=3)
    assert "widen the condition" in str(here.value)
    with pytest.raises(GenerationError) as there:
        model.sample_to(tmp_path / "x.parquet", 2_500, where=NEVER, seed=3, workers=workers)
    assert str(there.value) == str(here.value)
    assert not list(tmp_path.iterdir())


def test_one_shard_alone_speaks_of_no_parts(model: Trees) -> None:
    with pytest.raises(GenerationError, match=r"^of [\d,]+ rows begun, 0 "):
        model.sample(900, where=NEVER)


def test_an_effort_travels_as_it_is(model: Trees) -> None:
    shard = Shards(model, (Part(70, Where.parse(RARE, model.fitted.schema)),), 1).draw(0)
    again = Shard.from_bytes(shard.to_bytes())
    assert again.effort == shard.effort
    assert again.rows.equals(shard.rows, check_metadata=True)
    strange = Shard(shard.rows.replace_schema_metadata({"mine": "kept"}), Effort(3.0, 1 / 3, 0.1))
    again = Shard.from_bytes(strange.to_bytes())
    assert again.effort == strange.effort
    assert again.rows.schema.metadata == {b"mine": b"kept"}


def test_a_file_that_says_nothing_of_its_origin_has_none(model: Trees, tmp_path: Path) -> None:
    write_quarantined(replace(model.sample(5), provenance=None), tmp_path / "foreign.parquet")
    assert origin_of(tmp_path / "foreign.parquet") is None
    (tmp_path / "text.parquet").write_text("no Parquet")
    with pytest.raises(DataError, match="does not say where its rows come from"):
        origin_of(tmp_path / "text.parquet")
    assert origin(None) == {}
    made = Provenance("trees", "ab" * 32, 1, 2)
    assert "acceptance" not in next(iter(origin(made).values()))
