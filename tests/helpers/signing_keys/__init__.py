"""Pairs of keys for tests of signed models, as OpenSSL writes them."""

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


def write(
    folder: Path,
    name: str,
    curve: ec.EllipticCurve | None = None,
    password: bytes | None = None,
    number: int | None = None,
) -> Path:
    """Writes NAME.pem, which only its owner can read, and NAME.pub; returns the path of the former.

    The number is what is private of the key; without it, the key is a random one.
    """
    curve = curve or ec.SECP256R1()
    key = ec.generate_private_key(curve) if number is None else ec.derive_private_key(number, curve)
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    private = folder / f"{name}.pem"
    private.touch(mode=0o600)
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption),
    )
    private.with_suffix(".pub").write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private
