"""Trader journal × wire journal: which packet carried which message, and whether the stamps can be true. Pure arrays.

`check` is the entry; `nic` comes before it where a NIC's clock stamped the packets. `pairing` finds connections, `isn`
where their `streams` begin, `match` packets by offset; `clock` bounds the difference of two clocks from probes
(`segments`, `feasible`), `causality` tests stamps against it, `network` counts losses. Imports journal only.
"""
