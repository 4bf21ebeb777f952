"""Cells of a real table hidden at random and filled in again, beside scikit-learn's IterativeImputer: figures for the docs.

    python -m benchmarks.imputation [--table default_credit.parquet] [--rows 30000] [--share 0.2] [--draws 50] [--seed 0]
        [--set epochs=20 …]

Half of the rows are learned from whole; the other half has cells hidden. Of numbers, the error is the root mean square one of
the mean of the draws, in standard deviations of the column; coverage is how often the hidden value lies within the middle 90%
of the draws: how often its rank among them, ties broken by chance, is neither among the least nor the greatest twentieth. For
draws from the law of the hidden value that is 90%, however few draws there are and however many values are alike. Of
categories, the figure is how often the commonest draw, or IterativeImputer's prediction rounded to a level's rank, is right.
Needs the real tables (SYNTH_DATA names their folder).
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import synth
from synth.data.encoding import Encoded, encode
from synth.data.table import Table
from synth.generators import create

DATA = Path(os.environ.get("SYNTH_DATA", "../shared/data"))
INTERVAL = 0.9


def main() -> None:
    """Print the table."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--table", default="default_credit.parquet")
    reader.add_argument("--generator", default="autoregressive")
    reader.add_argument("--rows", type=int, default=30_000, help="of the table, half of them with hidden cells")
    reader.add_argument("--share", type=float, default=0.2, help="of the cells that are hidden")
    reader.add_argument("--draws", type=int, default=50)
    reader.add_argument("--seed", type=int, default=0)
    reader.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="hyperparameters of the generator")
    asked = reader.parse_args()
    table = synth.read(DATA / asked.table)
    rng = np.random.default_rng(asked.seed)
    rows = rng.permutation(len(table))[: asked.rows]
    learned, whole = table.take(rows[: len(rows) // 2]), table.take(rows[len(rows) // 2 :])
    names = [column.name for column in table.schema.learned]
    holes = {name: (rng.random(len(whole)) < asked.share) & whole.column(name).is_valid().to_numpy() for name in names}
    params = {name: float(value) if "." in value else int(value) for name, value in (pair.split("=") for pair in asked.set)}
    begun = time.perf_counter()
    model = create(asked.generator, params).fit(learned, seed=asked.seed)
    fitted = time.perf_counter()
    draws = [encode(model.impute(holed(whole, holes), seed=seed)) for seed in range(asked.draws)]
    filled = time.perf_counter()
    print(f"{asked.table}: {len(learned):,} rows learned from, {len(whole):,} with {asked.share:.0%} of their cells hidden")
    print(f"{asked.generator} fitted in {fitted - begun:.0f} s, filled in {asked.draws} times in {filled - fitted:.0f} s\n")
    begun = time.perf_counter()
    other = iterative(encode(learned), encode(whole), holes, asked.seed)
    report(encode(whole), draws, other, holes)
    print(f"\nIterativeImputer took {time.perf_counter() - begun:.0f} s")


def holed(table: Table, holes: dict[str, np.ndarray]) -> Table:
    """The table with null in place of the hidden cells."""
    arrow = table.arrow
    for name, hole in holes.items():
        place = arrow.schema.get_field_index(name)
        arrow = arrow.set_column(place, arrow.schema.field(name), pc.if_else(pa.array(hole), None, arrow.column(name)))
    columns = tuple(replace(column, nullable=True) for column in table.schema.columns)
    return Table(arrow, replace(table.schema, columns=columns), frame=table.frame)


def ranks(rows: Encoded) -> np.ndarray:
    """Rows as scikit-learn wants them: categories by the place of their level, null and hidden cells NaN."""
    return np.column_stack([np.where(rows[name].null, np.nan, rows[name].values.astype(np.float64)) for name in rows])


def iterative(learned: Encoded, whole: Encoded, holes: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """What IterativeImputer puts into the hidden cells."""
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    given = ranks(whole)
    for place, name in enumerate(whole):
        given[holes[name], place] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that ten rounds are not enough to converge
        imputer = IterativeImputer(random_state=seed).fit(ranks(learned))
        filled = imputer.transform(given)
    return {name: filled[:, place] for place, name in enumerate(whole)}


def report(whole: Encoded, draws: list[Encoded], other: dict[str, np.ndarray], holes: dict[str, np.ndarray]) -> None:
    """A line for each column, and their means."""
    lines: dict[str, list[tuple[float, ...]]] = {"numbers": [], "categories": []}
    rng = np.random.default_rng(0)
    print(f"{'column':<30}{'error':>9}{'iterative':>11}{'coverage':>10}")
    for name, hole in holes.items():
        truth, drawn = whole[name].values[hole], np.stack([draw[name].values[hole] for draw in draws])
        if not whole[name].is_category:
            scale = np.nanstd(whole[name].values)
            errors = [np.sqrt(np.mean((guess - truth) ** 2)) / scale for guess in (drawn.mean(axis=0), other[name][hole])]
            lines["numbers"].append((*errors, covered(drawn, truth, rng)))
            print(f"{name[:29]:<30}{errors[0]:>9.3f}{errors[1]:>11.3f}{lines['numbers'][-1][2]:>10.1%}")
            continue
        levels = int(drawn.max()) + 1
        mode = np.stack([(drawn == level).sum(axis=0) for level in range(levels)]).argmax(axis=0)
        right = [np.mean(mode == truth), np.mean(np.rint(other[name][hole]) == truth)]
        lines["categories"].append(tuple(right))
        print(f"{name[:29]:<30}{right[0]:>9.1%}{right[1]:>11.1%}  (right)")
    for kind, held in lines.items():
        if held:
            means = np.mean(held, axis=0)
            print(f"{'all ' + kind:<30}" + "".join(f"{mean:>{width}.3f}" for mean, width in zip(means, (9, 11, 10))))


def covered(drawn: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> float:
    """How often the truth lies within the middle 90% of its draws, (draws, cells): by its rank among them, ties by chance."""
    below, ties = (drawn < truth).sum(axis=0), (drawn == truth).sum(axis=0)
    rank = (below + rng.random(len(truth)) * (ties + 1)) / (len(drawn) + 1)
    return float(np.mean(np.abs(rank - 0.5) <= INTERVAL / 2))


if __name__ == "__main__":
    main()
