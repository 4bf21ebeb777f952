"""How much memory there is: what this process can still take before the machine, or its container, runs out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from synth.errors import ConfigError

LIMIT = "SYNTH_MEMORY_LIMIT"  # an environment variable: the most that one job may take, such as 4GiB
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_CGROUPS = Path("/sys/fs/cgroup")


def memory_there() -> int | None:
    """Bytes that can still be taken, or None where the system does not say.

    The least of what is set in SYNTH_MEMORY_LIMIT, what the kernel calls available, and what the limits of the control groups
    (containers) around this process leave. Raises ConfigError for a SYNTH_MEMORY_LIMIT that is no number of bytes.
    """
    return min((*_set(), *_available(), *_left_by_groups(Path("/proc/self/cgroup"), _CGROUPS)), default=None)


def in_bytes(text: str, origin: str) -> int:
    """A number of bytes from text such as 4GiB, 500 MB or 1e9. Raises ConfigError where it is none."""
    match = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([kmgt]?i?)b?\s*", text.lower())
    try:
        size = float(match[1]) * _UNITS[match[2]] if match else -1.0
    except (ValueError, KeyError):
        size = -1.0
    if not 0 < size < 2**62:
        raise ConfigError(f"{origin} is {text!r}; give a number of bytes, such as 4GiB or 500MB")
    return int(size)


def in_words(size: float) -> str:
    """A number of bytes as a person reads it: 1.2 GiB."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB")):
        if size >= unit or unit == 2**20:
            shown = size / unit
            return f"{shown:,.0f} {name}" if shown >= 10 else f"{shown:.1f} {name}"
    raise AssertionError


def _set() -> Iterator[int]:
    if text := os.environ.get(LIMIT):
        yield in_bytes(text, LIMIT)


def _available() -> Iterator[int]:
    facts = _facts(Path("/proc/meminfo"))
    if "MemAvailable" in facts:
        yield facts["MemAvailable"] * 1024
    elif hasattr(os, "sysconf") and {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= set(os.sysconf_names):
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _left_by_groups(mine: Path, groups: Path) -> Iterator[int]:
    """What each control group that this process is in leaves it, from its own to the outermost, in both versions."""
    try:
        lines = mine.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers == "":
            root, limit, used, cache = groups, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            root, limit, used = groups / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        steps = [step for step in place.split("/") if step]
        for depth in range(len(steps), -1, -1):  # in a container the path may start outside; its own root is then at depth 0
            folder = root.joinpath(*steps[:depth])
            most, now = _number(folder / limit), _number(folder / used)
            if most is not None and now is not None:
                yield max(0, most - now + _facts(folder / "memory.stat").get(cache, 0))


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return None


def _facts(file: Path) -> dict[str, int]:
    """Lines such as "MemAvailable:  123 kB" and "inactive_file 123"."""
    try:
        text = file.read_text()
    except OSError:
        return {}
    return {name: int(number) for name, number in re.findall(r"^(\w+):?\s+(\d+)", text, re.MULTILINE)}
