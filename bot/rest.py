"""The shell around one feed's REST endpoint: connected when it is needed, each request and reply stamped and recorded.

Replies are inputs of whoever asked: the asker records them (`Recorder.reply`) and then says which input they were.
"""

from time import time_ns

from bot.recorder import Recorder
from bot.transport.dial import Dialer, HttpConnection
from bot.transport.http import Response
from journal.layout import ABSENT, MessageKind, RecordType, StampFlag


class RestSession:
    """GET requests to one venue, one after another, over one connection as long as it lasts.

    Args:
        index: the feed's place in the configuration.
        url: where the venue's REST interface lives.
        recorder: where it is written down.
        dialer: makes the connections.
    """

    def __init__(self, index: int, url: str, recorder: Recorder, dialer: Dialer) -> None:
        self._index = index
        self._url = url
        self._recorder = recorder
        self._dialer = dialer
        self._http: HttpConnection | None = None
        self._body_bytes = 0

    async def get(self, target: str, cause: int = 0) -> Response:
        """Ask for something and wait for the reply.

        Args:
            target: path and query.
            cause: trace id of the input that made it necessary, 0 for none.

        Raises:
            TransportError: there is no connection, it was lost, the peer broke the protocol, or the time ran out.
        """
        http = self._http
        if http is None or not http.usable:
            self._http = http = await self._open()
        off = http.send("GET", target)
        connection, recorder, line = http.connection, self._recorder, b"GET " + target.encode()
        recorder.sent(
            cause, off, 0, connection.number, 0, len(line), MessageKind.REST, 0,
            ABSENT, ABSENT, connection.written_ns, connection.sent_ns,
        )  # fmt: skip
        recorder.record(RecordType.OUTBOUND, cause, connection.written_ns, connection.number, line)
        reply = await http.reply()
        self._body_bytes = len(reply.body)
        return reply

    async def _open(self) -> HttpConnection:
        http = await self._dialer.http(self._url)
        connection, transmitted = http.connection, self._recorder.transmitted
        number = connection.number
        about = {"role": "rest", "index": self._index}
        described = {"event": "open", **about, "url": self._url, "stamped": connection.stamped}
        self._recorder.connection(0, time_ns(), number, described | connection.describe())
        http.listen(
            lambda off, event, stamp_ns: transmitted(off, number, event, stamp_ns),
            lambda reason: self._recorder.connection(
                0, time_ns(), number, {"event": "closed", **about, "reason": reason}
            ),
        )
        return http

    @property
    def number(self) -> int:
        """The number of the connection that the last reply came over."""
        return self._answered().connection.number

    @property
    def read_ns(self) -> int:
        """When the last reply was read."""
        return self._answered().read_ns

    def stamp(self, trace: int = 0, instrument: int = 0) -> None:
        """Append the last reply's row of stamps, with the present as `decoded`.

        Args:
            trace: the input that it was, 0 for none.
            instrument: what it was about, 0 for none.
        """
        http = self._answered()
        self._recorder.received(
            trace, http.off, 0, http.connection.number, instrument, self._body_bytes, MessageKind.REST,
            0 if http.owns_stamp else StampFlag.RX_SHARED,
            ABSENT, http.nic_rx_ns, http.kernel_rx_ns, http.read_ns, time_ns(),
        )  # fmt: skip

    def _answered(self) -> HttpConnection:
        assert self._http is not None
        return self._http

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._http is not None:
            self._http.close()
