"""Worker processes: fresh interpreters that are told by name what to do, over pipes.

Nothing is forked, so that no lock is copied in a bad moment; nothing is pickled; and the caller's script is not run again, as
`multiprocessing` would run it where it has no `if __name__ == "__main__"`.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Never

import synth.errors
from synth.errors import ConfigError, SynthError, WorkerError
from synth.scale.worker import ANSWER, receive, send
from synth.workers import Results, Work, name_of

AHEAD = 2  # results that may wait for each worker, so that memory is bounded and nobody waits


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Processes:
    """So many processes of this machine. What they give does not depend on how many they are."""

    count: int  # processes at work

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise ConfigError(f"{self.count!r} processes cannot work; give a whole number, 1 or more")

    def map_in_order(self, start: Callable[..., Work], settings: Mapping[str, Any], parts: Sequence[int]) -> Results:
        """What `start(**settings)` makes of each part, in order, at most AHEAD results per process before they are taken.

        Raises WorkerError where a process dies or fails, ConfigError where `start` cannot be imported by its name, and the
        errors that synth raises in a worker as they are. However it ends, no process is left.
        """
        hello = json.dumps({"start": name_of(start), "settings": settings}).encode()
        with ExitStack() as ended:
            pool = ended.enter_context(ThreadPoolExecutor(self.count))  # one thread waits for each process
            free: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
            for _ in range(min(self.count, len(parts))):
                worker = _Worker(hello)
                ended.callback(worker.end)  # before the pool waits for its threads: these then find their pipes closed
                free.put(worker)

            def ask(part: int) -> bytes:
                worker = free.get()
                try:
                    return worker.ask(part)
                finally:
                    free.put(worker)

            ended.callback(pool.shutdown, wait=False, cancel_futures=True)
            waiting: deque[Future[bytes]] = deque()
            for part in parts:
                waiting.append(pool.submit(ask, part))
                if len(waiting) > AHEAD * self.count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


class _Worker:
    """One process and the two pipes to it."""

    def __init__(self, hello: bytes) -> None:
        # Neither the folder it stands in nor the caller's script may come in the way of what is imported.
        places = [place or os.getcwd() for place in sys.path]
        environment = {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": os.pathsep.join(places)}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from synth.scale.worker import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            process_group=0 if os.name == "posix" else None,  # Ctrl-C is for the caller to answer
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.questions, self.answers = self.process.stdin, self.process.stdout
        self._tell(hello)

    def ask(self, part: int) -> bytes:
        self._tell(str(part).encode())
        answer = receive(self.answers)
        if answer is None:
            self._died(part)
        mark, content = answer
        if mark == ANSWER:
            return content
        raise _error(json.loads(content))

    def end(self) -> None:
        """Kill it, whatever it is at; it holds nothing that would be missed."""
        self.process.kill()
        self.process.wait()
        self.answers.close()
        with suppress(OSError):
            self.questions.close()

    def _tell(self, content: bytes) -> None:
        with suppress(BrokenPipeError):  # whoever died is found out when the answer is missing
            send(self.questions, ANSWER, content)

    def _died(self, part: int) -> Never:
        raise WorkerError(f"worker process {self.process.pid}, at part {part + 1} of the job, {reason_of(self.process.wait())}")


def reason_of(code: int) -> str:
    """Why a process ended with this code (negative: by a signal), and what to do."""
    if code >= 0:
        return f"ended by itself with exit code {code}; what it printed says why"
    name = signal.Signals(-code).name
    short = ", as it is when the machine runs out of memory; use fewer workers, or free some memory"
    return f"was ended by {name}" + (short if name == "SIGKILL" else "; begin it again")


def _error(said: Mapping[str, str]) -> Exception:
    kind = getattr(synth.errors, said["type"], None)
    if isinstance(kind, type) and issubclass(kind, SynthError):
        error = kind.__new__(kind)
        Exception.__init__(error, said["message"])
        return error
    return WorkerError(f"a worker process failed ({said['type']}: {said['message']})\n{said['where']}")
