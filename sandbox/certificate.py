"""The sandbox's own certificate authority and server certificate, made at its first start.

ECDSA P-256. The authority is constrained to this machine's names and the address that it listens at, so that trusting
it trusts nothing else; its key is thrown away once it has signed. The server's key has mode 0600.
"""

import contextlib
import os
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_FILE = "ca.pem"
CERTIFICATE_FILE = "server.pem"
KEY_FILE = "server.key"
LIFETIME = timedelta(days=3650)
_MARGIN = timedelta(days=1)  # clocks differ, and a certificate that is about to expire is made anew


def server_context(folder: Path, now: datetime, host: str = "localhost") -> tuple[ssl.SSLContext, Path]:
    """Return the server's TLS settings and the file of the authority that clients must trust.

    Args:
        folder: where certificate and key are, or are made when one is missing, about to expire or for another address.
        now: the time, with zone.
        host: the address that the server listens at.
    """
    paths = [folder / name for name in (CA_FILE, CERTIFICATE_FILE, KEY_FILE)]
    networks = _networks(host)
    if not (all(path.is_file() for path in paths) and _serves(folder / CERTIFICATE_FILE, now, networks)):
        folder.mkdir(parents=True, exist_ok=True)
        _make(folder, now, networks)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / CERTIFICATE_FILE, folder / KEY_FILE)
    return context, folder / CA_FILE


def _networks(host: str) -> list[IPv4Network | IPv6Network]:
    """Return what the certificate may be used for beside `localhost`: loopback, and the address listened at."""
    networks: list[IPv4Network | IPv6Network] = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
    with contextlib.suppress(ValueError):  # a name: it has no other certificate than localhost's
        address = ip_address(host)
        if not (address.is_unspecified or any(address in network for network in networks)):
            networks.append(ip_network(address))
    return networks


def _serves(path: Path, now: datetime, networks: list[IPv4Network | IPv6Network]) -> bool:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = names.get_values_for_type(x509.IPAddress)
    named = all(network[0] in addresses for network in networks[2:])
    return named and certificate.not_valid_after_utc >= now + _MARGIN


def _make(folder: Path, now: datetime, networks: list[IPv4Network | IPv6Network]) -> None:
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "wirestamp sandbox authority")])
    server_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    addresses = [ip_address("127.0.0.1"), ip_address("::1"), *(network[0] for network in networks[2:])]
    names = [x509.DNSName("localhost"), *map(x509.IPAddress, addresses)]
    constraints = x509.NameConstraints([x509.DNSName("localhost"), *map(x509.IPAddress, networks)], None)
    key_identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority = (
        _builder(authority_name, authority_name, authority_key, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(constraints, critical=True)
        .add_extension(key_identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    server = (
        _builder(server_name, authority_name, server_key, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_identifier), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(server_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    key_bytes = server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(folder / KEY_FILE, key_bytes, 0o600)
    _write(folder / CERTIFICATE_FILE, server.public_bytes(pem), 0o644)
    _write(folder / CA_FILE, authority.public_bytes(pem), 0o644)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - _MARGIN)
        .not_valid_after(now.astimezone(UTC) + LIFETIME)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
