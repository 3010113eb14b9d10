"""Packets from an interface: the kernel's ring of blocks, read where it lies.

`Ring` (`ring`) is the agent's live input. `blocks` makes batches of the ring's memory, `bpf` assembles the programs
that choose packets in the kernel, `interfaces` asks what an interface is and can do.
"""

from capture.live.ring import Ring

__all__ = ["Ring"]
