"""The frontier benchmark: its cells, what an interrupted run keeps, what it says of failures, the page and the picture."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import synth
from benchmarks import cells, frontier, frontier_page, frontier_picture
from benchmarks.cells import FIGURES, Case, Cell, Setting
from benchmarks.frontier import Plan, State
from benchmarks.frontier_page import Outcome
from benchmarks.processes import side_by_side

INDEPENDENT = Setting("independent", "independent")
BROKEN = Setting("broken", "trees", {"min_samples_leaf": 0})
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A simulated table, large enough for every figure."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=1_600)
    columns = {
        "x": np.round(x, 3),
        "y": np.round(x + rng.normal(size=1_600), 3),
        "colour": rng.choice(["red", "green", "blue"], 1_600),
        "class": np.where(x + rng.normal(size=1_600) > 0, "yes", "no"),
    }
    path = tmp_path_factory.mktemp("data") / "simulated.parquet"
    pq.write_table(pa.table(columns), path)
    return Case(str(path), None, {"target": "class"})


@pytest.fixture
def plan(case: Case, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setitem(frontier.CASES, "Simulated", case)
    return Plan(("Simulated",), (INDEPENDENT,), (0,))


def collect(plan: Plan, path: Path) -> State:
    """A run of the benchmark, up to the page."""
    state, asked = State(path), plan.cells()
    frontier.make(plan, asked, state)
    frontier.measure(plan, asked, state)
    return state


def outcomes(plan: Plan, state: State) -> list[Outcome]:
    return [Outcome(cell, state.get(cell, "make"), state.get(cell, "measure")) for cell in plan.cells()]


def page(plan: Plan, state: State) -> str:
    found = outcomes(plan, state)
    return frontier_page.page(found, default="independent", command="the command", limit=plan.limit, sdv=False)


# cells ----------------------------------------------------------------------------------------------------------------


def test_a_cell_has_the_figures_of_an_evaluation_in_this_process_and_the_memory_of_its_own(
    plan: Plan, tmp_path: Path, case: Case
) -> None:
    ballast = np.ones(75_000_000)  # 600 MB here, which a cell's process does not hold
    state = collect(plan, tmp_path / "state.jsonl")
    del ballast
    [found] = outcomes(plan, state)
    train, holdout = case.tables(0)
    rows = synth.Independent().fit(train, seed=0).sample(len(train), seed=0)
    expected = synth.evaluate(train, holdout, rows, seed=0, only=FIGURES)
    for name in FIGURES:
        assert expected[name].score is not None, name
        assert found.value(name) == expected[name].score.value, name
        assert found.value(name, "reference") == expected[name].reference.value, name  # type: ignore[union-attr]
    assert 50e6 < found.cost["before"] <= found.cost["peak"] < 500e6
    assert list(state.rows.iterdir()) == []  # rows do not stay


def test_a_cell_that_crashes_is_told_of_and_the_others_go_on(plan: Plan, tmp_path: Path) -> None:
    plan = replace(plan, settings=(BROKEN, INDEPENDENT))
    state = collect(plan, tmp_path / "state.jsonl")
    broken, sound = outcomes(plan, state)
    assert "min_samples_leaf" in broken.failure
    assert broken.figures == {}
    assert sound.failure == ""
    assert sound.figures
    text = page(plan, state)
    assert "| `broken`: crashed: " in text
    assert "(seed 0)" in text


def test_a_cell_that_overruns_is_told_of_settles_the_other_seeds_and_is_tried_again_with_more_time(
    plan: Plan, tmp_path: Path
) -> None:
    short = replace(plan, seeds=(0, 1), limit=0.01)
    state = collect(short, tmp_path / "state.jsonl")
    first, second = outcomes(short, state)
    assert first.failure == "over 0.01 s"
    assert second.made is None
    assert "`independent`: over 0.01 s (seed 0)" in page(short, state)
    longer = replace(plan, seeds=(0,), limit=120.0)
    [first] = outcomes(longer, collect(longer, tmp_path / "state.jsonl"))
    assert first.failure == ""
    assert first.figures


# what an interrupted run keeps ----------------------------------------------------------------------------------------


def test_a_line_that_was_cut_off_is_not_trusted_and_only_its_step_is_done_again(plan: Plan, tmp_path: Path) -> None:
    plan = replace(plan, seeds=(0, 1))
    path = tmp_path / "state.jsonl"
    whole = collect(plan, path)
    lines = path.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == ["make", "make", "measure", "measure"]
    path.write_text("\n".join([*lines[:3], lines[3][: len(lines[3]) // 2]]))
    lost = json.loads(lines[3])["key"]
    assert set(State(path).steps) == set(whole.steps) - {lost}
    again = collect(plan, path)
    assert path.read_text().splitlines()[1:3] == lines[1:3]  # what was whole stands as it was written
    assert set(State(path).steps) == set(whole.steps)
    written = path.read_text().splitlines()
    assert len(written) == 6  # its rows were gone: made and measured again, each on a line of its own
    assert [json.loads(line)["step"] for line in [*written[:3], *written[4:]]] == ["make", "make", "measure", "make", "measure"]
    for before, after in zip(outcomes(plan, whole), outcomes(plan, again)):
        for name in FIGURES:
            assert before.value(name) == after.value(name)


def test_a_finished_run_runs_nothing_and_again_forgets(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = collect(plan, tmp_path / "state.jsonl")
    with monkeypatch.context() as nothing:
        nothing.setattr(frontier, "side_by_side", lambda jobs, *_: pytest.fail("a step was run") if jobs else iter(()))
        frontier.make(plan, plan.cells(), state)
    text = (tmp_path / "state.jsonl").read_text()
    other = replace(plan.cells()[0], seed=7)
    (tmp_path / "state.jsonl").write_text(text + json.dumps({"key": other.key("make"), "outcome": "crash"}) + "\n")
    state = State(tmp_path / "state.jsonl")
    state.forget(plan.cells())
    assert set(State(tmp_path / "state.jsonl").steps) == {other.key("make")}


def test_other_code_is_another_cell(plan: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    [cell] = plan.cells()
    assert replace(cell, made_by="changed").key("make") != cell.key("make")
    assert replace(cell, measured_by="changed").key("make") == cell.key("make")  # rows need not be made again
    assert replace(cell, measured_by="changed").key("measure") != cell.key("measure")
    (tmp_path / "synth" / "generators").mkdir(parents=True)
    source = tmp_path / "synth" / "generators" / "trees.py"
    monkeypatch.setattr(frontier, "ROOT", tmp_path)
    digests = set()
    for text in ("a = 1\n", "a = 2\n"):
        source.write_text(text)
        digests.add(frontier.code("generators"))
    assert len(digests) == 2


def test_a_generator_that_is_registered_later_joins(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {setting.generator for setting in frontier.settings()} == set(synth.generators.names()) - {"image-diffusion"}
    monkeypatch.setattr(frontier, "names", lambda: ("later", "trees"))
    labels = [setting.label for setting in frontier.settings()]
    assert "later" in labels
    assert len(labels) == len(set(labels))


# processes ------------------------------------------------------------------------------------------------------------


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_process_whose_time_is_over_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    code = (
        "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        f"open({str(noted)!r}, 'w').write(str(child.pid)); time.sleep(600)"
    )
    [(_, ended)] = side_by_side([("sleeper", python(code))], 1, 3.0, {})
    assert ended.outcome == "over"
    status = Path(f"/proc/{noted.read_text()}/status")
    for _ in range(100):
        if not status.is_file() or "Z (zombie)" in status.read_text():
            break
        time.sleep(0.05)
    else:
        pytest.fail("what the process started still runs")


def test_each_way_to_end_has_its_words_and_jobs_run_side_by_side(tmp_path: Path) -> None:
    meet = "import pathlib, time\npathlib.Path({mine!r}).touch()\nwhile not pathlib.Path({other!r}).exists(): time.sleep(.01)"
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    jobs = {
        "a": python(meet.format(mine=a, other=b)),  # each waits until the other has begun
        "b": python(meet.format(mine=b, other=a)),
        "raises": python("raise ValueError('no such thing')"),
        "exits": python("import sys; sys.exit(3)"),
        "dies": python("import os; os.kill(os.getpid(), 9)"),
    }
    ended = dict(side_by_side(list(jobs.items()), 2, 60.0, {}))
    assert {job: (end.outcome, end.why) for job, end in ended.items()} == {
        "a": ("ok", ""),
        "b": ("ok", ""),
        "raises": ("crash", "ValueError: no such thing"),
        "exits": ("crash", "exit code 3"),
        "dies": ("crash", "killed by SIGKILL"),
    }


def test_nothing_runs_on_when_the_run_is_interrupted(tmp_path: Path) -> None:
    sleeper = python("import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)")
    jobs = [("quick", python("")), ("sleeper", [*sleeper, str(tmp_path / "pid")])]
    running = side_by_side(jobs, 2, 60.0, {})
    next(running)
    while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text():
        time.sleep(0.01)
    running.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


# the page and the picture ---------------------------------------------------------------------------------------------


def outcome(
    table: str, label: str, seed: int, detection: float, membership: float = 0.51, tstr: float = 0.9, unit: str = "AUC"
) -> Outcome:
    """A cell of made-up figures, at the floor but for those that are given."""

    def figure(value: float, real: float, unit: str = "") -> dict[str, Any]:
        score, reference = ({"value": v, "low": v - 0.01, "high": v + 0.01, "n": 100} for v in (value, real))
        return {"score": score, "reference": reference, "status": "ok", "unit": unit}

    figures = {name: figure(0.01, 0.01) for name in FIGURES}
    figures["fidelity.detection"] = figure(detection, 0.5)
    figures["privacy.membership_auc"] = figure(membership, 0.5)
    figures["utility.tstr"] = figure(tstr, 0.9, unit)
    made = {
        "outcome": "ok",
        "about": {"synth": "1"},
        "sizes": {"rows": 9_999 + seed, "holdout": 5_000, "columns": 4},
        "cost": {"fit": 2.0, "sample": 1.0, "cpu": 3.0, "before": 100e6, "peak": 200e6, "load": 0.5 + seed},
    }
    cell = Cell(table, Case("there.parquet", None, {"target": "class"}), Setting(label, "trees"), seed, "", "")
    return Outcome(cell, made, {"outcome": "ok", "figures": figures})


@pytest.mark.parametrize(
    ("table", "detection", "tstr", "unit", "words"),
    [
        ("Adult", (0.500, 0.509, 0.600), 0.9, "AUC", ["0.009 yes"]),  # the median of the seeds decides
        ("Adult", (0.500, 0.511, 0.511), 0.9, "AUC", ["0.011 **no**"]),
        ("Magic", (0.559, 0.559, 0.561), 0.9, "AUC", ["0.559 yes"]),
        ("Magic", (0.561, 0.561, 0.561), 0.9, "AUC", ["0.561 **no**"]),
        ("Diabetes130", (0.9, 0.9, 0.9), 0.9, "AUC", ["| Diabetes130 |  |  |"]),  # no target for it
        ("Adult", (0.5, 0.5, 0.5), 0.894, "AUC", ["0.0060 **no**"]),
        ("Beijing", (0.5, 0.5, 0.5), 0.897, "R²", ["1.5 yes"]),  # √(.103 / .1): the error is 1.5% larger
        ("Beijing", (0.5, 0.5, 0.5), 0.894, "R²", ["3.0 **no**"]),
    ],
)
def test_the_default_is_held_against_its_targets(
    table: str, detection: tuple[float, ...], tstr: float, unit: str, words: list[str]
) -> None:
    lines = frontier_page.against_targets(
        [outcome(table, "trees", seed, d, tstr=tstr, unit=unit) for seed, d in enumerate(detection)]
    )
    assert lines[-1].startswith(f"| {table} |")
    for word in words:
        assert word in lines[-1]
    assert lines[0] == f"Met: {lines[-1].count(' yes |')} of {lines[-1].count(' yes |') + lines[-1].count('**no**')}."


def test_the_page_has_the_floor_the_median_of_the_seeds_and_their_spread() -> None:
    found = [outcome("Adult", "trees", seed, d) for seed, d in enumerate((0.53, 0.51, 0.52))]
    text = frontier_page.page(found, default="trees", command="the command", limit=120, sdv=False)
    assert "| *real holdout rows* | 1.00 | 1.00 | 0.500 |" in text
    assert "| `trees` | 1.00 | 1.00 | 0.520 (0.510–0.530) |" in text
    assert "9,999–10,001 training rows × 4 columns" in text
    assert "Made by `the command`" in text
    assert "load of the machine when fits began was 1.5 in the median, 2.5 at most" in " ".join(text.split())
    alone = frontier_page.page(found[:1], default="trees", command="the command", limit=120, sdv=False)
    assert "0.530 [0.520–0.540]" in alone  # one seed: its own interval


def test_the_picture_has_a_panel_for_each_table_and_joins_the_curve_in_its_order() -> None:
    curve = ["trees, leaves of 20", "trees", "trees, leaves of 160"]
    found = [
        outcome(table, label, seed, detection + seed / 1000, membership)
        for table in ("Adult", "Magic")
        for label, detection, membership in [
            (curve[0], 0.50, 0.54),
            (curve[2], 0.57, 0.50),
            (curve[1], 0.52, 0.52),
            ("independent", 0.99, 0.505),
        ]
        for seed in (0, 1)
    ]
    drawn = frontier_picture.draw(found, default="trees", curve=curve)
    assert drawn == frontier_picture.draw(found, default="trees", curve=curve)
    assert len(drawn.encode()) < 300_000
    root = ElementTree.fromstring(drawn)
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert words.count("Adult") == words.count("Magic") == 1
    markers = [m for m in root.iter() if m.find(f"{SVG}title") is not None and m is not root]
    assert len(markers) == 8
    joined = [p.get("d", "") for p in root.iter(f"{SVG}path") if p.get("d", "").count("L") == 2]
    assert len(joined) == 2
    for way in joined:
        across = [float(point.split()[0]) for point in way.removeprefix("M").split("L")]
        assert across == sorted(across, reverse=True)  # from the most faithful, which gives most away, to the most private


def test_every_figure_that_is_measured_is_on_the_page() -> None:
    assert tuple(frontier_page.FIGURES) == cells.FIGURES


ELSEWHERE = ("peak_of", "peer_")  # a script of other environments, with imports of their own


MODULES = sorted(file.stem for file in Path(cells.__file__).parent.glob("*.py") if not file.stem.startswith(ELSEWHERE))


@pytest.mark.parametrize("name", MODULES)
def test_every_benchmark_can_be_begun(name: str) -> None:
    """What is run by hand once in months must not break unseen where a name moves."""
    assert importlib.import_module(f"benchmarks.{name}").__doc__
