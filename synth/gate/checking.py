"""What an approval must stand up to, part by part: its signatures, the files, and the documents among them.

`verify` does this with folders; whoever keeps an export elsewhere hands in what is there. Needs only `cryptography`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from synth.errors import VerificationError
from synth.gate.dsse import ATTESTATION, all_signed_by, opened
from synth.gate.keys import PublicKey
from synth.gate.revocation import Revocations
from synth.gate.statement import Statement, is_rows, layout_of, shown
from synth.gate.terms import CLOCK_SKEW, now

VERDICT, POLICY = "verdict.json", "policy.json"
NO_FILE = "not a file"  # in the place of the digest of what is none


# the signatures ----------------------------------------------------------------------------------------------------------


def check_signatures(
    envelope: bytes, known: Collection[PublicKey], *, where: str = "", revocations: Revocations
) -> tuple[Statement, tuple[PublicKey, ...]]:
    """What an approval says and who signed it, where it counts today. Raises VerificationError."""
    signers = _signers(envelope, known, where)
    payload, _ = opened(envelope)
    stated = Statement.parse(payload)
    if len(signers) != stated.signers:
        what = "one was taken away, or is still to come" if len(signers) < stated.signers else "one was added"
        raise VerificationError(f"{len(signers)} signed, and the approval says that {stated.signers} do: {what}")
    if not stated.automatic and stated.requester in {one.keyid for one in signers}:
        raise VerificationError(f"the requester's own key ({stated.requester[:16]}…) signed, where somebody else must approve")
    for keyid in (one.keyid for one in signers):
        if said := revocations.reason(keyid=keyid):
            raise VerificationError(f"revoked: {said}")
    if said := revocations.reason(payload=hashlib.sha256(payload).hexdigest()):
        raise VerificationError(f"revoked: {said}")
    _check_dates(stated)
    return stated, signers


def _signers(envelope: bytes, known: Collection[PublicKey], where: str) -> tuple[PublicKey, ...]:
    """The trusted keys whose signatures hold: all that are there."""
    signers = all_signed_by(envelope, known)
    if signers:
        return signers
    _, signatures = opened(envelope)
    unknown = [keyid for keyid, _ in signatures if keyid not in {one.keyid for one in known}]
    if unknown:
        raise VerificationError(
            f"signed by an unknown key ({shown(unknown[0][:16])}…), {where};\n"
            "give the approver's public key with --key, if the approver gave it to you"
        )
    raise VerificationError(
        f"{ATTESTATION} was altered: the signature of key {signatures[0][0][:16]}… does not fit its content"
    )


def _check_dates(stated: Statement) -> None:
    today = now()
    if stated.approved_at > today + CLOCK_SKEW:
        raise VerificationError(
            f"it was approved at {stated.approved_at.isoformat()}, and this machine's clock says {today.isoformat()}:\n"
            "one of the two clocks is wrong, so that nobody can say whether the approval still holds; set this one right"
        )
    if today >= stated.expires:
        raise VerificationError(f"the approval expired on {stated.expires.isoformat()}; ask for a new one")


# the files ---------------------------------------------------------------------------------------------------------------


def check_files(stated: Statement, present: Collection[str], digest: Callable[[str], str]) -> dict[str, str]:
    """Hold every file against what was signed; the SHA-256 (hex) of each, by name.

    present: the names of all files that are there, but the attestation. digest: gives the SHA-256 (hex) of one of them, or
    NO_FILE. Raises VerificationError.
    """
    layout = layout_of(dict.fromkeys(present))
    if layout is None or not stated.rows_in(layout):
        strange = f"; {shown(layout)} is a format that was not signed" if layout else ""
        raise VerificationError(f"the rows are missing: none of the signed data files is here{strange}")
    wanted = {name: stated.signed(name, layout) for name in (*stated.documents(layout), *stated.rows_in(layout))}
    found = {name: digest(name) for name in sorted(wanted) if name in present}
    differing = [name for name in found if found[name] != wanted[name]]
    if any(is_rows(name) for name in differing) and VERDICT in differing:
        raise VerificationError(
            f"{ATTESTATION} is about other files: {', '.join(differing)} differ from what it signs; it is of another export"
        )
    if differing:
        name = differing[0]
        if found[name] == NO_FILE:
            raise VerificationError(f"{name} is not a file: a folder or a device stands in its place; ask for the export again")
        more = f" (and {len(differing) - 1} more)" if len(differing) > 1 else ""
        raise VerificationError(
            f"{name} was altered: its SHA-256 is {found[name][:16]}…, signed was {str(wanted[name])[:16]}…{more}"
        )
    needed = wanted if layout == "huggingface" else [name for name in wanted if not is_rows(name)]
    missing = [name for name in (*needed, VERDICT, POLICY) if name not in present]
    if missing:
        raise VerificationError(f"{missing[0]} is missing: it was signed as a part of the export")
    strange_names = sorted(set(present) - set(wanted))
    if strange_names:
        raise VerificationError(
            f"{shown(strange_names[0])} is not covered by the signature: it was added afterwards; remove it"
        )
    return found


# the documents -----------------------------------------------------------------------------------------------------------


def check_documents(stated: Statement, verdict: bytes, rules: bytes, revocations: Revocations) -> str:
    """Hold the verdict and the policy of an export against each other and against what was signed; the policy's profile.

    Raises VerificationError.
    """
    if (found := hashlib.sha256(rules).hexdigest()) != stated.policy_digest:
        raise VerificationError(
            f"{POLICY} is another policy ({found[:16]}…) than the one that approved ({stated.policy_digest[:16]}…)"
        )
    try:
        said, policy = json.loads(verdict), json.loads(rules)
        decision, digest, judged = said["decision"], said["policy"]["digest"], said["context"]["digests"]["synthetic"]
        waived = [finding["waiver"] for finding in said["findings"] if finding["waiver"] is not None]
        attempt, profile = said["attempt"], str(policy["profile"])
        persons, days = _persons(policy, stated), timedelta(days=policy["approvers"]["days"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise VerificationError(f"{VERDICT} is not a verdict of synth's, or {POLICY} no policy ({problem!r})") from problem
    if digest != stated.policy_digest:
        raise VerificationError(f"{VERDICT} names another policy than the one that was signed")
    if decision != "approved":
        raise VerificationError(f"{VERDICT} says {decision!r}: this table was not approved")
    if attempt != stated.attempt:
        raise VerificationError(f"{VERDICT} is of attempt {attempt}, and what was signed is attempt {dict(stated.attempt)}")
    if _distinct(waived) != _distinct(waiver.to_dict() for waiver in stated.waivers):
        raise VerificationError(
            f"{VERDICT} was waived otherwise than what was signed: {len(waived)} findings, {len(stated.waivers)} waivers"
        )
    for waiver in stated.waivers:
        if waiver.synthetic != judged or waiver.policy_digest != stated.policy_digest:
            raise VerificationError(f"the waiver of {shown(waiver.check)} is about another table, or another policy, than this")
    check_waivers(stated, revocations)
    if persons > stated.signers or (persons and stated.automatic):
        by = "a machine alone" if stated.automatic else f"{stated.signers}"
        raise VerificationError(f"the policy wants {persons} of its approvers to sign, and this was approved by {by}")
    if stated.expires - stated.approved_at > days:
        raise VerificationError(f"it was approved for longer than the {days.days} days that the policy allows")
    return profile


def _persons(policy: Mapping[str, Any], stated: Statement) -> int:
    """How many persons must sign under a policy; 0 where the key of the machine that judged is enough."""
    often = stated.attempt["number"] > policy["attempts"]["person_after"]
    approvers = policy["approvers"]
    return int(approvers["count"]) if stated.waivers or often or not approvers["automatic"] else 0


def check_waivers(stated: Statement, revocations: Revocations) -> None:
    """Raise VerificationError for a waiver that has run out since, or whose signer is no longer believed."""
    for waiver in stated.waivers:
        if now() >= datetime.fromisoformat(waiver.expires):
            raise VerificationError(f"the waiver of {shown(waiver.check)} expired on {waiver.expires}; ask for a new approval")
        if said := revocations.reason(keyid=waiver.keyid):
            raise VerificationError(f"the waiver of {shown(waiver.check)} no longer holds: {said}")


def _distinct(waivers: Iterable[Mapping[str, Any]]) -> set[str]:
    return {json.dumps(waiver, sort_keys=True) for waiver in waivers}


def check_policy(stated: Statement, wanted: str | Path) -> None:
    """Raise VerificationError where another policy approved than the one that is wanted: a file, name or SHA-256 (hex)."""
    asked, digest = _policy(wanted, stated.policy_digest)
    if digest != stated.policy_digest:
        raise VerificationError(
            f"approved under another policy: {shown(stated.policy)} {shown(stated.policy_version)} "
            f"({stated.policy_digest[:16]}…), asked for was {asked} ({digest[:16]}…)"
        )


def _policy(wanted: str | Path, expected: str) -> tuple[str, str]:
    """A policy's name in words, and its SHA-256 (hex)."""
    file = Path(wanted)
    if re.fullmatch("[0-9a-f]{64}", str(wanted)):
        return "another", str(wanted)
    content = file.read_bytes() if file.is_file() else b""
    digest = hashlib.sha256(content).hexdigest()
    if digest == expected:
        return "the same", digest
    if content.startswith(b'{"') and (asked := _canonical(content)):  # an export's policy.json: as it was judged
        return asked, digest
    from synth.gate.policy import Policy  # only here: reading YAML needs more than `cryptography`

    policy = Policy.load(wanted)
    return f"{policy.name} {policy.version}", policy.digest()


def _canonical(content: bytes) -> str | None:
    """Name and version of a policy that is written in the form that its digest is of; None for one that is not."""
    try:
        document = json.loads(content)
        written = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        return f"{document['name']} {document['version']}" if written == content else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
