"""Building a trader's parts from its configuration, in the order in which they need one another.

Instruments come first, from each venue's own description; then the engine, the routes, the feeds, the strategies.
"""

import contextlib

from bot.config import FeedTable, Loaded, RouteTable, StrategyTable, credentials
from bot.engine import Engine
from bot.errors import StartError
from bot.feeds import FeedSession
from bot.orders.gateway import Gateway
from bot.orders.manager import OrderManager, Route
from bot.orders.risk import Risk
from bot.recorder import Recorder
from bot.rest import RestSession
from bot.strategy import Strategy, StrategyParams
from bot.transport.dial import Dialer
from market.events import SnapshotWanted
from market.instrument import Instrument
from venues.adapter import Endpoints
from venues.registry import VENUES


class Parts:
    """The parts of one run.

    Args:
        loaded: the configuration.
        recorder: where instruments and their sources are written down.
        dialer: makes the connections.

    Attributes:
        engine: the engine, with every strategy seated once `build` is done.
        gateways, feeds: the shells around its connections, in the order of the configuration.
    """

    engine: Engine

    def __init__(self, loaded: Loaded, recorder: Recorder, dialer: Dialer) -> None:
        self.gateways: list[Gateway] = []
        self.feeds: list[FeedSession] = []
        self._loaded = loaded
        self._recorder = recorder
        self._dialer = dialer
        self._of_feed: list[list[Instrument]] = []
        self._session_of: dict[Instrument, FeedSession] = {}

    async def build(self, prefix: str) -> None:
        """Build everything; nothing trades yet.

        Args:
            prefix: beginning of the run's client order ids.

        Raises:
            StartError: credentials are missing, or a strategy's constructor raised.
            TransportError: a venue cannot be reached.
            UnknownSymbol: a venue does not list an instrument.
        """
        config = self._loaded.config
        for table in config.feed:
            self._of_feed.append(await self._learn(table))
        instruments = [instrument for mine in self._of_feed for instrument in mine]
        routes: dict[str, Route] = {}
        orders = OrderManager(prefix, Risk(instruments, config.risk.max_order_notional), routes)
        self.engine = Engine(instruments, orders)
        self.engine.on_snapshot_wanted = self._want_snapshot
        for route in config.route:
            self.gateways.append(self._gateway(route, instruments))
            routes[route.name] = self.gateways[-1]
        for index, table in enumerate(config.feed):
            self.feeds.append(self._feed(index, table))
        for (name, strategy, params), entry in zip(self._loaded.strategies, config.strategy, strict=True):
            self._seat(name, strategy, params, entry)

    def _endpoints(self, table: FeedTable | RouteTable) -> Endpoints:
        local = self._loaded.config.local
        return VENUES[table.venue].endpoints(table.environment, local.url if local is not None else None)

    async def _learn(self, table: FeedTable) -> list[Instrument]:
        """Ask a feed's venue for the scales and filters of its symbols."""
        venue = VENUES[table.venue]
        index, before = len(self._of_feed), sum(map(len, self._of_feed))
        rest = RestSession(index, self._endpoints(table).rest, self._recorder, self._dialer)
        mine = []
        with contextlib.closing(rest):
            for number, name in enumerate(table.symbols, before + 1):
                reply = await rest.get(venue.instrument_target(name))
                purpose = {"purpose": "instrument", "feed": index, "name": name, "number": number}
                self._recorder.reply(0, rest.read_ns, rest.number, purpose, reply)
                instrument = venue.parse_instrument(name, number, reply.status, reply.body)
                rest.stamp(0, number)
                self._recorder.instrument(instrument, rest.read_ns)
                mine.append(instrument)
        return mine

    def _gateway(self, table: RouteTable, instruments: list[Instrument]) -> Gateway:
        mine = [instrument for instrument in instruments if instrument.venue == table.venue]
        return Gateway(
            table.name,
            venue=table.venue,
            url=self._endpoints(table).orders or "",
            entry=VENUES[table.venue].order_entry(mine, credentials(table.venue, table.environment)),
            engine=self.engine,
            recorder=self._recorder,
            dialer=self._dialer,
        )

    def _feed(self, index: int, table: FeedTable) -> FeedSession:
        instruments = self._of_feed[index]
        session = FeedSession(
            index,
            table.venue,
            endpoints=self._endpoints(table),
            feed=VENUES[table.venue].feed(instruments, table.channels),
            engine=self.engine,
            recorder=self._recorder,
            dialer=self._dialer,
        )
        self._session_of.update(dict.fromkeys(instruments, session))
        return session

    def _seat(self, name: str, strategy: type[Strategy], params: StrategyParams, table: StrategyTable) -> None:
        try:
            self.engine.seat(name, table.route, strategy(params))
        except Exception as error:
            raise StartError(f"strategy {name} cannot be built: {type(error).__name__}: {error}") from error

    def _want_snapshot(self, wanted: SnapshotWanted) -> None:
        self._session_of[wanted.instrument].want_snapshot(wanted)
