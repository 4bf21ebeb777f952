"""`Approval`: signatures over the exact bytes of an export, the verdict, the policy, the generator and the schema.

It is a DSSE envelope around an in-toto Statement v1 with the predicate test-result v0.1. Its subjects are all files that the
export will hold, so none of them can be altered, left out or added to without the signatures saying so. Where several people
must sign, they sign the very same payload, which states how many are needed and who asked; who asked is never one of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from synth import __version__
from synth.data.table import Table
from synth.errors import NotApprovedError, VerificationError
from synth.gate.dsse import ATTESTATION, PREDICATE, STATEMENT, add_signature, opened, seal
from synth.gate.evidence_page import check_evidence
from synth.gate.forms import formats_of, signed_digests
from synth.gate.keys import PublicKey, Signer
from synth.gate.leaving import leaving_rows, leaving_verdict
from synth.gate.statement import LAYOUTS
from synth.gate.terms import Terms, now
from synth.gate.verdict import Verdict

SYNTHETIC = "synthetic.parquet"  # the subject of a rejection: rows that stay where they are


@dataclass(frozen=True)
class Approval:
    """A signed statement. `documents` are the files that it covers beside the rows, while they are in memory."""

    envelope: bytes
    documents: Mapping[str, bytes] = field(default_factory=dict, compare=False, repr=False)
    signers: tuple[PublicKey, ...] = field(default=(), compare=False, repr=False)  # whose it is, while that is certain

    @cached_property
    def statement(self) -> dict[str, Any]:
        """What was signed."""
        payload, _ = opened(self.envelope)
        statement: dict[str, Any] = json.loads(payload)
        return statement

    @property
    def annotations(self) -> dict[str, Any]:
        """Who, when, until when and how often, as the policy's entry of the statement says. Raises NotApprovedError."""
        return annotations_of(self.statement)

    @property
    def terms(self) -> Terms:
        """On whose request, by how many signers, from when and until when."""
        return terms_of(self.statement)

    @property
    def subjects(self) -> dict[str, str]:
        """The SHA-256 (hex) of every file that may be exported, by name."""
        return {subject["name"]: subject["digest"]["sha256"] for subject in self.statement["subject"]}

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats that the rows may leave in."""
        return formats_of(self.subjects)

    @property
    def missing(self) -> int:
        """How many more people must sign before anything leaves."""
        _, signatures = opened(self.envelope)
        terms = self.terms
        counted = [keyid for keyid, _ in signatures if terms.automatic or keyid != terms.requester]
        return max(0, terms.signers - len(counted))

    def signed(self, key: Signer) -> Approval:
        """The approval with one more signature.

        Raises NotApprovedError for the requester's own key, and where enough have signed; InputError where this key has.
        """
        if not self.missing:
            raise NotApprovedError(f"{self.terms.signers} signatures are asked for, and they are there; nobody else need sign")
        _check_signer(key, self.terms)
        return replace(self, envelope=add_signature(self.envelope, key), signers=(*self.signers, key.public))

    def __repr__(self) -> str:
        try:
            said, files = self.annotations, ", ".join(self.subjects)
            needs = f"; {self.missing} of {self.terms.signers} signatures are missing" if self.missing else ""
            return f"Approval({said['rows']:,} rows, by {said['approvedBy']!r}, {said['approvedAt']}{needs}; covers {files})"
        except (NotApprovedError, VerificationError, ValueError, LookupError, TypeError):
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
    key: Signer,
    documents: Mapping[str, bytes],
    terms: Terms,
    formats: Iterable[str] | None = None,
) -> Approval:
    """Sign what a policy approved.

    synthetic: the rows that the verdict is about. documents: every other file of the export, by name. formats: what the rows
    may leave in, by default all that the policy allows. terms: as the documents state them.
    Raises NotApprovedError for a verdict that is not an approval, is about other rows, was not logged as an attempt or does not
    allow a format, and for the requester's key where people must sign.
    """
    _check_signer(key, terms)
    return request(verdict, synthetic, by=by, key=key, documents=documents, terms=terms, formats=formats)


def request(
    verdict: Verdict,
    synthetic: Table,
    *,
    by: str,
    key: Signer,
    documents: Mapping[str, bytes],
    terms: Terms,
    formats: Iterable[str] | None = None,
) -> Approval:
    """The same statement under the requester's own signature: what people are asked to sign. It lets nothing out by itself."""
    if verdict.decision != "approved":
        blocking = ", ".join(finding.check for finding in verdict.blocking[:4])
        raise NotApprovedError(f"the verdict is {verdict.decision} ({blocking}); only an approved table is signed")
    if verdict.attempt is None:
        raise NotApprovedError(
            "this verdict was not logged as an attempt, so nobody can tell how many were made before it; judge the\n"
            "measurements with `Policy.judge`, which logs it"
        )
    judged, given = verdict.context["digests"]["synthetic"], synthetic.digest()
    if judged != given:
        raise NotApprovedError(
            f"the verdict is about other rows (SHA-256 {judged[:12]}…) than these ({given[:12]}…);\nevaluate and judge these"
        )
    wanted = tuple(verdict.formats if formats is None else formats)
    for name in wanted:
        if name not in verdict.formats:
            raise NotApprovedError(f"the policy does not let rows leave as {name!r}; it allows {', '.join(verdict.formats)}")
    said, rows = leaving_verdict(verdict, synthetic), leaving_rows(synthetic)
    _check_documents(documents, said)
    subjects = {name: digest for form in wanted for name, digest in signed_digests(form, rows).items()}
    subjects |= {name: hashlib.sha256(content).hexdigest() for name, content in documents.items()}
    return Approval(seal(_statement(said, by, subjects, terms), key), documents, (key.public,))


def reject(verdict: Verdict, *, by: str, reason: str, key: Signer) -> bytes:
    """Somebody's signed word that these rows are not to leave, whatever the policy says: a DSSE envelope, result FAILED."""
    signed = now().isoformat()
    terms = Terms(by, key.public.keyid, signed, signed)
    statement = _statement(verdict, by, {SYNTHETIC: verdict.context["digests"]["synthetic"]}, terms)
    annotations_of(statement)["reason"] = reason
    statement["predicate"] |= {"result": "FAILED", "failedTests": [finding.check for finding in verdict.blocking]}
    return seal(statement, key)


def annotations_of(statement: Mapping[str, Any]) -> dict[str, Any]:
    """What a statement says of the approval itself. Raises NotApprovedError where it is none of synth's."""
    try:
        entries = statement["predicate"]["configuration"]
        found: dict[str, Any] = next(entry["annotations"] for entry in entries if entry["name"].startswith("policy/"))
        return found
    except (LookupError, TypeError, StopIteration) as problem:
        raise NotApprovedError("the statement is not an approval of synth's; judge and approve the run again") from problem


def terms_of(statement: Mapping[str, Any]) -> Terms:
    """The terms that a statement was signed under. Raises NotApprovedError where it has none."""
    said = annotations_of(statement)
    try:
        terms = Terms(
            said["requestedBy"], said["requester"], said["approvedAt"], said["expiresAt"], said["signers"], said["automatic"]
        )
        _ = datetime.fromisoformat(terms.at) < datetime.fromisoformat(terms.expires)
    except (LookupError, TypeError, ValueError) as problem:
        raise NotApprovedError(f"the approval states no terms ({problem!r}); judge and approve the run again") from problem
    return terms


def _check_signer(key: Signer, terms: Terms) -> None:
    if not terms.automatic and key.public.keyid == terms.requester:
        raise NotApprovedError(
            f"key {terms.requester[:16]}… asked for this approval, so it cannot give it: somebody else must sign;\n"
            "a person signs with `synth approve RUN --key THEIR.pem`"
        )


def _check_documents(documents: Mapping[str, bytes], verdict: Verdict) -> None:
    """Raise NotApprovedError where what goes along with the rows is not this verdict, would not be a file beside them, or owes
    its reader more (`check_evidence`)."""
    if documents.get("verdict.json") != verdict.to_bytes():
        raise NotApprovedError("the documents do not hold this verdict as verdict.json; sign the verdict with its own bytes")
    for name in documents:
        layout, _, plain = name.rpartition("/")
        if plain in ("", ".", "..", ATTESTATION) or plain.startswith("data.") or "\\" in name or layout not in ("", *LAYOUTS):
            raise NotApprovedError(f"a document cannot be named {name!r}; give it a plain file name of its own")
    check_evidence(documents, verdict)


def _statement(verdict: Verdict, by: str, subjects: Mapping[str, str], terms: Terms) -> dict[str, Any]:
    digests, attempt = verdict.context["digests"], verdict.attempt
    provenance = verdict.context.get("provenance") or {}
    configuration = [
        {
            "name": f"policy/{verdict.policy}",
            "digest": {"sha256": verdict.policy_digest},
            "annotations": {  # here, since the predicate itself has no field of its own for them
                "version": verdict.policy_version,
                "approvedBy": by,
                "approvedAt": terms.at,
                "expiresAt": terms.expires,
                "requestedBy": terms.requested_by,
                "requester": terms.requester,
                "signers": terms.signers,
                "automatic": terms.automatic,
                "attempt": None if attempt is None else {"number": attempt.number, "total": attempt.total},
                "waivers": verdict.waivers,
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
    if (privacy := verdict.context.get("privacy")) is not None:
        facts = ("epsilon", "delta", "unit", "rows_per_subject", "mechanism", "entry", "secure")
        said = {fact: privacy[fact] for fact in facts}
        digest = {"sha256": privacy["entry_digest"]}
        configuration.append({"name": f"privacy/{privacy['dataset']}", "digest": digest, "annotations": said})
    if verdict.entry is not None:
        configuration.append({"name": "attempt", "digest": {"sha256": verdict.entry}})
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
