"""A process that runs `synth run` in children, kills them, and looks at what they leave. Called by test_killed.py.

It is a process of its own so that it may fork: a child has everything imported and begins at once. This process itself reads no
table, so that it has no threads; what is to be looked at, a child looks at. What was found goes to stdout: a list of
{"moment", "killed", "faults"}.
"""

from __future__ import annotations

import builtins
import gc
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(HERE))

import synth  # noqa: E402
import synth.gate.export  # noqa: E402
import synth.run  # noqa: E402
from synth.cli import main  # noqa: E402
from synth.errors import SynthError  # noqa: E402
from synth.gate.attempts import AttemptLog  # noqa: E402
from synth.gate.keys import PrivateKey, list_keys  # noqa: E402

COMMAND = ("run", "config.yaml", "--out", "out/people", "--quiet", "--json")
ACTS = ("open", "fcntl.flock", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC


# killing --------------------------------------------------------------------------------------------------------------


def killed_at_act(number: int) -> bool:
    """Run in a child that is killed just before it changes a file for the `number`th time; whether it came so far."""
    return run_in_child(lambda: count_acts(kill_after(number))) == -signal.SIGKILL


def run_in_child(prepare: Callable[[], object] = lambda: None) -> int:
    """The exit code of the command, run in a fork of this process; negative for a signal."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            silence = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(silence, stream)
            sys.argv = ["synth", *COMMAND]
            prepare()
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def asked(question: Callable[[], Any]) -> Any:
    """What a child found out."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, json.dumps(question()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with builtins.open(read, "rb") as told:
        answer = told.read()
    os.waitpid(child, 0)
    return json.loads(answer)


def all_imported() -> None:
    """Import here what a run imports on its way, so that no child need do it."""
    read, write = os.pipe()
    assert run_in_child(lambda: at_the_end(lambda: os.write(write, "\n".join(sys.modules).encode()))) == 0
    os.close(write)
    with builtins.open(read) as told:
        for name in told.read().splitlines():
            with suppress(ImportError):
                importlib.import_module(name)
    gc.freeze()  # so that no child copies the pages of what is only looked at


def at_the_end(tell: Callable[[], object]) -> None:
    leave = os._exit

    def leaving(code: int) -> None:
        tell()
        leave(code)

    os._exit = leaving  # type: ignore[assignment]


def count_acts(tell: Callable[[], object]) -> None:
    """Tell of everything that is about to change a file: opened for writing, made, renamed, removed; several syncs are one."""
    synced = False

    def heard(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            flags, path = arguments[2], arguments[0]
            if not isinstance(flags, int) or not flags & WRITES or path == os.devnull:
                return
        nonlocal synced
        if event in ACTS:
            synced = False
            tell()

    fsync = os.fsync

    def heard_fsync(descriptor: int) -> None:
        nonlocal synced
        if not synced:
            tell()
        synced = True
        fsync(descriptor)

    os.fsync = heard_fsync  # type: ignore[assignment]
    sys.addaudithook(heard)


def kill_after(number: int) -> Callable[[], None]:
    left = number

    def act() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return act


def acts_of_a_run() -> int:
    """How often a whole run changes a file."""
    read, write = os.pipe()
    assert run_in_child(lambda: count_acts(lambda: os.write(write, b"."))) == 0
    os.close(write)
    with builtins.open(read, "rb") as told:
        return len(told.read())


def killed_at_time(seconds: float) -> bool:
    """Run the real command in a process of its own and kill it after so many seconds; whether it still ran then."""
    process = subprocess.Popen([sys.executable, "-m", "synth", *COMMAND], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    process.kill()
    return process.wait() == -signal.SIGKILL


def seconds_of_a_run() -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "synth", *COMMAND], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


# looking --------------------------------------------------------------------------------------------------------------


def faults_in_sight() -> list[str]:
    """What is wrong with what anybody can see here. It is looked for in a copy, so that looking changes nothing."""
    with copied(Path.cwd(), Path.cwd().with_name("look")):
        faults = []
        for run in visible(Path("out")):
            faults += [f"half a run: {problem}" for problem in problems_of(run)]
        for export in Path().rglob("export"):  # also one inside a run that is being written: it has its name, so it is whole
            try:
                synth.verify(export)
            except SynthError as problem:
                faults.append(f"an export without a valid approval: {problem}")
        try:
            for key in list_keys():
                if key.can_sign and PrivateKey.load(key.public_file.with_suffix(".pem")).keyid != key.keyid:
                    faults.append("a key without its other half")
            AttemptLog.of_machine().check()
        except SynthError as problem:
            faults.append(f"a key or the log is damaged: {problem}")
        return faults


def problems_of(run: Path) -> Iterator[str]:
    """What is wrong with a run that has its name."""
    try:
        done = synth.run.Run.open(run)
        done.check()  # its seal, and that the log knows its attempt
        verdict, rows = done.verdict, done.synthetic
        if verdict is None or verdict.decision != "approved" or len(rows) != 200:
            yield f"{run} is not what its config makes"
    except SynthError as problem:
        yield str(problem)
        return
    for name in ("approval.json", "attempts.json", "config.yaml", "export", "log.jsonl", "model", "report.html", "split.json"):
        if not (run / name).exists():
            yield f"{run} holds no {name}"


def faults_after_the_next(before: int) -> list[str]:
    """What is wrong after the next run, which nobody disturbs. before: how many runs were to be seen."""
    code = run_in_child()
    faults = [f"afterwards: {fault}" for fault in asked(faults_in_sight)]
    if code != 0:
        faults.append(f"the next run ended with exit code {code}")
    if not (Path("out") / "people" / "export").is_dir():
        faults.append("the next run is not at its place")
    if len(visible(Path("out"))) <= before:
        faults.append("an earlier run was lost")
    if (counted := asked(attempts)) != 1:
        faults.append(f"the log counts {counted} attempts, where the same rows were judged again and again")
    left = [str(path) for path in Path().rglob(".*") if path.parts[0] in ("out", "home")]
    if left:
        faults.append(f"left behind: {', '.join(left)}")
    return faults


def attempts() -> int:
    return sum(entry.kind == "attempt" for entry in AttemptLog.of_machine().entries())


def visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if not path.name.startswith("."))


# planted faults -------------------------------------------------------------------------------------------------------


@contextmanager
def straight_into_the_target(target: str | Path, *, mark: str, keep: bool = True) -> Iterator[Path]:
    """How a folder must not be written: in everybody's sight."""
    path = Path(target)
    number = 0
    while path.exists():
        number += 1
        path = Path(target).with_name(f"{Path(target).name}.{number}")
    path.mkdir(parents=True)
    yield path


def without_sweeping(path: Path, mark: str, keep: bool) -> None:
    """What dead processes left stays where it is."""


def plant(fault: str) -> None:
    if fault == "straight into the target":
        synth.run.new_folder = synth.gate.export.new_folder = straight_into_the_target
    elif fault == "without sweeping":
        synth.folder._put_right = without_sweeping
    elif fault != "none":
        raise ValueError(fault)


# the job --------------------------------------------------------------------------------------------------------------


def attempt(begin: Path, killed: Callable[[], bool], moment: float) -> dict[str, object]:
    """One kill, in a copy of the folder `begin`."""
    with copied(begin, begin.with_name("case")):
        before = len(visible(Path("out")))
        was_killed = killed()
        faults = asked(faults_in_sight)
        return {"moment": moment, "killed": was_killed, "faults": faults + faults_after_the_next(before)}


@contextmanager
def copied(folder: Path, copy: Path) -> Iterator[None]:
    """Work in a copy of a folder, with the home of keys and log that lies in it."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    os.chdir(copy)
    os.environ["SYNTH_HOME"] = str(copy / "home")
    try:
        yield
    finally:
        os.chdir(folder)
        os.environ["SYNTH_HOME"] = str(folder / "home")


def by_time(begin: Path, seed: int, kills: int) -> list[dict[str, object]]:
    """Kill the real command at random moments of the time that it takes."""
    with copied(begin, begin.with_name("case")):
        whole = seconds_of_a_run()
    rng = random.Random(seed)
    found: list[dict[str, object]] = []
    while len(found) < kills:
        moment = rng.uniform(0, whole)
        outcome = attempt(begin, partial(killed_at_time, moment), round(moment / whole, 3))
        if outcome["killed"] or outcome["faults"]:  # else it was quicker this time: another moment is drawn
            found.append(outcome)
    return found


def by_act(begin: Path, first: int, step: int) -> list[dict[str, object]]:
    """Kill the command before the `first` and every `step`th further time that it changes a file."""
    with copied(begin, begin.with_name("case")):
        total = acts_of_a_run()
    return [attempt(begin, partial(killed_at_act, act), act) for act in range(first, total, step)]


if __name__ == "__main__":
    folder, how, fault, first, second = sys.argv[1:]
    os.environ["PYTHONPATH"] = str(HERE)  # for the command as a process of its own
    with copied(Path(folder), Path(folder).with_name("case")):
        all_imported()
    plant(fault)
    print(json.dumps({"time": by_time, "act": by_act}[how](Path(folder), int(first), int(second))))
