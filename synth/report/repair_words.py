"""What a repair did, in words: whether it helps models on real rows, at what cost, and what parity in a table does not do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MEANING = {
    "labels": (
        "Parity of labels makes the outcome equally frequent in every group of the synthetic table. It does not make the "
        "outcomes of real people equal, nor a model fair to them: the model meets real people, whose other columns still tell "
        "groups apart, and it was taught rates that are not theirs. Where real rates differ, closer selection rates are bought "
        "with other error rates."
    ),
    "counts": (
        "Parity of counts lets a model see every group equally often. It adds no knowledge of a small group beyond what the "
        "generator learned from the group's few real rows, and it leaves every difference in outcomes as it is."
    ),
}
NOTHING = (
    "No benefit found: models trained on the repaired rows treat groups of real people as those trained on rows as they come"
)


def meaning(toward: str) -> str:
    """What parity in the synthetic table does and does not do for a model on real rows."""
    return MEANING[toward]


@dataclass(frozen=True)
class Said:
    helps: bool
    answer: str


def verdict_on(effects: Sequence[Any]) -> Said:
    """Whether it helps: groups shown to lie closer together in some figure and further apart in none, at no shown cost."""
    gaps = [effect for effect in effects if effect.of != "all rows"]
    scores = [effect for effect in effects if effect.of == "all rows"]
    better, worse = ([e for e in gaps if e.says == said] for said in ("better", "worse"))
    cost = [e for e in scores if e.says == "worse"]
    gained = [e for e in scores if e.says == "better"]
    if not better and not worse:
        first = NOTHING
    elif better and not worse:
        first = f"Groups of real people are treated more alike: {_changes(better)}"
    elif worse and not better:
        first = f"Groups of real people are treated less alike: {_changes(worse)}"
    else:
        first = f"It moves the difference rather than removing it: {_changes(better)}; but {_changes(worse)}"
    second = (
        f"; it costs {_changes(cost)}" if cost else f"; {_changes(gained)}" if gained else "; no change of scores was shown"
    )
    return Said(bool(better) and not worse and not cost, f"{first}{second}.")


def _changes(effects: Sequence[Any]) -> str:
    ordered = sorted(effects, key=lambda e: -abs(e.change.value))
    more = f" and {len(ordered) - 2} more" if len(ordered) > 2 else ""
    return "; ".join(_change(effect) for effect in ordered[:2]) + more


def _change(effect: Any) -> str:
    of = "" if effect.of == "all rows" else f" by {effect.of}"
    span = f"[{effect.change.low:+.3f}, {effect.change.high:+.3f}]".replace("-", "−")
    return f"{effect.what}{of} from {effect.before:.3f} to {effect.after:.3f} {span}"
