"""DSSE envelopes (secure-systems-lab/dsse, protocol v1) with Ed25519 signatures around an in-toto statement."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from synth.errors import InputError, VerificationError

if TYPE_CHECKING:
    from synth.gate.keys import PublicKey, Signer

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
ATTESTATION = "attestation.json"  # the envelope's file in an export

Signatures = list[tuple[str, bytes]]  # (key id, signature)


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: PAE(type, body) of the DSSE protocol."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def seal(statement: dict[str, Any], key: Signer) -> bytes:
    """A statement in an envelope with one signature, as JSON."""
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return _envelope(payload, [(key.public.keyid, _signature(payload, key))])


def add_signature(envelope: bytes, key: Signer) -> bytes:
    """The envelope with one more signature under the very same payload; the earlier ones are not checked here.

    Raises InputError where this key has signed already, VerificationError as `opened` does.
    """
    payload, signatures = opened(envelope)
    if key.public.keyid in dict(signatures):
        raise InputError(
            f"key {key.public.keyid[:16]}… has signed this already; a further signature must be by another person's key"
        )
    return _envelope(payload, [*signatures, (key.public.keyid, _signature(payload, key))])


def opened(content: bytes) -> tuple[bytes, Signatures]:
    """The payload of an envelope and its signatures, one or more. Nothing is checked yet but the form.

    Raises VerificationError where the bytes are not an envelope around an in-toto statement, in the one form that is written.
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
    if not signatures:
        raise VerificationError("the attestation was altered: it holds no signature; an approval has one or more")
    if len(dict(signatures)) < len(signatures):
        raise VerificationError("the attestation was altered: one key signs it twice; each signature is by a key of its own")
    if written != content:
        raise VerificationError("the attestation was altered: it is not in the one form that an approval is written in")
    return payload, signatures


def all_signed_by(content: bytes, keys: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
    """Who signed an envelope: these keys, if each of its signatures is by one of them and holds; else nobody.

    They are different keys, by ascending id. Raises VerificationError as `opened` does.
    """
    payload, signatures = opened(content)
    message, known = pre_authentication_encoding(PAYLOAD_TYPE, payload), {key.keyid: key for key in keys}
    if all(keyid in known and known[keyid].signed(message, signature) for keyid, signature in signatures):
        return tuple(known[keyid] for keyid, _ in signatures)
    return ()


def to_line(envelope: bytes) -> bytes:
    """The envelope as one line of a list of envelopes, with its line end. Raises VerificationError as `opened` does."""
    opened(envelope)
    return json.dumps(json.loads(envelope), separators=(",", ":")).encode() + b"\n"


def from_line(line: bytes) -> bytes:
    """The envelope of a line that `to_line` gave. Raises VerificationError for a line in any other form."""
    try:
        envelope = (json.dumps(json.loads(line), indent=1) + "\n").encode()
    except (ValueError, RecursionError) as problem:
        raise VerificationError(f"a line of the list is garbled: it is not a DSSE envelope ({problem})") from problem
    if to_line(envelope) != line:
        raise VerificationError("a line of the list was altered: it is not in the one form that an envelope is written in")
    return envelope


def _signature(payload: bytes, key: Signer) -> bytes:
    return key.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload))


def _envelope(payload: bytes, signatures: Signatures) -> bytes:
    """An envelope in the one form that is written, by ascending key id: nothing can be added beside what is signed."""
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": keyid, "sig": base64.b64encode(sig).decode()} for keyid, sig in sorted(signatures)],
    }
    return (json.dumps(envelope, indent=1) + "\n").encode()


def _decoded(text: str) -> bytes:
    """Base64 in the one form that encoding gives: the spare bits of the last character carry nothing either."""
    content = base64.b64decode(text, validate=True)
    if base64.b64encode(content).decode() != text:
        raise ValueError("its base64 is not in canonical form")
    return content
