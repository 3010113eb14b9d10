"""The table of order endpoints: nothing that trades live passes, whatever form its address takes."""

import ast
import re
from pathlib import Path

import pytest

from venues.endpoints import ORDER_ENDPOINTS, is_local_address, refusal

TESTNET = "wss://ws-api.testnet.binance.vision/ws-api/v3"
PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "url",
    [
        TESTNET,
        "wss://ws-api.testnet.binance.vision:443/ws-api/v3",
        "wss://ws-api.testnet.binance.vision:9443/ws-api/v3",
        "wss://WS-API.TESTNET.BINANCE.VISION/ws-api/v3",
    ],
)
def test_the_test_venue_passes(url: str) -> None:
    """In the forms that its documentation gives; host names know no case (RFC 3986, section 3.2.2)."""
    assert refusal("binance", url) is None


@pytest.mark.parametrize(
    "url",
    [
        "ws://127.0.0.1:8080/ws-api/v3",
        "wss://localhost:8443/ws-api/v3",
        "ws://[::1]:8080/ws-api/v3",
        "ws://10.1.2.3/ws-api/v3",
        "wss://192.168.1.9/anything",
        "ws://172.16.0.1/",
        "ws://[fd00::1]/ws-api/v3",
    ],
)
def test_a_local_exchange_passes(url: str) -> None:
    """Loopback and private addresses, also in plain text."""
    assert refusal("binance", url) is None


@pytest.mark.parametrize(
    "url",
    [
        "wss://ws-api.binance.com/ws-api/v3",
        "wss://ws-api.binance.com:443/ws-api/v3",
        "wss://ws-api.binance.com:9443/ws-api/v3",
        "wss://WS-API.BINANCE.COM/ws-api/v3",
        "wss://ws-api.binance.us/ws-api/v3",
        "https://api.binance.com/api/v3/order",
        "https://api.binance.com/ws-api/v3",
        "wss://api.binance.com/ws-api/v3",
        # the listed host where it is not the host
        "wss://ws-api.testnet.binance.vision@ws-api.binance.com/ws-api/v3",
        "wss://ws-api.testnet.binance.vision:443@ws-api.binance.com/ws-api/v3",
        "wss://ws-api.testnet.binance.vision%40ws-api.binance.com/ws-api/v3",
        "wss://ws-api.binance.com/ws-api/v3#@ws-api.testnet.binance.vision/ws-api/v3",
        "wss://ws-api.binance.com?@ws-api.testnet.binance.vision/ws-api/v3",
        "wss://ws-api.binance.com\\@ws-api.testnet.binance.vision/ws-api/v3",
        "wss://ws-api.testnet.binance.vision.ws-api.binance.com/ws-api/v3",
        "wss://127.0.0.1@ws-api.binance.com/ws-api/v3",
        "wss://127.0.0.1.ws-api.binance.com/ws-api/v3",
        "wss://localhost.binance.com/ws-api/v3",
        "wss://user@ws-api.testnet.binance.vision/ws-api/v3",
        "wss://user:password@ws-api.testnet.binance.vision/ws-api/v3",
        # another port, path, scheme or spelling of the listed host
        "wss://ws-api.testnet.binance.vision:8443/ws-api/v3",
        "wss://ws-api.testnet.binance.vision/ws-api/v3/",
        "wss://ws-api.testnet.binance.vision/ws-api/v4",
        "wss://ws-api.testnet.binance.vision/ws-api/../ws-api/v3",
        "wss://ws-api.testnet.binance.vision/WS-API/V3",
        "wss://ws-api.testnet.binance.vision",
        "wss://ws-api.testnet.binance.vision./ws-api/v3",
        "ws://ws-api.testnet.binance.vision/ws-api/v3",
        "http://ws-api.testnet.binance.vision/ws-api/v3",
        "ftp://ws-api.testnet.binance.vision/ws-api/v3",
        "wss:ws-api.testnet.binance.vision/ws-api/v3",
        "//ws-api.testnet.binance.vision/ws-api/v3",
        "ftp://127.0.0.1/ws-api/v3",
        # addresses that only look local
        "ws://8.8.8.8/ws-api/v3",
        "wss://8.8.8.8/ws-api/v3",
        "ws://134744072/ws-api/v3",  # 8.8.8.8 as one decimal number
        "ws://2130706433/ws-api/v3",  # 127.0.0.1 likewise: no resolver is asked what it means
        "ws://0177.0.0.1/ws-api/v3",
        "ws://0x7f.0.0.1/ws-api/v3",
        "ws://127.1/ws-api/v3",
        "ws://127.0.0.1./ws-api/v3",
        "ws://localhost./ws-api/v3",
        "ws://0.0.0.0/ws-api/v3",
        "ws://[::]/ws-api/v3",
        "ws://[::ffff:8.8.8.8]/ws-api/v3",
        "ws://[2606:4700::1111]/ws-api/v3",
        "ws://[2001::808:808]/ws-api/v3",  # Teredo (RFC 4380) leads to a public address, and Python calls it private
        "ws://[64:ff9b:1::808:808]/ws-api/v3",  # local-use translation (RFC 8215) leads to a public address
        "ws://172.32.0.1/ws-api/v3",
        "ws://255.255.255.255/ws-api/v3",
        # no URL at all
        "",
        "ws-api.testnet.binance.vision",
        "wss://[::1/ws-api/v3",
        "wss://ws-api.testnet.binance.vision:99999/ws-api/v3",
        "wss://ws-api.testnet.binance.vision:port/ws-api/v3",
    ],
)
def test_everything_else_is_refused(url: str) -> None:
    """With a reason, never with an exception."""
    assert refusal("binance", url)


def test_an_endpoint_belongs_to_its_venue() -> None:
    """Another venue's orders have no business there."""
    assert refusal("okx", TESTNET)


def test_a_refusal_names_the_endpoint() -> None:
    """So that a person sees what was meant."""
    expected = "ws-api.binance.com:443/ws-api/v3 is not a test venue's order endpoint of binance"
    assert expected == refusal("binance", "wss://ws-api.binance.com/ws-api/v3")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.255.0.1", "::1", "localhost", "10.0.0.1", "169.254.1.1", "fe80::1"])
def test_local_addresses(host: str) -> None:
    """Loopback, private and link-local ones."""
    assert is_local_address(host)


@pytest.mark.parametrize("host", ["", "example.com", "8.8.8.8", "::", "0.0.0.0", "localhost.example.com", "LOCALHOST"])
def test_other_hosts_are_not_local(host: str) -> None:
    """Names are not resolved: who answers for a name may change between two questions."""
    assert not is_local_address(host)


def test_every_listed_endpoint_is_a_test_venues() -> None:
    """Each entry says so in its own name, as a second look by a person would."""
    assert [] == [
        each.host for each in ORDER_ENDPOINTS if not re.search(r"\b(testnet|sandbox|demo|test|paper)\b", each.host)
    ]
    assert all(endpoint.host == endpoint.host.lower() and endpoint.path.startswith("/") for endpoint in ORDER_ENDPOINTS)


def literals(path: Path) -> list[str]:
    """Return a module's strings that are not docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in prose]
    return [node.value for node in constants if isinstance(node.value, str)]


def test_no_venue_names_an_order_host_outside_the_table() -> None:
    """Every host that stands in a venue's code is listed, or serves market data and nothing else."""
    market_data_only = {
        "data-api.binance.vision",
        "data-stream.binance.vision",
        "testnet.binance.vision",
        "stream.testnet.binance.vision",
    }
    known = market_data_only | {endpoint.host for endpoint in ORDER_ENDPOINTS}
    paths = sorted((PROJECT / "venues").glob("*.py"))
    found = {
        (path.name, host)
        for path in paths
        for text in literals(path)
        for host in re.findall(r"\b(?:[a-z0-9-]+\.)+(?:com|vision|us|org|net|io|exchange|co)\b", text.lower())
    }
    assert {"binance.py"} <= {path.name for path in paths}
    assert ("binance.py", "data-api.binance.vision") in found
    assert set() == {(name, host) for name, host in found if host not in known}
