"""Envelopes: one payload, one or more signatures, one written form."""

from __future__ import annotations

import contextlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.errors import InputError, VerificationError
from synth.gate.dsse import add_signature, all_signed_by, from_line, opened, seal, to_line
from synth.gate.keys import PrivateKey


@pytest.fixture(scope="module")
def pair() -> tuple[PrivateKey, PrivateKey]:
    """Two people's keys."""
    return PrivateKey(Ed25519PrivateKey.generate()), PrivateKey(Ed25519PrivateKey.generate())


def test_a_second_signature_is_over_the_very_same_payload(pair: tuple[PrivateKey, PrivateKey]) -> None:
    ada, bob = pair
    one = seal({"rows": 3}, ada)
    both = add_signature(one, bob)
    assert opened(both)[0] == opened(one)[0] == b'{"rows":3}'
    assert [keyid for keyid, _ in opened(both)[1]] == sorted([ada.keyid, bob.keyid])
    assert both == add_signature(seal({"rows": 3}, bob), ada), "who signed first leaves no trace"


def test_all_signed_by_wants_each_signature_by_a_key_that_is_given(pair: tuple[PrivateKey, PrivateKey]) -> None:
    ada, bob = pair
    one, both = seal({"rows": 3}, ada), add_signature(seal({"rows": 3}, ada), bob)
    assert all_signed_by(one, [ada.public, bob.public]) == (ada.public,)
    assert {key.keyid for key in all_signed_by(both, [ada.public, bob.public])} == {ada.keyid, bob.keyid}
    assert all_signed_by(both, [ada.public]) == ()
    assert all_signed_by(both, []) == ()
    swapped = json.loads(both)
    first, second = swapped["signatures"]
    swapped["signatures"] = [first | {"sig": second["sig"]}, second]
    assert all_signed_by((json.dumps(swapped, indent=1) + "\n").encode(), [ada.public, bob.public]) == ()


@pytest.mark.attack("one approver signs twice, to count for two", "the second signature is refused when made and when read")
def test_the_same_key_cannot_sign_twice(pair: tuple[PrivateKey, PrivateKey]) -> None:
    ada, _ = pair
    envelope = seal({"rows": 3}, ada)
    with pytest.raises(InputError, match="has signed this already"):
        add_signature(envelope, ada)
    document = json.loads(envelope)
    document["signatures"] *= 2
    with pytest.raises(VerificationError, match="one key signs it twice"):
        opened((json.dumps(document, indent=1) + "\n").encode())


def test_signatures_stand_in_one_order(pair: tuple[PrivateKey, PrivateKey]) -> None:
    document = json.loads(add_signature(seal({"rows": 3}, pair[0]), pair[1]))
    document["signatures"].reverse()
    with pytest.raises(VerificationError, match="one form"):
        opened((json.dumps(document, indent=1) + "\n").encode())


def test_a_line_holds_an_envelope_in_one_form(pair: tuple[PrivateKey, PrivateKey]) -> None:
    envelope = add_signature(seal({"rows": "drei\n"}, pair[0]), pair[1])
    line = to_line(envelope)
    assert line.count(b"\n") == 1
    assert from_line(line) == envelope
    for other in (line.rstrip(b"\n"), b" " + line, line.replace(b":", b": ", 1), b"{}\n", b"[" * 100_000, b"\xff\n"):
        with pytest.raises(VerificationError):
            from_line(other)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_of_two_signatures_is_caught(data: st.DataObject, pair: tuple[PrivateKey, PrivateKey]) -> None:
    sound = add_signature(seal({"rows": 3, "who": "Ada"}, pair[0]), pair[1])
    content = bytearray(sound)
    content[data.draw(st.integers(0, len(sound) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    keys = [key.public for key in pair]
    assert len(all_signed_by(sound, keys)) == 2
    with contextlib.suppress(VerificationError):
        assert all_signed_by(bytes(content), keys) == ()
