"""From a batch of captured packets to the TCP segments in it, array by array, without per-packet Python.

`Decoder` is all that others need. It works in rounds: in each, all packets of a block that stand at the same kind of
header (`worklists`) take their step at once: `links`, `network`, `tunnels`, `tcp`; a round is one encapsulation.
`fragments` rebuilds datagrams, `unusual` asks scapy about what is rare, `addresses` numbers IPv6 addresses.
"""

from capture.decode.decoder import Decoder

__all__ = ["Decoder"]
