"""Make the pages under docs/ that come from the code itself: `make docs`. A test holds that they are up to date."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from docs import attacks, errors
from synth.cli import ORDER
from synth.cli.policies import settings
from synth.config import RunConfig
from synth.gate import schemas
from synth.gate.policy import Check, Policy, packaged
from synth.generators import by_name, names
from synth.metrics import format as form
from synth.metrics.registry import FAMILIES, Metric, metrics

HERE = Path(__file__).resolve().parent
WITHIN = {"policies": ("policies show", "policies validate", "policies diff"), "keys": ("keys new", "keys trust")}
COMMANDS = tuple(one for command in ORDER for one in (command, *WITHIN.get(command, ())))

POLICY_FILES = (
    "A policy of your own is a YAML file of the same form; [its JSON Schema](schemas/policy.schema.json) helps an editor;",
    "`synth policies validate FILE` names every mistake, and `synth policies diff research FILE` says what is looser and what",
    "is tighter. What comes of it, the verdict, has [a form](schemas/verdict.schema.json) as well.",
    "",
    "- A rule's `end` says which end of the 95% interval must keep the limit: the `unfavourable` one (harm is excluded), the",
    "  `estimate` itself, or the `favourable` one (an alarm: it fails where harm is shown, and its silence is no evidence).",
    "- `meaning` says what a doubt comes to (`missing`, `error`, `skipped`, `inconclusive`): `inconclusive` unless it is said",
    "  otherwise, `rejected`, or `noted`. `validity.schema`, exact and unique copies and membership are never noted, and",
    "  no waiver lets them go.",
    "- `attempts.widen` divides the level of each blocking bound by the number of the attempt; after `person_after` attempts a",
    "  person must sign ([decision 013](decisions/013-policies-and-attempts.md)).",
    "- `approvers: 2` asks for two persons who did not ask for the approval; without it the machine's key signs.",
    "- `requires.dp` asks for a budget: `{required: true, max_epsilon: 1, max_delta: 0.000001, unit: subject}`; a run config's",
    "  `privacy` is where it is given, and such a run takes a policy that asks for it.",
    "- `research@3.0.0` and `research@sha256:…` pin a version wherever a policy is named; another one is refused.",
    "",
)


def pages() -> dict[str, str]:
    """Every generated page by file name."""
    return {
        "attacks.md": attacks.page(),
        "command-line.md": _command_line(),
        "errors.md": errors.page(),
        "generators.md": _generators(),
        "metrics.md": _metrics(),
        "policies.md": _policies(),
        "schemas/measurements.schema.json": form.text(),
        "schemas/policy.schema.json": schemas.text(schemas.policy()),
        "schemas/verdict.schema.json": schemas.text(schemas.verdict()),
        "schemas/run-config.schema.json": json.dumps(RunConfig.json_schema(), indent=2, ensure_ascii=False) + "\n",
    }


def _command_line() -> str:
    parts = ["# Command line", "", "Made by `make docs` from `--help`.", ""]
    for command in ("", *COMMANDS):
        shown = f"synth {command}".strip()
        parts += [f"## {shown}", "", "```text", _help(command), "```", ""]
    return "\n".join(parts)


def _help(command: str) -> str:
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb", "GITHUB_ACTIONS": "", "FORCE_COLOR": ""}
    arguments = [sys.executable, "-m", "synth", *command.split(), "--help"]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=True, env=environment)
    lines = [line.rstrip().replace("python -m synth", "synth") for line in ended.stdout.strip().splitlines()]
    return "\n".join(lines)


def _generators() -> str:
    parts = ["# Generators", "", "Made by `make docs` from the code.", ""]
    for name in names():
        kind = by_name(name)
        parts += [f"## {name}", "", kind.summary, ""]
        if kind.ladder:
            parts += [f"`synth fit --policy` chooses among {len(kind.ladder)} settings of {_listed(kind.ladder[0])}.", ""]
        if fields(kind):
            parts += ["| hyperparameter | default |", "|---|---|"]
            parts += [f"| `{field.name}` | `{getattr(kind(), field.name)!r}` |" for field in fields(kind)]
            parts.append("")
    return "\n".join(parts)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _metrics() -> str:
    parts = [
        "# Metrics",
        "",
        "Made by `make docs` from the code. Each comes with its 95% interval, its n and what real rows score.",
        "",
    ]
    for family in FAMILIES:
        parts += [f"## {family}", "", "| metric | better | what it is |", "|---|---|---|"]
        parts += [_row(metric) for metric in metrics() if metric.family == family and not metric.on_request]
        parts.append("")
    parts += [
        "## Other tools' versions",
        "",
        "Computed where they are named (`only=`, `--only`); no policy may block on them.",
        "",
    ]
    parts += ["| metric | better | what it is |", "|---|---|---|"]
    parts += [_row(metric) for metric in metrics() if metric.on_request and "@" in metric.name]
    parts += [
        "",
        "## Of rows made under a privacy budget",
        "",
        "Computed in a run with `privacy:`, and where they are named, without a look at real rows: against noisy counts that",
        "were paid for ([decision 027](decisions/027-run-under-a-budget.md)).",
        "",
    ]
    parts += ["| metric | better | what it is |", "|---|---|---|"]
    parts += [_row(metric) for metric in metrics() if metric.on_request and "@" not in metric.name]
    return "\n".join([*parts, ""])


def _row(metric: Metric) -> str:
    return f"| `{metric.name}` | {metric.better} | {metric.summary} |"


def _policies() -> str:
    parts = ["# Policies", "", "Made by `make docs` from the packaged policies.", "", *POLICY_FILES]
    for name in packaged():
        policy = Policy.load(name)
        parts += [f"## {policy.name} {policy.version}", "", policy.description.strip(), ""]
        parts += [f"- {heading}: {said}" for heading, said in settings(policy)]
        parts += [f"- pin: `{policy.name}@{policy.version}`, or `{policy.name}@sha256:{policy.digest()[:16]}`", ""]
        parts += ["| measure | limit | what counts | severity | why |", "|---|---|---|---|---|"]
        for check in policy.checks:
            limit = _limit(check)
            parts.append(f"| `{check.measure}` | {limit} | {_asks(check)} | {check.severity} | {check.why} |")
        parts.append("")
    return "\n".join(parts)


def _limit(check: Check) -> str:
    if check.excess is not None:
        sign = "−" if check.excess < 0 else "+"
        return f"reference {sign} {abs(check.excess):g}" + (f" + {check.relative:.0%} of it" if check.relative else "")
    return "–" if check.limit is None else f"{check.limit:g}"


def _asks(check: Check) -> str:
    """Who bears the doubt under this rule."""
    if check.severity == "report":
        return "–"
    if check.end == "favourable":
        return "harm shown (favourable end)"
    if check.end == "estimate":
        return "the figure itself"
    if check.insufficient == "note":
        return "harm shown; too few rows are noted"
    return "whole interval" if check.confidence == 0.975 else f"one-sided {check.confidence:.0%} bound"


if __name__ == "__main__":
    (HERE / "schemas").mkdir(exist_ok=True)
    for file, text in pages().items():
        (HERE / file).write_text(text, encoding="utf-8")
        print(HERE / file)
