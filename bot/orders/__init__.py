"""Orders on their way out and reports on their way in.

`risk` refuses, `manager` keeps every order's state, `records` says how an intent is written down, `gateway` is the
shell around one order connection. Only `bot` may import this package.
"""
