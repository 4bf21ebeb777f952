"""What a comparison of remedies comes to, in a sentence: which one to take for a rare class, or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from synth.metrics.measurement import Interval
from synth.metrics.models import NAMES
from synth.metrics.nested import Comparison, Outcome
from synth.metrics.remedies import NOTHING, OVERSAMPLING, SMOTE, THRESHOLD, WEIGHTS

Kind = Literal["rows", "remedy", "threshold", "nothing"]
RANKING, RECALL, DECIDING, LOSS = "average_precision", "recall_at_precision", "balanced_accuracy", "brier"
SIMPLE = (WEIGHTS, OVERSAMPLING, SMOTE)  # remedies that need no generator, the simplest first


@dataclass(frozen=True)
class Answer:
    """Which remedy helps the kind of model that does best here.

    kind: "rows" that a generator made rank the rare class better, another "remedy" does, a tuned "threshold" alone decides
    better, or "nothing" does. remedy: its name in the comparison, of a generator's rows wherever such rows help.
    others: what the other kinds of models say, a sentence each.
    """

    kind: Kind
    learner: str
    remedy: str | None
    sentence: str
    others: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain JSON values."""
        return {
            "kind": self.kind,
            "learner": self.learner,
            "remedy": self.remedy,
            "sentence": self.sentence,
            "others": list(self.others),
        }


def answer(found: Comparison) -> Answer:
    """The answer for the kind of model that ranks best as it is; what is good for a weaker one is said of that one alone.

    A remedy helps where the paired interval of its average precision lies above 0, corrected (Bonferroni) for how many were
    tried; else a tuned threshold does, where that of its balanced accuracy lies above 0.
    """
    learners = list(dict.fromkeys(o.learner for o in found.outcomes))
    learners.sort(key=lambda learner: -found.of(NOTHING, learner).figures[RANKING])
    kind, remedy, words = _of(found, learners[0])
    others = tuple(f"{_model(learner)}: {_of(found, learner)[2]}" for learner in learners[1:])
    told = f"{_model(learners[0])}: {words}" if others else words[:1].upper() + words[1:]
    return Answer(kind, learners[0], remedy, told, others)


def made(outcome: Outcome) -> bool:
    """Whether a remedy's rows came from a generator."""
    return outcome.remedy.startswith("rows from ")


def _of(found: Comparison, learner: str) -> tuple[Kind, str | None, str]:
    """What one kind of model says: the kind of answer, the remedy, and the sentence."""
    ranked = _gains(found, learner)
    helping = [name for name, gain in ranked.items() if gain.low > 0]
    if helping:
        rows = [name for name in helping if made(found.of(name, learner))]
        best = max(rows or helping, key=lambda name: ranked[name].value)
        return ("rows" if rows else "remedy"), best, _helps(found, learner, best, ranked)
    best = max(ranked, key=lambda name: ranked[name].value)
    none = f"no benefit found in average precision (the most is {_said(ranked[best])}, with {best})"
    if (
        found.of(THRESHOLD, learner).difference(DECIDING).low <= 0
    ):  # one remedy that is named beforehand: nothing to correct for
        return "nothing", None, none + "."
    return "threshold", THRESHOLD, f"{_tuned(found, learner)}; {none}."


def _helps(found: Comparison, learner: str, best: str, ranked: Mapping[str, Interval]) -> str:
    """That a remedy ranks better, what it does to recall, and which simpler one does so as well."""
    told = f"{best} raise{_s(best)} average precision by {_said(ranked[best])}"
    recall = found.of(best, learner).difference(RECALL, len(ranked))
    if recall.low > 0:
        told += f" and recall at {found.precision:.0%} precision by {_said(recall)}"
    simpler = [name for name in SIMPLE if name != best and ranked[name].low > 0]
    equal = [name for name in simpler if found.between(best, name, RANKING, learner).low <= 0]
    if equal:
        return f"{told}; {equal[0]} gives as much ({_said(ranked[equal[0]])})."
    return told + "."


def _tuned(found: Comparison, learner: str) -> str:
    """What a tuned threshold gives, against the remedy that decides best otherwise."""
    outcomes = [o for o in found.outcomes if o.learner == learner and o.remedy not in (NOTHING, THRESHOLD)]
    rival = max(outcomes, key=lambda o: o.figures[DECIDING])
    mine = found.of(THRESHOLD, learner)
    figures = f"balanced accuracy {_short(mine.figures[DECIDING])} against {_short(rival.figures[DECIDING])}"
    beyond = found.between(rival.remedy, THRESHOLD, DECIDING, learner)
    gives = "gives most of what" if beyond.low > 0 else "gives what"
    told = f"threshold tuning {gives} {rival.remedy} give{_s(rival.remedy)} ({figures})"
    if found.between(rival.remedy, THRESHOLD, LOSS, learner).low > 0:
        told += f", with better calibration (Brier score {_short(mine.figures[LOSS])} against {_short(rival.figures[LOSS])})"
    return told


def _gains(found: Comparison, learner: str) -> dict[str, Interval]:
    """What each remedy that could rank better gains in average precision, corrected for how many are looked at."""
    tried = [o for o in found.outcomes if o.learner == learner and o.remedy not in (NOTHING, THRESHOLD)]
    return {o.remedy: o.difference(RANKING, len(tried)) for o in tried}


def _model(learner: str) -> str:
    name = NAMES[learner]  # type: ignore[index]
    return name[:1].upper() + name[1:]


def _s(remedy: str) -> str:
    return "" if remedy.startswith("rows") or remedy == WEIGHTS else "s"


def _short(value: float) -> str:
    return f"{value:.3f}".replace("0.", ".", 1)


def _said(found: Interval) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]".replace("-", "−")
