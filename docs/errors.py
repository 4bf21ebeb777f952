"""The page of errors, made from the classes themselves; each example is provoked, so that it says what a user is shown."""

from __future__ import annotations

import importlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import synth
from synth.config import RunConfig, TrackingConfig
from synth.errors import MissingExtraError, SynthError, WorkerError
from synth.scale.processes import reason_of
from synth.tracking import TrackingError

_DEFINES = re.compile(r"^class \w+\(\w*Error\)", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """What a user does that ends in this error, and what to do then."""

    when: str
    provoke: Callable[[Path], Any]  # given an empty folder
    next: str


def _rows() -> dict[str, list[Any]]:
    return {"age": list(range(20, 70)) * 20, "income": ["low", "high"] * 500}


def _raise(error: BaseException) -> Any:
    raise error


def _empty_file(folder: Path) -> Any:
    (folder / "people.csv").write_text("age,income\n")
    return synth.read("people.csv")


def _spend_twice(folder: Path) -> Any:
    book = synth.Ledger(folder / "ledger.sqlite")
    book.open_account("people", synth.Budget(epsilon=1.0, delta=1e-5), by="Ada")
    for release in ("release 1", "release 2"):
        book.spend("people", 20_000, what=release, by="Ada")


def _too_large(_: Path) -> Any:
    os.environ["SYNTH_MEMORY_LIMIT"] = "10kB"
    return synth.Independent().fit(_table())


def _table() -> Any:
    import pyarrow as pa

    return synth.read(pa.table(_rows()), target="income")


def _altered(folder: Path) -> Any:
    (folder / "export").mkdir()
    return synth.verify("export")


def _untrackable(_: Path) -> Any:
    to = TrackingConfig(uri="https://mlflow.example.org")
    raise TrackingError(Path("reports/runs/people"), to, "Connection refused")


def _killed(_: Path) -> Any:
    raise WorkerError(f"worker process 4711, at part 3 of the job, {reason_of(-9)}")


ENTRIES: dict[str, Entry] = {
    "InputError": Entry(
        "What was given cannot be used, and none of the kinds below says it better: an unknown name, a key file, an option.",
        lambda _: synth.evaluate(_table(), None, _table(), only="fidelity.shap"),
        "Correct what the message names; it proposes the nearest name.",
    ),
    "DataError": Entry(
        "A file or a frame cannot be read, cannot be learned from, or breaks the schema that it claims; or a file cannot be "
        "written.",
        _empty_file,
        "The message names the file, the column, and often the row. Correct it there, or leave the column out with `drop`.",
    ),
    "SchemaError": Entry(
        "A schema contradicts itself or the rows; a role names a column that is not there.",
        lambda _: _table().with_roles(target="incme"),
        "`synth schema FILE` shows what each column is taken for; correct the `schema.yaml`.",
    ),
    "ConditionError": Entry(
        "A `where` cannot be parsed, or no row can satisfy it.",
        lambda _: synth.Independent().fit(_table()).sample(5, where="age >= 30 and incme = 'high'"),
        "Correct the condition; text goes in single quotes, odd column names in double ones.",
    ),
    "ConfigError": Entry(
        "A run config, a policy or a hyperparameter has a key that is none, or a value outside its range.",
        lambda _: RunConfig.parse({"name": "people", "data": "people.csv", "genrator": "trees"}, origin="run.yaml"),
        "Correct the key or the value; `synth init` writes a config that is right, `synth generators NAME` lists "
        "hyperparameters, `synth policies validate FILE` names every mistake of a policy.",
    ),
    "BudgetError": Entry(
        "A cost would pass what may be spent on a data set's privacy. It comes before a row is read, and nothing is spent.",
        _spend_twice,
        "Ask for less; or, where more may be spent, say so in writing, as in the message's last line.",
    ),
    "TooLargeError": Entry(
        "A job needs more memory than there is; it comes before the work begins.",
        _too_large,
        "Take the smaller job that the message names, or give it more memory; `SYNTH_MEMORY_LIMIT` says how much may be used.",
    ),
    "MissingExtraError": Entry(
        "A method needs a package that is not installed.",
        lambda _: _raise(MissingExtraError("the generator 'sdv-ctgan'", "sdv", "sdv")),
        "Install the extra that it names; `synth doctor` lists them all.",
    ),
    "NotFittedError": Entry(
        "`sample`, `save` or `impute` before `fit`.",
        lambda _: synth.Trees().sample(3),
        "Call `fit(table)` first, or `synth.load` a saved model.",
    ),
    "GenerationError": Entry(
        "Rows that satisfy what was asked could not be made; the message gives the share of the draws that did.",
        lambda _: synth.Independent().fit(_doses(), seed=0).sample(5, where="dose between 6 and 7", seed=0),
        "Widen the condition, ask for fewer rows, or take a method that meets such a condition directly (`trees`, `copula`).",
    ),
    "WorkerError": Entry(
        "A worker process died, or failed for a reason that is nobody's input.",
        _killed,
        "Use fewer workers, or free some memory. Nothing half-done was left; the same command begins anew.",
    ),
    "NotApprovedError": Entry(
        "Synthetic rows were about to leave without an approval that covers them.",
        lambda _: synth.export(_table(), None, "exports/people"),  # type: ignore[arg-type]
        "Judge them (`synth gate RUN --policy NAME`); what the verdict says would have to change is the next step.",
    ),
    "VerificationError": Entry(
        "An export differs from what was signed, was signed by an unknown key, or its approval has ended or was revoked; or "
        "the ledger or the log of attempts was altered.",
        _altered,
        "Do not use the rows. Ask whoever sent them for the export once more, and for the public key by another way.",
    ),
    "TrackingError": Entry(
        "An MLflow store could not be written to. The run itself is complete.",
        _untrackable,
        "When the store is there again, give the command that the message ends with.",
    ),
}


def _doses() -> Any:
    import pyarrow as pa

    return synth.read(pa.table({"dose": [0.5, 1.25, 2.5, 9.5] * 50}))


def classes() -> tuple[type[SynthError], ...]:
    """Every error of the package, the general before the special, wherever it is defined."""
    package = Path(synth.__file__).parent
    for file in package.rglob("*.py"):
        if _DEFINES.search(file.read_text(encoding="utf-8")):
            importlib.import_module(".".join(("synth", *file.relative_to(package).with_suffix("").parts)))

    def below(kind: type[SynthError]) -> Iterator[type[SynthError]]:
        for one in kind.__subclasses__():
            if one.__module__.startswith("synth."):
                yield one
                yield from below(one)

    return tuple(below(SynthError))


def example(name: str) -> str:
    """The message of the error of that name, as a user is shown it."""
    with _in_an_empty_folder() as folder:
        try:
            ENTRIES[name].provoke(folder)
        except SynthError as problem:
            if type(problem).__name__ != name:
                raise AssertionError(f"the example of {name} ended in {type(problem).__name__}: {problem}") from problem
            return str(problem)
    raise AssertionError(f"the example of {name} ended in no error")


@contextmanager
def _in_an_empty_folder() -> Iterator[Path]:
    """What an example writes or sets is undone."""
    before, environment = Path.cwd(), dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SYNTH_HOME"] = str(Path(folder) / "home")
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)
            os.environ.clear()
            os.environ.update(environment)


def page() -> str:
    """docs/errors.md."""
    parts = [
        "# Errors",
        "",
        "Made by `make docs` from the code: every error that synth raises on purpose, with a message as a user is shown it. A",
        "message names the value, the rule and the next step, in at most three lines. On the command line it goes to stderr,",
        "after `synth: `, and the exit code says what kind it is; in Python catch `synth.errors.SynthError` or a kind of it.",
        "",
        "| exit code | what happened |",
        "|---:|---|",
        "| 0 | done, or approved |",
        "| 1 | rejected by a policy, or about to leave without an approval |",
        "| 2 | an error: bad input, bad usage, a missing package, too little memory, interrupted |",
        "| 3 | inconclusive, or waiting for people to sign |",
        "| 4 | an export, the ledger or the log is not what was signed |",
        "",
    ]
    for kind in classes():
        entry, parent = ENTRIES[kind.__name__], kind.__mro__[1].__name__
        is_a = f"; a kind of `{parent}`" if parent not in ("SynthError", "Exception") else ""
        parts += [
            f"## {kind.__name__}",
            "",
            f"Exit code {kind.exit_code}{is_a}. {entry.when}",
            "",
            "```text",
            f"synth: {example(kind.__name__)}",
            "```",
            "",
            f"What to do: {entry.next}",
            "",
        ]
    return "\n".join(parts)
