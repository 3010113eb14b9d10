"""The configuration file: every fault at once, each with its key, what it was and what is allowed; and no secrets."""

from pathlib import Path

import pytest

from bot.config import credentials, load
from bot.errors import ConfigurationError, StartError

SOUND = """
[trader]
name = "btc-modulo"

[local]
url = "https://127.0.0.1:8443"
ca = "ca.pem"

[[feed]]
venue = "binance"
environment = "production"
symbols = ["BTC-USDT"]
channels = ["trade", "book"]

[[route]]
name = "main"
venue = "binance"
environment = "testnet"

[[strategy]]
use = "strategies.volume_modulo:VolumeModulo"
route = "main"

[risk]
max_order_notional = "1000"
"""


@pytest.fixture(autouse=True)
def no_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service manager may run the tests."""
    for name in ("STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)


def write(folder: Path, text: str) -> Path:
    path = folder / "trader.toml"
    path.write_text(text, encoding="utf-8")
    return path


def faults(folder: Path, *changes: tuple[str, str]) -> list[str]:
    """Return what is wrong with the sound file after some changes."""
    text = SOUND
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    with pytest.raises(ConfigurationError) as raised:
        load(write(folder, text))
    assert all(f"  {fault}" in str(raised.value) for fault in raised.value.faults)
    return raised.value.faults


def test_a_sound_file(tmp_path: Path) -> None:
    """Is loaded with its strategies, and what it leaves out has a default."""
    loaded = load(write(tmp_path, SOUND))
    assert ("btc-modulo", "uvloop") == (loaded.config.trader.name, loaded.config.trader.loop)
    ((name, strategy, params),) = loaded.strategies
    assert ("VolumeModulo", "VolumeModulo", 17) == (name, strategy.__name__, params.sell_modulus)
    assert (tmp_path / "data", tmp_path / "ca.pem") == (loaded.data_dir, loaded.ca)


def test_five_faults_are_named_at_once(tmp_path: Path) -> None:
    """Whichever table they are in, and whether one table or two show them."""
    found = faults(
        tmp_path,
        ('name = "btc-modulo"', 'name = "btc-modulo"\nloop = "asyncio"'),
        ('channels = ["trade", "book"]', 'channels = ["trades"]'),
        ('environment = "testnet"', 'environment = "production"'),
        ('route = "main"\n', 'route = "mian"\n[strategy.params]\nsell_modulus = 0\n'),
        ("max_order_notional", "max_notional"),
    )
    assert {
        "trader.loop: was 'asyncio', expected 'uvloop' or 'spin'",
        "feed[0].channels[0]: was 'trades', expected 'trade' or 'book' or 'quote'",
        "route[0].environment: was 'production', expected 'testnet' or 'local'",
        "strategy[0].params.sell_modulus: was 0, expected greater than 0",
        "risk.max_notional: is not a known key",
        "strategy[0].route: was 'mian', expected 'main'",
    } == set(found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (('name = "btc-modulo"\n', ""), "trader.name: is missing"),
        (('name = "btc-modulo"', 'name = "../other"'), "trader.name: was '../other', expected a text of the form"),
        (('name = "btc-modulo"', "name = 7"), "trader.name: was 7, expected a valid string"),
        (("[trader]", "[bot]\n[trader]"), "bot: is not a known key"),
        (('venue = "binance"', 'venue = "binanec"'), "feed[0].venue: was 'binanec', expected 'binance'"),
        (('["BTC-USDT"]', '["btcusdt"]'), "feed[0].symbols[0]: was 'btcusdt', expected a text of the form"),
        (('["BTC-USDT"]', "[]"), "feed[0].symbols: was [], expected"),
        (('["BTC-USDT"]', '["BTC-USDT", "BTC-USDT"]'), "feed[0].symbols: 'BTC-USDT' of binance is subscribed already"),
        (('["trade", "book"]', '"trade"'), "feed[0].channels: was 'trade', expected an array"),
        (
            ('"production"', '"mainnet"'),
            "feed[0].environment: was 'mainnet', expected 'production', 'testnet' or 'local'",
        ),
        (('"1000"', '"-1"'), "risk.max_order_notional: was '-1', expected greater than 0"),
        (('"1000"', "inf"), "risk.max_order_notional: was inf, expected a finite number"),
        (('"1000"', '"a lot"'), "risk.max_order_notional: was 'a lot', expected a valid decimal"),
        (
            ("[risk]", "[journal]\nmax_age_days = inf\n[risk]"),
            "journal.max_age_days: was inf, expected a finite",
        ),
        (("[risk]", "[journal]\nmax_bytes = 0\n[risk]"), "journal.max_bytes: was 0, expected greater than 0"),
        (
            ("strategies.volume_modulo:VolumeModulo", "nowhere.py:Mine"),
            "strategy[0].use: ",
        ),
        (
            ('route = "main"\n', 'route = "main"\n[strategy.params]\nsel_modulus = 3\n'),
            "strategy[0].params.sel_modulus: is not a known key",
        ),
        (('name = "main"', 'name = "other"'), "strategy[0].route: was 'main', expected 'other'"),
        (("https://127.0.0.1:8443", "127.0.0.1:8443"), "local.url: was '127.0.0.1:8443', expected http://host:port or"),
        (("https://127.0.0.1:8443", "https://[::1"), "local.url: was 'https://[::1', expected http://host:port or"),
        (
            ("https://127.0.0.1:8443", "https://h:99999"),
            "local.url: was 'https://h:99999', expected http",
        ),
        (
            ("[[route]]", '[[route]]\nname = "main"\nvenue = "binance"\nenvironment = "testnet"\n[[route]]'),
            "route[1].name: 'main' is taken",
        ),
        (
            ("[risk]", '[[strategy]]\nuse = "strategies.volume_modulo:VolumeModulo"\nroute = "main"\n[risk]'),
            "strategy[1].name: 'VolumeModulo' is taken, give each strategy a name of its own",
        ),
        (("[[feed]]", "[feed]"), "feed: was {'venue': 'binance', "),
        (("[[strategy]]", "[strategy]"), "strategy: was {"),
    ],
)
def test_a_fault_says_its_key_what_it_was_and_what_is_allowed(
    tmp_path: Path, change: tuple[str, str], fault: str
) -> None:
    """Once, and nothing else is blamed for it."""
    (found,) = faults(tmp_path, change)
    assert found.startswith(fault)


def test_a_local_environment_needs_its_address(tmp_path: Path) -> None:
    """Each table that wants it says so."""
    without = SOUND.replace('[local]\nurl = "https://127.0.0.1:8443"\nca = "ca.pem"\n', "")
    with pytest.raises(ConfigurationError) as raised:
        load(write(tmp_path, without.replace('"production"', '"local"').replace('"testnet"', '"local"')))
    assert [
        "feed[0].environment: environment 'local' needs [local] url",
        "route[0].environment: environment 'local' needs [local] url",
    ] == raised.value.faults


@pytest.mark.parametrize("host", ["api.binance.com", "ws-api.binance.com", "8.8.8.8", "testnet.example.com"])
def test_an_environment_called_local_must_be_local(tmp_path: Path, host: str) -> None:
    """Orders go to test venues and to this network, whatever the configuration calls it."""
    (found,) = faults(tmp_path, ("127.0.0.1:8443", f"{host}:443"), ('environment = "testnet"', 'environment = "local"'))
    assert found == f"route[0]: {host}:443/ws-api/v3 is not a test venue's order endpoint of binance"


@pytest.mark.parametrize("key", ["key", "secret", "api_key", "password"])
@pytest.mark.parametrize("table", ["[trader]", "[[route]]", "[[feed]]"])
def test_a_secret_is_not_accepted_and_not_shown(tmp_path: Path, table: str, key: str) -> None:
    """It belongs into the environment or a credential."""
    found = faults(tmp_path, (table, f'{table}\n{key} = "hunter2"'))
    assert [f"{key}: is not a known key"] == [fault.rpartition(".")[2] for fault in found]
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (('name = "btc-modulo"', 'name = "btc-modulo"\nproxy = "http://me:hunter2@10.0.0.1:3128"'), "trader.proxy"),
        (("https://127.0.0.1", "https://me:hunter2@127.0.0.1"), "local.url"),
    ],
)
def test_an_address_with_a_password_is_refused_without_showing_it(
    tmp_path: Path, change: tuple[str, str], key: str
) -> None:
    """The journal records the configuration."""
    (found,) = faults(tmp_path, change)
    assert found.startswith(f"{key}: was '")
    assert "hunter2" not in found


@pytest.mark.parametrize("proxy", ["environment", "http://127.0.0.1:3128", "http://proxy.example"])
def test_a_proxy(tmp_path: Path, proxy: str) -> None:
    """Its address, or where to look for it."""
    text = SOUND.replace('name = "btc-modulo"', f'name = "btc-modulo"\nproxy = "{proxy}"')
    assert proxy == load(write(tmp_path, text)).config.trader.proxy


def test_toml_that_is_none(tmp_path: Path) -> None:
    """With the line."""
    (found,) = faults(tmp_path, ("[risk]", "[risk"))
    assert found.startswith("is not TOML: ")
    assert "line 24" in found


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """In the system's words."""
    with pytest.raises(ConfigurationError, match=r"1 error\n  cannot be read: No such file or directory"):
        load(tmp_path / "nowhere.toml")


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    """TOML is UTF-8."""
    path = tmp_path / "trader.toml"
    path.write_bytes(SOUND.encode() + b"# \xff")
    with pytest.raises(ConfigurationError, match="cannot be read: 'utf-8' codec can't decode byte 0xff"):
        load(path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """Said as any other."""
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_data_goes_below_the_state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the service, when there is one; an absolute path is what it says."""
    state = tmp_path / "state"
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    assert state / "data" == load(write(tmp_path, SOUND)).data_dir
    absolute = SOUND.replace("[trader]", f'[trader]\ndata_dir = "{tmp_path}/elsewhere"')
    assert tmp_path / "elsewhere" == load(write(tmp_path, absolute)).data_dir


# -- credentials ------------------------------------------------------------------------------------------------------


def test_credentials_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """By venue and environment."""
    monkeypatch.setenv("WIRESTAMP_BINANCE_TESTNET_KEY", "k")
    monkeypatch.setenv("WIRESTAMP_BINANCE_TESTNET_SECRET", "s")
    found = credentials("binance", "testnet")
    assert ("k", "s") == (found.key, found.secret)
    assert "k" not in repr(found).removeprefix("Credentials")


def test_systemd_credentials_come_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Files of these names; what is not there is looked for in the environment."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("WIRESTAMP_BINANCE_LOCAL_KEY", "from-the-environment")
    monkeypatch.setenv("WIRESTAMP_BINANCE_LOCAL_SECRET", "from-the-environment")
    (tmp_path / "WIRESTAMP_BINANCE_LOCAL_KEY").write_text("from-a-file\n", encoding="utf-8")
    found = credentials("binance", "local")
    assert ("from-a-file", "from-the-environment") == (found.key, found.secret)


@pytest.mark.parametrize("missing", ["KEY", "SECRET"])
@pytest.mark.parametrize("value", [None, "", " \n"])
def test_missing_credentials_are_named(monkeypatch: pytest.MonkeyPatch, missing: str, value: str | None) -> None:
    """With where they were looked for; what is empty is missing."""
    for part in ("KEY", "SECRET"):
        monkeypatch.setenv(f"WIRESTAMP_BINANCE_TESTNET_{part}", "x")
    if value is None:
        monkeypatch.delenv(f"WIRESTAMP_BINANCE_TESTNET_{missing}")
    else:
        monkeypatch.setenv(f"WIRESTAMP_BINANCE_TESTNET_{missing}", value)
    expected = (
        f"WIRESTAMP_BINANCE_TESTNET_{missing} is not set: expected it as a systemd credential or in the environment"
    )
    with pytest.raises(StartError, match=expected):
        credentials("binance", "testnet")
