"""The trader: configuration, stamped transport, engine, orders, strategy interface, service.

May import venues, market and journal; never strategies (they are loaded by name), sandbox or review.
"""
