"""Who signs: a key file, an environment variable, or something that keeps its key to itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from synth.errors import InputError
from synth.folder import home
from synth.gate.dsse import all_signed_by, seal
from synth.gate.keys import PrivateKey, PublicKey, default_key, list_keys, name_of, new_key, signer_of, trust, trusted


class Token:
    """A key that never leaves its token: it hands out its public half, and signatures."""

    def __init__(self) -> None:
        self.__key = Ed25519PrivateKey.generate()
        self.asked = 0

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.__key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def sign(self, message: bytes) -> bytes:
        self.asked += 1
        return self.__key.sign(message)


def test_a_token_signs_without_giving_its_key_away() -> None:
    token = Token()
    envelope = seal({"said": "yes"}, signer_of(token))
    assert all_signed_by(envelope, [token.public]) == (token.public,)
    assert token.asked == 1


def test_a_key_in_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_key("ada")
    monkeypatch.setenv("SIGNING_KEY", (home() / "keys" / "ada.pem").read_text())
    assert signer_of("env:SIGNING_KEY").public == key.public
    with pytest.raises(InputError, match="'NO_SUCH_KEY' is not set"):
        signer_of("env:NO_SUCH_KEY")
    monkeypatch.setenv("SIGNING_KEY", "not a key")
    with pytest.raises(InputError, match="variable SIGNING_KEY is not a private key"):
        signer_of("env:SIGNING_KEY")


def test_what_cannot_sign_is_refused_in_words() -> None:
    new_key("ada")
    with pytest.raises(InputError, match=r"this is a public key: give the \.pem"):
        signer_of(home() / "keys" / "ada.pub")
    with pytest.raises(InputError, match="a int cannot sign"):
        signer_of(3)  # type: ignore[arg-type]


def test_a_new_key_is_trusted_under_its_name_and_replaces_none() -> None:
    key = new_key("ada")
    assert name_of(key.keyid) == "ada"
    assert key.public in trusted()
    assert PrivateKey.load(home() / "keys" / "ada.pem").public == key.public
    for name in ("ada", "../ada", "", "a b"):
        with pytest.raises(InputError, match=r"there is a key named|cannot be named"):
            new_key(name)
    assert PrivateKey.load(home() / "keys" / "ada.pem").public == key.public


def test_somebodys_key_is_trusted_once_it_was_put_there(tmp_path: Path) -> None:
    default_key()
    stranger = PrivateKey(Ed25519PrivateKey.generate()).public
    (tmp_path / "bo.pub").write_bytes(stranger.to_pem())
    assert stranger not in trusted()
    assert trust(tmp_path / "bo.pub").name == "bo"
    assert stranger in trusted()
    assert [(key.name, key.can_sign) for key in list_keys()] == [("bo", False), ("synth", True)]
    with pytest.raises(InputError, match="there is a key named 'synth'"):
        trust(tmp_path / "bo.pub", "synth")
    assert name_of(stranger.keyid) == "bo"
    assert name_of("0" * 64) is None
