"""Attribute inference group by group: whether the attack learns more of one group's members than of others'.

The attack, its targets and its figure are those of `privacy.attribute_inference` (after Anonymeter, Giomi et al. 2023): nothing
is attacked anew, the same guesses are counted within each group. An average over everybody hides a group that was memorised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from synth.metrics._risk import LEAST_FAILURES, Attack, reading, residual
from synth.metrics.evidence import Evidence
from synth.metrics.groups import Group, divisions, judged, too_few
from synth.metrics.inference import Guessed, guessed, secrets_of_groups
from synth.metrics.registry import NothingThereError, Reading, SkipMetricError, metric

MOST_COLUMNS = 3  # columns that are attacked: each costs an audit a forest and a search, and is a figure of every group


@metric("fairness.group_attribute_inference", better="lower", bounds=(-1.0, 1.0), cost=6.0)
def group_attribute_inference(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive group: how much more an attacker learns of its members' other sensitive values than of strangers'.

    The residual risk of `privacy.attribute_inference` among the group's own targets and its own strangers, by the same two
    attacks; 0 is nothing. The secret is each other sensitive column in turn, or the target where no other is named. Crossings
    too. With real rows that nobody trained on in place of the synthetic ones it is 0 but for chance.
    """
    divisions(evidence)  # raises where no group is named
    columns = secrets_of_groups(evidence)
    if not any(judged(evidence, column.name) for column in columns):
        raise NothingThereError("each group names the only column that could be inferred; name another, or a target")
    for column in columns[:MOST_COLUMNS]:
        try:
            found = guessed(evidence, column)
        except SkipMetricError as why:
            yield Reading(columns=(column.name,), skipped=str(why))
            continue
        for group in judged(evidence, column.name):
            yield _reading(found, group)
    for column in columns[MOST_COLUMNS:]:
        yield Reading(columns=(column.name,), skipped=f"more than {MOST_COLUMNS} columns are secrets; the first are attacked")


def _reading(found: Guessed, group: Group) -> Reading:
    """The figure of one secret within one group."""
    attack, name = found.strongest(), found.column.name
    members, strangers = group.of("train")[found.train], group.of("holdout")[found.control]
    short = group.insufficient or too_few(
        min(int(members.sum()), int(strangers.sum())),
        f"members or strangers whose {name} is known and whose row no other equals",
    )
    misses = int((~attack.control[strangers]).sum())
    if not short and misses < LEAST_FAILURES:
        short = (
            f"insufficient: the attack succeeds on all but {misses} of the group's {int(strangers.sum())} strangers; nothing "
            "is left that it could add"
        )
    if short:
        return Reading(group=group.name, columns=(name,), skipped=short)
    everyone = np.ones(len(found.train), dtype=bool), np.ones(len(found.control), dtype=bool)
    whole = residual(*found.rates(attack, *everyone), len(found.train)).value
    own, *each = (_within(one, members, strangers) for one in (attack, *found.attacks))
    said = reading(*found.rates(attack, members, strangers), own, each, {"whole": whole}, (name,))
    assert said.score is not None
    return replace(said, group=group.name, detail={**said.detail, "beyond_whole": said.score.value - whole})


def _within(attack: Attack, members: np.ndarray, strangers: np.ndarray) -> Attack:
    return replace(attack, train=attack.train[members], control=attack.control[strangers])
