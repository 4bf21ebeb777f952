"""Linkability: whether the synthetic rows join two halves of what is known of a person (Anonymeter, Giomi et al. 2023).

The attacker holds some columns of a person in one file and the others in a second, and looks for both halves in the synthetic
table. He links the two where the synthetic rows nearest to either have one in common.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from synth.metrics._risk import SEARCHED, Attack, Rate, ranks, reading, targets
from synth.metrics.distance import positions, spans
from synth.metrics.evidence import Evidence, Side
from synth.metrics.learners import draw
from synth.metrics.registry import NothingThereError, Reading, metric

LINKED = 8_000  # training rows, and controls, whose halves are linked
SPLITS = 4  # of the columns into halves, each for a part of the targets
ALIKE = 1e-6  # half squared distances that are told apart no better: what is nearest may be several rows
READ = 5_000  # synthetic rows from which is read how much a column tells
BLOCK = 2_000_000  # products of a target and a synthetic row that are held at a time, twice: 16 MB


@metric("privacy.linkability", better="lower", bounds=(-1.0, 1.0), cost=2.0)
def linkability(evidence: Evidence) -> Iterator[Reading]:
    """How much oftener synthetic rows join the two halves of a training row than those of a stranger's; 0 is never.

    The residual risk of Anonymeter with one nearest neighbour, all those at the same distance counting. Each of four splits of
    the columns into halves that tell equally much serves a quarter of the targets, so that the attacks are independent. The
    interval is Donner and Zou's for a ratio of rates.
    """
    attack = linked(evidence)
    pool = len(draw(evidence, "synthetic", SEARCHED, "linkability"))
    detail = {"baseline": 1 / pool, "splits": SPLITS}
    yield reading(Rate.of(attack.train), Rate.of(attack.control), attack, (attack,), detail)


def linked(evidence: Evidence) -> Attack:
    """For each of the first `targets` whether its halves were linked, once for all metrics that ask.

    Raises NothingThereError where there is a single column.
    """
    return evidence.once("linkability", lambda: _linked(evidence))


def _linked(evidence: Evidence) -> Attack:
    if len(evidence.columns) < 2:
        raise NothingThereError("a single column has no two halves")
    who = targets(evidence)
    place = positions(evidence)
    rows = place["synthetic"][draw(evidence, "synthetic", SEARCHED, "linkability")]
    found = []
    sides: tuple[tuple[Side, np.ndarray], ...] = (("train", who.train[:LINKED]), ("holdout", who.control[:LINKED]))
    for side, chosen in sides:
        hits = np.empty(len(chosen), dtype=bool)
        for k, halves in enumerate(_splits(evidence)):
            hits[k::SPLITS] = _joined(place[side][chosen[k::SPLITS]], rows, halves)
        found.append(hits)
    return Attack("nearest", found[0], found[1])


def _splits(evidence: Evidence) -> list[tuple[np.ndarray, np.ndarray]]:
    """The dimensions of both halves in each split: of columns that tell about as much, a coin sends one to either half."""
    rng = evidence.rng("linkability.splits")
    read: dict[Side, np.ndarray] = {"synthetic": draw(evidence, "synthetic", READ, "linkability.read")}
    codes = ranks(evidence, read)["synthetic"]
    order = np.argsort([-_entropy(codes[:, j]) for j in range(codes.shape[1])], kind="stable")
    parts = list(spans(evidence).values())
    out = []
    for _ in range(SPLITS):
        coin = np.repeat(rng.integers(0, 2, (len(order) + 1) // 2), 2)[: len(order)]
        first = (coin + np.arange(len(order))) % 2 == 0
        halves = [np.concatenate([np.arange(parts[j].start, parts[j].stop) for j in order[side]]) for side in (first, ~first)]
        out.append((halves[0], halves[1]))
    return out


def _entropy(codes: np.ndarray) -> float:
    shares = np.bincount(codes + 1) / len(codes)
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def _joined(queries: np.ndarray, rows: np.ndarray, halves: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """For which targets a row is among the nearest in both halves: shape (targets,)."""
    sides = [(queries[:, half], np.ascontiguousarray(rows[:, half].T), (rows[:, half] ** 2).sum(axis=1) / 2) for half in halves]
    out = np.empty(len(queries), dtype=bool)
    step = max(1, BLOCK // len(rows))
    for start in range(0, len(queries), step):
        first, second = (_nearest(points[start : start + step] @ turned - half) for points, turned, half in sides)
        out[start : start + step] = (first & second).any(axis=1)
    return out


def _nearest(near: np.ndarray) -> np.ndarray:
    """Which rows are nearest to each target, by q·r − ‖r‖²/2, which grows as the distance falls: shape (targets, rows)."""
    return np.asarray(near >= near.max(axis=1, keepdims=True) - np.float32(ALIKE))
