"""Make the pages under docs/ that come from the code itself: `make docs`. A test holds that they are up to date."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import synth
import synth.check
import synth.errors
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

SHOW_HELP = """
import contextlib, io, sys
from synth.cli import app, load_commands

load_commands()
for command in sys.stdin.read().split("\\n"):
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        app([*command.split(), "--help"], prog_name="synth", standalone_mode=False)
    print(shown.getvalue(), end="\\0")
"""

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
    "- Whatever a policy says, exact figures about rows made under a budget approve nothing (`requires.public_figures`,",
    "  [decision 030](decisions/030-internal-and-public.md)).",
    "- `research@3.0.0` and `research@sha256:…` pin a version wherever a policy is named; another one is refused.",
    "",
)


def pages() -> dict[str, str]:
    """Every generated page by file name."""
    return {
        "attacks.md": attacks.page(),
        "command-line.md": _command_line(),
        "decisions/index.md": _decisions(),
        "errors.md": errors.page(),
        "generators.md": _generators(),
        "metrics.md": _metrics(),
        "policies.md": _policies(),
        "python.md": _python(),
        "run-config.md": _run_config(),
        "schemas/measurements.schema.json": form.text(),
        "schemas/policy.schema.json": schemas.text(schemas.policy()),
        "schemas/verdict.schema.json": schemas.text(schemas.verdict()),
        "schemas/run-config.schema.json": json.dumps(RunConfig.json_schema(), indent=2, ensure_ascii=False) + "\n",
    }


def _command_line() -> str:
    parts = ["# Command line", "", "Made by `make docs` from `--help`.", ""]
    for command, said in zip(("", *COMMANDS), _helps(("", *COMMANDS)), strict=True):
        parts += [f"## {f'synth {command}'.strip()}", "", "```text", said, "```", ""]
    return "\n".join(parts)


def _helps(commands: tuple[str, ...]) -> list[str]:
    """What `--help` says of each command, in a process of its own: a terminal's width and colours are read when it begins."""
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb", "GITHUB_ACTIONS": "", "FORCE_COLOR": ""}
    ended = subprocess.run(
        [sys.executable, "-c", SHOW_HELP],
        input="\n".join(commands),
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    said = ended.stdout.split("\0")[:-1]
    return ["\n".join(line.rstrip() for line in text.strip().splitlines()) for text in said]


def _decisions() -> str:
    parts = ["# Decisions", "", "Made by `make docs`. What was decided, why, and what was tried; a page each.", ""]
    for file in sorted((HERE / "decisions").glob("[0-9]*.md")):
        title = re.sub(r"^[#\s\d]+[.:·]\s*", "", file.read_text(encoding="utf-8").splitlines()[0])
        parts.append(f"- {file.name[:3]}: [{title[0].upper()}{title[1:]}]({file.name})")
    return "\n".join([*parts, ""])


def _python() -> str:
    """What the site's build fills in from the docstrings; the names are `synth.__all__`."""
    parts = [
        "# Python",
        "",
        "Made by `make docs`: everything that `import synth` gives, from its docstrings (filled in by `make site`).",
        "Every name is imported when it is first used. A method of scikit-learn's habits: `get_params`, `set_params`, `clone`.",
        "",
    ]
    for name in synth.__all__:
        if name in synth._WHERE:
            parts += [f"## synth.{name}", "", f"::: {synth._WHERE[name]}.{name}", ""]
    for module, public in {"synth.check": synth.check.__all__, "synth.errors": ("SynthError", "did_you_mean")}.items():
        for name in public:
            if name.isupper():
                continue
            value = getattr(sys.modules[module], name)
            parts += [f"## {module}.{name}", "", f"::: {value.__module__}.{name}", ""]
    return "\n".join(parts)


def _run_config() -> str:
    """Every key of a run config, from its JSON Schema."""
    document = RunConfig.json_schema()
    parts = [
        "# Run config",
        "",
        "Made by `make docs` from the code; [its JSON Schema](schemas/run-config.schema.json) helps an editor, and",
        "`synth init DATA` writes one for your own table. `${NAME}` and `${NAME:-default}` stand for environment variables. A",
        "path that is not absolute starts at the working folder. `synth run FILE --set a.b=value` changes one for one run.",
        "",
        *_keys("", document, document["$defs"]),
    ]
    for name, part in document["properties"].items():
        within = _part_of(part, document["$defs"])
        if within is not None:
            parts += [f"## {name}", "", *_said(within), *_keys(f"{name}.", within, document["$defs"])]
    return "\n".join(parts)


def _said(part: Mapping[str, Any]) -> list[str]:
    return [part["description"], ""] if "description" in part else []


def _keys(path: str, part: Mapping[str, Any], parts: Mapping[str, Any]) -> list[str]:
    lines = ["| key | value | default | what it is |", "|---|---|---|---|"]
    for name, value in part["properties"].items():
        within = _part_of(value, parts)
        needed = name in part.get("required", ())
        default = (
            "needed"
            if needed
            else ""
            if "default" not in value or within is not None
            else f"`{json.dumps(value.get('default'), ensure_ascii=False)}`"
        )
        about = value.get("description") or ("see below" if within is not None else "")
        lines.append(f"| `{path}{name}` | {_kind(value, parts)} | {default} | {about} |")
    return [*lines, ""]


def _part_of(value: Mapping[str, Any], parts: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The part of a config that a value is, or may be."""
    for one in (value, *value.get("anyOf", ())):
        if "$ref" in one:
            return dict(parts[one["$ref"].rsplit("/", 1)[1]])
    return None


def _kind(value: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    if "$ref" in value:
        return "a mapping"
    if "enum" in value:
        return ", ".join(f"`{one}`" for one in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_kind(one, parts) for one in value["anyOf"] if one.get("type") != "null"))
    if value.get("type") == "array":
        items = value.get("items", {})
        return f"a list of {_kind(items, parts)}" if items else "a list"
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    kinds = {
        "string": "text",
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "object": "a mapping",
    }
    said = kinds.get(str(value.get("type")), "anything")
    return said + "".join(f" {sign} {value[key]:g}" for key, sign in bounds.items() if key in value)


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
