"""What follows from a verdict: an approval, where the policy lets this machine sign alone, or a request that people sign."""

from __future__ import annotations

import json
from pathlib import Path

from synth.approving import Notice, approve, persons_needed, request
from synth.folder import replace
from synth.gate.approval import Approval
from synth.gate.keys import Signer, default_key
from synth.gate.verdict import Verdict

APPROVAL = "approval.json"
REQUEST = "request.json"  # what people are asked to sign, under the signature of the machine that judged
REJECTION = "rejection.json"
POLICY = "policy.json"  # the rules that the verdict was made under, in their canonical form
ATTEMPTS = "attempts.json"


def settle(
    folder: Path,
    verdict: Verdict,
    *,
    key: Signer | None = None,
    by: str | None = None,
    notice: Notice = lambda text: None,
) -> Approval | None:
    """Leave a verdict in a run folder, and what follows from it: an approval, or a request that people sign, or neither.

    Returns the approval where nobody else need sign.
    """
    for name in (APPROVAL, REQUEST):
        (folder / name).unlink(missing_ok=True)  # first: an approval never outlives its verdict
    replace(folder / "verdict.json", verdict.to_bytes())
    assert verdict.rules is not None
    replace(folder / POLICY, verdict.rules)
    _remember(folder, verdict)
    if verdict.decision != "approved":
        return None
    persons = max(persons_needed(verdict), int((folder / REJECTION).is_file()))
    if persons:
        replace(folder / REQUEST, request(verdict, persons=persons, notice=notice).to_bytes())
        return None
    approval = approve(verdict, by=by, key=key, notice=notice)
    replace(folder / APPROVAL, approval.to_bytes())
    return approval


def _remember(folder: Path, verdict: Verdict) -> None:
    """Add the attempt to those that the run was judged in, so that a log which forgets one is noticed."""
    if verdict.attempt is None:
        return
    new = {
        "number": verdict.attempt.number,
        "entry": verdict.entry,
        "policy": verdict.policy,
        "policy_digest": verdict.policy_digest,
        "machine": default_key().keyid,
    }
    file = folder / ATTEMPTS
    earlier = json.loads(file.read_bytes())["attempts"] if file.is_file() else []
    kept = [attempt for attempt in earlier if attempt["entry"] != new["entry"]]
    replace(folder / ATTEMPTS, json.dumps({"attempts": [*kept, new]}, indent=1) + "\n")
