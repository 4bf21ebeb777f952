"""Whether three columns at a time occur together as they do among the real rows: what no table of two columns shows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, islice
from math import comb
from typing import Any

import numpy as np

from synth.metrics.evidence import Evidence
from synth.metrics.histograms import Cut, Cuts, Pairing, joint_counts, joint_cuts, replicates, subsampled, total_variation
from synth.metrics.joint_tables import entropy, entropy_book
from synth.metrics.registry import NothingThereError, Reading, metric

BINS, LEVELS = 5, 8  # cells of a number and of a category: with the spikes, the other categories and null about 10³ in all
CANDIDATES = 1_500  # triples whose dependence is looked at, drawn where there are more
STRONGEST = RANDOM = 100  # triples that are compared: those of the strongest dependence, and as many of the others
WORST = 20  # triples named in the detail

Triple = tuple[int, int, int]


@metric("fidelity.triples", better="lower", cost=0.6)
def triples(evidence: Evidence) -> Iterator[Reading]:
    """Mean total variation of joint tables of three columns: the hundred that depend most, and a hundred drawn of the others.

    A triple depends as strongly as its third column does on the pair that is the closest, by Grassberger's entropies of the
    training rows: what the pairs alone do not hold. Numbers are cut into five real bins, categories into the eight most
    frequent and the rest. The interval is a delete-d jackknife's over groups of rows.
    """
    if len(evidence.columns) < 3:
        raise NothingThereError("two columns have no triples")
    cuts = joint_cuts(evidence, BINS, LEVELS)
    chosen, strength = _choose(evidence, cuts)
    errors = _errors(cuts, chosen, cuts.judged)
    held = None if cuts.real is None else _errors(cuts, chosen, cuts.real)
    beyond = errors[0] if held is None else errors[0] - held[0]
    worst = [
        {
            "columns": [cuts.columns[i].name for i in chosen[place]],
            "error": float(errors[0, place]),
            "reference": None if held is None else float(held[0, place]),
            "dependence": float(strength[place]),
        }
        for place in np.argsort(-beyond, kind="stable")[:WORST]
    ]
    detail: dict[str, Any] = {"worst": worst, "triples": len(chosen), "triples_in_all": comb(len(cuts.columns), 3)}
    yield Reading(
        subsampled(errors.mean(axis=1), cuts.judged),
        None if held is None or cuts.real is None else subsampled(held.mean(axis=1), cuts.real),
        detail=detail,
    )


def _choose(evidence: Evidence, cuts: Cuts) -> tuple[list[Triple], np.ndarray]:
    """The triples that are compared, and how strongly each depends, in nats."""
    rng = evidence.rng("fidelity.triples")
    candidates = _candidates(len(cuts.columns), rng)
    if len(candidates) <= STRONGEST + RANDOM:
        chosen = np.arange(len(candidates))
        strength = _strengths(cuts, candidates)
    else:
        strength = _strengths(cuts, candidates)
        order = np.argsort(-strength, kind="stable")
        chosen = np.concatenate([order[:STRONGEST], rng.permutation(order[STRONGEST:])[:RANDOM]])
    return [candidates[place] for place in chosen], strength[chosen]


def _candidates(columns: int, rng: np.random.Generator) -> list[Triple]:
    if comb(columns, 3) <= CANDIDATES:
        return list(combinations(range(columns), 3))
    drawn: dict[Triple, None] = {}
    while len(drawn) < CANDIDATES:
        some = np.sort(rng.integers(0, columns, (CANDIDATES, 3)), axis=1)
        different = some[(some[:, 0] < some[:, 1]) & (some[:, 1] < some[:, 2])]
        drawn.update(dict.fromkeys((int(a), int(b), int(c)) for a, b, c in different))
    return list(islice(drawn, CANDIDATES))


def _strengths(cuts: Cuts, candidates: list[Triple]) -> np.ndarray:
    """min I(third; both others) over which column is the third: total correlation less the largest mutual information."""
    book = entropy_book(len(cuts.judged.train))
    out = np.empty(len(candidates))
    for place, triple in enumerate(candidates):
        columns = tuple(cuts.columns[i] for i in triple)
        table = joint_counts(columns, cuts.judged.train).sum(axis=0).reshape([c.total for c in columns])
        h = {axes: _entropy_of(table, axes, book) for size in (1, 2, 3) for axes in combinations(range(3), size)}
        shared = [h[(a,)] + h[(b,)] - h[(a, b)] for a, b in ((0, 1), (0, 2), (1, 2))]
        out[place] = h[(0,)] + h[(1,)] + h[(2,)] - h[(0, 1, 2)] - max(shared)
    return out


def _entropy_of(table: np.ndarray, axes: tuple[int, ...], book: np.ndarray) -> float:
    others = tuple(axis for axis in range(3) if axis not in axes)
    return float(entropy(table.sum(axis=others).reshape(1, -1), book)[0])


def _errors(cuts: Cuts, chosen: list[Triple], pair: Pairing) -> np.ndarray:
    """Total variation of each triple's table, of shape (1 + replicates, triples)."""
    return np.column_stack([_error(tuple(cuts.columns[i] for i in triple), pair) for triple in chosen])


def _error(columns: tuple[Cut, ...], pair: Pairing) -> np.ndarray:
    train, other = (replicates(joint_counts(columns, sample)) for sample in (pair.train, pair.other))
    return total_variation(train, other, pair.shrink)
