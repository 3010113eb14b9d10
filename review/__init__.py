"""What journals say about latency: counts, hops, tick-to-trade, and whether the stamps are in order.

`summary` reads a run into a `model.Review`, `terminal` shows it. Nothing here writes into a journal. May import
crosscheck, venues, market and journal; only the `wirestamp` command imports it.
"""
