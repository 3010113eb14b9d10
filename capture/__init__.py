"""The monitor's agent: packets in, a wire journal out. It knows no trader and needs none.

Sources (`files`, `ring`) yield batches of packets, `decode` finds the TCP segments in them, `streams` finds out what
their bytes are to each connection, `agent` journals that. `probe` and `responder` compare two machines' clocks.
May import journal; only the `wirestamp` command imports it.
"""
