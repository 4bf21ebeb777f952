"""Ed25519 keys: a first pair is made on first use; what this machine trusts is every public key in its key folder.

Whatever can sign is a `Signer`: a key file, a key in an environment variable, or an object of yours that keeps its key
elsewhere (a PKCS#11 token, a cloud's key service) and signs when it is asked.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

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
from synth.folder import home, sweep, write_once

DEFAULT = "synth"
ENVIRONMENT = "env:"  # before the name of a variable that holds a private key in PEM form
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


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
            hint = "this is a private key: give the .pub file" if b"PRIVATE KEY" in content else "give the .pub file of one"
            raise InputError(f"{path} is not a public key in PEM form; {hint}") from problem
        if not isinstance(key, Ed25519PublicKey):
            raise InputError(f"{path} holds a key of another kind; synth signs with Ed25519")
        return cls(key.public_bytes(Encoding.Raw, PublicFormat.Raw))


@runtime_checkable
class Signer(Protocol):
    """What signs: an Ed25519 key, wherever it is kept. For one that never leaves its token, these two are all it takes."""

    @property
    def public(self) -> PublicKey:
        """The key that its signatures are checked with."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature (64 bytes) of exactly these bytes."""
        ...


@dataclass(frozen=True)
class PrivateKey:
    """A key that is in this process: the `Signer` of a file or an environment variable."""

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
        return cls.of_pem(_read(path, "private key"), str(path))

    @classmethod
    def of_pem(cls, content: bytes, origin: str) -> PrivateKey:
        """The key that is written there (PEM, without a passphrase). Raises InputError, which names the origin."""
        try:
            key = load_pem_private_key(content, password=None)
        except TypeError as problem:
            raise InputError(f"{origin} is locked with a passphrase; give a key without one") from problem
        except (ValueError, UnsupportedAlgorithm) as problem:
            hint = "this is a public key: give the .pem file" if b"PUBLIC KEY" in content else "give the .pem file of one"
            raise InputError(f"{origin} is not a private key in PEM form; {hint}") from problem
        if not isinstance(key, Ed25519PrivateKey):
            raise InputError(f"{origin} holds a key of another kind; synth signs with Ed25519")
        return cls(key)


@dataclass(frozen=True)
class KnownKey:
    """A public key in this machine's key folder."""

    name: str  # of its file: how this machine calls whoever holds it
    keyid: str
    public_file: Path
    can_sign: bool

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "public_file": str(self.public_file)}


def signer_of(given: Signer | str | Path) -> Signer:
    """What signs: a key's file, `env:NAME` for a variable that holds one (PEM), or a signer as it is. Raises InputError."""
    if isinstance(given, (str, Path)):
        if not str(given).startswith(ENVIRONMENT):
            return PrivateKey.load(given)
        name = str(given).removeprefix(ENVIRONMENT)
        if name not in os.environ:
            raise InputError(f"the environment variable {name!r} is not set; put a private key in PEM form there")
        return PrivateKey.of_pem(os.environ[name].encode(), f"the environment variable {name}")
    if not isinstance(given, Signer):
        raise InputError(
            f"a {type(given).__name__} cannot sign; give a key file, env:NAME, or an object with `public` and `sign`"
        )
    return given


def default_key(*, notice: Callable[[str], None] = lambda text: None) -> PrivateKey:
    """This machine's own key; the pair is made on first use, and `notice` is told where it lies."""
    folder = home() / "keys"
    private = folder / f"{DEFAULT}.pem"
    for file in (private, private.with_suffix(".pub")):
        sweep(file)  # of a first use that was killed; none of them is a key until it has its name
    if not private.exists():
        _make_private(private, PrivateKey(Ed25519PrivateKey.generate()), is_there=True)
        notice(
            f"A first key pair was made. It signs every approval on this machine: keep {private} to yourself,\n"
            f"and give {folder / (DEFAULT + '.pub')} to whoever is to verify your exports."
        )
    key = PrivateKey.load(private)
    public = private.with_suffix(".pub")
    if not public.exists():  # a first use that was interrupted between the two files leaves only the private one
        _write_new(public, key.public.to_pem(), mode=0o644)
    return key


def new_key(name: str) -> PrivateKey:
    """Make a pair in this machine's key folder, NAME.pem and NAME.pub, and trust it. Raises InputError where one is there."""
    private = _place_of(name).with_suffix(".pem")
    key = PrivateKey(Ed25519PrivateKey.generate())
    _make_private(private, key)
    _write_new(private.with_suffix(".pub"), key.public.to_pem(), mode=0o644)
    return key


def trust(file: str | Path, name: str | None = None) -> KnownKey:
    """Put somebody's public key into this machine's key folder: what it signs is believed from then on.

    name: how this machine calls its owner, by default the file's own name. Raises InputError for what is no public key, and
    where another key has that name.
    """
    key, place = PublicKey.load(file), _place_of(name or Path(file).stem)
    _write_new(place, key.to_pem(), mode=0o644)
    return KnownKey(place.stem, key.keyid, place, place.with_suffix(".pem").exists())


def list_keys() -> tuple[KnownKey, ...]:
    """The public keys that this machine trusts."""
    return tuple(
        KnownKey(file.stem, PublicKey.load(file).keyid, file, file.with_suffix(".pem").exists())
        for file in sorted((home() / "keys").glob("*.pub"))
    )


def name_of(keyid: str) -> str | None:
    """What this machine calls the owner of a key, or None where it does not know the key."""
    return next((key.name for key in list_keys() if key.keyid == keyid), None)


def trusted() -> tuple[PublicKey, ...]:
    """Every public key in this machine's key folder."""
    return tuple(PublicKey.load(file) for file in sorted((home() / "keys").glob("*.pub")))


def _place_of(name: str) -> Path:
    """Where the public key of that name lies, or would lie; it is not there yet. Raises InputError."""
    if not _NAME.fullmatch(name):
        raise InputError(f"a key cannot be named {name!r}; use letters, digits, dots and dashes")
    place = home() / "keys" / f"{name}.pub"
    if place.exists() or place.with_suffix(".pem").exists():
        raise InputError(f"there is a key named {name!r} in {place.parent}; choose another name")
    return place


def _make_private(path: Path, key: PrivateKey, *, is_there: bool = False) -> None:
    secret = key._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write_new(path, secret, mode=0o600, is_there=is_there)


def _write_new(path: Path, content: bytes, *, mode: int, is_there: bool = True) -> None:
    """Write a file whole, with its permissions from the start.

    is_there: whether it does not matter that another process was first; then its file counts.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileExistsError) if is_there else nullcontext():
            write_once(path, content, mode=mode)
    except OSError as problem:
        raise InputError(
            f"no key can be written in {path.parent}: {problem.strerror}; set SYNTH_HOME to a folder of yours"
        ) from problem


def _read(path: str | Path, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as problem:
        raise InputError(f"the {what} {path} cannot be read: {problem.strerror}") from problem
