"""Figures that may leave with rows made under a privacy budget, for any sample of a model that keeps noisy counts.

    evaluate_public(model, rows)      the rows are drawn again and must be the same; then noisy counts, and no real row

The figures hold rows against counts that were paid for, which real rows keep best of all. A real table would therefore pass
here, were not every row drawn once more from the model, by the seed that it says it was drawn with (decision 030).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from synth import __version__
from synth.approving import quarantine
from synth.data.files import read_file
from synth.data.quarantine import origin_of, refuse_real
from synth.data.sketch import SKETCH
from synth.data.sources import read_claimed
from synth.data.table import Table
from synth.errors import ConfigError, DataError, VerificationError
from synth.folder import new_folder, write, write_json
from synth.gate.keys import default_key
from synth.gate.seals import SEAL, seal_run
from synth.generators._private import Receipt
from synth.generators._storage import load
from synth.generators.base import Generator
from synth.metrics.measurement import FIGURES, PUBLIC, Measurements
from synth.metrics.released import evaluate_released, keeps_counts
from synth.progress import Progress, silent
from synth.report.page import render
from synth.report.twin import to_json
from synth.run_folder import Run

NO_COUNTS = (
    "{name} keeps no noisy counts that its rows could be held against, so nothing could be approved;\n"
    "buy some with a share of the budget (judging_share: 0.1), or name marginals, which learns from such counts"
)


def evaluate_public(model: Generator, synthetic: Table, *, seed: int = 0, progress: Progress = silent) -> Measurements:
    """The figures that may leave with rows made under a privacy budget: legality, and distance from released noisy counts.

    model: fitted under a budget, with noisy counts (`marginals`, or any with a `judging_share`). synthetic: a `Table` of its
    `sample_table`, or read with its provenance; each row is drawn once more. seed: of the metrics.
    The result is judged under `private-release`, or any policy with `requires.dp`; nothing is spent, and no real row is read.
    Raises ConfigError for a model without a budget or without counts, VerificationError for rows that are not this model's.
    """
    receipt = model.receipt
    if receipt is None:
        raise ConfigError(f"this {model.name} was fitted without a privacy budget; `synth.evaluate` measures its rows")
    if not keeps_counts(model):
        raise ConfigError(NO_COUNTS.format(name=model.name))
    check_drawn(model, synthetic, progress)
    return figures_of(model, receipt, synthetic, seed, progress)


def figures_of(
    model: Generator, receipt: Receipt, drawn: Table, seed: int, progress: Progress, *, machine: str | None = None
) -> Measurements:
    """The same for rows that are known to be the model's. machine: key id of the one whose ledger is known to be debited."""
    context = _context(model, receipt, drawn, seed, machine)
    return evaluate_released(model, drawn, context=context, seed=seed, progress=progress)


def evaluate_public_files(
    model: str | Path,
    synthetic: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    progress: Progress = silent,
    notice: Callable[[str], None] = lambda text: None,
) -> Run:
    """The public figures of a file that `synth sample` wrote, in a folder that `synth gate` and `synth export` take.

    Raises as `evaluate_public` does, and DataError for a file that does not say where its rows come from.
    """
    behind, file = load(model), Path(synthetic)
    refuse_real(file)
    rows = read_claimed(file, behind.fitted.schema) if origin_known(file) else None
    if rows is None:
        raise DataError(f"{file} does not say which model its rows are of; give the .parquet file that `synth sample` wrote")
    rows = Table(rows.arrow, rows.schema, provenance=origin_of(file), mark=rows.mark)
    measured = evaluate_public(behind, rows, seed=seed, progress=progress)
    with new_folder(out, mark="measurements.json") as folder:
        write_json(folder / "evaluated.json", {"synthetic": str(synthetic), "model": str(model), "seed": seed})
        write_json(folder / "schema.json", behind.fitted.schema.to_dict())
        quarantine(rows, folder)
        write_json(folder / "measurements.json", measured.to_dict())
        write(folder / SEAL, seal_run(folder, default_key(notice=notice)))
        write(folder / "report.html", render(measured, None, synthetic=rows, title=file.name))
        write(folder / "report.json", to_json(measured))
    return Run(Path(out))


def origin_known(file: Path) -> bool:
    """Whether a file says where its rows come from. Raises DataError for one that cannot be read."""
    _ = read_file(file)
    return file.suffix in (".parquet", ".pq") and origin_of(file) is not None


def check_drawn(model: Generator, rows: Table, progress: Progress = silent) -> None:
    """Raise VerificationError unless these are the very rows that the model draws, by what they say of themselves."""
    said = rows.provenance
    if said is None:
        raise VerificationError(
            "nothing says which sample of the model these rows are, so they cannot be drawn again; "
            "give what `sample_table` returned, or the file that `synth sample` wrote"
        )
    if said.model_digest != model.digest():
        raise VerificationError(
            f"these rows say that they are of the model {said.model_digest[:12]}…, and this one is {model.digest()[:12]}…; "
            "give the model that they were drawn from"
        )
    again = model.sample_table(said.rows, where=said.where, seed=said.seed, progress=progress)
    if again.digest() != rows.digest():
        raise VerificationError(
            f"these rows are not what the model draws with seed {said.seed}: some were edited, left out or put in;\n"
            "draw them again with `synth sample`, and leave them as they are"
        )


# what they were taken on -------------------------------------------------------------------------------------------------


def _context(model: Generator, receipt: Receipt, synthetic: Table, seed: int, machine: str | None) -> Mapping[str, Any]:
    """What the figures were taken on: no number and no digest of real rows, for which the data set's name stands."""
    schema, made = model.fitted.schema, synthetic.provenance
    assert made is not None
    return {
        "rows": {"train": None, "holdout": None, "synthetic": len(synthetic)},
        "digests": {"train": None, "holdout": None, "synthetic": synthetic.digest(), "schema": schema.digest()},
        "target": None if schema.target is None else schema.target.name,
        "sensitive": [column.name for column in schema.sensitive],
        "seed": seed,
        "synth": __version__,
        SKETCH: [_named(receipt.dataset)],
        "provenance": made.to_dict(),
        FIGURES: PUBLIC,
        "privacy": {**privacy_facts(model, receipt), "machine": machine},
    }


def privacy_facts(model: Generator, receipt: Receipt) -> dict[str, Any]:
    """What a release says of its budget, as plain JSON values: all of it may be known to anybody."""
    method = model.get_params().get("method")
    return {
        "epsilon": receipt.budget.epsilon,
        "delta": receipt.budget.delta,
        "unit": receipt.budget.unit,
        "rows_per_subject": receipt.budget.rows_per_subject,
        "mechanism": model.name if method is None else f"{model.name} ({method})",
        "dataset": receipt.dataset,
        "entry": receipt.entry,
        "entry_digest": receipt.digest,
        "micro_rho": receipt.cost.micro_rho,
        "secure": receipt.secure,
        "declared": {name: list(facts) for name, facts in receipt.declared.items()},
        "bought": {name: list(facts) for name, facts in receipt.bought.items()},
        "gradients": any(receipt.cost.nano),
        "judged_by": None if model.judging is None else model.judging.in_words,
    }


def _named(dataset: str) -> str:
    """What stands for a data set in the log of attempts, where a sketch would tell of its rows: a number of its name."""
    return hashlib.blake2b(b"data set under a budget: " + dataset.casefold().encode(), digest_size=8).hexdigest()
