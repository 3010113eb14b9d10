"""The clients and how they are started."""

import tomllib
from pathlib import Path

import pytest

from contenders import HERE, Place, contenders, trader_config

PLACE = Place(port=4321, client=Path("/bin/client"), certificate=Path("/tmp/cert.pem"), directory=Path("/tmp/empty"))


def test_the_clients_have_the_names_that_the_results_promise() -> None:
    expected = [
        "c_floor",
        "c_floor_spin",
        "picows",
        "websockets_aiohttp",
        "ccxt_pro",
        "wirestamp_uvloop",
        "wirestamp_spin",
        "wirestamp_uvloop_tls",
        "wirestamp_spin_tls",
    ]
    assert expected == [contender.name for contender in contenders()]


def test_floors_and_peers_are_given_the_port_and_their_program_exists() -> None:
    for contender in contenders()[:5]:
        program, *arguments = contender.command(PLACE)
        assert "4321" in arguments
        assert all(Path(argument).is_file() for argument in arguments if argument.endswith(".py")), program


@pytest.mark.parametrize(
    "local",
    [{"url": "http://127.0.0.1:4321"}, {"url": "https://127.0.0.1:4321", "ca": "/tmp/cert.pem"}],
)
def test_the_trader_gets_a_configuration_for_its_port(local: dict[str, str]) -> None:
    config = tomllib.loads(trader_config(PLACE, "spin", tls="ca" in local))
    assert local == config["local"]
    assert "spin" == config["trader"]["loop"]
    path, _, name = config["strategy"][0]["use"].partition(":")
    assert HERE / "every_trade.py" == Path(path)
    assert f"class {name}(" in Path(path).read_text()
