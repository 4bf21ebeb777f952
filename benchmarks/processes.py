"""Commands run side by side, each in a process of its own that is ended, with all it started, when its time is over."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

ROOT = Path(__file__).resolve().parents[1]
POLL = 0.05  # seconds between two looks; a child's own clock tells what it took
LETTERS = 160  # of the last line of a crash

Job = TypeVar("Job")


@dataclass(frozen=True)
class Ended:
    """How a process ended: by itself ("ok"), by a failure ("crash"), or because its time was over ("over")."""

    outcome: Literal["ok", "crash", "over"]
    why: str
    seconds: float


@dataclass
class _Running:
    child: subprocess.Popen[bytes]
    errors: IO[bytes]
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def end(self) -> None:
        """End the process and whatever it started: they are one group."""
        with suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()
        self.errors.close()


def side_by_side(
    jobs: Sequence[tuple[Job, list[str]]], at_once: int, limit: float, environment: Mapping[str, str]
) -> Generator[tuple[Job, Ended], None, None]:
    """Run each job's command from the repository's root, at most so many at once; yield the jobs as they end.

    limit: seconds for each. environment: what is added to this process's own. Nothing runs on after the iterator is closed.
    """
    waiting, running = list(reversed(jobs)), list[tuple[Job, _Running]]()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job, command = waiting.pop()
                running.append((job, _start(command, environment)))
            time.sleep(POLL)
            for job, process in list(running):
                ended = _look(process, limit)
                if ended is not None:
                    running.remove((job, process))
                    yield job, ended
    finally:
        for _, process in running:
            process.end()


def _start(command: list[str], environment: Mapping[str, str]) -> _Running:
    errors: Any = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the process has ended
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        start_new_session=True,
    )
    return _Running(child, errors)


def _look(process: _Running, limit: float) -> Ended | None:
    """How the process has ended, or nothing while it goes on."""
    code, seconds = process.child.poll(), process.seconds
    if code is None and seconds < limit:
        return None
    process.errors.seek(0)
    said = process.errors.read().decode(errors="replace").strip().splitlines()
    process.end()
    if code is None:
        return Ended("over", f"ended after {limit:g} s", seconds)
    if code == 0:
        return Ended("ok", "", seconds)
    last = f"killed by {signal.Signals(-code).name}" if code < 0 else said[-1][:LETTERS] if said else f"exit code {code}"
    return Ended("crash", last, seconds)
