"""What a policy requires before any figure counts, held against what the figures were taken on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from synth.gate.rules import Meaning, PrivacyBudget, Requirements
from synth.gate.verdict import PUBLIC_FIGURES, Counted, Finding
from synth.metrics.measurement import FIGURES, INTERNAL

WHY = "What the policy must see before any figure counts."


def unmet(need: Requirements, context: Mapping[str, Any], meaning: Meaning) -> list[Finding]:
    """A blocking finding for each requirement that is not met.

    A requirement is never noted, whatever `meaning.missing` says: a policy that does not need it leaves it out.
    """
    counts: Counted = "rejected" if meaning.missing == "rejected" else "inconclusive"
    missing = [
        Finding(f"requires.{name}", "missing", "block", message, WHY, meaning=counts)
        for name, message in (*_tables(need, context), *_columns(need, context), *_fits(need, context))
    ]
    return [*_internal(context, counts), *missing, *_budget(need.dp, context.get("privacy"), counts)]


def _internal(context: Mapping[str, Any], counts: Counted) -> Iterator[Finding]:
    """Whatever a policy says: no approval rests on exact figures about rows that were made under a privacy budget.

    The figures would leave with the verdict, and even the one bit that they passed was not paid for (decision 030).
    """
    if context.get(FIGURES) == INTERNAL:
        message = (
            "the rows were made under a privacy budget, and these figures are exact and on real rows, outside of it: they are "
            "internal, and nothing leaves on their word"
        )
        yield Finding(PUBLIC_FIGURES, "missing", "block", message, WHY, meaning=counts)


def _tables(need: Requirements, context: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    rows = context.get("rows", {})
    for side, least in (("train", need.min_train), ("holdout", need.min_holdout), ("synthetic", need.min_synthetic)):
        have = rows.get(side) or 0
        if have < least:
            yield f"min_{side}", f"the {side} table has {have:,} rows; the policy wants at least {least:,}"
    if need.holdout and not rows.get("holdout"):
        yield "holdout", "no real rows were held out; give some, or most of privacy stays unmeasured"


def _columns(need: Requirements, context: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if need.target and not context.get("target"):
        yield "target", "no target column is named; name it with --target or in the schema"
    if need.sensitive and not context.get("sensitive"):
        yield "sensitive", "no sensitive column is named; name them with --sensitive or in the schema"


def _fits(need: Requirements, context: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    own = context.get("digests", {}).get("synthetic")
    have = len({own, *(context.get("repeats") or ())})  # the same rows given twice are one fit
    if have < need.seeds:
        said = "1 fit" if have == 1 else f"{have} fits"
        yield "seeds", f"{said} of the generator was measured; the policy wants {need.seeds}, each with a seed of its own"


def _budget(asked: PrivacyBudget, spent: Any, counts: Counted) -> Iterator[Finding]:
    """The budget of differential privacy that the generator states, against the largest that is allowed."""
    if not asked.required:
        return
    if not isinstance(spent, Mapping):
        message = "no budget of differential privacy was kept; fit with a generator that keeps one and states ε and δ"
        yield Finding("requires.dp", "missing", "block", message, WHY, meaning=counts)
        return
    epsilon, delta, unit = _amount(spent.get("epsilon")), _amount(spent.get("delta")), spent.get("unit")
    if epsilon is None or delta is None or unit not in ("row", "subject"):
        message = f"the budget that is stated ({dict(spent)!s:.80}) is none; fit again"
        yield Finding("requires.dp", "missing", "block", message, WHY, meaning=counts)
        return
    if spent.get("secure") is False:
        message = "the noise came from a seed, as in a test: who knows it can take it off again; fit without noise_seed"
        yield Finding("requires.dp", "fail", "block", message, WHY)
    if asked.unit == "subject" and unit == "row":  # the other way round it holds: who is hidden whole is hidden row by row
        message = "single rows are protected; the policy wants all rows of a subject to be, together"
        yield Finding("requires.dp", "missing", "block", message, WHY, meaning=counts)
    for sign, value, most in (("ε", epsilon, asked.max_epsilon), ("δ", delta, asked.max_delta)):
        if most is not None and value > most:
            message = f"{sign} = {value:g} was spent; at most {most:g} is allowed"
            yield Finding("requires.dp", "fail", "block", message, WHY, value=value, limit=most)


def _amount(value: Any) -> float | None:
    """A finite number that is not negative; None for anything else, which is no amount of ε or δ."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        return None
    return float(value)
