"""Folders and files that appear whole or not at all; a failure leaves what was there before as it was."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from synth.errors import DataError

_PARTIAL = re.compile(r"^\.(?P<name>.+)\.partial-(?P<pid>\d+)$")


@contextmanager
def new_folder(target: str | Path, *, mark: str, keep: bool = True) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its name when the block ends, and is gone if it fails.

    mark: a file that every finished folder of this sort holds. A folder of that sort which is already there is kept under the
    next free name (`adult.1`, `adult.2`, …), or without `keep` is replaced; any other folder with something in it is refused
    (DataError). What an earlier, killed process left half-done beside it is removed first.
    """
    path = Path(target)
    if path.exists() and not path.is_dir():
        raise DataError(f"{path} is a file; give a folder that does not exist yet")
    if path.is_dir() and any(path.iterdir()) and not (path / mark).is_file():
        raise DataError(f"{path} is not empty and holds no {mark}; give a folder that does not exist yet")
    made = _missing_parents(path.parent)
    temporary = path.parent / f".{path.name}.partial-{os.getpid()}"
    try:
        with in_words(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _sweep(path)
            temporary.mkdir()
        with in_words(path):
            yield temporary
            _take_place(temporary, path, keep)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        _remove_empty(made)
        raise


@contextmanager
def in_words(path: str | Path) -> Iterator[None]:
    """Turn the failures of writing (no room, no permission, no such place) into a DataError that names path and mend."""
    advice = {
        errno.ENOSPC: "no space is left on the device; free some, or write elsewhere",
        errno.EDQUOT: "the disk quota is used up; free some, or write elsewhere",
        errno.EFBIG: "the file would pass the size limit set for this process; raise it, or write elsewhere",
        errno.EACCES: "permission is denied; choose a folder you may write to",
        errno.EPERM: "permission is denied; choose a folder you may write to",
        errno.EROFS: "the file system is read-only; choose another folder",
        errno.EEXIST: "a file of that name is in the way; choose another path",
        errno.EISDIR: "it is a folder; give the path of a file",
        errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
        errno.ENOTDIR: "a part of the path is a file, not a folder; choose another path",
        errno.ENOENT: "the folder is not there; make it first",
    }
    try:
        yield
    except OSError as problem:
        why = advice.get(problem.errno or 0) or f"{problem.strerror or problem}; choose another path"
        raise DataError(f"cannot write {path}: {why}") from problem


def write(path: Path, content: str | bytes) -> None:
    """Write one file and make sure that it reached the disk."""
    with path.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write one file of JSON, in the order of its keys, and make sure that it reached the disk."""
    write(path, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def new_file(target: str | Path) -> Iterator[BinaryIO]:
    """A file to write bytes to, which takes its name when the block ends; if that fails, an older file stays as it was.

    Raises DataError where it cannot be written.
    """
    path = Path(target)
    if path.is_dir():
        raise DataError(f"cannot write {path}: it is a folder; give the path of a file")
    temporary = path.with_name(f".{path.name}.partial-{secrets.token_hex(4)}")
    with in_words(path):
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):  # it may never have been made
                temporary.unlink()
            raise


def replace(path: str | Path, content: str | bytes) -> None:
    """Write a whole file, or leave the older one as it was. Raises DataError."""
    with new_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


class Log:
    """One line of JSON for each step that is done, with its time and how long it took."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = time.perf_counter()

    def __call__(self, step: str, **facts: Any) -> None:
        now = time.perf_counter()
        line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "step": step, "seconds": round(now - self._last, 3)}
        self._last = now
        with in_words(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line | facts, ensure_ascii=False) + "\n")


def _take_place(temporary: Path, path: Path, keep: bool) -> None:
    older = None
    if path.is_dir() and any(path.iterdir()):
        older = _next_free(path) if keep else path.with_name(f".{path.name}.old-{os.getpid()}")
        path.rename(older)
    elif path.is_dir():
        path.rmdir()
    temporary.rename(path)
    if older is not None and not keep:
        shutil.rmtree(older)


def _next_free(path: Path) -> Path:
    number = 1
    while (free := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    return free


def _missing_parents(path: Path) -> list[Path]:
    """The folders that will be made on the way to `path`, innermost first."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    return missing


def _remove_empty(folders: list[Path]) -> None:
    """Remove these folders, innermost first, where nothing has come to lie in them."""
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _sweep(path: Path) -> None:
    for entry in path.parent.iterdir():
        match = _PARTIAL.match(entry.name)
        if match and match["name"] == path.name and not _is_alive(int(match["pid"])):
            shutil.rmtree(entry, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()
