"""What can go wrong in the trader, and whose fault it is.

TraderError
├── ConfigurationError     the configuration's: every fault in it, all at once
├── StartError             the environment's: a venue refused us, a certificate, a port, a full disk
├── TransportError         the peer's or the network's: one connection was lost or never came to be
└── PaperOnly              an order was about to go somewhere that is not a test venue
"""


class TraderError(Exception):
    """Base of all of the trader's errors."""


class ConfigurationError(TraderError):
    """A configuration that cannot be used.

    Attributes:
        faults: one sentence for each thing that is wrong.
    """

    def __init__(self, source: str, faults: list[str]) -> None:
        self.source = source
        self.faults = faults
        count = "1 error" if len(faults) == 1 else f"{len(faults)} errors"
        super().__init__(f"{source}: {count}\n" + "\n".join(f"  {fault}" for fault in faults))


class StartError(TraderError):
    """The trader cannot start here and now, though its configuration is sound."""


class TransportError(TraderError):
    """A connection could not be made, or was lost."""


class PaperOnly(TraderError):
    """An order endpoint that is not in the table of test venues."""
