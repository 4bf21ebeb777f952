"""What a worker process does, from its start by `Processes` until its input ends.

It reads which function to start and with which settings, then the numbers of parts, and writes what the function makes of each.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import traceback
from contextlib import suppress
from typing import Any, BinaryIO

from synth.workers import named

ANSWER, FAILURE = 0, 1
_HEAD = struct.Struct("<BQ")  # what follows, and how many bytes of it


def send(pipe: Any, mark: int, content: bytes) -> None:
    """Write one message."""
    pipe.write(_HEAD.pack(mark, len(content)))
    pipe.write(content)
    pipe.flush()


def receive(pipe: Any) -> tuple[int, bytes] | None:
    """Read one message: its mark and content, or None where the pipe ends before it does."""
    head = pipe.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    mark, size = _HEAD.unpack(head)
    content = pipe.read(size)
    return (mark, content) if len(content) == size else None


def serve() -> None:
    """Answer until nobody asks any more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints, prints beside the answers
    with suppress(BrokenPipeError):
        _serve(sys.stdin.buffer, answers)
    os._exit(0)  # nothing is left to flush, and nobody listens


def _serve(questions: BinaryIO, answers: BinaryIO) -> None:
    work = None
    hello = receive(questions)
    while hello is not None and (question := receive(questions)) is not None:
        try:
            if work is None:
                said = json.loads(hello[1])
                work = named(said["start"])(**said["settings"])
            send(answers, ANSWER, work(int(question[1])))
        except BrokenPipeError:
            raise
        except Exception as problem:  # whatever it is, the caller is told
            last = "".join(traceback.format_tb(problem.__traceback__)[-1:]).strip()
            failure = {"type": type(problem).__name__, "message": str(problem), "where": last}
            send(answers, FAILURE, json.dumps(failure).encode())
