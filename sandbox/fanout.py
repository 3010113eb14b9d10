"""Who listens to which stream, and the delivery of publications to them: every message once, in order.

Counts what was published and sent. A message is rendered once for all subscribers that want the same form of it.
"""

import asyncio
from collections import Counter

from sandbox.connection import Connection, text_frame
from sandbox.publication import Publication


class Subscriber:
    """One connection's wishes.

    Args:
        connection: where its messages go.
        combined: whether each message is wrapped in `{"stream":…,"data":…}`.
        microseconds: whether the venue's times are sent in µs instead of ms.
    """

    def __init__(self, connection: Connection, *, combined: bool, microseconds: bool) -> None:
        self.connection = connection
        self.combined = combined
        self.microseconds = microseconds
        self.streams: dict[str, None] = {}  # in the order of subscription


class Fanout:
    """The subscribers of all streams.

    Args:
        streams: the names that are published; subscribing to another is accepted and stays silent, as the venue does.

    Attributes:
        published: messages published, by stream.
        sent: messages handed to subscribers' connections, by stream.
    """

    def __init__(self, streams: frozenset[str]) -> None:
        self._streams = streams
        self._by_stream: dict[str, dict[Subscriber, None]] = {name: {} for name in streams}
        self._listened = asyncio.Event()
        self._unflushed: dict[Connection, None] = {}
        self.published: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()

    @property
    def subscribers(self) -> set[Subscriber]:
        """Those who listen to at least one published stream."""
        return {subscriber for group in self._by_stream.values() for subscriber in group}

    @property
    def is_listened(self) -> bool:
        """Whether anybody listens."""
        return self._listened.is_set()

    async def listened(self) -> None:
        """Wait until somebody listens."""
        await self._listened.wait()

    def subscribe(self, subscriber: Subscriber, streams: list[str]) -> None:
        """Add streams to what a subscriber gets."""
        for name in streams:
            subscriber.streams[name] = None
            if name in self._streams:
                self._by_stream[name][subscriber] = None
                self._listened.set()

    def unsubscribe(self, subscriber: Subscriber, streams: list[str]) -> None:
        """Take streams away; one that it did not have is ignored."""
        for name in streams:
            subscriber.streams.pop(name, None)
            self._by_stream.get(name, {}).pop(subscriber, None)
        if not any(self._by_stream.values()):
            self._listened.clear()

    def publish(self, publication: Publication, times_us: tuple[int, ...]) -> None:
        """Queue a message for everybody who listens to its stream.

        Args:
            publication: the message.
            times_us: the venue's times that it shall carry, Unix µs.
        """
        name = publication.stream
        self.published[name] += 1
        frames: dict[tuple[bool, bool], bytes] = {}
        for subscriber in self._by_stream[name]:
            form = (subscriber.combined, subscriber.microseconds)
            frame = frames.get(form)
            if frame is None:
                times = times_us if subscriber.microseconds else tuple([time // 1000 for time in times_us])
                payload = publication.payload(times)
                if subscriber.combined:
                    payload = b'{"stream":"%b","data":%b}' % (name.encode(), payload)
                frame = frames[form] = text_frame(payload)
            subscriber.connection.send_frame(frame)
            self._unflushed[subscriber.connection] = None
            self.sent[name] += 1

    async def flush(self) -> None:
        """Write what is queued and wait for the slowest subscriber."""
        connections, self._unflushed = self._unflushed, {}
        for connection in connections:
            connection.flush()
        for connection in connections:
            await connection.drain()
