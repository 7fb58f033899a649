"""Keys and certificates of a small authority, made for a run."""

from __future__ import annotations

import datetime
import ipaddress
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# Clocks may differ, and a run may be long.
VALIDITY = datetime.timedelta(days=2)


class Authority:
    """An authority that signs for 127.0.0.1 and localhost, and for clients."""

    def __init__(self, directory: pathlib.Path, name: str):
        self.directory, self.name = directory, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _name(name)
        builder = _builder(self._subject, self._subject, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self._certificate = builder.sign(self._key, hashes.SHA256())
        self.file = self._write(f"{name}.crt", _pem(self._certificate))
        self.pem = self.file.read_bytes()

    def issue(self, name: str) -> Identity:
        """A certificate for a server or a client, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([
            x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = (
            _builder(_name(name), self._subject, key.public_key())
            .add_extension(names, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256()))
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption())
        return Identity(
            self._write(f"{name}.crt", _pem(certificate)),
            self._write(f"{name}.key", secret, mode=0o600))

    def _write(self, name: str, data: bytes, mode: int = 0o644) -> pathlib.Path:
        path = self.directory / f"{self.name}-{name}"
        path.touch(mode=mode)
        path.write_bytes(data)
        return path


class Identity:
    """A certificate and its key, as files and as what is in them."""

    def __init__(self, certificate: pathlib.Path, key: pathlib.Path):
        self.certificate_file, self.key_file = certificate, key
        self.certificate, self.key = certificate.read_bytes(), key.read_bytes()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject, issuer, public_key) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALIDITY)
        .not_valid_after(now + VALIDITY))


def _pem(certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
