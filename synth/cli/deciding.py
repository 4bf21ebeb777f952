"""Commands by which people decide: approve, reject, waive, revoke; and the keys that they sign with."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from synth.cli import app
from synth.cli.screen import AsJson, notice, out, print_json
from synth.errors import InputError

RunFolder = Annotated[Path, typer.Argument(help="A run folder, or one that `synth evaluate` made.", metavar="RUN")]
OwnKey = Annotated[
    str, typer.Option("--key", help="Your private key: a file, or env:NAME for a variable that holds one.", metavar="KEY")
]
Reason = Annotated[str, typer.Option(help="Why, in a sentence; it is signed.", metavar="TEXT")]

keys = typer.Typer(help="The keys of this machine: list them, make one, trust somebody's.", invoke_without_command=True)
app.add_typer(keys, name="keys", epilog="Example: synth keys new ada")


@app.command(epilog="Example: synth approve reports/runs/adult --key ada.pem")
def approve(
    run: RunFolder,
    key: OwnKey,
    by: Annotated[str | None, typer.Option(help="Your name, for an approval with one signature.", metavar="NAME")] = None,
    as_json: AsJson = False,
) -> None:
    """Sign an approval in person: where the policy, a waiver or the number of attempts asks for people, or for the machine.

    Several people each sign with a key of their own; the key of the machine that judged never counts as one of them.
    """
    from synth.run_folder import Run

    approval = Run.open(run).approve(key, by=by, notice=notice)
    if as_json:
        print_json({"run": str(run), "signers": approval.terms.signers, "missing": approval.missing})
    elif approval.missing:
        out.print(f"signed; {approval.missing} of {approval.terms.signers} signatures are missing", soft_wrap=True)
    else:
        out.print(f"signed; now it may leave: synth export {run} --to DIR", soft_wrap=True, markup=False)


@app.command(epilog="Example: synth reject reports/runs/adult --key ada.pem --by Ada --reason 'the source was withdrawn'")
def reject(
    run: RunFolder,
    key: OwnKey,
    by: Annotated[str, typer.Option(help="Who rejects.", metavar="NAME")],
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Sign that these rows are not to leave, whatever the policy says. An approval is withdrawn."""
    from synth.run_folder import Run

    file = Run.open(run).reject(key, by=by, reason=reason)
    if as_json:
        print_json({"run": str(run), "rejection": str(file)})
    else:
        out.print(f"rejected; signed in {file}", soft_wrap=True, markup=False)


@app.command(
    epilog="Example: synth waive reports/runs/adult --check fidelity.detection --key ada.pem --by Ada --owner Bo --days 30 "
    "--reason 'for a pilot of three weeks'"
)
def waive(
    run: RunFolder,
    check: Annotated[str, typer.Option(help="The check, as the verdict names it.", metavar="CHECK")],
    key: OwnKey,
    by: Annotated[str, typer.Option(help="Who lets it go.", metavar="NAME")],
    owner: Annotated[str, typer.Option(help="Who answers for what follows.", metavar="NAME")],
    reason: Reason,
    days: Annotated[int, typer.Option(min=1, max=90, help="How long it holds.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Let one check of these rows go for a while, in writing: it stands in the verdict, the report and the card.

    It counts at the next `synth gate`, for these rows and this policy alone; a person must then approve. The schema, copies and
    membership can never be waived.
    """
    from synth.run_folder import Run

    waiver, file = Run.open(run).waive(check, key, owner=owner, reason=reason, approver=by, days=days)
    if as_json:
        print_json({"run": str(run), "waiver": waiver.to_dict(), "file": str(file)})
    else:
        out.print(f"{check} is waived until {waiver.expires}; now judge again: synth gate {run}", soft_wrap=True, markup=False)


@app.command(epilog="Example: synth revoke exports/adult --key ada.pem --by Ada --reason 'a copy was found'")
def revoke(
    what: Annotated[
        Path, typer.Argument(help="An export, its attestation, an approval, or a public key's file.", metavar="EXPORT|PUB")
    ],
    key: OwnKey,
    by: Annotated[str, typer.Option(help="Who revokes.", metavar="NAME")],
    reason: Reason,
    to: Annotated[
        Path | None, typer.Option("--list", help="The list to add to; by default this machine's own.", metavar="FILE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take back an approval, or a key with all that it signed: one more signed line in a list that is handed to receivers."""
    from synth.gate.keys import signer_of
    from synth.gate.revocation import own_list
    from synth.gate.revocation import revoke as add

    kind, digest = _revocable(what)
    entry = add(kind, digest, reason=reason, by=by, key=signer_of(key), path=to)
    file = own_list() if to is None else to
    if as_json:
        print_json({"revoked": kind, "digest": digest, "at": entry.at, "list": str(file)})
    else:
        out.print(
            f"{kind} {digest[:16]}… is revoked in {file};\nhand it to whoever verifies: synth verify DIR --revocations FILE",
            soft_wrap=True,
            markup=False,
        )


def _revocable(path: Path) -> tuple[Literal["key", "approval"], str]:
    """What a path names: a public key by its id, an approval by the SHA-256 of what was signed."""
    from synth.gate.dsse import ATTESTATION, opened
    from synth.gate.keys import PublicKey

    if path.suffix == ".pub":
        return "key", PublicKey.load(path).keyid
    file = path / ATTESTATION if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"{path} holds nothing that can be revoked; give an export, its {ATTESTATION}, or a public key's .pub")
    payload, _ = opened(file.read_bytes())
    return "approval", hashlib.sha256(payload).hexdigest()


@keys.callback(invoke_without_command=True)
def list_all(context: typer.Context, as_json: AsJson = False) -> None:
    """List the keys that this machine trusts; a first pair of its own is made where there is none."""
    from rich.table import Table as Grid

    from synth.gate.keys import default_key, list_keys

    if context.invoked_subcommand is not None:
        return
    default_key(notice=notice)
    known = list_keys()
    if as_json:
        print_json({"keys": [key.to_dict() for key in known]})
        return
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "key id", "can sign", "public key file"):
        grid.add_column(heading, overflow="fold")
    for key in known:
        grid.add_row(escape(key.name), key.keyid, "yes" if key.can_sign else "no", escape(str(key.public_file)))
    out.print(grid)


@keys.command("new", epilog="Example: synth keys new ada")
def new(
    name: Annotated[str, typer.Argument(help="Whose key it is; the files are called so.", metavar="NAME")],
    as_json: AsJson = False,
) -> None:
    """Make a pair of keys for a person, and trust it here. The private half is for the person alone."""
    from synth.folder import home
    from synth.gate.keys import new_key

    key = new_key(name)
    folder = home() / "keys"
    if as_json:
        print_json(
            {"name": name, "keyid": key.keyid, "private": str(folder / f"{name}.pem"), "public": str(folder / f"{name}.pub")}
        )
    else:
        out.print(
            f"private  {folder / name}.pem   move it to where only {name} can read it\n"
            f"public   {folder / name}.pub   give it to whoever is to verify what {name} signs",
            soft_wrap=True,
            markup=False,
        )


@keys.command("trust", epilog="Example: synth keys trust ada.pub")
def trust(
    file: Annotated[Path, typer.Argument(help="A public key.", metavar="PUB")],
    name: Annotated[
        str | None, typer.Option(help="What this machine calls its owner; by default the file's name.", metavar="NAME")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Believe what somebody's key signs: approvals, waivers, seals, revocations. Have it from its owner, not from a folder."""
    from synth.gate.keys import trust as add

    known = add(file, name)
    if as_json:
        print_json(known.to_dict())
    else:
        out.print(f"trusted as {known.name}: {known.keyid}", soft_wrap=True, markup=False)
