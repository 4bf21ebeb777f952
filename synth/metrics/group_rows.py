"""Whether each group's own rows look like real rows of that group, and whether its members can be told by an attacker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from synth.metrics.attacks import knn
from synth.metrics.evidence import SIDES, Evidence, Side
from synth.metrics.groups import LEAST, Group, judged, too_few
from synth.metrics.histograms import GROUPS, cells, real_edges
from synth.metrics.intervals import jackknife_error, normal
from synth.metrics.measurement import Interval
from synth.metrics.membership import Attack, trial
from synth.metrics.registry import NothingThereError, Reading, metric

ROWS = 2_000  # rows of a group per table
FINE = 40  # cells that a number is cut into by itself
COARSE = 5  # cells that a number is cut into beside another column
LEVELS = 64  # categories with a cell of their own, the most frequent ones; all others share one
PAIR_LEVELS = 8  # the same beside another column
# DeLong takes rows as independent; those that share a nearest neighbour are not, and on groups of fresh rows its standard error
# falls short by 1.05 to 1.35. Its interval of this level allows for 1.2 and so holds at 95%.
ATTACK_LEVEL = 0.981
PAIRS = 60  # pairs of columns beyond which a sample of them is taken


@dataclass(frozen=True, eq=False)
class Cells:
    """Every column cut into cells on the training table's edges.

    cell: for each table the cell of each row in each column, uint8 of shape (rows, columns). levels: the columns' cells.
    """

    names: tuple[str, ...]
    cell: dict[Side, np.ndarray]
    levels: np.ndarray
    ordered: np.ndarray  # which columns are numbers, shape (columns,)

    @property
    def starts(self) -> np.ndarray:
        """The columns' first cells where they lie one after the other."""
        return np.concatenate([[0], np.cumsum(self.levels)[:-1]])


def _cells(evidence: Evidence, bins: int, most: int) -> Cells:
    columns = evidence.columns
    tables: dict[Side, list[np.ndarray]] = {side: [] for side in SIDES}
    levels = []
    for column in columns:
        edges = np.empty(0) if column.is_category else real_edges(column.train, bins)
        coded = {side: cells(column, side, edges) for side in SIDES}
        many = coded["train"][1]
        if column.is_category and many > most + 1:  # the rarer categories share a cell
            seen = np.bincount(coded["train"][0], minlength=many)
            book = np.full(many, most, dtype=np.int64)
            book[np.argsort(-seen, kind="stable")[:most]] = np.arange(most)
            coded = {side: (book[cell], most + 1) for side, (cell, _) in coded.items()}
            many = most + 1
        for side in SIDES:
            tables[side].append(coded[side][0].astype(np.uint8))  # of 2·bins or `most` cells there are fewer than 256
        levels.append(many)
    stacked = {side: np.column_stack(tables[side]) for side in SIDES}
    ordered = np.array([not column.is_category for column in columns])
    return Cells(tuple(column.name for column in columns), stacked, np.array(levels), ordered)


@dataclass(frozen=True, eq=False)
class Rows:
    """A group's rows: of the training table, and equally many synthetic and holdout ones; None where there is no holdout."""

    train: np.ndarray
    synthetic: np.ndarray
    holdout: np.ndarray | None


def _rows(evidence: Evidence, group: Group) -> Rows:
    """Errors fall with the number of rows, so the synthetic rows are cut to as many as the holdout has of the group."""
    rng = evidence.rng("fairness.rows." + ",".join(f"{k}={v}" for k, v in group.name.items()))
    found = {side: rng.permutation(np.flatnonzero(group.of(side))) for side in SIDES}
    held = evidence.rows("holdout") > 0
    both = min(ROWS, len(found["synthetic"]), len(found["holdout"]) if held else ROWS)
    return Rows(found["train"][:ROWS], found["synthetic"][:both], found["holdout"][:both] if held else None)


@metric("fairness.group_fidelity", better="lower", cost=0.1)
def group_fidelity(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive group: mean error of the columns within it, beside as many holdout rows of the same group.

    Total variation of categories, KS distance of numbers on 40 cells of the training rows; intervals by the jackknife.
    """
    cut = evidence.once("group_cells", lambda: _cells(evidence, FINE, LEVELS))
    for group in judged(evidence):
        kept = np.array([name not in group.name for name in cut.names])
        if not kept.any():
            raise NothingThereError("there is no column beside the sensitive ones")
        rows = _rows(evidence, group)
        short = group.insufficient or too_few(len(rows.synthetic), "synthetic rows")
        if short:
            yield Reading(group=group.name, skipped=short)
            continue
        errors = _column_errors(cut, rows, "synthetic")[:, kept]
        held = None if rows.holdout is None else _column_errors(cut, rows, "holdout")[:, kept]
        worst = np.argsort(-(errors[0] if held is None else errors[0] - held[0]), kind="stable")[:5]
        names = np.array(cut.names)[kept]
        detail = {
            "worst": {str(names[i]): float(errors[0, i]) for i in worst},
            "reference_worst": None if held is None else {str(names[i]): float(held[0, i]) for i in worst},
            "rows": len(rows.synthetic),
        }
        yield Reading(_mean(errors, len(rows.synthetic)), _reference(held, rows), group=group.name, detail=detail)


def _mean(errors: np.ndarray, n: int) -> Interval:
    mean = errors.mean(axis=1)
    return normal(float(mean[0]), jackknife_error(mean[1:]), n, (0.0, 1.0))


def _reference(held: np.ndarray | None, rows: Rows) -> Interval | None:
    return None if held is None or rows.holdout is None else _mean(held, len(rows.holdout))


def _column_errors(cut: Cells, rows: Rows, side: Side) -> np.ndarray:
    """Errors of shape (1 + groups, columns): of all rows, then without each of the jackknife's groups."""
    starts, total = cut.starts, int(cut.levels.sum())
    gap = _shares(cut.cell["train"][rows.train] + starts, total) - _shares(cut.cell[side][_of(rows, side)] + starts, total)
    varied = np.add.reduceat(np.abs(gap), starts, axis=1) / 2
    # a column's differences sum to 0, so that one running sum over all cells starts anew at each column
    ranked = np.maximum.reduceat(np.abs(np.cumsum(gap, axis=1)), starts, axis=1)
    return np.where(cut.ordered, ranked, varied)


def _of(rows: Rows, side: Side) -> np.ndarray:
    found = rows.synthetic if side == "synthetic" else rows.holdout
    return np.empty(0, dtype=np.int64) if found is None else found


def _shares(cell: np.ndarray, total: int) -> np.ndarray:
    """The share of rows in each cell: of all rows, then without each of the jackknife's groups, shape (1 + groups, cells)."""
    many = min(GROUPS, len(cell))
    part = np.arange(len(cell)) % many  # the rows come in random order
    by_part = np.bincount((part[:, None] * total + cell).ravel(), minlength=many * total).reshape(many, total)
    sizes = np.bincount(part, minlength=many)
    every = by_part.sum(axis=0)
    kept = np.concatenate([[len(cell)], len(cell) - sizes])
    return np.asarray(np.vstack([every[None], every[None] - by_part]) / np.maximum(kept, 1)[:, None])


@metric("fairness.group_pairs", better="lower", cost=0.1)
def group_pairs(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive group: mean error of the pairs of columns within it, beside as many holdout rows of the same group.

    Total variation of joint tables of at most nine cells a side, of at most 60 pairs, those with the target first.
    """
    if len(evidence.columns) < 3:
        raise NothingThereError("within a group, a single column has no pairs")
    cut = evidence.once("group_pair_cells", lambda: _cells(evidence, COARSE, PAIR_LEVELS))
    chosen = _pairs(evidence)
    for group in judged(evidence):
        pairs = [(i, j) for i, j in chosen if not {cut.names[i], cut.names[j]} & set(group.name)]
        rows = _rows(evidence, group)
        short = group.insufficient or too_few(len(rows.synthetic), "synthetic rows")
        if short or not pairs:
            yield Reading(group=group.name, skipped=short or "no pair of other columns is left within this group")
            continue
        errors = _pair_errors(cut, pairs, rows, "synthetic")
        held = None if rows.holdout is None else _pair_errors(cut, pairs, rows, "holdout")
        worst = np.argsort(-(errors[0] if held is None else errors[0] - held[0]), kind="stable")[:5]
        detail = {
            "worst": [
                {
                    "columns": [cut.names[pairs[p][0]], cut.names[pairs[p][1]]],
                    "error": float(errors[0, p]),
                    "reference": None if held is None else float(held[0, p]),
                }
                for p in worst
            ],
            "pairs": len(pairs),
            "rows": len(rows.synthetic),
        }
        yield Reading(_mean(errors, len(rows.synthetic)), _reference(held, rows), group=group.name, detail=detail)


def _pairs(evidence: Evidence) -> list[tuple[int, int]]:
    """Pairs of columns: those with the target, then others as drawn."""
    names = [column.name for column in evidence.columns]
    aim = names.index(evidence.target.name) if evidence.target is not None else -1
    every = np.array(list(combinations(range(len(names)), 2)))
    every = every[evidence.rng("fairness.pairs").permutation(len(every))]
    first = np.argsort(~(every == aim).any(axis=1), kind="stable")[:PAIRS]
    return [(int(i), int(j)) for i, j in every[first]]


def _pair_errors(cut: Cells, pairs: list[tuple[int, int]], rows: Rows, side: Side) -> np.ndarray:
    levels = cut.levels
    left, right = np.array(pairs).T
    sizes = levels[left] * levels[right]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])

    def joint(of: Side, kept: np.ndarray) -> np.ndarray:
        codes = cut.cell[of][kept].astype(np.int64)
        return np.asarray(codes[:, left] * levels[right] + codes[:, right] + starts)

    total = int(sizes.sum())
    gap = _shares(joint("train", rows.train), total) - _shares(joint(side, _of(rows, side)), total)
    return np.asarray(np.add.reduceat(np.abs(gap), starts, axis=1) / 2)


@metric("fairness.group_membership", better="lower")
def group_membership(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive group: area under the ROC curve of the attack by nearest neighbours on its members; 0.5 is chance.

    Its members against its own rows among the controls, DeLong's interval. The reference is the attack on all rows together:
    how well that works is `privacy.membership_knn`'s to judge, here it is whether a group pays more for it.
    """
    among = judged(evidence)
    who, attack = trial(evidence), knn(evidence)
    whole = attack.area()
    for group in among:
        real, held = group.of("train"), group.of("holdout")
        members = real[who.members]
        controls = tuple(held[half] for half in who.controls)
        size = int(members.sum()), sum(int(half.sum()) for half in controls)
        short = group.insufficient or too_few(min(size), "members or controls that no other row equals")
        short = short or ("" if min(half.sum() for half in controls) >= LEAST // 3 else too_few(0, "controls in one half"))
        if short:
            yield Reading(group=group.name, skipped=short)
            continue
        part = Attack(
            attack.name,
            (attack.members[0][members], attack.members[1][members]),
            (attack.controls[0][controls[0]], attack.controls[1][controls[1]]),
        )
        found = part.area(ATTACK_LEVEL)
        detail = {
            "members": size[0],
            "controls": size[1],
            "beyond_whole": found.value - whole.value,
            "reference": "the whole table: the same attack on the members of all groups together",
        }
        yield Reading(found, whole, group=group.name, detail=detail)
