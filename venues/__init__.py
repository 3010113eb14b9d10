"""The exchanges: one file each, bytes ↔ events and orders, its loss rule, its endpoints. No I/O, no clock.

`adapter` says what each file provides, `endpoints` is the one table of where orders may go, `registry` finds a venue by
name. May import market only; the bot and the review import it, the sandbox never does.
"""
