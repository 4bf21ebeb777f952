"""Ed25519 keys: a first pair is made on first use; what this machine trusts is every public key in its key folder."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from synth.errors import InputError

DEFAULT = "synth"


def home() -> Path:
    """Where keys lie: $SYNTH_HOME, else the user's own configuration folder for synth."""
    if "SYNTH_HOME" in os.environ:
        return Path(os.environ["SYNTH_HOME"])
    import platformdirs

    return Path(platformdirs.user_config_dir("synth"))


@dataclass(frozen=True)
class PublicKey:
    """A key that signatures are checked with. `keyid` is the SHA-256 (hex) of its 32 raw bytes."""

    raw: bytes

    @property
    def keyid(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether this key's owner signed exactly these bytes."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def to_pem(self) -> bytes:
        """What a .pub file holds."""
        key = Ed25519PublicKey.from_public_bytes(self.raw)
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @classmethod
    def load(cls, path: str | Path) -> PublicKey:
        """Read a public key (PEM). A private key's file is refused. Raises InputError."""
        content = _read(path, "public key")
        try:
            key = load_pem_public_key(content)
        except (ValueError, UnsupportedAlgorithm) as problem:
            hint = "; this is a private key: give the .pub file" if b"PRIVATE KEY" in content else ""
            raise InputError(f"{path} is not a public key in PEM form{hint}") from problem
        if not isinstance(key, Ed25519PublicKey):
            raise InputError(f"{path} holds a key of another kind; synth signs with Ed25519")
        return cls(key.public_bytes(Encoding.Raw, PublicFormat.Raw))


@dataclass(frozen=True)
class PrivateKey:
    """A key that signs."""

    _key: Ed25519PrivateKey

    @property
    def public(self) -> PublicKey:
        """The key that its signatures are checked with."""
        return PublicKey(self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    @property
    def keyid(self) -> str:
        return self.public.keyid

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature of exactly these bytes."""
        return self._key.sign(message)

    @classmethod
    def load(cls, path: str | Path) -> PrivateKey:
        """Read a private key (PEM, without a passphrase). Raises InputError."""
        try:
            key = load_pem_private_key(_read(path, "private key"), password=None)
        except TypeError as problem:
            raise InputError(f"{path} is locked with a passphrase; give a key without one") from problem
        except (ValueError, UnsupportedAlgorithm) as problem:
            raise InputError(f"{path} is not a private key in PEM form") from problem
        if not isinstance(key, Ed25519PrivateKey):
            raise InputError(f"{path} holds a key of another kind; synth signs with Ed25519")
        return cls(key)


@dataclass(frozen=True)
class KnownKey:
    """A public key in this machine's key folder."""

    keyid: str
    public_file: Path
    can_sign: bool

    def to_dict(self) -> dict[str, Any]:
        return {"keyid": self.keyid, "public_file": str(self.public_file), "can_sign": self.can_sign}


def default_key(*, notice: Callable[[str], None] = lambda text: None) -> PrivateKey:
    """This machine's own key; the pair is made on first use, and `notice` is told where it lies."""
    folder = home() / "keys"
    private = folder / f"{DEFAULT}.pem"
    if not private.exists():
        _make_private(folder)
        notice(
            f"A first key pair was made. It signs every approval on this machine: keep {private} to yourself,\n"
            f"and give {folder / (DEFAULT + '.pub')} to whoever is to verify your exports."
        )
    key = PrivateKey.load(private)
    public = private.with_suffix(".pub")
    if not public.exists():  # a first use that was interrupted between the two files leaves only the private one
        _write_new(public, key.public.to_pem(), mode=0o644)
    return key


def list_keys() -> tuple[KnownKey, ...]:
    """The public keys that this machine trusts."""
    return tuple(
        KnownKey(PublicKey.load(file).keyid, file, file.with_suffix(".pem").exists())
        for file in sorted((home() / "keys").glob("*.pub"))
    )


def trusted() -> tuple[PublicKey, ...]:
    """Every public key in this machine's key folder."""
    return tuple(PublicKey.load(file) for file in sorted((home() / "keys").glob("*.pub")))


def _make_private(folder: Path) -> None:
    secret = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write_new(folder / f"{DEFAULT}.pem", secret, mode=0o600)


def _write_new(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file whole, with its permissions from the start; where another process was first, its file counts."""
    temporary = path.with_name(f".{path.name}.partial-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as problem:
        raise InputError(
            f"no key can be written in {path.parent}: {problem.strerror}; set SYNTH_HOME to a folder of yours"
        ) from problem


def _read(path: str | Path, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as problem:
        raise InputError(f"the {what} {path} cannot be read: {problem.strerror}") from problem
