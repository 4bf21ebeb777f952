"""Every private mechanism audited at full size: `make audit`.

On the worst pair of data sets (four rows of zeros × three binary columns, and the same with a row of ones) each mechanism is
run 2,000 times a side, on the noise that is shipped. White box: the likelihood ratio of the noisy counts, a 99% lower bound of
μ, on runs that the threshold was not chosen on. Black box: expected rows of ones in the fitted model, a 95% lower bound of ε at
δ = 1e-5. Every bound has to stay below its claim, that of a pure Gaussian release has to reach 0.8 of it, and every planted
fault has to be caught in 95% of audits or more.

Scores go to a state file, a line for every 50 runs a side, so that an interrupted audit goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtr

import synth
from benchmarks.mutations import DELTA, MUTATIONS, RUNS, noises, unique_category
from synth.folder import replace
from synth.generators._exact_counts import ExactCounts
from synth.generators._factors import NoisyMarginal
from synth.generators._graphical_model import GraphicalModel
from synth.generators._product_mixture import ProductMixture
from synth.generators.marginals import Marginals, learn
from synth.privacy.accounting import micro_rho, zcdp_epsilon
from synth.privacy.audit import (
    SEES,
    WORST,
    WORST_SIZES,
    Attempts,
    Audit,
    audit_epsilon,
    audit_mu,
    choice_mu,
    claimed_mu,
    gaussian_control,
    gaussian_mu,
    likelihood_ratio,
)
from synth.privacy.canaries import audit_one_run, flip
from synth.privacy.mechanisms import Noise
from synth.progress import silent

STATE = Path("reports/runs/audits.jsonl")
DELTA_OF_EPSILON = 1e-5
EPSILONS = (0.5, 1, 3, 10)
SIDE = 2_000  # runs
CHUNK = 50  # of them to a line
UNIQUE = 10_000  # runs of a threshold
CANARIES = 4_000  # with 2,000 a training with a fiftieth of its noise was seen once and once not
TRAINED = ("diffusion", "gan's critic")  # networks that are trained once on canaries, by `benchmarks.one_run`
TRAINING = (40, 0.5, 4.0)  # steps, sampling rate and noise of these
FAULTY = 0.02  # of the noise, in the control
ROUNDS = 100  # of each mutation, planted and not
CAUGHT = 0.95  # of these
AUDITED = {"network": {"components": 32, "iterations": 2}}  # its post-processing made short: what it measures is what costs


# what is run -------------------------------------------------------------------------------------------------------------


def released(method: str, cost: int, **settings: Any) -> Callable[[np.ndarray, Noise], list[NoisyMarginal]]:
    """What gives the measurements of codes: "counts", the three columns at once; of a method, all that it measures."""
    return lambda codes, noise: fitted(method, codes, noise, cost, **settings)[1]


def fitted(
    method: Any, codes: np.ndarray, noise: Noise, cost: int, **settings: Any
) -> tuple[GraphicalModel | ProductMixture | None, list[NoisyMarginal]]:
    """The model with its default settings, where no others are given, if there is one; and the measurements."""
    counts = ExactCounts(codes, WORST_SIZES, "abc", 1)
    if method == "counts":
        return None, [counts.measure((0, 1, 2), noise, cost)]
    return learn(counts, noise, Marginals(method=method, **{**AUDITED.get(method, {}), **settings}), silent)


def chosen(codes: np.ndarray, noise: Noise, cost: int) -> float:
    """A choice between two candidates, of which the unit moves each by as much as it may."""
    scores = np.array([0.0, 1.0] if len(codes) == len(WORST.without) else [1.0, 0.0])
    return float(noise.choose(scores, cost, sensitivity=1, what="a choice") == 0)


def scores_of(method: str, cost: int) -> dict[str, dict[str, list[float]]]:
    """A chunk of runs a side: the scores of each attack."""
    new_noise = noises(cost, None)
    found: dict[str, dict[str, list[float]]] = {}
    for side, codes in (("without", WORST.without), ("with_", WORST.with_)):
        for _ in range(CHUNK):
            if method == "choose":
                scores = {"black": chosen(codes, new_noise(), cost)}
            else:
                model, measured = fitted(method, codes, new_noise(), cost)
                scores = {"white": likelihood_ratio(measured, WORST)}
                if model is not None:
                    scores["black"] = float(model.marginal((0, 1, 2))[1, 1, 1])
            for attack, score in scores.items():
                found.setdefault(attack, {"without": [], "with_": []})[side].append(score)
    return found


def exact_gaussian_epsilon(deviation: float, delta: float) -> float:
    """The ε at δ of a sum that one unit moves by 1, with Gaussian noise (Balle and Wang 2018, theorem 5)."""
    mu, low, high = 1 / deviation, 0.0, 200.0
    while high - low > 1e-9:
        epsilon = (low + high) / 2
        lost = ndtr(mu / 2 - epsilon / mu) - math.exp(epsilon) * ndtr(-mu / 2 - epsilon / mu)
        low, high = (epsilon, high) if lost > delta else (low, epsilon)
    return high


# the state file ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """A line of the state file: some runs of one thing."""

    what: str  # "gaussian", "unique", "one run", a method, or the name of a mutation
    cost: int  # micro-ρ; of mutations 0
    number: int  # of the chunk, or the seed


def jobs() -> Iterator[Job]:
    """All of them, the quickest first."""
    costs = [micro_rho(epsilon, DELTA_OF_EPSILON) for epsilon in EPSILONS]
    yield from (Job("gaussian", cost, 0) for cost in reversed(costs))
    yield Job("unique", costs[1], 0)
    yield Job("one run", 0, 0)
    yield from (Job(f"one run of {name}", 0, 0) for name in TRAINED)
    yield from (Job(mutation.name, 0, seed) for seed in range(1, ROUNDS + 1) for mutation in MUTATIONS)
    for method in ("counts", "choose", "mst", "aim", "network"):
        yield from (Job(method, cost, chunk) for cost in reversed(costs) for chunk in range(SIDE // CHUNK))


def run(job: Job) -> dict[str, Any]:
    """What is written of a job."""
    if job.what == "gaussian":
        return {"audit": asdict(gaussian_control(job.cost))}
    if job.what == "unique":
        return {
            "audit": asdict(
                unique_category("a category of one row", _shown(job.cost), noises(job.cost, None, delta=DELTA), UNIQUE)
            )
        }
    if job.what == "one run":
        coins = flip(CANARIES)
        scores = coins + np.random.default_rng().normal(0, 1, CANARIES)
        epsilon = exact_gaussian_epsilon(1.0, DELTA_OF_EPSILON)
        return {"audit": asdict(audit_one_run("sums with noise", epsilon, scores, coins, delta=DELTA_OF_EPSILON))}
    if job.what.startswith("one run of "):
        from benchmarks.one_run import audited
        from synth.privacy.sampled_gaussian import NoisySteps

        name, how = job.what.removeprefix("one run of "), NoisySteps(*TRAINING)
        one, other = (audited(name, how, canaries=CANARIES, delta=DELTA_OF_EPSILON, part=part) for part in (1.0, FAULTY))
        return {"audit": asdict(one), "control": asdict(other)}
    if job.cost == 0:
        alarm = next(mutation.alarm for mutation in MUTATIONS if mutation.name == job.what)
        return {"caught": alarm(True, job.number, RUNS), "false alarm": alarm(False, job.number, RUNS)}
    return {"scores": scores_of(job.what, job.cost)}


def _shown(cost: int) -> Callable[[Noise], bool]:
    return lambda noise: "rare" in noise.thresholded({"usual": 40, "rare": 1}, cost, DELTA, what="categories")


def collect(state: Path, seconds: float, only: str) -> None:
    """Run what the state file does not hold yet, until the time is over."""
    state.parent.mkdir(parents=True, exist_ok=True)
    have, ends = set(held(state)), time.monotonic() + seconds
    with state.open("a", encoding="utf-8") as file:
        for job in jobs():
            if job in have or (only and job.what not in only.split(",")):
                continue
            if time.monotonic() > ends:
                return
            file.write(json.dumps({**asdict(job), **run(job)}, allow_nan=False) + "\n")
            file.flush()
            print(f"{job.what} at {job.cost / 1e6:g} ρ, {job.number}", file=sys.stderr)


def held(state: Path) -> dict[Job, dict[str, Any]]:
    """What was run so far; a line that was cut off is run again."""
    found: dict[Job, dict[str, Any]] = {}
    if state.exists():
        for text in state.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
                found[Job(line.pop("what"), line.pop("cost"), line.pop("number"))] = line
            except ValueError:
                continue
    return found


# what is made of it ------------------------------------------------------------------------------------------------------


def audits(found: dict[Job, dict[str, Any]]) -> Iterator[tuple[str, Audit]]:
    """Each audit of a mechanism with the ε that it was run at."""
    for job, line in found.items():
        if "audit" in line:
            yield f"{zcdp_epsilon(job.cost / 1e6, DELTA_OF_EPSILON):.3g}" if job.cost else "–", Audit(**line["audit"])
    for what, cost in dict.fromkeys((job.what, job.cost) for job, line in found.items() if "scores" in line):
        chunks = [line["scores"] for job, line in found.items() if (job.what, job.cost) == (what, cost)]
        epsilon = zcdp_epsilon(cost / 1e6, DELTA_OF_EPSILON)
        for attack in chunks[0]:
            tries = Attempts(*(np.concatenate([chunk[attack][side] for chunk in chunks]) for side in ("without", "with_")))
            for audit in _judged(what, attack, cost, epsilon, tries):
                yield f"{epsilon:.3g}", audit


def _judged(what: str, attack: str, cost: int, epsilon: float, tries: Attempts) -> Iterator[Audit]:
    if what == "choose":
        yield audit_epsilon("a choice, black box", math.sqrt(8 * cost / 1e6), 0.0, tries)
        yield audit_mu("a choice, black box", choice_mu(cost), tries)
    elif attack == "white":
        yield audit_mu(f"{what}, white box", gaussian_mu(cost) if what == "counts" else claimed_mu(cost), tries)
    else:
        yield audit_epsilon(f"{what}, black box", epsilon, DELTA_OF_EPSILON, tries)


def page(found: dict[Job, dict[str, Any]]) -> str:
    """The page that is committed."""
    rows = [
        f"| {audit.what} | {epsilon} | {audit.runs:,} | {audit.of} ≥ {audit.bound:.4f} ({audit.confidence:.0%}) "
        f"| {audit.claim:.4f} | {audit.reached:.0%} | {_verdict(audit)} |"
        for epsilon, audit in audits(found)
    ]
    caught = [_caught(mutation.name, mutation.found_in, mutation.audit, found) for mutation in MUTATIONS]
    controls = [_control(Audit(**line["control"])) for line in found.values() if "control" in line]
    about = "\n".join((__doc__ or "").split("\n\n")[1].splitlines())
    return f"""# Audits of the private mechanisms

Made by `make audit`, Python {sys.version.split()[0]}, synth {synth.__version__}.
{about}

| mechanism | ε | runs a side | lost at least | claim | reached | |
|---|---:|---:|---:|---:|---:|---|
{chr(10).join(rows)}

The claim of a pure Gaussian release and of counts is the exact μ of the discrete Gaussian on whole numbers, which is a little
more than √(2ρ) where one count has little noise (1% at σ = 2, 21% at σ = 0.53, where ε is 10); that of a choice is the exact μ
of an exponential mechanism. MST, AIM and the network (32 components, 2 steps a round) are held to √(2ρ). At ε = 0.5 and 1 it
takes far more than {SIDE:,} runs to see a loss
of that size: the Gaussian release says how many.

## Planted faults

{ROUNDS} audits each on sound code and with the fault planted, {RUNS} runs a side on noise from seeds, {2 * RUNS:,} where
the loss is small beside its claim (double spend, shuffled batches). Each has a test of its name in
tests/privacy/test_audit_mutations.py.

| planted | found in | audit | caught | false alarms |
|---|---|---|---:|---:|
{chr(10).join(caught)}
{_once(controls)}"""


def _once(controls: list[str]) -> str:
    """The section on networks that were trained once, where they were."""
    if not controls:
        return ""
    steps, rate, noise = TRAINING
    return f"""
## One training

`benchmarks.one_run`: {CANARIES:,} canaries in one training of {steps} steps at a sampling rate of {rate:g} with noise of
{noise:g}, through the code that trains each network, white box. Such an audit finds noise that is missing; that it
is halved is found by those above. The control, with {FAULTY:g} of the noise, has to pass its claim.

| training | lost at least | claim | |
|---|---:|---:|---|
{chr(10).join(controls)}
"""


def _control(audit: Audit) -> str:
    seen = "**blind**" if audit.holds else "seen"
    lost = f"ε ≥ {audit.bound:.3f} ({audit.confidence:.0%})"
    return f"| {audit.what}, {FAULTY:g} of the noise | {lost} | {audit.claim:.3f} | {seen} |"


def _verdict(audit: Audit) -> str:
    if not audit.holds:
        return "**passes its claim**"
    return ("sees" if audit.sees else f"**blind**: below {SEES:.0%}") if audit.what == "one Gaussian release" else "holds"


def _caught(name: str, found_in: str, audit: str, found: dict[Job, dict[str, Any]]) -> str:
    lines = [line for job, line in found.items() if job.what == name]
    seen, false = sum(line["caught"] for line in lines), sum(line["false alarm"] for line in lines)
    if not lines:
        return f"| {name} | {found_in} | {audit} | not run yet | |"
    mark = "" if seen >= CAUGHT * len(lines) else " **too few**"
    return f"| {name} | {found_in} | {audit} | {seen} of {len(lines)}{mark} | {false} of {len(lines)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, default=STATE)
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="begin nothing new after so long; run it again to go on"
    )
    parser.add_argument(
        "--only", default="", help="what to run, with commas: gaussian, unique, one run, counts, choose, mst, aim, network"
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    collect(options.state, options.seconds, options.only)
    found = dict(sorted(held(options.state).items(), key=lambda item: _place(item[0])))
    text = page(found)
    print(text)
    if options.out is not None:
        replace(options.out, text)
    sys.exit(any(not audit.holds for _, audit in audits(found)))


def _place(job: Job) -> tuple[int, int, int]:
    order = (
        "gaussian",
        "counts",
        "choose",
        "mst",
        "aim",
        "network",
        "unique",
        "one run",
        *(f"one run of {name}" for name in TRAINED),
    )
    return order.index(job.what) if job.what in order else len(order), job.cost, job.number


if __name__ == "__main__":
    main()
