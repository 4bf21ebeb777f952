"""The parts of a policy: what it requires, its checks, and what doubts, waivers, approvers and further attempts mean to it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from synth.gate.verdict import Counted, Outcome, Severity, never_let_go
from synth.gate.waivers import MOST_DAYS

End = Literal["unfavourable", "estimate", "favourable"]
Format = Literal["parquet", "csv", "arrow", "sql", "huggingface"]
CONFIDENCE = 0.975  # of one end of a 95% interval
RENAMED = {  # keys of policies of version 2, and what they are called now
    "alarm": "`alarm: true` is called `end: favourable` now (policies of version 3); for `alarm: false` leave the key out",
}


class Part(BaseModel):
    """Base of every part of a policy: frozen, and no key that nothing reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Check(Part):
    """One rule."""

    measure: str = Field(description="a metric by name; a metric with groups is judged group by group")
    limit: float | None = Field(None, allow_inf_nan=False, description="how far the figure itself may go")
    excess: float | None = Field(
        None, allow_inf_nan=False, description="how far it may go beyond what real rows score in its place"
    )
    relative: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="with `excess`: further allowance, as a share of what real rows score (where strangers often coincide)",
    )
    severity: Severity = Field("block", description="block, warn, or only report")
    end: End = Field(
        "unfavourable",
        description="which end of the interval must keep the limit: the unfavourable one (harm is excluded), the figure itself "
        "(`estimate`), or the favourable one, an alarm that goes off where harm is shown and whose silence is no evidence",
    )
    confidence: float = Field(
        CONFIDENCE,
        ge=0.9,
        lt=1,
        description="with which, one-sided, the unfavourable end must keep the limit; .975 is the end of the 95% interval",
    )
    insufficient: Literal["inconclusive", "note"] = Field(
        "inconclusive",
        description="what a group or column means whose rows are too few to decide: a blocking doubt, or a note; never a pass",
    )
    min_rows: int = Field(
        0, ge=0, description="a figure whose n is smaller (of a group, mostly) is named as insufficient and not judged"
    )
    why: str = Field(min_length=10, description="the reason for the rule, in a sentence")

    @model_validator(mode="after")
    def _sound(self) -> Self:
        given = [value for value in (self.limit, self.excess) if value is not None]
        if len(given) != (0 if self.severity == "report" else 1):
            raise ValueError("a rule has either `limit` or `excess`; only one of severity `report` has neither")
        if self.relative and self.excess is None:
            raise ValueError("`relative` goes with `excess`")
        if self.confidence != CONFIDENCE and self.end != "unfavourable":
            raise ValueError(f"`confidence` is that of the unfavourable end; `end: {self.end}` has none")
        if self.insufficient == "note" and never_let_go(self.measure):
            raise ValueError(f"{self.measure!r} is never let go: leave out `insufficient: note`")
        if "@" in self.measure and self.severity == "block":
            ours, _, theirs = self.measure.partition("@")
            raise ValueError(
                f"{self.measure!r} is the definition of {theirs}, kept for comparison with its faults: it can warn or report "
                f"but never block; give the rule the severity `report`, or name {ours!r}"
            )
        return self


class PrivacyBudget(Part):
    """What differential privacy is asked for: read from what the generator states that it spent."""

    required: bool = Field(False, description="whether the generator must have kept a budget")
    max_epsilon: float | None = Field(None, gt=0, allow_inf_nan=False, description="the largest ε that is allowed")
    max_delta: float | None = Field(None, ge=0, lt=1, description="the largest δ that is allowed")
    unit: Literal["row", "subject"] = Field("row", description="what is protected: single rows, or all rows of a subject")

    @model_validator(mode="after")
    def _asked_for(self) -> Self:
        if not self.required and (self.max_epsilon is not None or self.max_delta is not None or self.unit != "row"):
            raise ValueError("`max_epsilon`, `max_delta` and `unit` go with `required: true`")
        if self.required and (self.max_epsilon is None or self.max_delta is None):
            raise ValueError("`required: true` needs `max_epsilon` and `max_delta`: a budget without bounds is none")
        return self


class Requirements(Part):
    """What must be there before any figure counts."""

    holdout: bool = Field(True, description="whether real rows must have been held out")
    min_train: int = Field(0, ge=0)
    min_holdout: int = Field(0, ge=0)
    min_synthetic: int = Field(1, ge=0)
    target: bool = Field(False, description="whether a target column must be named")
    sensitive: bool = Field(False, description="whether sensitive columns must be named")
    seeds: int = Field(1, ge=1, description="the least number of fits of the generator that were measured, the first included")
    dp: PrivacyBudget = PrivacyBudget()


class Meaning(Part):
    """What a blocking rule says that neither passed nor failed: by default no approval."""

    missing: Counted = Field("inconclusive", description="a figure was not taken, or what a policy requires is not there")
    error: Counted = Field("inconclusive", description="a metric crashed, or its figure is no number")
    skipped: Counted = Field("inconclusive", description="a metric found too little to measure")
    inconclusive: Counted = Field("inconclusive", description="the interval lies across the limit")

    def of(self, check: str, outcome: Outcome) -> Counted | None:
        """What an outcome of a check counts for; None for one that is no doubt. What can never be let go is never noted."""
        said: Counted | None = getattr(self, outcome, None)
        return "inconclusive" if said == "noted" and never_let_go(check) else said


class WaiverRules(Part):
    """Who may let a check go is for the keys to say; this says which checks, and for how long."""

    allowed: bool = Field(True, description="whether a blocking check may be waived at all")
    max_days: int = Field(MOST_DAYS, ge=1, le=MOST_DAYS, description="how long a waiver may run")
    never: tuple[str, ...] = Field(
        (),
        description="checks that may not be waived, beside those that never can: measures, or `validity.*` and the like",
    )

    def forbid(self, check: str) -> bool:
        """Whether this policy forbids to waive a check, given by its measure's name."""
        return any(names(pattern, check) for pattern in self.never)


class Approvers(Part):
    """Who signs what the policy approves."""

    count: int = Field(1, ge=1, le=9, description="how many persons must sign, each with a key of their own")
    automatic: bool = Field(False, description="whether the key of the machine that judged may sign alone")
    separate: bool = Field(True, description="whether none of them may be the one who asked for the approval")
    days: int = Field(365, ge=1, le=3650, description="for how long the approval is valid")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.automatic and self.count > 1:
            raise ValueError(f"`automatic: true` is one signature, the machine's; leave it out where {self.count} persons sign")
        if not self.separate and self.count > 1:
            raise ValueError("`separate: false` is for a single approver; where two sign, neither is the requester")
        return self


class Attempts(Part):
    """What it means that this is not the first try: to make rows again until some pass is to select them."""

    widen: bool = Field(
        True,
        description="whether the one-sided level of a blocking check is divided by the number of the attempt (Bonferroni)",
    )
    person_after: int = Field(5, ge=0, description="after so many attempts a person must sign, whatever `approvers` allows")


def _persons(given: Any) -> Any:
    """`approvers: 2` is short for `approvers: {count: 2}`."""
    return {"count": given} if isinstance(given, int) and not isinstance(given, bool) else given


Signers = Annotated[Approvers, BeforeValidator(_persons, json_schema_input_type=Approvers | Annotated[int, Field(ge=1, le=9)])]

PARTS: dict[str, type[Part]] = {
    "checks": Check,
    "requires": Requirements,
    "requires.dp": PrivacyBudget,
    "meaning": Meaning,
    "waivers": WaiverRules,
    "approvers": Approvers,
    "attempts": Attempts,
}


def names(pattern: str, check: str) -> bool:
    """Whether an entry of `waivers.never` names a check."""
    return check.startswith(pattern[:-1]) if pattern.endswith("*") else check == pattern
