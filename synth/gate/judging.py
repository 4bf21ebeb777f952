"""What one rule of a policy says of the figures that it is about.

A figure, or its excess over what real rows score, is held against one limit. Which end of its 95% interval counts says who
bears the doubt:

    unfavourable   fail: the figure itself is beyond the limit; inconclusive: only the unfavourable end is, so harm is not shown
                   but not excluded either; pass: the whole interval is within it
    estimate       fail: the figure itself is beyond the limit; else pass
    favourable     fail: harm is shown, the favourable end is beyond the limit; pass: nothing was found, which is no evidence
                   (copies, distances to the closest record: they can fail a table and never clear it)
    with a note    (`insufficient: note`, figures of groups and of columns) fail: harm is shown; pass: the whole interval is
                   within the limit; insufficient: the rows are too few to decide, which is named and never a pass

Harm is shown at the level SHOWN for all figures of one rule together: over several groups by Holm's (1979) procedure, so that a
table with thirty groups has no more false alarms than one with a single group.

Rows that are made again until some pass were selected. On attempt k the level of the unfavourable end is therefore divided by k
(Bonferroni; Dunn 1961, JASA 56:52), where the policy says so; what is a fact and no estimate has no level and stays as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from synth.gate.rules import CONFIDENCE, Check, Meaning
from synth.gate.verdict import Finding, Outcome
from synth.metrics.intervals import magnitude, z_of
from synth.metrics.measurement import Interval, Measurement

DECIMALS = 4  # of every figure in a verdict: it leaves with the rows, and exact figures about real rows help to rebuild them
SHOWN = 0.005  # chance that an alarm goes off although everything is just at its limit; all groups of a rule together


@dataclass(frozen=True)
class Held:
    """One measurement held against a rule's limit: what was compared, and how surely it lies beyond."""

    measurement: Measurement
    compared: Interval
    limit: float | None
    confidence: float
    attempt: int  # by which the level was divided
    surely: float  # one-sided p-value of being within the limit after all: small where harm is shown

    @property
    def sign(self) -> float:
        """+1 where more is worse."""
        return -1.0 if self.measurement.better == "higher" else 1.0

    @property
    def beyond(self) -> bool:
        return self.limit is not None and self.sign * self.compared.value > self.sign * self.limit

    @property
    def within(self) -> bool:
        """Whether the unfavourable end keeps the limit too."""
        return self.limit is not None and self.sign * self.end <= self.sign * self.limit

    @property
    def end(self) -> float:
        """The unfavourable end at the rule's confidence."""
        value, end = self.compared.value, self.compared.low if self.sign < 0 else self.compared.high
        if self.confidence == CONFIDENCE:
            return end
        return value + (end - value) * z_of(2 * self.confidence - 1) / z_of()


def judge_all(check: Check, found: tuple[Measurement, ...], meaning: Meaning, attempt: int = 1) -> list[Finding]:
    """What a rule says of a metric's measurements: one, or one for each group.

    meaning: what doubts come to. attempt: by which the level of a blocking rule is divided.
    """
    if not found:
        message = "was not measured; evaluate again with every metric that the policy names"
        return [_doubt(check, check.measure, "missing", message, meaning)]
    held: dict[str, Held] = {}
    findings: dict[str, Finding] = {}
    for measurement in found:
        one = _hold(check, measurement, attempt if check.severity == "block" else 1)
        if isinstance(one, Held):
            held[measurement.label] = one
        else:
            outcome, message = one
            findings[measurement.label] = _doubt(check, measurement.label, outcome, message, meaning)
    shown = _holm({label: one.surely for label, one in held.items()})
    for label, one in held.items():
        outcome = _outcome(check, one, label in shown)
        findings[label] = _finding(check, one, outcome, meaning)
    return [findings[measurement.label] for measurement in found]


def _hold(check: Check, measurement: Measurement, attempt: int) -> Held | tuple[Outcome, str]:
    """The figure beside its limit, or what there is instead of one to compare, in words."""
    if measurement.status == "error" or (measurement.score is None and measurement.status == "ok"):
        return _unmeasured("error", measurement.reason)
    if measurement.score is None:
        if measurement.status == "absent":
            return _unmeasured("absent", measurement.reason)
        few = measurement.reason.startswith("insufficient") and check.insufficient == "note"
        return _unmeasured("insufficient" if few else "skipped", measurement.reason)
    signed, limit = measurement.score, check.limit
    if check.excess is not None:
        if measurement.reference is None:
            return _unmeasured("missing", "real rows were not measured in its place, so no excess is known")
        signed = _excess(measurement.score, measurement.reference)
        limit = round(check.excess + check.relative * measurement.reference.value, 6)
    both_ways = check.excess is not None and measurement.better == "nearer"  # the distance, whichever side it is on
    compared = magnitude(signed) if both_ways else signed
    if not all(math.isfinite(number) for number in (compared.value, compared.low, compared.high)):
        return _unmeasured("error", "the figure is not a finite number")
    if compared.n < check.min_rows and limit is not None:
        few_rows = f"insufficient: its figure rests on {compared.n:,}, and the policy judges from {check.min_rows:,} on"
        return _unmeasured("insufficient" if check.insufficient == "note" else "inconclusive", few_rows)
    surely = 1.0 if limit is None else _p_value(signed, compared.value, limit, measurement.better)
    confidence = check.confidence if attempt == 1 else 1 - (1 - check.confidence) / attempt
    return Held(measurement, compared, limit, confidence, attempt, surely)


def _unmeasured(outcome: Outcome, reason: str) -> tuple[Outcome, str]:
    return outcome, f"could not be measured: {reason}"


def _excess(score: Interval, reference: Interval) -> Interval:
    """The difference of two figures; half-widths add in quadrature, as for independent estimates (Newcombe 1998)."""
    value = score.value - reference.value
    low = value - math.hypot(score.value - score.low, reference.high - reference.value)
    high = value + math.hypot(score.high - score.value, reference.value - reference.low)
    return Interval(value, low, high, min(score.n, reference.n))


def _p_value(signed: Interval, value: float, limit: float, better: str) -> float:
    """One-sided, by the normal approximation with the half of the interval that lies towards the limit."""
    over = (limit - value) if better == "higher" else (value - limit)
    if over <= 0:
        return 1.0
    downwards = signed.value >= 0 if better == "nearer" else better != "higher"
    half = signed.value - signed.low if downwards else signed.high - signed.value
    if half <= 0:
        return 0.0  # a fact that was counted, not an estimate
    return math.erfc(over / (half / z_of()) / math.sqrt(2)) / 2


def _holm(chances: dict[str, float]) -> set[str]:
    """The labels whose harm is shown, with the level for all of them together (Holm 1979)."""
    shown: set[str] = set()
    for rank, (label, chance) in enumerate(sorted(chances.items(), key=lambda item: item[1])):
        if chance > SHOWN / (len(chances) - rank):
            break
        shown.add(label)
    return shown


def _outcome(check: Check, one: Held, shown: bool) -> Outcome:
    if one.limit is None:
        return "report"
    if check.end == "favourable":
        return "fail" if shown else "pass"
    if check.end == "estimate":
        return "fail" if one.beyond else "pass"
    if check.insufficient == "note":
        return "fail" if shown else ("pass" if one.within else "insufficient")
    return "fail" if one.beyond else ("pass" if one.within else "inconclusive")


def _finding(check: Check, one: Held, outcome: Outcome, meaning: Meaning) -> Finding:
    score, reference = one.measurement.score, one.measurement.reference
    assert score is not None
    return Finding(
        check=one.measurement.label,
        outcome=outcome,
        severity=check.severity,
        message=_message(outcome, check, one),
        why=check.why,
        value=_round(one.compared.value),
        low=_round(one.compared.low),
        high=_round(one.compared.high),
        limit=one.limit,
        bound=None if one.limit is None else _bound(check, one),
        score=_round(score.value),
        reference=None if reference is None else _round(reference.value),
        over_reference=check.excess is not None,
        meaning=meaning.of(one.measurement.label, outcome),
    )


def _bound(check: Check, one: Held) -> float | None:
    ends = {"unfavourable": one.end, "estimate": one.compared.value, "favourable": None}
    end = ends[check.end]
    return None if end is None else _round(end)


def _doubt(check: Check, label: str, outcome: Outcome, message: str, meaning: Meaning) -> Finding:
    """A finding about what has no figure."""
    return Finding(label, outcome, check.severity, message, check.why, meaning=meaning.of(label, outcome))


def _message(outcome: Outcome, check: Check, one: Held) -> str:
    compared, limit, measurement = one.compared, one.limit, one.measurement
    what = f"{compared.value:.4f} [{compared.low:.4f}, {compared.high:.4f}]"
    if check.excess is not None and measurement.reference is not None:
        what += f" beyond the {measurement.reference.value:.4f} of {'noise alone' if by_noise(measurement) else 'real rows'}"
    if limit is None:
        return f"{what}; reported only"
    bound = "at least" if measurement.better == "higher" else "at most"
    if outcome == "fail":
        return f"{what}; it must be {bound} {limit:g}"
    if outcome == "inconclusive" and one.confidence != CONFIDENCE:
        return f"{what}; its {_bound_said(check, one)} of {one.end:.4f} is beyond the limit of {limit:g}: more rows decide"
    if outcome == "inconclusive":
        return f"{what}; the figure keeps the limit of {limit:g} but its interval does not exclude harm: more rows would decide"
    if outcome == "insufficient":
        return f"{what}; its rows are too few to decide about the limit of {limit:g}: neither shown nor excluded"
    if check.end == "favourable":
        return f"{what}; nothing beyond {limit:g} was shown, which is no evidence of safety"
    if one.attempt > 1 and check.end == "unfavourable":
        return f"{what}; {bound} {limit:g} is asked, also of its {_bound_said(check, one)}"
    return f"{what}; {bound} {limit:g} is asked"


def by_noise(measurement: Measurement) -> bool:
    """Whether a figure stands beside what noise alone explains, and not beside real rows."""
    return str(measurement.detail.get("reference", "")).startswith("noise alone")


def _bound_said(check: Check, one: Held) -> str:
    if one.attempt == 1:
        return f"{one.confidence:.0%} bound"
    return f"{one.confidence:.2%} bound (attempt {one.attempt}: {1 - check.confidence:.1%} shared among {one.attempt})"


def _round(value: float) -> float:
    return round(float(value), DECIMALS)
