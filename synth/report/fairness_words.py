"""An audit's answer in a few sentences: what is wrong, or that nothing is, or what keeps it from being said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from synth.metrics.measurement import Measurement, Measurements
from synth.report import words

CAVEAT = (
    "Passing says that these rows show groups as real rows do, with every real difference between them. "
    "It does not say that a model trained on them is fair to people."
)
NO_HOLDOUT = (
    "it needs real rows that the generator never saw. The rows it learned from cannot stand in for them: they "
    "would flatter the synthetic rows. Hold some out before fitting, and give them as the holdout"
)
UNSEEN = (
    "No real rows were held out, so what a model does to each group, how much outcomes are amplified, and attacks could not "
    "be measured: the rows that the generator learned from cannot stand in, since they would flatter it."
)
NAMED = 2  # groups that a sentence names
LEFT = 4  # rules that it names

Say = Callable[[list[Measurement], str], str]  # a sentence about figures of one metric; and the target's name


def answer(measurements: Measurements, verdict: Any) -> tuple[str, ...]:
    """The verdict in sentences, the first of which stands for all."""
    if verdict.decision == "rejected":
        said = tuple(_faults(measurements, verdict))
    elif verdict.decision == "approved":
        said = _sound(measurements, verdict)
    else:
        said = _undecided(verdict)
    return said if measurements.context["rows"]["holdout"] else (*said, UNSEEN)


def group_words(group: Mapping[str, str]) -> str:
    """A group inside a sentence: "Female × Black"."""
    return " × ".join(group.values())


# what is wrong ---------------------------------------------------------------------------------------------------------


def _faults(measurements: Measurements, verdict: Any) -> Iterator[str]:
    """A sentence for each kind of fault, the gravest kind first."""
    broken = {f.check: f for f in verdict.findings if f.blocks and f.outcome == "fail"}
    kinds: dict[str, list[Measurement]] = {}
    for m in measurements:
        if m.label in broken:
            kinds.setdefault(m.name, []).append(m)
    for name, say in SAY.items():
        if name in kinds and not (name == "fairness.shrunk_groups" and _all_erased(kinds)):
            yield say(kinds[name], str(measurements.context["target"]))
    others = [name for name in kinds if name not in SAY]
    others += [check for check in broken if check.split("[")[0] not in kinds]
    if others:
        yield f"Also broken: {', '.join(others)}."


def _all_erased(kinds: Mapping[str, list[Measurement]]) -> bool:
    """Whether the groups that shrank are those that vanished, which were named."""
    erased = kinds.get("fairness.erased_groups")
    return erased is not None and erased[0].detail["erased"] == kinds["fairness.shrunk_groups"][0].detail["shrunk"]


def _erased(found: list[Measurement], target: str) -> str:
    detail = found[0].detail
    return _sizes("Erased", detail["erased"], detail["erased_groups"], detail["considered"])


def _shrunk(found: list[Measurement], target: str) -> str:
    detail = found[0].detail
    return _sizes("Shrunk to less than half", detail["shrunk"], detail["shrunk_groups"], detail["considered"])


def _sizes(word: str, entries: Sequence[Mapping[str, Any]], count: int, considered: int) -> str:
    named = _listed(
        [f"{group_words(e['group'])} ({e['rows']:,} rows where about {e['expected']:,.0f} belong)" for e in entries], count
    )
    return f"{word}: {count} of {considered} groups: {named}."


def _amplified(found: list[Measurement], target: str) -> str:
    said = []
    for m in found:
        top, bottom = m.detail["groups"]
        real, fake = m.detail["holdout_gap"], m.detail["synthetic_gap"]
        way = "turned round" if fake * real < 0 else "grew" if abs(fake) > abs(real) else "shrank"
        where = f"{m.detail['outcome']} between {top} and {bottom}"
        said.append(f"the gap in {target} {where} {way} from {_points(real)} among real rows to {_points(fake)}")
    return _sentence(said)


def _labels(found: list[Measurement], target: str) -> str:
    worst = sorted(found, key=lambda m: -_size(m))
    said = [
        f"{words.share(m.detail['share'])} of {group_words(m.group or {})} have {target} {m.detail['class']} where "
        f"{words.share(m.detail['real_share'])} do in reality"
        for m in worst
    ]
    return _sentence([_listed(said, len(said))])


def _shares(found: list[Measurement], target: str) -> str:
    worst = sorted(found, key=lambda m: -_size(m))
    said = [
        f"{group_words(m.group or {})} are {words.share(m.detail['share'])} of the rows where they are "
        f"{words.share(m.detail['real_share'])} in reality"
        for m in worst
    ]
    return _sentence([_listed(said, len(said))])


def _model(what: str) -> Say:
    def say(found: list[Measurement], target: str) -> str:
        worst = sorted(found, key=lambda m: -_size(m))
        said = [
            f"{words.share(m.detail['synthetic'])} instead of {words.share(m.detail['real'])} for {group_words(m.group or {})}"
            for m in worst
        ]
        return f"A model trained on these rows {what}: {_listed(said, len(said))}."

    return say


def _scores(found: list[Measurement], target: str) -> str:
    worst = sorted(found, key=lambda m: -_size(m))
    said = [
        f"{m.detail['metric']} {words.number(m.detail['synthetic'])} instead of {words.number(m.detail['real'])} on real rows "
        f"of {group_words(m.group or {})}"
        for m in worst
    ]
    return f"A model trained on these rows predicts some groups much worse: {_listed(said, len(said))}."


def _attacked(found: list[Measurement], target: str) -> str:
    worst = sorted(found, key=lambda m: -_size(m))
    said = [
        f"{group_words(m.group or {})} with AUC {words.number(m.score.value)} where all members together have "
        f"{words.number(m.reference.value)}"
        for m in worst
        if m.score is not None and m.reference is not None
    ]
    return f"Some groups' members are found more easily than others': {_listed(said, len(said))}."


def _inferred(found: list[Measurement], target: str) -> str:
    worst = sorted(found, key=lambda m: -_size(m))
    said = [f"{words.number(_size(m), m.name)} of the {m.columns[0]} of {group_words(m.group or {})}" for m in worst]
    return (
        "Whoever knows the rest of a row learns more of some groups' sensitive values than of strangers', as a share of what "
        f"was left to learn: {_listed(said, len(said))}."
    )


SAY: dict[str, Say] = {  # the gravest first
    "fairness.erased_groups": _erased,
    "fairness.shrunk_groups": _shrunk,
    "fairness.label_amplification": _amplified,
    "fairness.label_gap": _labels,
    "fairness.group_share": _shares,
    "fairness.selection_rate_gap": _model("selects groups of real people more or less often than it should"),
    "fairness.tpr_gap": _model("finds other shares of those who have the outcome"),
    "fairness.fpr_gap": _model("accuses other shares of those who do not have it"),
    "fairness.tstr_gap": _scores,
    "fairness.group_membership": _attacked,
    "fairness.group_attribute_inference": _inferred,
}


# what is not -----------------------------------------------------------------------------------------------------------


def _sound(measurements: Measurements, verdict: Any) -> tuple[str, ...]:
    said = ["Groups fare in these rows as among real ones, within the policy's limits: none vanished, shrank or swelled"]
    widest = max(
        (m for m in measurements.named("fairness.label_amplification") if m.score is not None),
        key=lambda m: abs(m.detail["holdout_gap"]),
        default=None,
    )
    if widest is not None:
        top, bottom = widest.detail["groups"]
        said.append(
            f"the gap in {measurements.context['target']} {widest.detail['outcome']} between {top} and {bottom} is "
            f"{_points(widest.detail['synthetic_gap'])}, real {_points(widest.detail['holdout_gap'])}"
        )
    if any(m.score is not None for m in measurements.named("fairness.selection_rate_gap")):
        said.append("and a model trained on them treats groups of real people as one trained on real rows does")
    sentences = ["; ".join(said) + "."]
    few = sum(f.outcome == "insufficient" for f in verdict.findings)
    if few:
        sentences.append(f"{few:,} figures of groups rest on too few rows to say either way; they are named, and are no pass.")
    warned = list(dict.fromkeys(f.check for f in verdict.findings if f.outcome == "fail" and not f.blocks))
    if warned:
        sentences.append(f"Worth a look: {_listed(warned, len(warned))}.")
    return tuple(sentences)


def _undecided(verdict: Any) -> tuple[str, ...]:
    open_ = [f for f in verdict.findings if f.blocks]
    asked = {f.check: f.message for f in open_ if f.check.startswith("requires.")}
    if "requires.holdout" in asked:  # which is said by itself
        asked = {
            check: message for check, message in asked.items() if check not in ("requires.holdout", "requires.min_holdout")
        }
    left = list(dict.fromkeys(f.check.split("[")[0] for f in open_ if not f.check.startswith("requires.")))
    sentences = ["Nothing unfair was shown, and it is not excluded either."]
    sentences += [f"{message[0].upper()}{message[1:]}." for message in asked.values()]
    if left:
        more = f" and {len(left) - LEFT} more rules" if len(left) > LEFT else ""
        sentences.append(f"Left open: {', '.join(left[:LEFT])}{more}.")
    return tuple(sentences)


# parts -----------------------------------------------------------------------------------------------------------------


def _points(gap: float) -> str:
    return f"{100 * gap:.1f}".replace("-", "−") + " points"


def _size(m: Measurement) -> float:
    assert m.score is not None
    return abs(m.score.value)


def _listed(said: list[str], count: int) -> str:
    more = f"; and {count - NAMED} more" if count > NAMED else ""
    return "; ".join(said[:NAMED]) + more


def _sentence(said: list[str]) -> str:
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}."
