"""Trader journal × wire journal: which packet carried which message, and whether the stamps can be true. Pure arrays.

`check` is the one entry. `pairing` finds connections, `isn` where their streams begin, `match` packets by offset;
`clock` bounds the difference of two clocks from probes, `causality` tests stamps against it. Imports journal only.
"""
