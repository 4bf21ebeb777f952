"""What every job that is made from a bare file begins with: its name, and the share of the rows that nothing is learned from.

`synth init`, `synth release` and `synth balance` go by the same rules, so that the same file gives the same run whichever asks.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from synth.gate.policy import Policy

USUAL = 0.3  # of the rows that are held out, where the policy asks for no more strangers
MOST = 0.5  # more than are learned from would be wasted: attacks take as many strangers as members
STRANGERS = 5_000  # held-out rows below which a public release is seldom shown to be safe (reports/benchmarks/calibration.md)
SPARE = 1.05  # more rows than the policy asks for, since folds by person do not come out even


def job_name(source: str | Path) -> str:
    """A name for a job, its run folder and its data set in the ledger, from a path or "bundled:NAME"."""
    text = str(source)
    stem = text.removeprefix("bundled:") if text.startswith("bundled:") else Path(text).stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "table"


def strangers_wanted(policy: Policy) -> int:
    """How many held-out rows make a verdict likely that is none of "too few to say"."""
    least = policy.requires.min_holdout
    return max(STRANGERS if policy.profile == "public" else 2 * least, math.ceil(SPARE * least))


def held_out_share(rows: int, policy: Policy) -> float:
    """The share of the rows to hold out: 0.3, or as many hundredths more, up to 0.5, as the policy wants strangers."""
    wanted = min(MOST, strangers_wanted(policy) / max(1, rows))
    return max(USUAL, math.ceil(100 * wanted - 1e-9) / 100)
