"""Privacy in words: what each attack found, whether strangers' rows give as much away, and what none of it proves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synth.metrics.measurement import Measurement, Measurements
from synth.report import words
from synth.report.exposure import Exposure

SENTENCES = {  # the figure stands at {}, what it is about at {about}
    "privacy.exact_copies": "{} of the synthetic rows equal a training row in every column.",
    "privacy.near_copies": "{} of them lie nearer to a training row than all but one in a hundred real rows do.",
    "privacy.memorised": "{} of them lie fifty times nearer to a training row than to any of as many held-out rows.",
    "privacy.membership_auc": "An attacker who holds a person's row and guesses whether it was trained on reaches AUC {}.",
    "privacy.membership_tpr": "Allowed to be wrong about one outsider in a hundred, the attacker names {} of the members.",
    "privacy.attribute_inference": "Of {about}, whoever knows the rest of a row learns {} more of members than of strangers.",
    "privacy.linkability": "Holding two halves of rows, an attacker joins {} more of the members' than of strangers'.",
    "privacy.singling_out_univariate": "A single value read off the synthetic rows singles out {} more members than strangers.",
    "privacy.singling_out_multivariate": "Three to five values read off them single out {} more members than strangers.",
}
BESIDE = {  # whose figure stands beside it, in words of the reference's kind
    words.REAL: ("Held-out real rows", "real rows"),
    "by chance": ("A coin", "chance"),
    "by definition": ("", "strangers"),
}
NEEDED = ("privacy.exact_copies", "privacy.membership_auc")  # without these nothing is known, and that is said
ATTACKS = "privacy.membership_"
TOGETHER = ("privacy.membership_auc", "privacy.membership_tpr", "privacy.membership_tpr_low", "privacy.membership_ensemble")


@dataclass(frozen=True)
class Said:
    """One sentence."""

    told: str
    beside: str  # what real rows, a coin or strangers score
    compared: str  # "" where there is nothing to compare with
    is_beyond: bool  # the whole interval is worse than that
    outcome: str  # the policy's, "" where it says nothing
    status: str = "ok"


@dataclass(frozen=True)
class Privacy:
    """The section: sentences, then what to know of them all."""

    sentences: tuple[Said, ...]
    notes: tuple[str, ...]


def in_words(measurements: Measurements, findings: Mapping[str, Any], hide: Exposure) -> Privacy | None:
    """None where nothing was asked of privacy: no figure, no budget."""
    spent = measurements.context.get("privacy")
    found = [m for name in SENTENCES for m in measurements.named(name)]
    if spent is None and not found:
        return None
    told = tuple(said for m in found if (said := _said(m, getattr(findings.get(m.label), "outcome", ""), hide)) is not None)
    return Privacy(told, _under(spent) if spent is not None else _notes(measurements))


def _said(m: Measurement, outcome: str, hide: Exposure) -> Said | None:
    if m.score is None:
        if m.name not in NEEDED or m.status == "absent":
            return None
        return Said(f"{NOT_KNOWN[m.name]}: {hide.reason(m)}.", "", "", False, outcome, m.status)
    figure = f"{words.number(m.score.value, m.name)} {words.interval(m.score, m.name)}"
    told = SENTENCES[m.name].format(figure, about=" and ".join(m.columns))
    if m.reference is None:
        return Said(told, "", "", False, "" if outcome in QUIET else outcome)
    named, other = BESIDE.get(words.referee(m), BESIDE[words.REAL])
    beside = f"{named}: {words.reference(m.reference, m.name)}." if named else ""
    is_beyond, is_below = m.score.low > m.reference.high, m.score.high < m.reference.low
    compared = f"{'Exceeds' if is_beyond else 'Stays below' if is_below else 'Not shown to exceed'} {other}."
    return Said(told, beside, compared, is_beyond, "" if outcome in QUIET else outcome)


QUIET = ("pass", "report", "absent")
NOT_KNOWN = {
    "privacy.exact_copies": "Whether training rows were copied is not known",
    "privacy.membership_auc": "Whether an attacker can tell who was trained on is not known",
}


def _notes(measurements: Measurements) -> tuple[str, ...]:
    attacks = [m for m in measurements if m.name.startswith(ATTACKS) and m.name not in TOGETHER and m.score is not None]
    strongest = next((m for m in measurements.named("privacy.membership_auc") if m.score is not None), None)
    notes = []
    if strongest is not None and strongest.score is not None:
        several = f"the strongest of {len(attacks)} attacks and their ensemble" if len(attacks) > 1 else "one attack"
        notes.append(f"The figures on membership are of {several}, on {strongest.score.n:,} rows, members and strangers.")
    if any(m.family == "privacy" and m.score is not None for m in measurements):
        notes.append(
            "Low figures are evidence against the attacks that were run, not a proof: these rows were made without "
            "differential privacy, and another attack, or more knowledge of a person, may find more."
        )
    return tuple(notes)


def _under(spent: Mapping[str, Any]) -> tuple[str, ...]:
    """What a budget promises."""
    factor = math.exp(min(float(spent["epsilon"]), 50.0))
    said = f"{factor:.3g}" if factor < 1_000 else f"{factor:,.0f}"
    return (
        f"Made under differential privacy, ε = {spent['epsilon']:g} and δ = {spent['delta']:g}: whatever anybody knows or "
        f"tries, no outcome is more than {said} times (e to the ε) likelier with a {spent['unit']} in the data than without "
        "it, but for a probability of δ.",
        "That holds for attacks that nobody has thought of yet. It does not hide what is true of the population at large.",
    )
