"""One training run audited by many canaries: units that are put in or left out by a coin each, and guessed at afterwards.

    coins = flip(1_000)                                              which canaries are put in
    … train once on the rows and on canaries[coins], and score each canary: the higher, the likelier it was in …
    audit = audit_one_run("DP-SGD", epsilon, scores, coins, delta=delta)

Steinke, Nasr and Jagielski, "Privacy auditing with one (1) training run" (2023). The price of a single run is a bound that lies
well below ε even where all of it is lost: it finds gross faults, such as noise that is missing, at the cost of one fit.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from synth.errors import InputError
from synth.privacy.audit import Audit
from synth.privacy.audit_bounds import least_epsilon_of_guesses

SHARES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of the canaries that are guessed at: a fault shows in few, or a little in all


def flip(canaries: int) -> np.ndarray:
    """A fair coin for each canary, by the operating system's entropy: boolean of shape (canaries,)."""
    return np.unpackbits(np.frombuffer(os.urandom(-(-canaries // 8)), dtype=np.uint8))[:canaries].astype(bool)


def audit_one_run(
    what: str,
    claim: float,
    scores: np.ndarray,
    included: np.ndarray,
    *,
    delta: float,
    guesses: Sequence[int] | None = None,
    confidence: float = 0.95,
) -> Audit:
    """Whether a mechanism that ran once can be (ε, δ)-private: the least ε that the guesses on its canaries allow.

    scores: float of shape (canaries,); included: boolean, the coins. guesses: how many canaries are guessed at, half of them as
    in (those of the highest scores) and half as out; for each number given the confidence is as if it were the only one, by a
    share of the error. By default six numbers, up to all. δ takes up to 2mδ of the error for itself, over the number of guesses
    that would be wrong: where that is all of it, as at δ = 1e-5 for a false alarm in a million, nothing can be shown.
    Raises InputError for shapes and numbers that do not go together.
    """
    canaries = len(scores)
    if np.shape(scores) != np.shape(included) or np.ndim(scores) != 1 or np.asarray(included).dtype != bool or canaries < 2:
        raise InputError(f"scores of shape {np.shape(scores)} and coins of {np.shape(included)}; give one of each for a canary")
    numbers = sorted({max(2, round(share * canaries)) for share in SHARES}) if guesses is None else guesses
    each = 1 - (1 - confidence) / len(numbers)
    bounds = [
        least_epsilon_of_guesses(canaries, number, right_guesses(scores, included, number), delta, each) for number in numbers
    ]
    return Audit(what, "ε", claim, max(bounds), confidence, canaries)


def right_guesses(scores: np.ndarray, included: np.ndarray, guesses: int) -> int:
    """How many are right where so many canaries are guessed at: the highest scores as in, as many of the lowest as out."""
    if not 1 <= guesses <= len(scores):
        raise InputError(f"{guesses} guesses on {len(scores)} canaries; give from 1 to all of them")
    order = np.argsort(scores, kind="stable")
    low = guesses // 2
    return int((~included[order[:low]]).sum() + included[order[len(order) - (guesses - low) :]].sum())
