"""Learning one column given the columns before it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from synth.generators._codes import Codebook
from synth.generators._conditional import Conditional, Questions
from synth.generators._equal import repeated
from synth.generators._forest import Tree, grow, plant, single_leaf
from synth.generators._given import Rows
from synth.generators._guess import learn_guess
from synth.generators._outcomes import level_order, outcomes

FEWEST_FOR_SLOPES = 20  # distinct values below which a number is not leant on others, nor guessed
RIDGE = 1e-4  # penalty per row, against columns that nearly repeat each other
RELATIVES = 30  # leaves of the smallest size whose donors those may be that discount among each other
SETTLED = 0.3  # share of the variance of a number's rank beyond which the columns before it settle it
SETTLED_IN_STEPS = 0.5  # the same where draws end at values that were seen, and so may repeat a donor's
TRIED = 8_000  # rows on which that is tried
LEAF_TRIED = 20  # ... with leaves of so many rows


@dataclass(frozen=True)
class Manner:
    """How trees are grown: the hyperparameters of `Trees` that concern one column."""

    min_samples_leaf: int
    min_samples_leaf_smooth: int
    trees_per_column: int
    subsample: float
    grow_rows: int
    honest: bool
    discount: bool
    interpolate: bool
    slopes: bool
    guess: bool


def learn_column(
    name: str,
    predictors: tuple[str, ...],
    rows: Rows,
    books: Mapping[str, Codebook],
    codes: Mapping[str, np.ndarray],
    manner: Manner,
    *,
    guessed: bool,
    pool: ThreadPoolExecutor,
    rng: np.random.Generator,
) -> Conditional:
    """What a column does given its predictors. guessed: whether its trees may ask a boosted guess."""
    book = books[name]
    numbers = tuple(earlier for earlier in predictors if books[earlier].is_number)
    repeats, repeats_of = repeated(book, rows.values[name], [(earlier, rows.values[earlier]) for earlier in numbers], rng)
    target, classify = outcomes(book, codes[name], repeats_of)
    places = {
        earlier: level_order(codes[earlier], books[earlier], target, classify)
        for earlier in predictors
        if books[earlier].has_order_per_target
    }
    slopes = _lean(name, numbers, rows) if manner.slopes and _is_scale(book) else np.empty((0, 0), dtype=np.float32)
    questions = Questions(predictors, numbers, places, slopes)
    table = questions.plain(rows)
    if guessed and manner.guess and (classify or _is_scale(book)):
        guess = learn_guess(
            table, target if classify else target[:, 0], classify=classify, most_rows=manner.grow_rows, pool=pool, rng=rng
        )
        if guess is not None:
            questions = Questions(predictors, numbers, places, slopes, guess[0])
            table = np.hstack([table, guess[1]])
    moves = book.smooth and manner.interpolate
    known = codes[name] >= 0
    settled = book.smooth and _is_settled(table[known], target[known, 0], SETTLED_IN_STEPS if book.is_often else SETTLED, rng)
    fewest = manner.min_samples_leaf_smooth if settled else manner.min_samples_leaf
    given = np.where(repeats_of < 0, codes[name], book.levels + repeats_of)
    jobs = [
        pool.submit(_grow, table, target, given, classify, fewest, manner, seed) for seed in rng.spawn(manner.trees_per_column)
    ]
    # Draws that move between neighbours need no discount, unless they move in steps and nothing holds them in place.
    discounts = manner.discount and (not moves or (book.is_often and not settled))
    relatives = RELATIVES * fewest if discounts else 0
    forest = plant([job.result() for job in jobs], relatives=relatives)
    return Conditional(book, questions, forest, repeats, manner.interpolate)


def _is_scale(book: Codebook) -> bool:
    return book.is_number and book.levels >= FEWEST_FOR_SLOPES


def _lean(name: str, numbers: tuple[str, ...], rows: Rows) -> np.ndarray:
    """Ridge regressions of a number on the numbers before it, of shape (2, numbers): by value, and by log-odds of rank.

    What they say is one more thing that trees can ask about: splits on single columns lose smooth relations.
    """
    if not numbers:
        return np.empty((0, 0), dtype=np.float32)
    known = rows.features[name][:, 0] >= 0
    weights = []
    for form in (1, 2):
        columns = np.column_stack([rows.features[earlier][known, form] for earlier in numbers]).astype(np.float64)
        outcome = rows.features[name][known, form].astype(np.float64)
        square = columns.T @ columns + RIDGE * len(columns) * np.eye(len(numbers))
        weights.append(np.linalg.solve(square, columns.T @ outcome))
    return np.array(weights).astype(np.float32)


def _is_settled(table: np.ndarray, rank: np.ndarray, share: float, rng: np.random.Generator) -> bool:
    """Whether what the trees may ask says this share of where a number lies: tried by a tree on rows that it was not grown on.

    Only then are small leaves worth what they give away: a number that nothing settles is as likely anywhere in a large leaf.
    """
    from sklearn.tree import DecisionTreeRegressor

    if not table.shape[1] or len(rank) < 4 * LEAF_TRIED:
        return False
    some = rng.permutation(len(rank))[:TRIED]
    learned, held = some[: len(some) // 2], some[len(some) // 2 :]
    tree = DecisionTreeRegressor(min_samples_leaf=LEAF_TRIED, random_state=0).fit(table[learned], rank[learned])
    spread = ((rank[held] - rank[held].mean()) ** 2).sum()
    return bool(((tree.predict(table[held]) - rank[held]) ** 2).sum() < (1 - share) * spread)


def _grow(
    table: np.ndarray,
    target: np.ndarray,
    codes: np.ndarray,
    classify: bool,
    fewest: int,
    manner: Manner,
    rng: np.random.Generator,
) -> Tree:
    n = len(codes)
    if not table.shape[1] or n < 2 * fewest:
        return single_leaf(codes)
    size = min(max(2, round(manner.subsample * n)), manner.grow_rows, n - 1 if manner.honest else n)
    order = rng.permutation(n)
    if classify and 2 * len(np.unique(target[order[:size]])) > size:  # nearly every row is a class of its own
        return single_leaf(codes)
    return grow(
        table,
        target,
        codes,
        classify=classify,
        grow_rows=np.sort(order[:size]),
        donor_rows=np.sort(order[size:]) if manner.honest else np.arange(n),
        min_samples_leaf=fewest,
        seed=int(rng.integers(2**31)),
    )
