"""Captured packets on disk: reading pcap and pcapng, also compressed, and writing pcapng.

`FileSource` (`source`) is the agent's other input. `compression` unpacks, `pcap` and `pcapng` (`pcapng_blocks`) know
the formats, `records` says what they have in common, `walk` follows their chains of records. `pcapng_writer` writes,
`store` keeps the packets of a capture as far as they fit.
"""

from capture.files.source import FileSource

__all__ = ["FileSource"]
