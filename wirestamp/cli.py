"""The command line: reads arguments, calls one part, turns its errors into a message and an exit status.

Exit status: 0 done, 2 bad usage or configuration, 3 could not start, 4 a check that was asked for failed, 1 anything
else.
"""

import io
import os
import sys
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="wirestamp",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

ConfigFile = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration, a TOML file.")]


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback
    if wanted:
        print(f"wirestamp {version('wirestamp')}")  # noqa: T201
        raise typer.Exit


@app.callback()
def wirestamp(
    *, version_wanted: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False
) -> None:
    """A crypto paper-trading bot that proves its own latency. Orders go to test venues only."""


def main() -> None:
    """Run the command; the console script's entry point."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that cannot show "→" shows "?"
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy would start idle threads, and nothing here multiplies
    try:
        app()
    except KeyboardInterrupt:  # before or after a command that has its own way of ending
        sys.exit(1)
    except BrokenPipeError:  # who read our output has gone
        sys.stdout = None  # nothing is left to flush at exit
        sys.exit(1)
    except OSError as error:  # our output has no room
        sys.stdout = None
        print(f"wirestamp: {error.strerror or error}", file=sys.stderr)  # noqa: T201 - a command speaks to its user
        sys.exit(1)


def fail(message: object, status: int) -> typer.Exit:
    """Print an error and return what ends the command with this status."""
    print(f"wirestamp: {message}", file=sys.stderr)  # noqa: T201 - a command speaks to its user
    return typer.Exit(status)


@app.command(epilog="Example: wirestamp demo --replay recording.gz --speed 10")
def demo(
    data: Annotated[Path, typer.Option(metavar="DIR", help="Where its files go.")] = Path("demo-data"),
    replay: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A recording to play; again for one that follows.")
    ] = None,
    speed: Annotated[str | None, typer.Option(help="1, 10, any factor, or max; recordings 10 unless said.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="When to stop; a recording's end unless said.")] = None,
    *,
    plain: Annotated[bool, typer.Option("--plain", help="No TLS.")] = False,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Exchange, trader and monitor in network namespaces, mirrored traffic.")
    ] = False,
    gso_max_segs: Annotated[
        int | None, typer.Option(min=1, help="With --mirror: segments a frame of the feed's link may hold; 1 for none.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the review's object alone.")] = False,
) -> None:
    """Run a local exchange and a trader over TLS, capture their packets, then show where every microsecond went."""
    key_log = os.environ.pop("SSLKEYLOGFILE", None)  # for the trader alone; aiohttp would open the file when imported
    from wirestamp.demo import DemoOptions, run_demo
    from wirestamp.serving import speed_factor

    if speed is not None:
        try:
            speed_factor(speed)
        except ValueError as error:
            raise fail(error, 2) from error
    options = DemoOptions(
        data=data,
        replay=replay or [],
        speed=speed or ("10" if replay else "1"),
        seconds=seconds,
        plain=plain,
        as_json=as_json,
        mirror=mirror,
        gso_max_segs=gso_max_segs,
        key_log=key_log,
    )
    raise typer.Exit(run_demo(options))


@app.command(epilog="Example: wirestamp check -c trader.toml")
def check(config: ConfigFile) -> None:
    """Say all that is wrong with a configuration, at once."""
    from bot.config import load
    from bot.errors import ConfigurationError

    try:
        loaded = load(config)
    except ConfigurationError as error:
        raise fail(error, 2) from error
    names = ", ".join(name for name, _, _ in loaded.strategies) or "none"
    print(f"{config}: sound; feeds: {len(loaded.config.feed)}, strategies: {names}")  # noqa: T201


@app.command(epilog="Example: wirestamp run -c trader.toml")
def run(config: ConfigFile) -> None:
    """Trade on paper until told to stop; the first SIGTERM or Ctrl-C ends the run in order, the second at once."""
    from wirestamp.running import run_trader

    raise typer.Exit(run_trader(config))


@app.command(epilog="Example: wirestamp sandbox --replay recording.gz --speed 10")
def sandbox(
    data: Annotated[Path, typer.Option(metavar="DIR", help="Its certificate and its accounts.")] = Path("sandbox-data"),
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port, 0 for any free one.")] = 9443,
    replay: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A recording to play; again for one that follows.")
    ] = None,
    speed: Annotated[str, typer.Option(help="1, 10, any factor, or max.")] = "1",
    seed: Annotated[int, typer.Option(help="The synthetic market's random seed.")] = 1,
    rate: Annotated[
        float, typer.Option(min=0.001, help="The synthetic market's rate, as a factor of the recorded.")
    ] = 1.0,
    *,
    plain: Annotated[bool, typer.Option("--plain", help="No TLS.")] = False,
) -> None:
    """Serve a local Binance spot: real recordings or a synthetic market, orders matched against it.

    The account's key and secret are "sandbox", or what WIRESTAMP_BINANCE_LOCAL_KEY and _SECRET say.
    """
    os.environ.pop("SSLKEYLOGFILE", None)  # the trader alone keeps one; aiohttp would open the file when imported
    from wirestamp.serving import sandbox_options, serve_sandbox

    try:
        options = sandbox_options(data, host, port, replay or [], speed, seed, rate, plain=plain)
    except ValueError as error:
        raise fail(error, 2) from error
    raise typer.Exit(serve_sandbox(options))


@app.command(epilog="Example: wirestamp capture -i eth1 --probe 10.0.0.5 --data capture-data")
def capture(
    *,
    interface: Annotated[str | None, typer.Option("-i", "--interface", metavar="IFACE", help="Capture here.")] = None,
    read: Annotated[
        list[Path] | None, typer.Option("-r", "--read", metavar="FILE", help="Read this; again for what follows.")
    ] = None,
    data: Annotated[Path, typer.Option(metavar="DIR", help="The folder of its runs.")] = Path("capture-data"),
    port: Annotated[
        list[int] | None,
        typer.Option(min=1, max=65535, metavar="PORT", help="Watch only connections from or to this TCP port; repeat."),
    ] = None,
    vxlan_port: Annotated[
        list[int], typer.Option(min=1, max=65535, metavar="PORT", help="A UDP port of VXLAN; repeat.")
    ] = [4789, 8472],  # noqa: B006 - typer copies it
    geneve_port: Annotated[
        list[int], typer.Option(min=1, max=65535, metavar="PORT", help="A UDP port of GENEVE; repeat.")
    ] = [6081],  # noqa: B006 - typer copies it
    probe: Annotated[
        str | None, typer.Option(metavar="HOST[:PORT]", help="The trader's `wirestamp responder`, for its clock.")
    ] = None,
    probe_rate: Annotated[float, typer.Option(min=0.1, max=1000, help="Clock probes a second.")] = 20.0,
    store: Annotated[str, typer.Option(metavar="SIZE", help="Keep the packets too, up to this: 500M, 20G.")] = "0",
    keep: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Delete the oldest journals beyond this: 50G; never unless said.")
    ] = None,
    fanout: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Share the interface among this group's agents; a --data each.")
    ] = None,
    hardware: Annotated[bool, typer.Option("--hardware", help="Take the NIC's own stamps.")] = False,
    promiscuous: Annotated[
        bool, typer.Option("--promiscuous", help="Take packets for other machines too: a switch's mirror port.")
    ] = False,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="When to stop; never unless said.")] = None,
) -> None:
    """Journal the packets of TCP connections, from an interface or from files, also out of a mirror's tunnels."""
    from wirestamp.capturing import CaptureOptions, probe_target, run_capture, size_bytes

    try:
        options = CaptureOptions(
            interface=interface,
            files=read or [],
            data=data,
            ports=tuple(port or ()),
            vxlan_ports=tuple(vxlan_port),
            geneve_ports=tuple(geneve_port),
            probe=None if probe is None else probe_target(probe),
            probes_per_s=probe_rate,
            store_bytes=size_bytes("--store", store),
            keep_bytes=None if keep is None else size_bytes("--keep", keep),
            fanout=fanout,
            hardware=hardware,
            promiscuous=promiscuous,
            seconds=seconds,
        )
    except ValueError as error:
        raise fail(error, 2) from error
    raise typer.Exit(run_capture(options))


@app.command(epilog="Example: wirestamp responder --host 10.0.0.5")
def responder(
    host: Annotated[str, typer.Option(help="The address to answer at.")] = "0.0.0.0",  # noqa: S104 - see --allow
    port: Annotated[int, typer.Option(min=0, max=65535, help="The UDP port, 0 for any free one.")] = 9460,
    allow: Annotated[
        list[str] | None, typer.Option(metavar="NETWORK", help="Answer these alone; private networks unless said.")
    ] = None,
) -> None:
    """Answer the clock probes of a capture agent; runs beside the trader."""
    from wirestamp.capturing import run_responder

    raise typer.Exit(run_responder(host, port, allow or []))


@app.command(epilog="Example: wirestamp review data/btc-modulo capture-data")
def review(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A run, or a folder of runs: the latest.")],
    monitors: Annotated[
        list[Path] | None, typer.Argument(metavar="MONITOR_DIR", help="The capture's run, or its folder of runs.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what a run did and how long every hop took; with a capture's journal, what the wire says of it."""
    from wirestamp.reviewing import review_run

    raise typer.Exit(review_run(directory, monitors or [], as_json=as_json))


class _Format(StrEnum):
    """What `export` can write."""

    PCAPNG = "pcapng"
    PERFETTO = "perfetto"
    PLAINTEXT = "plaintext"


@app.command(epilog="Example: wirestamp export data/btc-modulo capture-data --to pcapng -o matched.pcapng")
def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A trader's run, or its folder of runs.")],
    monitors: Annotated[list[Path] | None, typer.Argument(metavar="MONITOR_DIR", help="A capture, likewise.")] = None,
    *,
    to: Annotated[_Format, typer.Option(help="Packets with comments, a trace, or decrypted messages.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="stdout unless said.")] = None,
    packets: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Packet files, where the capture kept none; repeat.")
    ] = None,
    key_log: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For plaintext (which holds API keys): what SSLKEYLOGFILE named."),
    ] = None,
) -> None:
    """Write what the journals know for Wireshark (pcapng), the Perfetto UI (perfetto), or as decrypted text."""
    from wirestamp.exporting import ExportOptions, run_export

    raise typer.Exit(run_export(ExportOptions(directory, monitors or [], to.value, output, packets or [], key_log)))


@app.command(epilog="Example: wirestamp replay data/btc-modulo")
def replay(directory: Annotated[Path, typer.Argument(metavar="DIR", help="A run, or a folder of runs.")]) -> None:
    """Run decode, books, strategies and risk over a run's journal again; they must reach the same intents."""
    from wirestamp.replaying import replay_run

    raise typer.Exit(replay_run(directory))
