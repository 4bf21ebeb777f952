"""DSSE envelopes (secure-systems-lab/dsse, protocol v1) with one Ed25519 signature around an in-toto statement."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from synth.errors import VerificationError

if TYPE_CHECKING:
    from synth.gate.keys import PrivateKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: PAE(type, body) of the DSSE protocol."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def seal(statement: dict[str, Any], key: PrivateKey) -> bytes:
    """A statement in a signed envelope, as JSON."""
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    signature = key.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload))
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": key.keyid, "sig": base64.b64encode(signature).decode()}],
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
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [(str(s["keyid"]), base64.b64decode(s["sig"], validate=True)) for s in envelope["signatures"]]
    except (ValueError, KeyError, TypeError, binascii.Error) as problem:
        raise VerificationError(f"the attestation is garbled: it is not a DSSE envelope ({problem})") from problem
    if json.dumps(envelope, indent=1) + "\n" != content.decode("utf-8", "replace"):
        raise VerificationError("the attestation is garbled: it holds more than the envelope that was signed")
    return payload, signatures
