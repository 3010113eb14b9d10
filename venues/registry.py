"""Finding a venue by its name."""

from venues import binance
from venues.adapter import Venue

VENUES: dict[str, Venue] = {binance.NAME: binance.Binance()}
