"""The sandbox's certificate: made once, trusted through its authority only, its key private."""

import stat
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

from cryptography import x509

from sandbox.certificate import CERTIFICATE_FILE, KEY_FILE, LIFETIME, server_context

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def test_it_is_for_this_machine(tmp_path: Path) -> None:
    """Localhost and both loopback addresses."""
    server_context(tmp_path, NOW)
    certificate = x509.load_pem_x509_certificate((tmp_path / CERTIFICATE_FILE).read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1"), ip_address("::1")]


def test_the_authority_signed_it_and_its_key_is_gone(tmp_path: Path) -> None:
    """Only the server's key is on disk, readable by its owner alone."""
    _, ca_file = server_context(tmp_path, NOW)
    authority = x509.load_pem_x509_certificate(ca_file.read_bytes())
    x509.load_pem_x509_certificate((tmp_path / CERTIFICATE_FILE).read_bytes()).verify_directly_issued_by(authority)
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert [KEY_FILE] == [path.name for path in tmp_path.glob("*.key")]


def test_it_is_kept_until_it_is_about_to_expire(tmp_path: Path) -> None:
    """A second start has the same certificate; a day before its end there is a new one."""
    server_context(tmp_path, NOW)
    first = (tmp_path / CERTIFICATE_FILE).read_bytes()
    server_context(tmp_path, NOW + timedelta(days=1))
    assert first == (tmp_path / CERTIFICATE_FILE).read_bytes()
    server_context(tmp_path, NOW + LIFETIME)
    assert first != (tmp_path / CERTIFICATE_FILE).read_bytes()


def test_it_is_made_anew_for_another_address(tmp_path: Path) -> None:
    """It names the address that the server listens at, and its authority may sign for that one alone."""
    server_context(tmp_path, NOW)
    first = (tmp_path / CERTIFICATE_FILE).read_bytes()
    _, ca_file = server_context(tmp_path, NOW, "10.1.2.3")
    second = (tmp_path / CERTIFICATE_FILE).read_bytes()
    assert first != second
    names = x509.load_pem_x509_certificate(second).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert ip_address("10.1.2.3") in names.get_values_for_type(x509.IPAddress)
    authority = x509.load_pem_x509_certificate(ca_file.read_bytes())
    permitted = authority.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees
    assert ip_network("10.1.2.3/32") in [name.value for name in permitted or []]
    server_context(tmp_path, NOW, "10.1.2.3")
    assert second == (tmp_path / CERTIFICATE_FILE).read_bytes()
