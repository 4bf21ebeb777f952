"""One setting that a search tried: its figures, what the policy's rules say of them, and why it was chosen, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from synth.errors import did_you_mean
from synth.gate.verdict import Decision, Finding, decide
from synth.metrics.measurement import Measurement

FIDELITY = "fidelity.detection"
MEMBERSHIP = "privacy.membership"  # what the names of the rules that limit the search begin with
DECIMALS = 4  # of every figure in a record that leaves with the rows, as in a verdict

Outcome = Literal["within", "beyond", "undecided"]
SEVERITY: tuple[Outcome, ...] = ("within", "undecided", "beyond")
OUTCOMES: dict[Decision, Outcome] = {"approved": "within", "rejected": "beyond", "inconclusive": "undecided"}


@dataclass(frozen=True)
class Attempt:
    """One setting that was tried on an inner split: its figures, and what the policy's rules say that it is held to."""

    params: Mapping[str, Any]
    seed: int  # of the inner split, the fit and the figures
    figures: tuple[Measurement, ...]
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def outcome(self) -> Outcome:
        """Within the limits, beyond one of them, or undecided: no harm was shown, nor does the policy's bound exclude it."""
        return OUTCOMES[decide(self.findings)]

    @property
    def within(self) -> bool:
        """Whether the policy's bound on every figure keeps its limit."""
        return self.outcome == "within"

    @property
    def serves(self) -> bool:
        """Whether every rule is kept, if only by the figure itself.

        An attempt has half of the rows, too few to exclude much; a setting is not taken for useless because of that.
        """
        return not any(finding.blocks and finding.outcome != "inconclusive" for finding in self.findings)

    def __getitem__(self, name: str) -> Measurement:
        """The figure of that name, with its interval and what real rows, or chance, score in its place. Raises KeyError."""
        for figure in self.figures:
            if figure.name == name:
                return figure
        raise KeyError(f"no figure {name!r}{did_you_mean(name, [m.name for m in self.figures])}")

    def to_dict(self) -> dict[str, Any]:
        """The attempt as plain JSON values; a figure that could not be measured is null."""
        figures = {m.label: None if m.score is None else _rounded(m) for m in self.figures}
        return {"params": dict(self.params), "seed": self.seed, "outcome": self.outcome, "figures": figures}


# in words --------------------------------------------------------------------------------------------------------------


def why_faithful(
    attempts: tuple[Attempt, ...], rung: int, ladder: tuple[Mapping[str, Any], ...], outcome: Outcome, ended: bool
) -> str:
    """Why this rung was chosen, in a sentence that holds no value of any row."""
    tried = [attempt for attempt in attempts if attempt.params == ladder[rung]]
    if not tried:
        return "no attempt could be made within the budget of time, so the most private setting was taken, untried"
    if outcome == "beyond":
        return f"even the most private setting does not keep the limits, and was taken: {_worst(tried)}"
    if outcome == "undecided":
        return (
            "the rows held back are too few to show that even the most private setting keeps the limits, and it was taken: "
            f"{_worst(tried)}"
        )
    if not ended:
        twice = "on both inner splits" if len(tried) > 1 else "on the first inner split; there was none to try it on the second"
        return f"the most faithful setting found in the budget of time to keep the limits {twice}"
    if rung == 0:
        return "the most faithful setting of all keeps the limits"
    before = [attempt for attempt in attempts if attempt.params == ladder[rung - 1]]
    return f"the most faithful setting that keeps the limits on both inner splits; of the next one {_worst(before)}"


def why_private(
    attempts: tuple[Attempt, ...], rung: int, ladder: tuple[Mapping[str, Any], ...], outcome: Outcome, ended: bool
) -> str:
    """The same where the most private setting was looked for."""
    tried = [attempt for attempt in attempts if attempt.params == ladder[rung]]
    if not tried:
        return "no attempt could be made within the budget of time, so the most private setting was taken, untried"
    if not all(attempt.serves for attempt in tried):
        time = "" if ended else " in the budget of time"
        return f"no setting was found{time} whose rows are good enough, so the most private one was taken: {_worst(tried)}"
    chosen = (
        "the most private setting of all" if rung == len(ladder) - 1 else "the most private setting whose rows are good enough"
    )
    if outcome != "within":
        return f"{chosen}, but {_worst(tried)}"
    if rung == len(ladder) - 1:
        return f"{chosen} keeps every rule on likeness and use"
    before = [attempt for attempt in attempts if attempt.params == ladder[rung + 1] and not attempt.serves]
    return f"{chosen}; of the next one {_worst(before)}" if before else f"{chosen}, of those tried in the budget of time"


def _worst(attempts: Sequence[Attempt]) -> str:
    """What most stands in the way. A reason may count real rows, so of a figure that is not there it says only that."""
    blocking = (finding for attempt in attempts for finding in attempt.findings if finding.blocks)
    found = sorted(blocking, key=lambda finding: finding.outcome != "fail")
    if not found or found[0].value is None:
        return f"{found[0].check if found else 'membership'} could not be measured"
    return f"{found[0].check} is {found[0].message}"


def said(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in params.items())


def figures_said(attempt: Attempt) -> str:
    told = [m for m in attempt.figures if m.name in (FIDELITY, f"{MEMBERSHIP}_auc", f"{MEMBERSHIP}_tpr")]
    return ", ".join(f"{m.name} {m.score if m.score is not None else m.status}" for m in told)


def _rounded(m: Measurement) -> dict[str, float | None]:
    assert m.score is not None
    ends = {"value": m.score.value, "low": m.score.low, "high": m.score.high}
    real = None if m.reference is None else round(m.reference.value, DECIMALS)
    return {name: round(end, DECIMALS) for name, end in ends.items()} | {"reference": real}
