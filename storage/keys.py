"""The key that signs checkpoints: an Ed25519 key in a PEM file, made at the first start where there is none.

Keys that were retired stand below it as public keys, so that what they signed still verifies.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from domain.errors import SettingsError

_BLOCK = re.compile(r"-----BEGIN ([A-Z ]+)-----\n.*?-----END \1-----\n?", re.DOTALL)


@dataclass(frozen=True)
class Keys:
    """`signing` signs, where its file is at hand; `public` are the keys whose signatures count, the newest first."""

    signing: Ed25519PrivateKey | None
    public: tuple[Ed25519PublicKey, ...]


def read_keys(path: str | Path) -> Keys:
    """The keys of a PEM file: a private key, public ones, or both. Raises SettingsError."""
    try:
        text = Path(path).read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the key {path} cannot be read: {_reason(error)}") from error
    signing: Ed25519PrivateKey | None = None
    public: list[Ed25519PublicKey] = []
    for block in _BLOCK.finditer(text.replace("\r\n", "\n")):
        key = _key(block[0], f"{path}")
        if isinstance(key, Ed25519PrivateKey):
            if public:
                raise SettingsError(f"{path}: the private key has to stand first, and there may be only one")
            signing = key
        public.append(key.public_key() if isinstance(key, Ed25519PrivateKey) else key)
    if not public:
        raise SettingsError(f"{path} holds no key in PEM form")
    return Keys(signing, tuple(public))


def signing_key(path: str | Path) -> Ed25519PrivateKey:
    """The private key of the file, which is made, readable by its owner only, where there is none. Raises SettingsError."""
    path = Path(path)
    if not path.exists():
        _create(path, private_pem(Ed25519PrivateKey.generate()))
    key = read_keys(path).signing
    if key is None:
        raise SettingsError(f"{path} holds public keys only: checkpoints cannot be signed with it")
    return key


def retire(path: str | Path) -> Ed25519PrivateKey:
    """A new private key in the file's place; the old one's public half stays in it. Raises SettingsError."""
    path, new = Path(path), Ed25519PrivateKey.generate()
    kept = "".join(map(public_pem, read_keys(path).public))
    _create(beside := path.with_name(f"{path.name}.new"), private_pem(new) + kept)
    beside.replace(path)
    return new


def private_pem(key: Ed25519PrivateKey) -> str:
    """PKCS 8, not encrypted: whoever can read the file can sign."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(key: Ed25519PublicKey) -> str:
    """The form that openssl reads."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def raw(key: Ed25519PublicKey) -> bytes:
    """The key's 32 bytes."""
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _create(path: Path, text: str) -> None:
    """Whole and on disk, or not at all: a key half written would be a service that never starts again."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(beside, path)  # refuses to replace a key that somebody else has just made
    except FileExistsError:
        pass
    except OSError as error:
        raise SettingsError(f"the key {path} cannot be made: {_reason(error)}") from error
    finally:
        beside.unlink(missing_ok=True)


def _key(pem: str, where: str) -> Ed25519PrivateKey | Ed25519PublicKey:
    load = load_pem_public_key if "PUBLIC KEY" in pem else _load_private
    try:
        key = load(pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SettingsError(f"{where} holds a key that cannot be read (is it encrypted?)") from error
    if not isinstance(key, Ed25519PrivateKey | Ed25519PublicKey):
        raise SettingsError(f"{where} holds a key that is not Ed25519")
    return key


def _load_private(pem: bytes) -> object:
    return load_pem_private_key(pem, None)


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "it is not text"
