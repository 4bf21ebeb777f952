"""Folders and files that appear whole or not at all; a failure leaves what was there before as it was.

Beside a folder `run` that is being written stand, hidden, until it is done:
    .run.lock         held by who writes; the lock ends with its process, however that ends
    .run.partial-…    what is written; worth nothing without the lock
    .run.ready-…      what is whole and on the disk, on its way to its name; where that was cut off, the next writer ends it
    .run.old-…        what it replaced, on its way out
"""

from __future__ import annotations

import errno
import fcntl
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

PATIENCE = 10.0  # seconds to wait for another writer of the same folder: an export ends within them, a long run need not
RETRIES = 50  # to make the parents of a folder, which a writer beside us may take away again where it fails

_BESIDE = re.compile(r"^\.(?P<name>.+)\.(?P<kind>partial|ready|old)-[0-9a-f]+$")


def home() -> Path:
    """Where this machine's keys, logs and ledger lie: $SYNTH_HOME, else the user's own configuration folder for synth."""
    if "SYNTH_HOME" in os.environ:
        return Path(os.environ["SYNTH_HOME"])
    import platformdirs

    return Path(platformdirs.user_config_dir("synth"))


@contextmanager
def new_folder(target: str | Path, *, mark: str, keep: bool = True) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its name when the block ends, and is gone if it fails.

    mark: a file that every finished folder of this sort holds. A folder of that sort which is already there is kept under the
    next free name (`adult.1`, `adult.2`, …), or without `keep` is replaced; any other folder with something in it is refused,
    and so is a link (DataError). One writer at a time: another waits for its turn, and after `PATIENCE` seconds is refused.
    What an earlier, killed process left beside it is put right first: a whole folder gets its name, half a one is removed.
    """
    path = Path(target)
    _check_free(path, mark)
    made = _missing_parents(path.parent)
    try:
        with in_words(path), alone(path):
            _put_right(path, mark, keep)
            _check_free(path, mark)
            temporary = _beside(path, "partial")
            try:
                temporary.mkdir()
                yield temporary
                taken = _take_place(temporary, path, mark, keep)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            if taken != path:
                raise DataError(f"something else came to lie at {path} in the meantime; what was made is whole, in {taken}")
    except BaseException:
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
    with in_words(path):
        sweep(path)
        temporary, opened = _half_file(path)
        try:
            with opened as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                temporary.replace(path)
            _sync(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_once(path: Path, content: bytes, *, mode: int) -> None:
    """Write a whole file, with its permissions from the start, where there is none yet. Raises FileExistsError, OSError."""
    sweep(path)
    temporary, opened = _half_file(path, mode)
    try:
        with opened as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.link(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(path: Path) -> None:
    """Remove half files of `path` that nobody writes any more."""
    for half in _all_beside(path)["partial"]:
        with suppress(OSError), half.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            half.unlink()


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


# a folder takes its name --------------------------------------------------------------------------------------------------


def _check_free(path: Path, mark: str) -> None:
    if path.is_symlink():
        raise DataError(f"{path} is a link: what it leads to can be changed in the meantime; give a folder itself")
    if path.exists() and not path.is_dir():
        raise DataError(f"{path} is a file; give a folder that does not exist yet")
    if not _ours(path, mark):
        raise DataError(f"{path} is not empty and holds no {mark}; give a folder that does not exist yet")
    if path.name in ("", ".."):
        raise DataError(f"{path} has no name to give to a new folder; give the path of one that does not exist yet")


def _ours(path: Path, mark: str) -> bool:
    """Whether what is at `path` may be moved away: nothing, an empty folder, or a finished one of the same sort."""
    if not os.path.lexists(path):
        return True
    return path.is_dir() and not path.is_symlink() and ((path / mark).is_file() or not any(path.iterdir()))


def _take_place(temporary: Path, path: Path, mark: str, keep: bool) -> Path:
    """Give a finished folder its name; where it got another, since something else came to lie at `path`, that one."""
    _sync_all(temporary)
    ready = _beside(path, "ready")
    temporary.rename(ready)
    try:
        return _place(ready, path, mark, keep)
    except BaseException:
        if os.path.lexists(path):
            shutil.rmtree(ready, ignore_errors=True)
        else:  # what was there has been moved away already, so that the way back is longer than the way on
            ready.rename(path)
        raise


def _place(ready: Path, path: Path, mark: str, keep: bool) -> Path:
    """The last step, from a whole folder beside `path` to `path`, after what was there has made room.

    POSIX cannot exchange two folders, so that between two renames nothing is at `path`. A process that ends there leaves
    `ready`, and the next writer takes this step again.
    """
    older = None
    if not _ours(path, mark):
        return _to_next_free(ready, path)
    if path.is_dir() and any(path.iterdir()):
        older = _to_next_free(path, path) if keep else path.rename(_beside(path, "old"))
    if not _renamed(ready, path):
        return _to_next_free(ready, path)
    _sync(path.parent)
    if older is not None and not keep:
        shutil.rmtree(older)
    return path


def _to_next_free(folder: Path, path: Path) -> Path:
    """Rename a folder to the first of `path.1`, `path.2`, … that nothing has."""
    number = 1
    while os.path.lexists(free := path.with_name(f"{path.name}.{number}")) or not _renamed(folder, free):
        number += 1
    return free


def _renamed(folder: Path, name: Path) -> bool:
    """Rename a folder, if nothing but an empty folder has that name."""
    try:
        folder.rename(name)
    except OSError as problem:
        if problem.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            return False
        raise
    return True


def _put_right(path: Path, mark: str, keep: bool) -> None:
    """Complete or remove what dead processes left beside `path`; all that is there is theirs, since the lock is ours."""
    beside = _all_beside(path)
    for ready in beside["ready"]:
        _place(ready, path, mark, keep)
    for dead in (*beside["partial"], *beside["old"]):
        shutil.rmtree(dead, ignore_errors=True)


# one writer at a time -----------------------------------------------------------------------------------------------------


@contextmanager
def alone(path: Path, *, patience: float | None = None) -> Iterator[None]:
    """Hold the lock of `path`, making its parents. The kernel ends it with the process.

    Raises DataError for whoever waited `patience` seconds for it, by default `PATIENCE`.
    """
    lock, until = path.with_name(f".{path.name}.lock"), time.monotonic() + (PATIENCE if patience is None else patience)
    while (held := _hold(lock)) is None:
        if time.monotonic() > until:
            raise DataError(f"{path} is being written to by another process or thread; let it finish, or give another folder")
        time.sleep(0.02)
    try:
        yield
    finally:
        with suppress(OSError):  # before it is let go: whoever waits looks whether it is still there
            lock.unlink()
        os.close(held)


def _hold(lock: Path) -> int | None:
    """The lock's file descriptor, or None where somebody else has it, or had it and took it away."""
    held = _opened(lock)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(held), os.stat(lock)):
            return held
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(held)
        raise
    os.close(held)
    return None


def _opened(lock: Path) -> int:
    """Open or make the lock, in a folder that is made where it is missing."""
    for _ in range(RETRIES):
        with suppress(FileNotFoundError):
            lock.parent.mkdir(parents=True, exist_ok=True)
            return os.open(lock, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        time.sleep(0.001)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(lock.parent))


def _half_file(path: Path, mode: int = 0o666) -> tuple[Path, BinaryIO]:
    """A new file beside `path`, open, and locked for as long as it is."""
    while True:
        temporary = _beside(path, "partial")
        file = open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode))  # noqa: SIM115 - it is handed on
        fcntl.flock(file, fcntl.LOCK_EX)
        if temporary.exists():  # else another writer of `path` swept it before it was locked
            return temporary, file
        file.close()


# what stands beside -------------------------------------------------------------------------------------------------------


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{kind}-{secrets.token_hex(8)}")


def _all_beside(path: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {"partial": [], "ready": [], "old": []}
    with suppress(PermissionError, FileNotFoundError, NotADirectoryError):  # one may write to a folder and not read it
        for name in sorted(os.listdir(path.parent)):
            match = _BESIDE.match(name)
            if match and match["name"] == path.name:
                found[match["kind"]].append(path.with_name(name))
    return found


def _sync_all(folder: Path) -> None:
    """Make sure that every file in a folder reached the disk, and that their names did."""
    for parent, _, files in os.walk(folder, topdown=False):
        for name in files:
            _sync(Path(parent, name))
        _sync(Path(parent))


def _sync(path: Path) -> None:
    try:
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:  # a folder that may be written to and not be read
        return
    try:
        os.fsync(opened)
    except OSError as problem:
        if problem.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot sync a folder
            raise
    finally:
        os.close(opened)


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
        with suppress(OSError):
            folder.rmdir()
