"""Strategies that come with wirestamp: plug-ins, one file each, named in a configuration as `strategies.MODULE:Class`.

They see `bot.strategy` and `market`, and one another's parts: `moments` (a rolling window's statistics) and `position`
(one position that follows a signal). Nothing imports them; they are loaded by name, and one of yours is loaded alike.
"""
