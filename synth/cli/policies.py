"""The commands `synth policies`: list, show, validate, diff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table as Grid
from typer.core import TyperGroup

from synth.cli import app, completing
from synth.cli.screen import AsJson, out, print_json

if TYPE_CHECKING:
    from synth.gate.policy import Policy
    from synth.gate.rules import Check

Named = Annotated[
    str,
    typer.Argument(help="A packaged policy, or a policy file.", metavar="NAME_OR_FILE", autocompletion=completing.policies),
]
JSON = "--json"


class ShownByName(TyperGroup):
    """`synth policies research` is short for `synth policies show research`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["show", *args]
        if ctx.params.get("as_json") and JSON not in args:
            args = [*args, JSON]
        return super().resolve_command(ctx, args)


policies = typer.Typer(
    cls=ShownByName,
    help="List the packaged policies; show one, check a file of one's own, or compare two.",
    invoke_without_command=True,
)
app.add_typer(policies, name="policies", epilog="Example: synth policies privacy-release")


@policies.callback(invoke_without_command=True)
def list_all(context: typer.Context, as_json: AsJson = False) -> None:
    """List the packaged policies; show one, check a file of one's own, or compare two."""
    from synth.gate.policy import Policy, packaged

    if context.invoked_subcommand is not None:
        return
    known = [Policy.load(name) for name in packaged()]
    if as_json:
        print_json({policy.name: policy.model_dump(mode="json") for policy in known})
        return
    grid = _grid("policy", "version", "rows for", "rules", "what it is for")
    for policy in known:
        grid.add_row(policy.name, policy.version, policy.profile, str(len(policy.checks)), escape(policy.title))
    out.print(grid)


@policies.command("show", epilog="Example: synth policies show research@3.0.0")
def show(name: Named, as_json: AsJson = False) -> None:
    """Show one policy: its settings, its digest, and its rules, each with its reason."""
    from synth.gate.policy import Policy

    policy = Policy.load(name)
    if as_json:
        print_json({policy.name: policy.model_dump(mode="json")})
        return
    out.print(f"[bold]{policy.name} {policy.version}[/] {escape(policy.title)}\n{escape(policy.description)}\n")
    for heading, said in settings(policy):
        out.print(f"{heading:<10} {said}", soft_wrap=True, markup=False)
    out.print(f"{'pin':<10} {policy.name}@sha256:{policy.digest()[:16]}\n", soft_wrap=True, markup=False)
    grid = _grid("measure", "limit", "what counts", "severity", "why")
    for check in policy.checks:
        grid.add_row(check.measure, _limit(check), _counts(check), check.severity, escape(check.why))
    out.print(grid)


@policies.command("validate", epilog="Example: synth policies validate mine.yaml")
def validate(file: Annotated[str, typer.Argument(help="A policy file.", metavar="FILE")], as_json: AsJson = False) -> None:
    """Check a policy file and name every mistake in it, with the nearest right word; exit code 2 where there is one."""
    from synth.errors import ConfigError
    from synth.gate.policy import Policy, text_of
    from synth.gate.soundness import unsound

    text = text_of(file)
    wrong = Policy.mistakes(text)
    if not wrong:
        try:
            wrong = unsound(Policy.load(file))
        except ConfigError as problem:  # what only the whole shows: a packaged policy's name on another one
            wrong = (str(problem),)
    policy = None if wrong else Policy.load(file)
    if as_json:
        found = None if policy is None else {"name": policy.name, "version": policy.version, "digest": policy.digest()}
        print_json({"file": file, "policy": found, "mistakes": list(wrong)})
    elif policy is not None:
        out.print(
            f"{policy.name} {policy.version} is sound: {len(policy.checks)} rules; sha256:{policy.digest()}", soft_wrap=True
        )
    for mistake in wrong if not as_json else ():
        out.print(f"{file}: {mistake}", soft_wrap=True, markup=False)
    raise typer.Exit(2 if wrong else 0)


@policies.command("diff", epilog="Example: synth policies diff research mine.yaml")
def diff(first: Named, second: Named, as_json: AsJson = False) -> None:
    """Say what the second policy has otherwise than the first, and what of it is looser or tighter; exit code 1 if anything."""
    from synth.gate.differences import differences
    from synth.gate.policy import Policy

    found = differences(Policy.load(first), Policy.load(second))
    if as_json:
        print_json({"first": first, "second": second, "differences": [difference.to_dict() for difference in found]})
    else:
        for difference in found:
            out.print(str(difference), soft_wrap=True, markup=False)
        if not found:
            out.print("no difference")
    raise typer.Exit(1 if found else 0)


def settings(policy: Policy) -> list[tuple[str, str]]:
    """What a policy says beside its rules, a line each."""
    need, budget, who, again, let = policy.requires, policy.requires.dp, policy.approvers, policy.attempts, policy.waivers
    wanted = [
        *(["real rows held out"] if need.holdout else []),
        *(f"{least:,} {side} rows" for side, least in _least(policy) if least > 1),
        *(["a target"] if need.target else []),
        *(["sensitive columns"] if need.sensitive else []),
        *([f"{need.seeds} fits"] if need.seeds > 1 else []),
        *([f"ε ≤ {budget.max_epsilon:g} and δ ≤ {budget.max_delta:g} by {budget.unit}"] if budget.required else []),
    ]
    doubts = policy.meaning.model_dump()
    kinds = {said: [name for name, meant in doubts.items() if meant == said] for said in dict.fromkeys(doubts.values())}
    signs = "the machine alone" if who.automatic else f"{who.count} person{'s' if who.count > 1 else ''}"
    apart = "" if who.automatic or not who.separate else ", none of them the requester"
    widened = "each attempt shares the level of its bounds; " if again.widen else ""
    never = f"; never {', '.join(let.never)}" if let.never else ""
    return [
        ("rows for", policy.profile),
        ("requires", ", ".join(wanted) or "nothing"),
        ("doubts", "; ".join(f"{', '.join(names)}: {said}" for said, names in kinds.items())),
        ("waivers", f"for at most {let.max_days} days{never}" if let.allowed else "none"),
        ("signed by", f"{signs}{apart}; for {who.days} days"),
        ("attempts", f"{widened}a person signs after {again.person_after}"),
        ("formats", ", ".join(policy.formats)),
    ]


def _least(policy: Policy) -> tuple[tuple[str, int], ...]:
    need = policy.requires
    return (("training", need.min_train), ("held-out", need.min_holdout), ("synthetic", need.min_synthetic))


def _limit(check: Check) -> str:
    if check.excess is None:
        return "" if check.limit is None else f"{check.limit:g}"
    sign = "-" if check.excess < 0 else "+"
    return f"real rows {sign} {abs(check.excess):g}" + (f" + {check.relative:.0%} of it" if check.relative else "")


def _counts(check: Check) -> str:
    if check.severity == "report":
        return ""
    few = f", from {check.min_rows:,} on" if check.min_rows else ""
    if check.end == "unfavourable" and check.insufficient == "note":
        return f"harm shown; few rows are noted{few}"
    return {"unfavourable": f"{check.confidence:.1%} bound", "estimate": "the figure", "favourable": "harm shown"}[
        check.end
    ] + few


def _grid(*headings: str) -> Grid:
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        grid.add_column(heading, overflow="fold")
    return grid
