"""The configuration file: its models, and every fault in it at once.

One TOML file. Unknown keys are refused, and each error names the key, what it was and what is allowed. Secrets never
stand in it: they come from systemd credentials or the environment (`credentials`).
"""

import contextlib
import os
import re
import tomllib
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, StringConstraints, ValidationError

from bot.errors import ConfigurationError, StartError
from bot.loading import StrategyNotFound, load_strategy
from bot.strategy import Strategy
from venues.adapter import CHANNELS, Credentials
from venues.endpoints import refusal
from venues.registry import VENUES

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Symbol = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]+(-[A-Z0-9]+)+$")]


def _one_of(allowed: Iterable[str]) -> AfterValidator:
    names = tuple(allowed)

    def check(value: str) -> str:
        if value not in names:
            raise ValueError(" or ".join(map(repr, names)))
        return value

    return AfterValidator(check)


def _is_address(value: str, schemes: tuple[str, ...]) -> bool:
    """Return whether a text is the URL of a host, without a user or a password: the journal shows it."""
    try:
        parts = urlsplit(value)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0 and "@" not in value
    except ValueError:  # a port that is none
        return False


def _checked_url(value: str) -> str:
    if not _is_address(value, ("http", "https")):
        raise ValueError("http://host:port or https://host:port")
    return value


def _checked_proxy(value: str) -> str:
    if value != "environment" and not _is_address(value, ("http",)):
        raise ValueError("'environment' or http://host:port; one with a password belongs into HTTPS_PROXY")
    return value


VenueName = Annotated[str, _one_of(VENUES)]
Channel = Annotated[str, _one_of(CHANNELS)]


_Model = TypeVar("_Model", bound=BaseModel)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TraderTable(_Table):
    """`[trader]`: who it is, where its data goes, which loop it runs."""

    name: Name
    data_dir: Path = Path("data")
    loop: Literal["uvloop", "spin"] = "uvloop"
    proxy: Annotated[str, AfterValidator(_checked_proxy)] | None = "environment"  # or what HTTPS_PROXY, NO_PROXY say


class SessionTable(_Table):
    """`[session]`: when the market is open."""

    calendar: Literal["24/7"] = "24/7"
    on_close: Literal["sleep", "exit"] = "sleep"


class LocalTable(_Table):
    """`[local]`: the exchange that environment `local` means, such as `wirestamp sandbox`."""

    url: Annotated[str, AfterValidator(_checked_url)]
    ca: Path | None = None


class JournalTable(_Table):
    """`[journal]`: how much history is kept; no limit unless set."""

    max_bytes: PositiveInt | None = None
    max_age_days: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class FeedTable(_Table):
    """`[[feed]]`: market data of one venue."""

    venue: VenueName
    environment: Literal["production", "testnet", "local"]
    symbols: Annotated[list[Symbol], Field(min_length=1)]
    channels: Annotated[list[Channel], Field(min_length=1)]


class RouteTable(_Table):
    """`[[route]]`: a way for orders, always to a test venue."""

    name: Name
    kind: Literal["venue"] = "venue"
    venue: VenueName
    environment: Literal["testnet", "local"]


class StrategyTable(_Table):
    """`[[strategy]]`: a plug-in, its route and its parameters."""

    use: str
    route: str
    name: Name | None = None
    params: dict[str, Any] = {}


class RiskTable(_Table):
    """`[risk]`: limits in front of every order."""

    max_order_notional: Annotated[Decimal, Field(gt=0)] | None = None


class Configuration(_Table):
    """The whole file."""

    trader: TraderTable
    session: SessionTable = SessionTable()
    local: LocalTable | None = None
    journal: JournalTable = JournalTable()
    feed: Annotated[list[FeedTable], Field(min_length=1)]
    route: list[RouteTable] = []
    strategy: list[StrategyTable] = []
    risk: RiskTable = RiskTable()


class Loaded:
    """A configuration that was found sound.

    Attributes:
        config: the models.
        path: the file.
        strategies: for each `[[strategy]]`, its name, its class and its checked parameters.
        data_dir: where runs go, absolute.
    """

    def __init__(self, config: Configuration, path: Path, strategies: list[tuple[str, type[Strategy], Any]]) -> None:
        self.config = config
        self.path = path
        self.strategies = strategies
        base = Path(os.environ.get("STATE_DIRECTORY", path.parent))
        self.data_dir = (base / config.trader.data_dir).absolute()

    @property
    def ca(self) -> Path | None:
        """The certificate authority of the local exchange."""
        local = self.config.local
        return self.path.parent / local.ca if local is not None and local.ca is not None else None


def load(path: Path) -> Loaded:
    """Read, check and complete a configuration file.

    Args:
        path: the TOML file.

    Returns:
        The configuration with its strategies loaded.

    Raises:
        ConfigurationError: with every fault that was found.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(path), [f"cannot be read: {getattr(error, 'strerror', None) or error}"]) from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(str(path), [f"is not TOML: {error}"]) from error
    faults: list[str] = []
    config: Configuration | None = None
    try:
        config = Configuration.model_validate(table)
    except ValidationError as error:
        faults += [describe(each) for each in error.errors()]
    strategies = _load_strategies(table, path.parent, faults)
    faults += _cross_faults(table)
    if config is None or faults:
        raise ConfigurationError(str(path), faults)
    return Loaded(config, path.absolute(), strategies)


def describe(error: Any, prefix: str = "") -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    """Say one of pydantic's errors as the key, what it was and what is allowed: `feed[0].venue: was …, expected …`."""
    key = prefix
    for part in error["loc"]:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        return f"{key}: is missing"
    if kind == "extra_forbidden":
        return f"{key}: is not a known key"
    said = error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    expected = context.get("expected") or _EXPECTED.get(kind, said).format(**context)
    return f"{key}: was {_shown(error['input'])}, expected {expected}"


_EXPECTED = {  # where pydantic's own words would not follow "expected"
    "string_pattern_mismatch": "a text of the form {pattern}",
    "path_type": "a path",
    "too_short": "at least {min_length} of them",
    "model_type": "a table",
    "list_type": "an array",
}
_USER = re.compile(r"//[^/@]*@")


def _shown(value: object) -> str:
    text = _USER.sub("//…@", repr(value))  # an address may hold a password
    return text if len(text) <= 60 else text[:57] + "..."


def _load_strategies(table: dict[str, Any], folder: Path, faults: list[str]) -> list[tuple[str, type[Strategy], Any]]:
    """Load every strategy that is named, also when something else in the file is wrong."""
    strategies: list[tuple[str, type[Strategy], Any]] = []
    entries = table.get("strategy", [])
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        if not isinstance(entry, dict) or not isinstance(entry.get("use"), str):
            continue  # the models say so
        try:
            found = load_strategy(entry["use"], folder)
            params = found.Params.model_validate(entry.get("params", {}))
        except StrategyNotFound as error:
            faults.append(f"strategy[{index}].use: {error}")
        except ValidationError as error:
            faults += [describe(each, f"strategy[{index}].params") for each in error.errors()]
        else:
            strategies.append((str(entry.get("name") or found.__name__), found, params))
    return strategies


def _tables(table: dict[str, Any], key: str, model: type[_Model]) -> list[tuple[int, _Model]]:
    """Return the sound ones among an array of tables, with their places; the models say what is wrong with others."""
    entries = table.get(key, [])
    sound = []
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        with contextlib.suppress(ValidationError):
            sound.append((index, model.model_validate(entry)))
    return sound


def _repeated(names: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
    return [(index, name) for at, (index, name) in enumerate(names) if name in [before for _, before in names[:at]]]


def _cross_faults(table: dict[str, Any]) -> list[str]:
    """Find what each table alone cannot know, also when another table is wrong."""
    feeds, strategies = _tables(table, "feed", FeedTable), _tables(table, "strategy", StrategyTable)
    routes = table.get("route", [])
    routes = [entry for entry in routes if isinstance(entry, dict)] if isinstance(routes, list) else []
    named = [entry.get("name") for entry in routes]
    labels = [(index, strategy.name or strategy.use.rpartition(":")[2]) for index, strategy in strategies]
    symbols = [(index, f"{symbol!r} of {feed.venue}") for index, feed in feeds for symbol in feed.symbols]
    channels = [
        f"feed[{index}].channels: {channel!r} is named twice"
        for index, feed in feeds
        for _, channel in _repeated(list(enumerate(feed.channels)))
    ]
    allowed = ", ".join(map(repr, named)) or "a [[route]], but there is none"
    faults = [f"route[{at}].name: {name!r} is taken" for at, name in _repeated(list(enumerate(named)))]
    faults += [
        f"strategy[{index}].route: was {strategy.route!r}, expected {allowed}"
        for index, strategy in strategies
        if strategy.route not in named
    ]
    faults += [
        f"strategy[{at}].name: {label!r} is taken, give each strategy a name of its own"
        for at, label in _repeated(labels)
    ]
    faults += [f"feed[{at}].symbols: {symbol} is subscribed already" for at, symbol in _repeated(symbols)]
    faults += channels
    return faults + _endpoint_faults(table, feeds)


def _endpoint_faults(table: dict[str, Any], feeds: list[tuple[int, FeedTable]]) -> list[str]:
    try:
        url = LocalTable.model_validate(table["local"]).url if "local" in table else None
    except ValidationError:
        return []  # said already; what it would lead to is not known
    faults = []
    for index, feed in feeds:
        try:
            VENUES[feed.venue].endpoints(feed.environment, url)
        except ValueError as error:
            faults.append(f"feed[{index}].environment: {error}")
    for index, route in _tables(table, "route", RouteTable):
        try:
            orders = VENUES[route.venue].endpoints(route.environment, url).orders
        except ValueError as error:
            faults.append(f"route[{index}].environment: {error}")
            continue
        if reason := refusal(route.venue, orders or ""):
            faults.append(f"route[{index}]: {reason}")
    return faults


def credentials(venue: str, environment: str) -> Credentials:
    """Return the API key of a venue's environment, from systemd credentials or else from the environment.

    Args:
        venue: the adapter's name.
        environment: `testnet` or `local`.

    Raises:
        StartError: key or secret is missing; the message names where it was looked for.
    """
    return Credentials(_secret(venue, environment, "KEY"), _secret(venue, environment, "SECRET"))


def _secret(venue: str, environment: str, part: str) -> str:
    name = f"WIRESTAMP_{venue}_{environment}_{part}".upper()
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    file = Path(folder, name) if folder else None
    value = file.read_text(encoding="utf-8") if file is not None and file.is_file() else os.environ.get(name, "")
    if not value.strip():
        raise StartError(f"{name} is not set: expected it as a systemd credential or in the environment")
    value = value.strip()
    if part == "KEY" and not re.fullmatch(r"[!#-\[\]-~]+", value):  # it stands in requests as it is
        raise StartError(f"{name}: expected printable ASCII without blanks, quotes or backslashes")
    return value
