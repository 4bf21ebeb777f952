"""A sample is drawn in shards: the same rows whoever draws them, in memory or to a file, and no key twice."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import synth
from synth.data.conditions import Where
from synth.data.example import example_table
from synth.data.files import write_parquet
from synth.data.quarantine import QUARANTINE, write_quarantined
from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table
from synth.errors import ConfigError, DataError, GenerationError, WorkerError
from synth.generators._shards import Joined, Part, Shards, drawer
from synth.generators.base import Generator
from synth.generators.independent import Independent
from synth.scale import Processes
from synth.workers import Results, Work

ANY = Where((), example_table().schema)


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Generator, "_shard_rows", 100)


@pytest.fixture(scope="module")
def model() -> Independent:
    return Independent().fit(example_table(), seed=0)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Backwards:
    """Draws every shard with a model loaded for it alone, the last shard first."""

    def map_in_order(self, start: Callable[..., Work], settings: Mapping[str, Any], parts: Sequence[int]) -> Results:
        drawn = {part: start(**settings)(part) for part in reversed(parts)}
        yield from (drawn[part] for part in parts)


@pytest.mark.parametrize("where", [None, "age >= 40 and sex = 'f'"])
def test_one_four_and_sixteen_workers_write_the_same_bytes(model: Independent, tmp_path: Path, where: str | None) -> None:
    if where is not None:
        where = next(iter(_conditions(model)))
    whole = model.sample(1_234, where=where, seed=5)
    write_quarantined(whole, tmp_path / "whole.parquet")
    files = [model.sample_to(tmp_path / "here.parquet", 1_234, where=where, seed=5)]
    for count in (1, 4, 16):
        workers = Processes(count)
        files.append(model.sample_to(tmp_path / f"{count}.parquet", 1_234, where=where, seed=5, workers=workers))
    assert {_digest(file) for file in files} == {_digest(tmp_path / "whole.parquet")}
    assert synth.read(files[-1], schema=whole.schema).digest() == whole.digest()
    if where is not None:
        assert len(whole.where(where)) == 1_234


def _conditions(model: Generator) -> Iterator[str]:
    from synth.data.conditions import Where
    from synth.data.example import example_conditions

    for condition in example_conditions(example_table()):
        yield str(Where.parse(condition, model.fitted.schema))


def test_shards_drawn_backwards_are_the_same(model: Independent, tmp_path: Path) -> None:
    file = model.sample_to(tmp_path / "x.parquet", 950, seed=1, workers=Backwards())
    assert pq.read_table(file).equals(_plain(model.sample(950, seed=1)))


def _plain(table: Table) -> pa.Table:
    return pq.read_table(_written(table))


def _written(table: Table) -> pa.BufferReader:
    sink = pa.BufferOutputStream()
    write_parquet(table, sink)
    return pa.BufferReader(sink.getvalue())


@given(st.lists(st.integers(0, 30), min_size=1, max_size=5), st.integers(1, 12))
def test_shards_hold_each_row_once_in_order_and_none_of_two_parts(parts: list[int], size: int) -> None:
    shards = Shards(Independent(), tuple(Part(rows, ANY) for rows in parts), 0, size)
    held = [shards.rows(k) for k in range(len(shards))]
    assert [row for rows in held for row in rows] == list(range(sum(parts)))
    starts = {sum(parts[:place]) for place in range(len(parts))}
    for rows in held:
        assert len(rows) <= size
        assert not starts & set(rows[1:]), "a part begins with a shard of its own"


def test_a_sample_of_any_size_is_cut_without_listing_its_shards() -> None:
    shards = Shards(Independent(), (Part(10**15, ANY), Part(5, ANY)), 0)
    assert len(shards) == 10**10 + 1
    assert shards.rows(10**10) == range(10**15, 10**15 + 5)


def test_rows_do_not_depend_on_those_of_another_shard(model: Independent) -> None:
    shards = Shards(model, (Part(500, synth.data.conditions.Where((), model.fitted.schema)),), 7, 100)
    alone = shards.draw(3).rows
    for k in (0, 1, 2):
        shards.draw(k)
    assert shards.draw(3).rows.equals(alone)
    assert not shards.draw(4).rows.equals(alone)


def test_the_file_is_marked_as_not_approved(model: Independent, tmp_path: Path) -> None:
    for workers in (None, Processes(2)):
        file = model.sample_to(tmp_path / "x.parquet", 250, workers=workers)
        assert pq.read_schema(file).metadata[b"synth:status"] == QUARANTINE["synth:status"].encode()


@pytest.mark.parametrize("workers", [None, Processes(3)])
def test_no_rows_are_a_file_too(model: Independent, tmp_path: Path, workers: Processes | None) -> None:
    file = model.sample_to(tmp_path / "none.parquet", 0, workers=workers)
    assert pq.read_table(file).num_rows == 0
    assert _digest(file) == _digest(model.sample_to(tmp_path / "again.parquet", 0))


@pytest.mark.parametrize("workers", [None, Processes(2)])
def test_progress_counts_the_rows_of_all_shards(model: Independent, tmp_path: Path, workers: Processes | None) -> None:
    seen: list[tuple[int, int]] = []
    model.sample_to(
        tmp_path / "x.parquet", 450, workers=workers, progress=lambda stage, done, total: seen.append((done, total))
    )
    assert [total for _, total in seen] == [450] * len(seen)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == 450
    assert len(seen) >= 5


# what must hold across shards ----------------------------------------------------------------------------------------------


def _keyed(rows: int = 200) -> Table:
    rng = np.random.default_rng(0)
    arrow = pa.table(
        {
            "id": pa.array([f"K{k:05d}" for k in range(rows)]),
            "mail": pa.array([f"a{k}@b.org" for k in range(rows)]),
            "firm": pa.array([f"firm {k}" for k in range(rows)]).dictionary_encode(),
            "day": rng.integers(0, 40, rows),
            "room": rng.integers(0, 40, rows),
            "note": pa.array([None if k % 3 else "text" for k in range(rows)]),
        }
    )
    columns = (
        Column("id", Kind.IDENTIFIER, Role.KEY, pattern=r"K\d{5}"),
        Column("mail", Kind.IDENTIFIER, provider="email"),
        Column("firm", Kind.IDENTIFIER, provider="company"),
        Column("day", Kind.INTEGER),
        Column("room", Kind.INTEGER),
        Column("note", Kind.TEXT),
    )
    return Table(arrow, Schema(columns))


def _booked() -> Table:
    """Every (day, room) at most once."""
    table = _keyed()
    pairs = np.random.default_rng(1).permutation(1_600)[:200]
    arrow = table.arrow.set_column(3, "day", pa.array(pairs // 40)).set_column(4, "room", pa.array(pairs % 40))
    return Table(arrow, Schema(table.schema.columns, ("unique(day, room)",)))


@pytest.mark.parametrize("workers", [None, Backwards(), Processes(2)])
def test_no_value_is_issued_twice_in_different_shards(tmp_path: Path, workers: Any) -> None:
    model = Independent().fit(_keyed(), seed=0)
    made = pq.read_table(model.sample_to(tmp_path / "x.parquet", 777, seed=2, workers=workers))
    for name in ("id", "mail", "firm"):
        assert len(made.column(name).unique()) == 777, name
    assert made.column("note").null_count == round(777 * model.fitted.null_rates["note"])
    whole = model.sample(777, seed=2).to_arrow()
    for name in made.column_names:
        assert made.column(name).to_pylist() == whole.column(name).to_pylist(), name


@pytest.mark.parametrize("workers", [None, Backwards()])
def test_unique_rows_are_unique_across_shards(tmp_path: Path, workers: Any) -> None:
    model = Independent().fit(_booked(), seed=0)
    made = pq.read_table(model.sample_to(tmp_path / "x.parquet", 900, seed=2, workers=workers))
    pairs = set(zip(made.column("day").to_pylist(), made.column("room").to_pylist(), strict=True))
    assert len(pairs) == made.num_rows == 900
    assert len(made.column("id").unique()) == 900


def test_shards_that_are_only_put_one_after_the_other_repeat_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The fault that `Joined` is there for, planted."""
    monkeypatch.setattr(Joined, "_rules", ())
    model = Independent().fit(_booked(), seed=0)
    made = pq.read_table(model.sample_to(tmp_path / "x.parquet", 900, seed=2))
    assert len(set(zip(made.column("day").to_pylist(), made.column("room").to_pylist(), strict=True))) < 900


def test_more_unique_rows_than_there_are_are_refused(tmp_path: Path) -> None:
    model = Independent().fit(_booked(), seed=0)
    with pytest.raises(GenerationError, match=r"unique\(day, room\)"):
        model.sample_to(tmp_path / "x.parquet", 1_700)
    assert not list(tmp_path.iterdir())


# what goes wrong -----------------------------------------------------------------------------------------------------------


def test_a_file_of_another_format_is_refused(model: Independent, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"written as \.parquet only"):
        model.sample_to(tmp_path / "x.csv", 10)


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2"])
def test_no_number_of_processes_is_refused(count: Any) -> None:
    with pytest.raises(ConfigError, match="1 or more"):
        Processes(count)


def test_an_error_in_a_worker_is_the_error_that_it_is_here(model: Independent, tmp_path: Path) -> None:
    with pytest.raises(GenerationError, match="part of it cannot be made"):
        _drain(Processes(2).map_in_order(_refuses, {}, range(4)))
    with pytest.raises(WorkerError, match=r"ZeroDivisionError: .* by zero\)\n.*test_shards"):
        _drain(Processes(2).map_in_order(_breaks, {}, range(4)))
    assert not list(tmp_path.iterdir())


def test_a_worker_that_is_killed_is_reported_and_leaves_nothing(
    model: Independent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        WorkerError, match="part 3 of the job, was ended by SIGKILL, as it is when the machine runs out of memory"
    ):
        _drain(Processes(2).map_in_order(_dies, {"part": 2}, range(8)))
    monkeypatch.setattr("synth.generators._shards.drawer", _dies_while_drawing)
    with pytest.raises(WorkerError, match="SIGKILL"):
        model.sample_to(tmp_path / "x.parquet", 1_000, workers=Processes(2))
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_imported_is_refused_before_a_worker_starts() -> None:
    def local() -> Work:
        return lambda part: b""

    with pytest.raises(ConfigError, match="cannot be imported by a worker process"):
        _drain(Processes(1).map_in_order(local, {}, range(1)))


def test_results_wait_for_whoever_takes_them(tmp_path: Path) -> None:
    """However slow the taker, few parts are done ahead of it."""
    results = Processes(2).map_in_order(_leaves_a_trace, {"folder": str(tmp_path)}, range(60))
    assert next(results) == b"0"
    for _ in range(100):
        time.sleep(0.02)
        if len(list(tmp_path.iterdir())) >= 5:
            break
    time.sleep(0.1)
    assert len(list(tmp_path.iterdir())) <= 5
    results.close()


def _drain(results: Results) -> list[bytes]:
    return list(results)


def _refuses() -> Work:
    def work(part: int) -> bytes:
        raise GenerationError("part of it cannot be made")

    return work


def _breaks() -> Work:
    def work(part: int) -> bytes:
        return bytes(1 // 0)

    return work


def _dies(part: int) -> Work:
    def work(at: int) -> bytes:
        if at == part:
            os.kill(os.getpid(), signal.SIGKILL)
        return b""

    return work


def _dies_while_drawing(**settings: Any) -> Work:
    draw = drawer(**settings)

    def work(part: int) -> bytes:
        if part == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return draw(part)

    return work


def _leaves_a_trace(folder: str) -> Work:
    def work(part: int) -> bytes:
        (Path(folder) / str(part)).touch()
        return str(part).encode()

    return work


SLOW = """
import sys, time
from synth.cli import main
from synth.generators import _shards
import slow_shards
_shards.drawer = slow_shards.drawer
sys.argv = ["synth", *sys.argv[1:]]
main()
"""
SLOW_SHARDS = """
import os, time
from pathlib import Path
from synth.generators._shards import drawer as real

def drawer(**settings):
    Path(os.environ["TRACES"], str(os.getpid())).touch()
    draw = real(**settings)
    def work(part):
        time.sleep(60 if part else 0)
        return draw(part)
    return work
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sample_leaves_no_file_and_no_process(model: Independent, tmp_path: Path, number: int) -> None:
    model.save(tmp_path / "model")
    (tmp_path / "slow_shards.py").write_text(SLOW_SHARDS)
    (tmp_path / "out").mkdir()
    (tmp_path / "traces").mkdir()
    places = os.pathsep.join([str(tmp_path), *(place for place in sys.path if place)])
    environment = {**os.environ, "PYTHONPATH": places, "TRACES": str(tmp_path / "traces")}
    out = tmp_path / "out" / "x.parquet"
    command = [
        sys.executable,
        "-c",
        SLOW,
        "sample",
        str(tmp_path / "model"),
        "-n",
        "300000",
        "--workers",
        "2",
        "--out",
        str(out),
    ]
    running = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if len(list((tmp_path / "traces").iterdir())) == 2:
            break
        time.sleep(0.05)
    running.send_signal(number)
    started = time.monotonic()
    _, said = running.communicate(timeout=50)
    assert time.monotonic() - started < 30  # the shards themselves would take a minute
    assert running.returncode == 2
    assert said.strip() == "synth: interrupted; nothing half-done was left behind"
    assert not list((tmp_path / "out").iterdir())
    for trace in (tmp_path / "traces").iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(trace.name), 0)
