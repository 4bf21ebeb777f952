"""The command that says whether everything is there: what is installed, what the machine has, what is kept on it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import typer
from rich.markup import escape
from rich.table import Table as Grid

from synth.cli import app
from synth.cli.screen import AsJson, out, print_json

State = Literal["ok", "note", "problem"]
STYLE: dict[State, str] = {"ok": "green", "note": "yellow", "problem": "bold red"}
TESTED = ((3, 11), (3, 13))  # the first and the last Python that the tests run on
LITTLE_DISK = 2**30  # bytes below which a run may not find room for its folder
LITTLE_MEMORY = 2 * 2**30  # bytes: measuring a table of Adult's size takes .6 GB, one of KDD's 2.9 GB
OURS = ("all", "dev", "docs")  # extras that are for convenience or for work on synth itself

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?(?:>=([0-9.]+))?(?:.*extra == '([^']+)')?")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. next: what to do about it, where something is to be done."""

    area: str
    name: str
    found: str
    state: State = "ok"
    next: str = ""


@app.command(epilog="Example: synth doctor")
def doctor(as_json: AsJson = False) -> None:
    """Say what is installed, what this machine has, and whether keys, ledger and log are sound; exit code 2 for a problem.

    It makes and changes nothing. A note is worth knowing; a problem keeps something from working.
    """
    checks = list(look())
    problems = sum(check.state == "problem" for check in checks)
    if as_json:
        print_json({"ok": not problems, "problems": problems, "checks": [asdict(check) for check in checks]})
    else:
        _show(checks, problems)
    raise typer.Exit(2 if problems else 0)


def _show(checks: list[Check], problems: int) -> None:
    for area in dict.fromkeys(check.area for check in checks):
        out.print(f"[bold]{area}[/]")
        grid = Grid(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for check in checks:
            if check.area == area:
                said = escape(check.found) + (f"\n[dim]{escape(check.next)}[/]" if check.next else "")
                grid.add_row(f"  [{STYLE[check.state]}]{check.state}[/]", escape(check.name), said)
        out.print(grid)
    few = "nothing stands in the way" if not problems else f"{problems} problem{'s' if problems > 1 else ''}, named above"
    out.print(f"\n{few}; try: synth demo" if not problems else f"\n{few}")


def look() -> Iterator[Check]:
    """Every check, by area."""
    yield from _installed()
    yield from _machine()
    yield from _torch()
    yield from _kept()
    yield from _terminal()


# what is installed -----------------------------------------------------------------------------------------------------


def _installed() -> Iterator[Check]:
    import synth

    where = str(Path(synth.__file__).parent)
    yield Check("Installed", "synth", f"{synth.__version__} in {where}")
    python, (first, last) = sys.version_info[:2], TESTED
    shown = f"{platform.python_version()}, {sys.executable}"
    if python < first:
        yield Check("Installed", "python", shown, "problem", f"use Python {first[0]}.{first[1]} or newer")
    elif python > last:
        yield Check("Installed", "python", shown, "note", f"newer than the tested {last[0]}.{last[1]}")
    else:
        yield Check("Installed", "python", shown)
    try:
        wanted = importlib.metadata.requires("synth") or []
    except importlib.metadata.PackageNotFoundError:
        yield Check("Installed", "packages", "synth is run from its source, not installed", "note", "pip install --editable .")
        return
    needs: dict[str, list[tuple[str, str]]] = {}
    for text in wanted:
        match = _REQUIREMENT.match(text)
        if match is not None and match[3] not in OURS:
            needs.setdefault(match[3] or "", []).append((match[1], match[2] or ""))
    for name, least in needs.pop("", []):
        yield _core(name, least)
    for extra in sorted(needs):
        yield _extra(extra, needs[extra])


def _core(name: str, least: str) -> Check:
    found = version_of(name)
    if found is None:
        return Check("Installed", name, "not installed", "problem", f"pip install '{name}>={least}'")
    if is_older(found, least):
        return Check("Installed", name, found, "problem", f"too old; pip install --upgrade '{name}>={least}'")
    return Check("Installed", name, found)


def _extra(extra: str, needs: list[tuple[str, str]]) -> Check:
    found = {name: version_of(name) for name, _ in needs}
    shown = ", ".join(f"{name} {version}" for name, version in found.items() if version is not None)
    old = [name for name, least in needs if found[name] is not None and is_older(str(found[name]), least)]
    if old:
        return Check("Installed", f"extra {extra}", shown, "problem", f"too old: {', '.join(old)}; {_install(extra)}")
    missing = [name for name, version in found.items() if version is None]
    if missing:
        there = f"{shown}; without {', '.join(missing)}" if shown else "not installed"
        return Check("Installed", f"extra {extra}", there, "note", f"where it is wanted: {_install(extra)}")
    return Check("Installed", f"extra {extra}", shown)


def _install(extra: str) -> str:
    licence = "; its licence, BUSL-1.1, is yours to accept" if extra == "sdv" else ""
    return f"pip install 'synth[{extra}]'{licence}"


def version_of(package: str) -> str | None:
    """The version that is installed, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def is_older(found: str, least: str) -> bool:
    """Whether a version comes before the least one that is wanted, by its numbers."""

    def numbers(text: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", text.split("+")[0])]

    have, need = numbers(found), numbers(least)
    return have[: len(need)] + [0] * (len(need) - len(have)) < need


# what the machine has --------------------------------------------------------------------------------------------------


def _machine() -> Iterator[Check]:
    from synth.errors import ConfigError
    from synth.memory import in_words, memory_there
    from synth.scale import cores

    threads = os.environ.get("OMP_NUM_THREADS")
    shown = f"{cores()} to be used" + (f", OMP_NUM_THREADS={threads}" if threads else "")
    yield Check("Machine", "system", platform.platform())
    yield Check("Machine", "cores", shown)
    try:
        there = memory_there()
    except ConfigError as problem:
        yield Check("Machine", "memory", "unknown", "problem", str(problem))
    else:
        if there is None:
            yield Check("Machine", "memory", "the system does not say", "note", "large fits are begun without a look at it")
        elif there < LITTLE_MEMORY:
            yield Check("Machine", "memory", f"{in_words(there)} are there", "note", "enough for small tables only")
        else:
            yield Check("Machine", "memory", f"{in_words(there)} are there")
    free = shutil.disk_usage(Path.cwd()).free
    if free < LITTLE_DISK:
        yield Check("Machine", "disk", f"{in_words(free)} free in {Path.cwd()}", "note", "a run keeps model, rows and figures")
    else:
        yield Check("Machine", "disk", f"{in_words(free)} free in {Path.cwd()}")
    yield Check("Machine", "system packages", "none is needed beside Python")


def _torch() -> Iterator[Check]:
    if version_of("torch") is None:
        yield Check("Machine", "GPU", "not looked for: torch is not installed; trees, copula and marginals need none")
        return
    try:
        import torch
    except (ImportError, OSError) as problem:
        said = " ".join(str(problem).split())[:160]
        yield Check("Machine", "GPU", f"torch cannot be loaded: {said}", "problem", "pip install --force-reinstall torch")
        return
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
        yield Check("Machine", "GPU", f"{names}, CUDA {torch.version.cuda}; networks use it (device='auto')")
    elif torch.backends.mps.is_available():
        yield Check("Machine", "GPU", "Apple's, through MPS; networks run on the CPU unless device='mps' is set")
    else:
        yield Check("Machine", "GPU", "none that torch can use; networks run on the CPU")


# what is kept on it ----------------------------------------------------------------------------------------------------


def _kept() -> Iterator[Check]:
    from synth.folder import home

    folder = home()
    place = "SYNTH_HOME" if "SYNTH_HOME" in os.environ else "SYNTH_HOME (not set)"
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        mend = f"{there} cannot be written to; set SYNTH_HOME to a folder of yours"
        yield Check("Kept here", place, str(folder), "problem", mend)
    else:
        yield Check("Kept here", place, str(folder))
    yield from _sound("keys", _keys, "move the file away, or set SYNTH_HOME to another folder")
    yield from _sound("privacy ledger", _ledger, "restore it from a backup: what was spent must not be forgotten")
    yield from _sound("log of attempts", _attempts, "synth attempts --check says which line")
    data = os.environ.get("SYNTH_DATA")
    if data is None:
        yield Check("Kept here", "SYNTH_DATA", "not set; configs/ and the tests find real tables by it")
    elif Path(data).is_dir():
        yield Check("Kept here", "SYNTH_DATA", data)
    else:
        yield Check(
            "Kept here", "SYNTH_DATA", f"{data} is not there", "note", "point it at the folder of real tables, or unset it"
        )


def _sound(name: str, look_at: Callable[[], Check], mend: str) -> Iterator[Check]:
    from synth.errors import SynthError

    try:
        yield look_at()
    except (SynthError, OSError) as problem:
        yield Check("Kept here", name, " ".join(str(problem).split()), "problem", mend)


def _keys() -> Check:
    from synth.gate.keys import PrivateKey, list_keys

    known = list_keys()
    if not known:
        return Check("Kept here", "keys", "none; a pair is made with the first run or evaluation, and said so")
    for key in known:
        if key.can_sign:
            private = key.public_file.with_suffix(".pem")
            PrivateKey.load(private)
            if stat.S_IMODE(private.stat().st_mode) & 0o077:
                return Check("Kept here", "keys", f"others can read {private}", "problem", f"chmod 600 {private}")
    named = ", ".join(f"{key.name} (can sign)" if key.can_sign else key.name for key in known)
    return Check("Kept here", "keys", f"{named} in {known[0].public_file.parent}")


def _ledger() -> Check:
    from synth.privacy.ledger import Ledger

    book = Ledger()
    accounts = book.accounts()
    if not accounts:
        return Check("Kept here", "privacy ledger", f"nothing was spent; it will be {book.path}")
    entries = len(book.entries())
    return Check("Kept here", "privacy ledger", f"{len(accounts)} data sets, {entries} entries, in {book.path}")


def _attempts() -> Check:
    from synth.gate.attempts import AttemptLog

    log = AttemptLog.of_machine()
    if not log.path.exists():
        return Check("Kept here", "log of attempts", f"nothing was judged; it will be {log.path}")
    return Check("Kept here", "log of attempts", f"{log.check()} lines, each signed and in its place, in {log.path}")


def _terminal() -> Iterator[Check]:
    encoding = sys.stdout.encoding or "unknown"
    if encoding.lower().replace("-", "") != "utf8":
        yield Check("Terminal", "encoding", encoding, "note", "set PYTHONUTF8=1, or ε and × may not be shown")
    else:
        yield Check("Terminal", "encoding", encoding)
    yield Check(
        "Terminal", "colour", "off by NO_COLOR" if os.environ.get("NO_COLOR") else "on a terminal; NO_COLOR=1 turns it off"
    )
