"""Keys and nonces as the RFCs' own examples have them; whole connections are in test_tls.py."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

from capture.inspect.tls_ciphers import (
    SUITES_1_2,
    SUITES_1_3,
    Opener12,
    Opener13,
    _expand_label,
    _masked,
    _prf,
    openers_1_2,
)


def test_tls_1_3_keys_are_those_of_rfc_8448() -> None:
    """Section 3: the server's handshake traffic secret, its key and its IV."""
    secret = bytes.fromhex("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38")
    assert "3fce516009c21727d0f2e4e86ee403bc" == _expand_label(SHA256(), secret, b"key", 16).hex()
    assert "5d313eb2671276ee13000b30" == _expand_label(SHA256(), secret, b"iv", 12).hex()


def test_the_prf_of_tls_1_2() -> None:
    """The test vector for SHA-256 that implementers have shared since 2009."""
    secret = bytes.fromhex("9bbe436ba940f017b17652849a71db35")
    seed = b"test label" + bytes.fromhex("a0ba9f936cda311827a6f796ffd5198c")
    expected = (
        "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa022f7077d"
        "ef17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66"
    )
    assert expected == _prf(SHA256(), secret, seed, 100).hex()


def test_the_nonce_is_the_iv_and_the_number() -> None:
    """RFC 8446, section 5.3: padded on the left."""
    assert bytes.fromhex("5d313eb2671276ee13000a31") == _masked(bytes.fromhex("5d313eb2671276ee13000b30"), 0x101)


def test_the_two_directions_of_tls_1_2_have_their_own_keys() -> None:
    """One opens only what the client wrote, the other only what the server wrote."""
    suite, master, randoms = SUITES_1_2[0xC02B], bytes(48), (bytes(32), b"\x01" * 32)
    block = _prf(suite.hash, master, b"key expansion" + randoms[1] + randoms[0], 40)
    header, explicit = b"\x17\x03\x03\x00\x1d", b"\x09" * 8
    sealed = AESGCM(block[16:32]).encrypt(block[36:] + explicit, b"hello", bytes(8) + b"\x17\x03\x03\x00\x05")
    client, server = openers_1_2(suite, master, *randoms)
    assert (23, b"hello") == server.open(header, explicit + sealed)
    assert None is client.open(header, explicit + sealed)


def test_padding_is_taken_off_and_the_type_is_inside() -> None:
    """RFC 8446, section 5.4; a record of zeros alone has no type."""
    suite, secret = SUITES_1_3[0x1301], bytes(32)
    key, iv = _expand_label(suite.hash, secret, b"key", 16), _expand_label(suite.hash, secret, b"iv", 12)
    for inner, opened in ((b"ok\x15\0\0\0", (21, b"ok")), (b"\x16", (22, b"")), (b"\0\0", None)):
        header = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2)
        assert opened == Opener13(suite, secret).open(header, AESGCM(key).encrypt(iv, inner, header))


@pytest.mark.parametrize("size", range(26))
def test_a_record_too_short_for_its_tag_does_not_open(size: int) -> None:
    """Nor does it raise."""
    header = b"\x17\x03\x03" + size.to_bytes(2)
    for opener in (
        Opener12(SUITES_1_2[0xC02B], bytes(16), bytes(4)),
        Opener12(SUITES_1_2[0xCCA8], bytes(32), bytes(12)),
        Opener13(SUITES_1_3[0x1303], bytes(32)),
    ):
        assert None is opener.open(header, bytes(size))
