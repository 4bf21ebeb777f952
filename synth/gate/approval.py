"""`Approval`: a signature over the exact bytes of an export, the verdict, the policy, the generator and the schema.

It is a DSSE envelope around an in-toto Statement v1 with the predicate test-result v0.1. Its subjects are all files that the
export will hold, so none of them can be altered, left out or added to without the signature saying so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from synth import __version__
from synth.data.files import WRITERS
from synth.data.table import HashingSink, Table
from synth.errors import NotApprovedError, VerificationError
from synth.gate.dsse import ATTESTATION, PREDICATE, STATEMENT, opened, seal
from synth.gate.keys import PrivateKey, PublicKey
from synth.gate.leaving import leaving_rows, leaving_verdict
from synth.gate.verdict import Verdict


@dataclass(frozen=True)
class Approval:
    """A signed statement. `documents` are the files that it covers beside the rows, while they are in memory."""

    envelope: bytes
    documents: Mapping[str, bytes] = field(default_factory=dict, compare=False, repr=False)
    signer: PublicKey | None = field(default=None, compare=False, repr=False)  # whose it is, while that is certain

    @cached_property
    def statement(self) -> dict[str, Any]:
        """What was signed."""
        payload, _ = opened(self.envelope)
        statement: dict[str, Any] = json.loads(payload)
        return statement

    @property
    def subjects(self) -> dict[str, str]:
        """The SHA-256 (hex) of every file that may be exported, by name."""
        return {subject["name"]: subject["digest"]["sha256"] for subject in self.statement["subject"]}

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats that the rows may leave in."""
        return tuple(name for name in WRITERS if f"data.{name}" in self.subjects)

    def __repr__(self) -> str:
        try:
            said, files = self.statement["predicate"]["annotations"], ", ".join(self.subjects)
            return f"Approval({said['rows']:,} rows, by {said['approvedBy']!r}, {said['approvedAt']}; covers {files})"
        except (VerificationError, ValueError, LookupError, TypeError):
            return f"Approval({len(self.envelope):,} bytes that are not an approval of synth's)"

    def to_bytes(self) -> bytes:
        """The envelope, as `attestation.json` and `approval.json` hold it."""
        return self.envelope

    @classmethod
    def from_bytes(cls, content: bytes, *, documents: Mapping[str, bytes]) -> Approval:
        """Raises VerificationError where the bytes are not an envelope."""
        opened(content)
        return cls(content, documents)


def approve(
    verdict: Verdict,
    synthetic: Table,
    *,
    by: str,
    key: PrivateKey,
    documents: Mapping[str, bytes],
    formats: Iterable[str] | None = None,
) -> Approval:
    """Sign what a policy approved.

    synthetic: the rows that the verdict is about. documents: every other file of the export, by name. formats: what the rows
    may leave in, by default all that the policy allows. Raises NotApprovedError for a verdict that is not an approval, is about
    other rows, or does not allow a format.
    """
    if verdict.decision != "approved":
        blocking = ", ".join(finding.check for finding in verdict.blocking[:4])
        raise NotApprovedError(f"the verdict is {verdict.decision} ({blocking}); only an approved table is signed")
    judged, given = verdict.context["digests"]["synthetic"], synthetic.digest()
    if judged != given:
        raise NotApprovedError(
            f"the verdict is about other rows (SHA-256 {judged[:12]}…) than these ({given[:12]}…);\nevaluate and judge these"
        )
    wanted = tuple(form for form in verdict.formats if form in WRITERS) if formats is None else tuple(formats)
    for name in wanted:
        if name not in verdict.formats:
            raise NotApprovedError(f"the policy does not let rows leave as {name!r}; it allows {', '.join(verdict.formats)}")
    said, rows = leaving_verdict(verdict, synthetic), leaving_rows(synthetic)
    _check_documents(documents, said)
    subjects = {f"data.{name}": _digest_as(name, rows) for name in wanted}
    subjects |= {name: hashlib.sha256(content).hexdigest() for name, content in documents.items()}
    return Approval(seal(_statement(said, by, subjects), key), documents, key.public)


def _check_documents(documents: Mapping[str, bytes], verdict: Verdict) -> None:
    """Raise NotApprovedError where what goes along with the rows is not this verdict, or would not be a file beside them."""
    if documents.get("verdict.json") != verdict.to_bytes():
        raise NotApprovedError("the documents do not hold this verdict as verdict.json; sign the verdict with its own bytes")
    for name in documents:
        if name in ("", ".", "..", ATTESTATION) or name.startswith("data.") or "/" in name or "\\" in name:
            raise NotApprovedError(f"a document cannot be named {name!r}; give it a plain file name of its own")


def _digest_as(form: str, table: Table) -> str:
    """The SHA-256 of the rows in the bytes of a format, without writing them anywhere."""
    sink = HashingSink()
    WRITERS[form](table, sink)
    return sink.hexdigest()


def _statement(verdict: Verdict, by: str, subjects: Mapping[str, str]) -> dict[str, Any]:
    digests = verdict.context["digests"]
    provenance = verdict.context.get("provenance") or {}
    configuration = [
        {
            "name": f"policy/{verdict.policy}",
            "digest": {"sha256": verdict.policy_digest},
            "annotations": {  # here, since the predicate itself has no field of its own for them
                "version": verdict.policy_version,
                "approvedBy": by,
                "approvedAt": datetime.now(UTC).isoformat(timespec="seconds"),
                "synth": __version__,
                "rows": verdict.context["rows"]["synthetic"],
            },
        },
        {"name": "schema", "digest": {"sha256": digests["schema"]}},
        {"name": "measurements", "digest": {"sha256": digests["measurements"]}},
    ]
    if provenance:
        name, digest = provenance["generator"], provenance["model_digest"]
        configuration.append({"name": f"model/{name}", "digest": {"sha256": digest}})
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": subjects[name]}} for name in sorted(subjects)],
        "predicateType": PREDICATE,
        "predicate": {
            "result": "PASSED",
            "configuration": configuration,
            "passedTests": [f.check for f in verdict.findings if f.outcome == "pass"],
            "warnedTests": [f.check for f in verdict.findings if f.outcome not in ("pass", "report")],
            "failedTests": [],
        },
    }
