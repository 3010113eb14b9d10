"""Stamped connections: bytes in and out of the kernel, the time of every hop, the stream offset of every message.

`stamps` talks to the kernel, `streams` and `websocket` and `http` are sans-I/O protocol layers, `connection` is the
shell around one socket, `dial` makes one, `poller` watches them all. Only `bot` may import this package.
"""
