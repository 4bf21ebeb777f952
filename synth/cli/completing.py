"""What the shell offers on Tab: names of methods, policies, metrics, data sets, and the columns of the file on the line.

Only headers are read, never rows. A shell must not be shown an error, so where anything fails nothing is offered.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

import typer

LINES = ("_TYPER_COMPLETE_ARGS", "COMP_WORDS")  # where zsh, fish and PowerShell, and bash, leave the line for typer
Offered = list[tuple[str, str]]  # each with what it is, which some shells show


def generators(incomplete: str) -> Offered:
    """The methods, each with what it does."""
    from synth.generators import by_name, names

    return _starting(incomplete, lambda: ((name, by_name(name).summary) for name in names()))


def hyperparameters(ctx: typer.Context, incomplete: str) -> Offered:
    """NAME= of each hyperparameter of the method on the line."""
    from synth.generators import create

    def known() -> Iterable[tuple[str, str]]:
        params = create(ctx.params.get("generator") or "trees").get_params()
        return ((f"{name}=", f"by default {value!r}") for name, value in params.items())

    return _starting(incomplete, known)


def policies(incomplete: str) -> Offered:
    """The packaged policies, each with its title."""
    from synth.gate.policy import Policy, packaged

    return _starting(incomplete, lambda: ((name, Policy.load(name).title) for name in packaged()))


def metrics(incomplete: str) -> Offered:
    """Families and metrics, with commas between them."""
    from synth.metrics.registry import FAMILIES
    from synth.metrics.registry import metrics as registered

    def known() -> Iterable[tuple[str, str]]:
        return [*((family, "a family") for family in FAMILIES), *((m.name, m.summary) for m in registered())]

    return _listed(incomplete, known)


def datasets(incomplete: str) -> Offered:
    """The data sets that have a privacy budget."""
    from synth.privacy.ledger import Ledger

    return _starting(incomplete, lambda: ((account.dataset, "") for account in Ledger().accounts()))


def column(incomplete: str) -> Offered:
    """A column of the file that the line names."""
    return _starting(incomplete, lambda: ((name, "") for name in _names()))


def columns(incomplete: str) -> Offered:
    """Columns of the file that the line names, with commas between them; a comma inside a name is written twice."""
    return _listed(incomplete, lambda: ((name.replace(",", ",,"), "") for name in _names()))


def _names() -> list[str]:
    """The columns of the first word that is a file of rows: a line that ends in `--target ` is not parsed to its parts."""
    from synth.data.files import SUFFIXES, format_of

    line = next((os.environ[name] for name in LINES if os.environ.get(name)), "")
    words = (Path(word).expanduser() for word in shlex.split(line))
    file = next((word for word in words if word.suffix.lower() in SUFFIXES and word.is_file()), None)
    if file is None:
        return []
    kind = format_of(file)
    if kind == "csv":
        from synth.data.csv_text import header_of

        return header_of(file)[1]
    if kind == "parquet":
        import pyarrow.parquet as pq

        return list(pq.read_schema(file).names)
    import pyarrow as pa

    with pa.OSFile(str(file)) as source:
        return list(pa.ipc.open_file(source).schema.names)


def _listed(incomplete: str, known: Callable[[], Iterable[tuple[str, str]]]) -> Offered:
    """Candidates for the last of several names, after those that are there."""
    before, comma, last = incomplete.rpartition(",")
    taken = set(before.split(","))
    return [(before + comma + name, what) for name, what in _starting(last, known) if name not in taken]


def _starting(incomplete: str, known: Callable[[], Iterable[tuple[str, str]]]) -> Offered:
    try:
        return [(name, what) for name, what in known() if name.startswith(incomplete)]
    except Exception:
        return []
