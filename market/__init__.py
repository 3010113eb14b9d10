"""The pure domain: instruments, market events, orders, the order book and the matching engine.

No I/O, no clock, no logging; prices and quantities are exact integers (ticks and lots) everywhere.
Every other package may import this one; this one imports none of them.
"""
