"""From TCP segments to what their bytes are to their connections: first seen, seen before, late, sent again, lost.

`Streams` (`rows`) is all that others need. On whole arrays: `flows` finds connections, `sequence` unwraps numbers to
positions, `tracks` keeps how far each stream has come, `recent` knows copies. Packet by packet, for what is out of the
ordinary: `conversations` and `conversation`, with `holes`, `doubles` and `options`.
"""

from capture.streams.rows import Found, Opened, Streams

__all__ = ["Found", "Opened", "Streams"]
