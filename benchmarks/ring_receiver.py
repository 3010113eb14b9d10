"""The process that `benchmarks/ring.py` measures: captures until SIGTERM, then prints what it saw and what that cost.

Usage: `python benchmarks/ring_receiver.py INTERFACE [--stage ring|decode|streams|journal]`. Prints `ready`, later one
JSON object.
"""

import argparse
import json
import resource
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from capture.agent import Agent
from capture.decode import Decoder
from capture.live.bpf import watch_filter
from capture.live.ring import Ring
from capture.packets import Batch
from capture.streams import Streams
from capture.wire_journal import WireJournal

STAGES = ("ring", "decode", "streams", "journal")


def chain(stage: str, resources: ExitStack) -> Callable[[Batch], object]:
    """Return what is done with each batch, up to a stage; the last one is the whole agent."""
    decoder = Decoder()
    streams = Streams(decoder.address)
    if stage == "ring":
        return len
    if stage == "decode":
        return decoder.decode
    if stage == "streams":
        return lambda batch: streams.take(decoder.decode(batch))
    folder = resources.enter_context(tempfile.TemporaryDirectory())
    journal = resources.enter_context(closing(WireJournal(Path(folder), time.time_ns())))
    return Agent(journal, decoder, streams, None).take


def cpu_s() -> tuple[float, float]:
    """Return this process's CPU time in user and kernel mode, seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime, usage.ru_stime


def main() -> None:
    """Capture, then print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("interface")
    parser.add_argument("--stage", choices=STAGES, default="streams")
    options = parser.parse_args()
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    packets = 0
    with ExitStack() as resources:
        work = chain(options.stage, resources)
        ring = resources.enter_context(Ring(options.interface, filter=watch_filter((443,)), fanout=None))
        user_s, kernel_s = cpu_s()
        print("ready", flush=True)
        while True:
            batch = ring.take(0.05)
            if len(batch):
                packets += len(batch)
                work(batch)
            elif stopping:
                break
        user_end_s, kernel_end_s = cpu_s()
        counters = ring.drops()
    result = {
        "received": packets,
        "dropped": counters.drops,
        "user_s": user_end_s - user_s,
        "kernel_s": kernel_end_s - kernel_s,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
