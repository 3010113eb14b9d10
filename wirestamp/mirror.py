"""The two-instance set-up on one Linux box: trader, exchange and monitor apart, and a traffic mirror between them.

    exchange ──feed link── trader ══mirror link══ monitor

Three network namespaces, joined by veth pairs. Whatever passes the trader's end of the feed link, in either direction,
is cloned by the kernel (tc-mirred(8)), wrapped into VXLAN (RFC 7348) and sent over the mirror link, as a cloud's
traffic mirror would do it. The mirror link carries clock probes as well; only the feed link is mirrored, so nothing
loops.

Copies are addressed to nobody, behind the monitor, which drops them once a capture has seen them. Were they for the
monitor itself, its kernel would answer them with ICMP errors, since nobody listens on VXLAN's port there.

A clone is taken before segmentation: where the feed link carries frames of up to 64 KB, so does the mirror link, whole,
whatever its MTU. With `gso_max_segs=1` no frame of the feed link is longer than its MTU, as on a network.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

from wirestamp.namespaces import NamespaceError, Namespaces, inside_namespace, lacking

__all__ = ["VNI", "Mirror", "MirrorError", "inside_namespace", "missing"]

VNI = 4242

_FEED, _MIRROR, _TUNNEL = "feed", "mirror", "vxlan"  # interfaces
_TRADER, _EXCHANGE = "10.77.0.1", "10.77.0.2"  # on the feed link
_RESPONDER, _MONITOR = "10.77.1.1", "10.77.1.2"  # on the mirror link
_NOBODY = "10.77.2.1"  # behind the monitor

_IPV6 = Path("/proc/sys/net/ipv6")  # absent where the kernel has no IPv6, or none switched on

_VETH = "veth pairs (CONFIG_VETH)"
_LINKS = "links up"
_ADDRESSES = "IPv4 addresses and routes"
_VXLAN = "the VXLAN tunnel (CONFIG_VXLAN)"
_HOOK = "the mirror's hook (CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_ACT)"
_FILTER = "the mirror's filter (CONFIG_NET_CLS_U32, CONFIG_NET_ACT_MIRRED)"


class MirrorError(Exception):
    """The set-up cannot be built here; the message says what is missing."""


class Mirror:
    """The set-up, as a context manager to be used once: it leaves nothing behind.

    A signal must reach the `with` block as an exception: Ctrl-C does, SIGTERM and SIGHUP where the program makes them.
    After SIGKILL the next `Mirror` removes what is left. Processes inside are the caller's to end.

    Args:
        vni: VXLAN network identifier of the copies, 24 bits.
        gso_max_segs: segments in a frame of the feed link at most, on both of its ends; None leaves the kernel's own.

    Attributes:
        exchange_address: where the trader reaches the exchange.
        responder_address: where the monitor's clock probes reach the trader, over the mirror link.
        monitor_interface: what to capture on, in the monitor's namespace.
        feed_interface: the feed link, in the trader's and in the exchange's namespace.
        names: the namespaces' names, of `trader`, `exchange` and `monitor`.
    """

    exchange_address = _EXCHANGE
    responder_address = _RESPONDER
    monitor_interface = _MIRROR
    feed_interface = _FEED

    def __init__(self, *, vni: int = VNI, gso_max_segs: int | None = None) -> None:
        self._vni = vni
        self._gso = "" if gso_max_segs is None else f"gso_max_segs {gso_max_segs}"
        self._namespaces = Namespaces(("trader", "exchange", "monitor"))
        self.names = self._namespaces.names

    def __enter__(self) -> Self:
        """Build it.

        Raises:
            MirrorError: a program, a right or a feature of the kernel is missing.
        """
        absent = lacking(("ip", "tc"))
        if absent:
            raise MirrorError(absent)
        try:
            self._namespaces.make()
            self._link_feed()
            self._link_monitor()
            self._start_copying()
        except BaseException as error:
            self._namespaces.remove()
            if isinstance(error, NamespaceError):
                raise MirrorError(str(error)) from error
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._namespaces.remove()

    def command(self, where: str, argv: list[str]) -> list[str]:
        """Return the command that runs `argv` in a namespace; its process is that of `argv`.

        Args:
            where: `trader`, `exchange` or `monitor`.
            argv: what to run.
        """
        return self._namespaces.command(where, argv)

    def _link_feed(self) -> None:
        run = self._namespaces.ip
        run(_VETH, "trader", f"link add {_FEED} type veth peer name {_FEED} netns {self.names['exchange']}")
        for place, address in (("trader", _TRADER), ("exchange", _EXCHANGE)):
            self._raise_link(place, _FEED, self._gso)
            run(_ADDRESSES, place, f"addr add {address}/30 dev {_FEED}")

    def _link_monitor(self) -> None:
        """Join trader and monitor; the MTU is a cloud's, so that a full frame and 50 bytes of VXLAN fit."""
        run = self._namespaces.ip
        peer = f"name {_MIRROR} mtu 9000 netns {self.names['monitor']}"
        run(_VETH, "trader", f"link add {_MIRROR} mtu 9000 type veth peer {peer}")
        for place, address in (("trader", _RESPONDER), ("monitor", _MONITOR)):
            self._raise_link(place, _MIRROR)
            run(_ADDRESSES, place, f"addr add {address}/30 dev {_MIRROR}")
        run(_ADDRESSES, "trader", f"route add {_NOBODY} via {_MONITOR}")
        run(_ADDRESSES, "monitor", f"route add blackhole {_NOBODY}")

    def _start_copying(self) -> None:
        tunnel = f"id {self._vni} remote {_NOBODY} dstport 4789 dev {_MIRROR} nolearning noudpcsum"
        self._namespaces.ip(_VXLAN, "trader", f"link add {_TUNNEL} mtu 1600 type vxlan {tunnel}")
        self._raise_link("trader", _TUNNEL)
        self._namespaces.tc(_HOOK, "trader", f"qdisc add dev {_FEED} clsact")
        copy = f"protocol all u32 match u32 0 0 action mirred egress mirror dev {_TUNNEL}"
        for direction in ("ingress", "egress"):
            self._namespaces.tc(_FILTER, "trader", f"filter add dev {_FEED} {direction} {copy}")

    def _raise_link(self, place: str, interface: str, options: str = "") -> None:
        """Set a link up, without the packets by which IPv6 would make itself known: they are nobody's traffic."""
        quiet = "addrgenmode none" if _IPV6.is_dir() else ""
        changes = filter(None, (quiet, options, "up"))
        self._namespaces.ip(_LINKS, place, *(f"link set dev {interface} {change}" for change in changes))


def missing() -> str | None:
    """Return which program, right or feature of the kernel the set-up lacks here, in words; None when it can be built.

    Found out by building it, which takes a fraction of a second.
    """
    try:
        with Mirror():
            return None
    except MirrorError as error:
        return str(error)
