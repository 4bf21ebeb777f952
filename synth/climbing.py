"""Searches along a ladder of settings, from the most faithful (0) to the most private, in few attempts."""

from __future__ import annotations

from collections.abc import Callable


def climb(rungs: int, keeps: Callable[[int, int], bool], in_time: Callable[[], bool]) -> tuple[int, bool]:
    """The lowest rung that keeps the limits, and whether the search came to its end. keeps(rung, look): on which inner split.

    Rungs go from the most faithful, 0, to the most private. The last is tried first: where it does not keep the limits no other
    is expected to, and where it does, there is something to fall back on. Then bisection: leaks fall from rung to rung in
    expectation, and a rung that misses by bad luck only leads to a more private one. Near the limit one may keep it by good
    luck, so what was found must keep it once more, on a second split, or gives way to the next more private rung that does.
    """
    best, low = rungs - 1, 0
    if not in_time():
        return best, False
    if not keeps(best, 0):
        return best, True
    kept = [best]
    while low < best:
        if not in_time():
            return best, False
        middle = (low + best) // 2
        if keeps(middle, 0):
            best = middle
            kept.append(middle)
        else:
            low = middle + 1
    rung = best
    while in_time():
        if keeps(rung, 1) or rung == rungs - 1:
            return rung, True
        rung += 1
    return min(other for other in kept if other >= rung), False


def descend(rungs: int, serves: Callable[[int, int], bool], in_time: Callable[[], bool]) -> tuple[int, bool]:
    """The highest rung whose rows still serve, and whether the search came to its end. serves(rung, look): as in `climb`.

    The most private setting is tried first, and often does. Else bisection: rows become more faithful from rung to rung
    downwards in expectation. What was found must serve once more, on a second split, or gives way to the next more faithful
    rung that does. Where none serves, the most private one is left: what is not good enough shall at least be safe.
    """
    safest = rungs - 1
    if not in_time():
        return safest, False
    if serves(safest, 0):
        return safest, True
    low, high, found = 0, safest, safest  # rungs from `high` on do not serve, those below `low` do
    while low < high:
        if not in_time():
            return found, False
        middle = (low + high) // 2
        if serves(middle, 0):
            low, found = middle + 1, middle
        else:
            high = middle
    if found == safest:
        return safest, True
    for rung in range(found, -1, -1):
        if not in_time():
            return found, False
        if serves(rung, 1):
            return rung, True
    return safest, True
