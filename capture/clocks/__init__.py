"""The difference of clocks: what the agent asks, who answers, and how both are stamped.

`Clocks` (`asking`) is what the agent drives. `probe` asks the trader's machine and `responder` answers there, both with
kernel stamps (`udp_stamps`); `nic_clock` reads a NIC's clock beside the system's.
"""

from capture.clocks.asking import Clocks

__all__ = ["Clocks"]
