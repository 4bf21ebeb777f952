"""DSSE envelopes (secure-systems-lab/dsse, protocol v1) with one Ed25519 signature around an in-toto statement."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from synth.errors import VerificationError

if TYPE_CHECKING:
    from synth.gate.keys import PrivateKey, PublicKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
ATTESTATION = "attestation.json"  # the envelope's file in an export


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: PAE(type, body) of the DSSE protocol."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def seal(statement: dict[str, Any], key: PrivateKey) -> bytes:
    """A statement in a signed envelope, as JSON."""
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    signature = key.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload))
    return _envelope(payload, [(key.keyid, signature)])


def _envelope(payload: bytes, signatures: list[tuple[str, bytes]]) -> bytes:
    """An envelope in the one form that is written: nothing can be added beside what is signed."""
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": keyid, "sig": base64.b64encode(sig).decode()} for keyid, sig in signatures],
    }
    return (json.dumps(envelope, indent=1) + "\n").encode()


def opened(content: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    """The payload of an envelope and its signatures as (key id, signature). Nothing is checked yet but the form.

    Raises VerificationError where the bytes are not an envelope around an in-toto statement.
    """
    try:
        envelope = json.loads(content)
        if envelope["payloadType"] != PAYLOAD_TYPE:
            raise VerificationError(f"the attestation holds {envelope['payloadType']!r}, not an in-toto statement")
        payload = _decoded(envelope["payload"])
        signatures = [(str(s["keyid"]), _decoded(s["sig"])) for s in envelope["signatures"]]
        written = _envelope(payload, signatures)
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise VerificationError(f"the attestation is garbled: it is not a DSSE envelope ({problem})") from problem
    if len(signatures) != 1:
        raise VerificationError(f"the attestation was altered: it holds {len(signatures)} signatures; an approval has one")
    if written != content:
        raise VerificationError("the attestation was altered: it is not in the one form that an approval is written in")
    return payload, signatures


def signed_by(content: bytes, keys: Iterable[PublicKey]) -> PublicKey | None:
    """The first of these keys whose signature on an envelope holds. Raises VerificationError as `opened` does."""
    payload, signatures = opened(content)
    message = pre_authentication_encoding(PAYLOAD_TYPE, payload)
    return next((k for k in keys for keyid, s in signatures if keyid == k.keyid and k.signed(message, s)), None)


def _decoded(text: str) -> bytes:
    """Base64 in the one form that encoding gives: the spare bits of the last character carry nothing either."""
    content = base64.b64decode(text, validate=True)
    if base64.b64encode(content).decode() != text:
        raise ValueError("its base64 is not in canonical form")
    return content
