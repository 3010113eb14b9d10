"""Trader journal × wire journal: which packet carried which message, and whether the stamps can be true. Pure arrays.

`streams` pairs connections and finds their first sequence numbers, `match` finds packets by offset, `clock` bounds the
difference of two clocks from probes, `causality` tests stamps against it. May import journal; `review` imports it.
"""
