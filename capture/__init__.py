"""The monitor's agent: packets in, a wire journal out. It knows no trader and needs none.

Sources (`live`, `files`) yield batches of packets, `decode` finds the TCP segments in them, `streams` finds out what
their bytes are to each connection, `agent` journals that (`wire_journal`, `roster`), and `clocks` compares the clocks
meanwhile. `inspect` is for people: it decrypts what was captured. May import journal; only the `wirestamp` command
imports this package.
"""
