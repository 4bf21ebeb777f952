"""Mistakes in a policy that its form does not show: a metric that does not exist, a limit that no figure can reach, …"""

from __future__ import annotations

from collections.abc import Iterator

from synth.errors import did_you_mean
from synth.gate.policy import Policy
from synth.gate.rules import Check, Requirements, names
from synth.metrics.registry import Metric, metrics


def unsound(policy: Policy) -> tuple[str, ...]:
    """Every such mistake, in words. Metrics are those that are registered here, one's own among them if they were imported."""
    known = {metric.name: metric for metric in metrics()}
    said = [*_idle(policy)]
    for place, check in enumerate(policy.checks):
        if check.measure not in known:
            said.append(f"checks.{place}.measure: no metric {check.measure!r}{did_you_mean(check.measure, known)}")
        elif reason := _unreachable(check, known[check.measure]):
            said.append(f"checks.{place}: {reason}")
    return tuple(said)


def _idle(policy: Policy) -> Iterator[str]:
    """What may never be waived and is judged by no rule: mostly a check that is misspelt, and could be waived."""
    judged = [*(check.measure for check in policy.checks), *(f"requires.{name}" for name in Requirements.model_fields)]
    for place, pattern in enumerate(policy.waivers.never):
        if not any(names(pattern, name) for name in judged):
            yield f"waivers.never.{place}: no rule is about {pattern!r}{did_you_mean(pattern, judged)}"


def _unreachable(check: Check, metric: Metric) -> str:
    """Why a rule could never fail, or never pass: shares are fractions, and a limit of 5 is none."""
    low, high = metric.bounds
    if check.limit is not None and not low <= check.limit <= high:
        return f"{check.measure} lies from {low:g} to {high:g}, so a limit of {check.limit:g} says nothing; give a fraction"
    if check.excess is not None and abs(check.excess) > high - low:
        return f"{check.measure} lies from {low:g} to {high:g}, so an excess of {check.excess:g} says nothing; give a fraction"
    return ""
