"""What two policies differ in, rule by rule and setting by setting, and whether each change is looser or tighter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from synth.gate.policy import Policy
from synth.gate.rules import Check
from synth.metrics.registry import metrics

Way = Literal["looser", "tighter", ""]
WORSE_IF_MORE = {  # settings of which more, or yes, lets more through
    *("waivers.allowed", "waivers.max_days", "approvers.automatic", "approvers.days", "attempts.person_after"),
    *("requires.dp.max_epsilon", "requires.dp.max_delta", "relative"),
}
BETTER_IF_MORE = {  # settings of which more, or yes, lets less through
    *(f"requires.{name}" for name in ("holdout", "min_train", "min_holdout", "min_synthetic", "target", "sensitive", "seeds")),
    *("requires.dp.required", "approvers.count", "approvers.separate", "attempts.widen", "confidence"),
}
ORDERS = {  # from the tightest to the loosest
    "severity": ("block", "warn", "report"),
    "end": ("unfavourable", "estimate", "favourable"),
    "insufficient": ("inconclusive", "note"),
}
MEANINGS = ("rejected", "inconclusive", "noted")


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same: what, in the first policy and in the second (None: it has none), and which way."""

    what: str  # a rule's measure, "MEASURE: KEY", or a setting: "requires.min_train"
    before: Any
    after: Any
    way: Way = ""

    def __str__(self) -> str:
        told = f" ({self.way})" if self.way else ""
        if self.before is None and isinstance(self.after, dict):
            return f"+ {self.what}: {_said(self.after)}{told}"
        if self.after is None and isinstance(self.before, dict):
            return f"- {self.what}: {_said(self.before)}{told}"
        return f"~ {self.what}: {_said(self.before)} → {_said(self.after)}{told}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def differences(before: Policy, after: Policy) -> tuple[Difference, ...]:
    """Everything that differs, rules first in the order of the policies, then the settings."""
    better = {metric.name: metric.better for metric in metrics()}
    first, second = ({check.measure: check for check in policy.checks} for policy in (before, after))
    found: list[Difference] = []
    for name in dict.fromkeys([*first, *second]):
        old, new = first.get(name), second.get(name)
        if old is None or new is None:
            found.append(_whole(name, old, new))
        else:
            found += _of_rule(name, old, new, better.get(name, ""))
    if [name for name in first if name in second] != [name for name in second if name in first]:
        found.append(Difference("order of the rules", "one", "another"))
    plain = [policy.model_dump(mode="json", exclude={"checks"}) for policy in (before, after)]
    return (*found, *_settings("", *plain))


def _whole(name: str, old: Check | None, new: Check | None) -> Difference:
    """A rule that only one of the policies has; only one that blocks makes a difference to what passes."""
    rule = new or old
    assert rule is not None
    way: Way = "" if rule.severity != "block" else "tighter" if new else "looser"
    brief = rule.model_dump(mode="json", exclude_defaults=True, exclude={"measure", "why"})
    return Difference(name, None if old is None else brief, None if new is None else brief, way)


def _of_rule(name: str, old: Check, new: Check, better: str) -> Iterator[Difference]:
    one, other = (check.model_dump(mode="json") for check in (old, new))
    for key in one:
        if one[key] == other[key]:
            continue
        both = one[key] is not None and other[key] is not None
        way = (
            _limit_way(one[key], other[key], better) if key in ("limit", "excess") and both else _way(key, one[key], other[key])
        )
        yield Difference(f"{name}: {key}", one[key], other[key], way)


def _limit_way(before: float, after: float, better: str) -> Way:
    if not better:
        return ""
    return "looser" if (after > before) != (better == "higher") else "tighter"


def _settings(prefix: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Difference]:
    for key, before in one.items():
        name, after = f"{prefix}{key}", other[key]
        if isinstance(before, dict):
            yield from _settings(f"{name}.", before, after)
        elif before != after:
            yield Difference(name, before, after, _way(name, before, after))


def _way(name: str, before: Any, after: Any) -> Way:
    """Whether a change of a setting lets more through, where that can be said."""
    if name in WORSE_IF_MORE | BETTER_IF_MORE and None not in (before, after):
        return "looser" if (after > before) == (name in WORSE_IF_MORE) else "tighter"
    order = MEANINGS if name.startswith("meaning.") else ORDERS.get(name, ())
    if before in order and after in order:
        return "looser" if order.index(after) > order.index(before) else "tighter"
    if name == "waivers.never":
        return "looser" if set(after) < set(before) else "tighter" if set(after) > set(before) else ""
    return ""


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_said(item)}" for key, item in value.items()) or "a blocking rule"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return {True: "yes", False: "no", None: "none"}[value] if isinstance(value, bool) or value is None else str(value)
