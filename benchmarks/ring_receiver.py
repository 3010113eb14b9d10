"""The process that `benchmarks/ring.py` measures: captures until SIGTERM, then prints what it saw and what that cost.

Usage: `python benchmarks/ring_receiver.py INTERFACE [--stage ring|decode|streams]`. Prints `ready`, later one JSON
object.
"""

import argparse
import json
import resource
import signal
import time
from collections.abc import Callable

from capture.bpf import watch_filter
from capture.packets import Batch
from capture.ring import Ring

STAGES = ("ring", "decode", "streams")


def chain(stage: str) -> Callable[[Batch], int]:
    """Return what is done with each batch up to a stage; it returns the number of TCP segments found."""
    if stage == "ring":
        return len
    from capture.decode import Decoder  # noqa: PLC0415 - a stage measures its own modules only

    decoder = Decoder()
    if stage == "decode":
        return lambda batch: len(decoder.decode(batch))
    from capture.streams import Streams  # noqa: PLC0415 - the same

    streams = Streams(decoder.address)

    def follow(batch: Batch) -> int:
        segments = decoder.decode(batch)
        streams.take(segments)
        return len(segments)

    return follow


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
    work = chain(options.stage)
    packets = segments = batches = 0
    first_s = last_s = 0.0
    with Ring(options.interface, filter=watch_filter((443,)), fanout=None) as ring:
        user_s, kernel_s = cpu_s()
        print("ready", flush=True)
        while True:
            batch = ring.take(0.05)
            if len(batch):
                last_s = time.monotonic()
                first_s = first_s or last_s
                packets += len(batch)
                segments += work(batch)
                batches += 1
            elif stopping:
                break
        user_end_s, kernel_end_s = cpu_s()
        counters = ring.drops()
    result = {
        "received": packets,
        "segments": segments,
        "batches": batches,
        "dropped": counters.drops,
        "user_s": user_end_s - user_s,
        "kernel_s": kernel_end_s - kernel_s,
        "seconds": last_s - first_s,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
