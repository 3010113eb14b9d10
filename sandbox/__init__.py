"""A local exchange: speaks the venues' own protocols, replays recordings, matches orders, keeps accounts.

It shares no code with the adapters that it checks; it imports `market` only, and `wirestamp` alone imports it.
What is Binance's is named `binance_*`; the rest serves any venue.
"""
