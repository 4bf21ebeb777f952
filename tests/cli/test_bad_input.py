"""Bad input: a clear error of at most three lines, exit code 2, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import synth.cli

GOOD = "a,b,y\n" + "\n".join(f"{i % 17},{'pqr'[i % 3]},{'yes' if i % 5 else 'no'}" for i in range(300)) + "\n"
BAD_FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "header only": (b"a,b,y\n", "row"),
    "ragged": (GOOD.encode() + b"1,p\n", "302|columns"),
    "wrong encoding": (GOOD.replace("p", "é").encode("latin-1"), "UTF-8"),
    "duplicate column names": (GOOD.replace("a,b,y", "a,a,y").encode(), "'a'"),
    "all-null column": (("a,b,c,y\n" + "\n".join(f"{i},p,,no" for i in range(300)) + "\n").encode(), "'c'"),
    "one row": (b"a,b,y\n1,p,yes\n", "1 row"),
    "infinite numbers": (GOOD.replace("\n3,", "\ninf,", 1).replace("\n1,", "\n1.5,", 1).encode(), "inf"),
    "mixed types": (GOOD.replace("\n3,", "\nthree,", 1).encode(), "three"),
}


def nothing_else(folder: Path, *expected: str) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(expected)


def in_words(err: str, *words: str) -> None:
    assert "Traceback" not in err
    assert 1 <= len(err.strip().splitlines()) <= 3, err
    for word in words:
        assert any(option in err for option in word.split("|")), err


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_table_is_refused_in_words(case: str, cli: Callable[..., object], tmp_path: Path) -> None:
    content, word = BAD_FILES[case]
    file = tmp_path / "bad.csv"
    file.write_bytes(content)
    ended = cli("fit", file, "--out", tmp_path / "model", "--target", "y")
    assert ended.code == 2, ended.err
    in_words(ended.err, word)
    nothing_else(tmp_path, "bad.csv")


def test_a_missing_file_is_refused_in_words(cli: Callable[..., object], tmp_path: Path) -> None:
    ended = cli("fit", tmp_path / "nowhere.csv", "--out", tmp_path / "model")
    assert ended.code == 2
    in_words(ended.err, "nowhere.csv")
    nothing_else(tmp_path)


def test_an_unknown_column_names_the_nearest(cli: Callable[..., object], people: Path, tmp_path: Path) -> None:
    ended = cli("fit", people, "--out", tmp_path / "model", "--target", "ritch")
    assert ended.code == 2
    in_words(ended.err, "did you mean 'rich'")
    config = tmp_path / "config.yaml"
    config.write_text(f"name: a\ndata: {{source: {people}, target: ritch}}\n")
    ended = cli("run", config, "--out", tmp_path / "run")
    assert ended.code == 2
    in_words(ended.err, "did you mean 'rich'")
    nothing_else(tmp_path, "people.csv", "config.yaml")


def test_an_unknown_generator_names_the_nearest(cli: Callable[..., object], people: Path, tmp_path: Path) -> None:
    ended = cli("fit", people, "--out", tmp_path / "model", "--generator", "treees")
    assert ended.code == 2
    in_words(ended.err, "did you mean 'trees'")


def test_an_unknown_hyperparameter_names_the_nearest(cli: Callable[..., object], people: Path, tmp_path: Path) -> None:
    ended = cli("fit", people, "--out", tmp_path / "model", "--set", "min_sample_leaf=3")
    assert ended.code == 2
    in_words(ended.err, "did you mean 'min_samples_leaf'")


def test_a_constant_column_is_kept_as_it_is(cli: Callable[..., object], tmp_path: Path) -> None:
    file = tmp_path / "constant.csv"
    file.write_text("a,b,y\n" + "\n".join(f"{i % 17},same,{'yes' if i % 5 else 'no'}" for i in range(300)) + "\n")
    assert cli("fit", file, "--out", tmp_path / "model").code == 0
    assert cli("sample", tmp_path / "model", "-n", 50, "--out", tmp_path / "fake.parquet").code == 0
    assert pq.read_table(tmp_path / "fake.parquet").column("b").unique().to_pylist() == ["same"]


def test_a_target_with_one_class_is_fitted_but_its_run_is_never_approved(cli: Callable[..., object], tmp_path: Path) -> None:
    file = tmp_path / "one.csv"
    file.write_text("a,b,y\n" + "\n".join(f"{i % 17},{'pqr'[i % 3]},yes" for i in range(400)) + "\n")
    config = tmp_path / "config.yaml"
    config.write_text(f"name: a\ndata: {{source: {file}, target: y}}\npolicy: research\n")
    ended = cli("run", config, "--out", tmp_path / "run")
    assert ended.code in (1, 2, 3), ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "run" / "export").exists()


@pytest.mark.parametrize("where", ["age > 40 and age < 30", "town = 'Bon'", "agee > 3", "age >", "age = 'old'", "age > 1000"])
def test_a_conflicting_or_senseless_where_is_refused(
    where: str, cli: Callable[..., object], people: Path, tmp_path: Path
) -> None:
    assert cli("fit", people, "--out", tmp_path / "model", "--target", "rich").code == 0
    ended = cli("sample", tmp_path / "model", "-n", 10, "--out", tmp_path / "fake.parquet", "--where", where)
    assert ended.code == 2
    in_words(ended.err)
    nothing_else(tmp_path, "people.csv", "model")


@pytest.mark.parametrize("to", ["/proc/nowhere/model", "/dev/full/model", "people.csv/model"])
def test_an_output_that_cannot_be_written_is_said_in_words(
    to: str, cli: Callable[..., object], people: Path, tmp_path: Path
) -> None:
    ended = cli("fit", people, "--out", tmp_path / to)
    assert ended.code == 2
    in_words(ended.err, "cannot write|not a saved model|is a file")
    nothing_else(tmp_path, "people.csv")


def test_a_full_disk_leaves_nothing_behind(people: Path, tmp_path: Path) -> None:
    command = f"ulimit -f 2; exec {sys.executable} -m synth fit {people} --out {tmp_path / 'model'}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended.stderr
    in_words(ended.stderr, "cannot write")
    nothing_else(tmp_path, "people.csv")


def test_ctrl_c_in_the_middle_leaves_nothing_behind(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    columns = {f"c{i}": rng.normal(size=30_000) for i in range(12)}
    pq.write_table(pa.table({**columns, "y": rng.choice(["p", "q"], 30_000)}), tmp_path / "wide.parquet")
    config = tmp_path / "config.yaml"
    config.write_text(f"name: a\ndata: {{source: {tmp_path / 'wide.parquet'}, target: y}}\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "synth", "run", config, "--out", tmp_path / "runs" / "wide"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("runs/.wide.partial-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2, err
    in_words(err, "interrupted")
    nothing_else(tmp_path, "config.yaml", "wide.parquet")


def test_an_interruption_that_a_lock_turns_into_an_error_of_its_own_is_told_as_one(
    cli: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = threading.Lock()

    def wait_for_a_thread(*_: object, **__: object) -> None:  # as Thread.start does
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            lock.release()

    def broken(*_: object, **__: object) -> None:
        lock.release()

    synth.cli.load_commands()  # they add themselves to the app that is replaced here
    monkeypatch.setattr(synth.cli, "app", wait_for_a_thread)
    ended = cli("demo")
    assert (ended.code, ended.err) == (2, "synth: interrupted; nothing half-done was left behind\n")
    monkeypatch.setattr(synth.cli, "app", broken)
    with pytest.raises(RuntimeError, match="unlocked"):
        cli("demo")


def test_a_million_categories_are_refused_with_the_reason_and_are_identifiers_undeclared(
    cli: Callable[..., object], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    n = 1_000_000
    names = np.char.add("w", rng.permutation(n).astype(str))
    pq.write_table(pa.table({"word": names, "x": rng.integers(0, 9, n)}), tmp_path / "many.parquet")
    assert cli("fit", tmp_path / "many.parquet", "--out", tmp_path / "model", "--generator", "independent").code == 0
    schema = tmp_path / "schema.yaml"
    schema.write_text("columns:\n  word: {kind: categorical}\n")
    ended = cli("fit", tmp_path / "many.parquet", "--out", tmp_path / "model2", "--schema", schema)
    assert ended.code == 2
    in_words(ended.err, "column 'word' cannot be categorical", "1,000,000 distinct values", "make it an identifier")
    assert not (tmp_path / "model2").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["fit"], "Missing argument"),
        (["fitt"], "'fit'"),
        (["fit", "people.csv", "--out", "model", "--seed", "-1"], "--seed"),
        (["sample", "model", "-n", "many", "--out", "fake.parquet"], "--rows"),
        (["fit", "people.csv", "--out", "model", "--set", "min_samples_leaf={"], "is not YAML"),
        (["fit", "people.csv", "--out", "m" * 250], "too long"),
        (["fit", "m" * 5000 + ".csv", "--out", "model"], "too long"),
        (["schema", "people.csv", "--out", "."], "folder"),
    ],
)
def test_bad_usage_takes_no_more_lines_than_bad_data(
    arguments: list[str], word: str, cli: Callable[..., object], people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = cli(*arguments)
    assert ended.code == 2, ended.err
    in_words(ended.err, word)
    nothing_else(tmp_path, "people.csv")


LAUGHS = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 8)}]\n" for a, b in zip("abcdefgh", "bcdefghi")
)


@pytest.mark.parametrize("text", [LAUGHS, "name: &a [*a]\n", "name: " + "[" * 3000, b"\xff\xfe"])
def test_a_config_that_no_memory_could_hold_is_refused(text: str | bytes, cli: Callable[..., object], tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_bytes(text if isinstance(text, bytes) else text.encode())
    ended = cli("run", config, "--out", tmp_path / "run")
    assert ended.code == 2
    in_words(ended.err, "config.yaml")
    nothing_else(tmp_path, "config.yaml")


def test_more_rows_than_the_disk_holds_are_refused_at_once(cli: Callable[..., object], people: Path, tmp_path: Path) -> None:
    assert cli("fit", people, "--out", tmp_path / "model", "--generator", "independent").code == 0
    ended = cli("sample", tmp_path / "model", "-n", 10**15, "--out", tmp_path / "fake.parquet")
    assert ended.code == 2
    in_words(ended.err, "GiB")
    nothing_else(tmp_path, "people.csv", "model")


def test_a_hopeless_condition_ends_however_many_rows_are_asked_for(
    cli: Callable[..., object], people: Path, tmp_path: Path
) -> None:
    people.write_text(people.read_text().replace("Celle,no", "Celle,maybe", 1))
    fitted = cli("fit", people, "--out", tmp_path / "model", "--generator", "smote", "--target", "rich")  # it turns rows down
    assert fitted.code == 0
    where = "age = 20 and town = 'Celle' and sex = 'f' and rich = 'maybe'"
    ended = cli("sample", tmp_path / "model", "-n", 3_000_000, "--out", tmp_path / "fake.parquet", "--where", where)
    assert ended.code == 2
    in_words(ended.err, "rows drawn satisfy")


@pytest.mark.parametrize("damage", ["bit", "short", "pickle", "other", "key"])
def test_a_damaged_model_is_said_to_be_one(damage: str, cli: Callable[..., object], people: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    assert cli("fit", people, "--out", model, "--generator", "independent").code == 0
    arrays, document = model / "arrays.npz", model / "model.json"
    content = bytearray(arrays.read_bytes())
    if damage == "bit":
        content[len(content) // 2] ^= 1
        arrays.write_bytes(content)
    elif damage == "short":
        arrays.write_bytes(content[:-30])
    elif damage == "pickle":
        np.savez(arrays, x=np.array([{}], dtype=object))
    elif damage == "other":
        arrays.write_bytes(b"rows")
    else:
        document.write_text(document.read_text().replace('"learned_layout"', '"layouts"'))
    ended = cli("sample", model, "-n", 5, "--out", tmp_path / "fake.parquet")
    assert ended.code == 2
    in_words(ended.err, "cannot be read as a model")
    nothing_else(tmp_path, "people.csv", "model")


def test_brackets_in_a_path_are_no_markup(cli: Callable[..., object], people: Path, tmp_path: Path) -> None:
    ended = cli("fit", people, "--out", tmp_path / "[bold]" / "m[/]")
    assert ended.code == 0, ended.err
    assert str(tmp_path / "[bold]" / "m[/]") in ended.out


def test_a_header_in_another_encoding_is_refused(cli: Callable[..., object], people: Path, tmp_path: Path) -> None:
    people.write_bytes(people.read_text().replace("age", "âge", 1).encode("latin-1"))
    ended = cli("schema", people)
    assert ended.code == 2
    in_words(ended.err, "UTF-8")


@pytest.mark.parametrize("value", ["inf", "old"])
def test_synthetic_values_that_are_no_number_are_measured_and_judged(
    value: str, cli: Callable[..., object], people: Path, tmp_path: Path
) -> None:
    fake = tmp_path / "fake.csv"
    lines = people.read_text().splitlines()
    fake.write_text("\n".join([lines[0], value + lines[1][2:], *lines[2:]]) + "\n")
    ended = cli("evaluate", "--real", people, "--synthetic", fake, "--target", "rich", "--out", tmp_path / "made")
    assert ended.code == 0, ended.err
    assert cli("gate", tmp_path / "made", "--policy", "research").code in (1, 3)


def test_a_parquet_file_with_a_name_twice_is_refused(cli: Callable[..., object], tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array([1, 2]), pa.array([3, 4])], names=["a", "a"]), tmp_path / "twice.parquet")
    ended = cli("schema", tmp_path / "twice.parquet")
    assert ended.code == 2
    in_words(ended.err, "appears twice")
