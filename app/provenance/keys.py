"""The signer's key and certificate: this installation's, created when first needed, or the user's own."""

from __future__ import annotations

import datetime
import os
import uuid
from pathlib import Path
from typing import Any, Final

from app.errors import MediaError, UsageError
from app.media import files
from app.provenance.mark import PROGRAM, Marking
from models.messages import msg

FOLDER: Final = "signing"
SIGNER: Final = "signer.pem"  # certificates and key in one file, so that both exist or neither
KEY_BEGINS: Final = b"-----BEGIN PRIVATE KEY"
YEARS: Final = 10


def own_folder() -> Path:
    """Folder of this installation's key."""
    from app.presets import config_folder

    return config_folder() / FOLDER


def signing_pair(marking: Marking) -> tuple[bytes, bytes]:
    """Certificates (PEM, the signer's first) and key (PEM): the user's, or those of this installation.

    Raises:
        UsageError: The user's can't be read.
        MediaError: The key of this installation can't be stored or read.
    """
    if marking.certificate or marking.key:
        check_pair(marking)
        return Path(marking.certificate).read_bytes(), Path(marking.key).read_bytes()
    path = own_folder() / SIGNER
    try:
        if not path.is_file():
            _keep(path)
        chain, begin, key = path.read_bytes().partition(KEY_BEGINS)
    except OSError as error:
        why = files.reason(error)[0]
        raise MediaError(msg("the signing key can't be kept in {folder}: {why}", path.parent, why)) from error
    return chain, begin + key


def check_pair(marking: Marking) -> None:
    """Check the user's own certificate and key, if there are any, before any work is done.

    Raises:
        UsageError: One of them is missing or not a PEM file.
    """
    if bool(marking.certificate) != bool(marking.key):
        flag = "--signing-key" if marking.certificate else "--signing-cert"
        raise UsageError(msg("{flag} is missing: certificate and key belong together.", flag), "Give both or neither.")
    if not marking.key:
        return
    for flag, name, word in (
        ("--signing-cert", marking.certificate, b"CERTIFICATE"), ("--signing-key", marking.key, b"PRIVATE KEY"),
    ):  # fmt: skip
        try:
            data = Path(name).read_bytes()
        except OSError as error:
            raise UsageError(
                msg("{flag}: {name} can't be read: {what}.", flag, name, files.reason(error)[0])
            ) from error
        if b"-----BEGIN" not in data or word not in data:
            raise UsageError(msg("{flag}: {name} is not a PEM file with a {word}.", flag, name, word.decode().lower()))


def _keep(path: Path) -> None:
    """Create key and certificates of this installation, readable only by its user."""
    chain, key = make_pair()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:6]}.partial")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(chain + key)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        files.remove(part)


def algorithm(key: bytes) -> str:
    """C2PA's name for the signature algorithm of a PEM key; that of our own keys if it can't be determined."""
    try:
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        loaded = load_pem_private_key(key, None)
    except (ImportError, ValueError, TypeError):
        return "es256"
    if isinstance(loaded, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(loaded, ed25519.Ed25519PrivateKey):
        return "ed25519"
    size = loaded.key_size if isinstance(loaded, ec.EllipticCurvePrivateKey) else 256
    return {384: "es384", 521: "es512"}.get(size, "es256")


def make_pair() -> tuple[bytes, bytes]:
    """Create a key (P-256) with certificates: a one-time authority, whose key is discarded, and a signer under it.

    Returns:
        Both certificates and the signer's key, as PEM.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)

    def named(role: str) -> Any:
        parts = (NameOID.COMMON_NAME, f"{PROGRAM} ({role})"), (NameOID.ORGANIZATION_NAME, "this installation")
        return x509.Name([x509.NameAttribute(kind, text) for kind, text in parts])

    def usage(**given: bool) -> Any:
        rest = (
            "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
            "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
        )  # fmt: skip
        return x509.KeyUsage(**(dict.fromkeys(rest, False) | given))

    own, above = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def begun(role: str, key: Any, days: int, *, authority: bool) -> Any:
        builder = x509.CertificateBuilder().subject_name(named(role)).issuer_name(named("local authority"))
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - day).not_valid_after(now + days * day)
        builder = builder.add_extension(x509.BasicConstraints(authority, 0 if authority else None), critical=True)
        subject = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        return builder.add_extension(subject, critical=False)

    root = begun("local authority", above, 365 * YEARS, authority=True)
    root = root.add_extension(usage(key_cert_sign=True, crl_sign=True), critical=True).sign(above, hashes.SHA256())
    leaf = begun("local signer", own, 365 * YEARS - 1, authority=False)
    leaf = leaf.add_extension(usage(digital_signature=True), critical=True)
    leaf = leaf.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=True)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key())
    leaf = leaf.add_extension(issuer, critical=False).sign(above, hashes.SHA256())
    pem = serialization.Encoding.PEM
    key = own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return leaf.public_bytes(pem) + root.public_bytes(pem), key
