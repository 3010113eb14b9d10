"""One run of the trader, from its configuration to its last record.

Owns the run's life: it opens the journal and the loop's driver, has the parts built, beats once a second (clock pair,
strategies' timers, journal health), keeps routes and feeds up, and decides what ends the run. Signals and exit status
are its caller's.
"""

import asyncio
import contextlib
import gc
import ssl
from time import time_ns
from typing import Any

import structlog

from bot.assembly import Parts
from bot.config import Loaded
from bot.errors import PaperOnly, StartError, TraderError, TransportError
from bot.notices import Notices
from bot.orders.gateway import Gateway
from bot.recorder import Recorder
from bot.transport.dial import Dialer
from bot.transport.poller import Driver, Poller
from bot.transport.stamps import StampKeeper
from bot.transport.tls import client_context, key_log_path, log_keys
from journal.errors import JournalError, JournalFull
from journal.layout import RecordType
from journal.retention import Retention
from journal.runs import create_run
from journal.writer import Journal
from venues.adapter import UnknownSymbol

_SETTLE_S = 2.0  # how long the end of a run waits for answers to orders
_RETAIN_EVERY_S = 60
_DAY_NS = 86_400_000_000_000
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

log = structlog.get_logger("trader")


def order_prefix(start_ns: int) -> str:
    """Return the beginning of a run's client order ids: its start in ms, in base 36, so that no two runs share it."""
    number, text = start_ns // 1_000_000, ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return f"ws{text}"


class Trader:
    """One run.

    Args:
        loaded: the checked configuration.

    Attributes:
        failure: why the run had to end, None when it was asked to.
    """

    def __init__(self, loaded: Loaded) -> None:
        self.failure: str | None = None
        self._loaded = loaded
        self._start_ns = time_ns()
        self._key_log = key_log_path()
        self._failed = asyncio.Event()
        self._recorder: Recorder
        self._parts: Parts

    async def run(self, stop: asyncio.Event) -> None:
        """Trade until asked to stop or unable to go on.

        Args:
            stop: set by the caller to end the run in order.

        Raises:
            ConfigurationError: the environment asks for a key log that others could read.
            StartError: the run could not begin.
            PaperOnly: orders would have gone somewhere that is not a test venue.
        """
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_exception)
        config = self._loaded.config.trader
        context = self._tls_context()
        journal = self._open_journal()
        keeper = StampKeeper()
        if not keeper.warm_up():
            log.warning("this kernel gives no stamps: kernel_rx, kernel_tx and what follows from them will be absent")
        poller = Poller()
        driver = Driver(poller, loop, spin=config.loop == "spin")
        driver.start()
        try:
            self._recorder = recorder = Recorder(journal)
            self._parts = Parts(self._loaded, recorder, Dialer(poller, context, config.proxy))
            if await self._start_unless(stop):
                await self._trade(stop)
        finally:
            driver.stop()
            poller.close()
            keeper.close()
            with contextlib.suppress(JournalError):
                journal.close()

    def _open_journal(self) -> Journal:
        keep = self._loaded.config.journal
        age_ns = None if keep.max_age_days is None else int(keep.max_age_days * _DAY_NS)
        try:
            folder = create_run(self._loaded.data_dir / self._loaded.config.trader.name, self._start_ns)
            journal = Journal(folder, retention=Retention(keep.max_bytes, age_ns))
        except (OSError, JournalFull) as error:
            raise StartError(f"the journal cannot be written: {error}") from error
        log.info("journal", folder=str(folder))
        return journal

    def _tls_context(self) -> ssl.SSLContext:
        context = client_context(self._loaded.ca)
        if self._key_log is not None:
            log_keys(context, self._key_log)
            log.warning(
                "TLS secrets are written to a file: whoever can read it can decrypt this run's captured connections, "
                "API keys included; unset SSLKEYLOGFILE to switch this off",
                file=str(self._key_log),
            )
        return context

    async def _start_unless(self, stop: asyncio.Event) -> bool:
        """Start, unless asked to stop first; return whether it did."""
        starting, stopping = asyncio.create_task(self._start()), asyncio.create_task(stop.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            self._recorder.write(RecordType.END, 0, time_ns(), {"reason": "asked to stop before it had started"})
            return False
        try:
            starting.result()
        except (TransportError, UnknownSymbol, StartError, PaperOnly) as error:
            self._recorder.write(RecordType.END, 0, time_ns(), {"reason": f"could not start: {error}"})
            if isinstance(error, StartError | PaperOnly):
                raise
            local = self._loaded.config.local
            hint = f"; is `wirestamp sandbox` running at {local.url}?" if local is not None else ""
            raise StartError(str(error) + (hint if isinstance(error, TransportError) else "")) from error
        return True

    async def _start(self) -> None:
        prefix = order_prefix(self._start_ns)
        self._recorder.configuration(self._loaded, prefix, self._start_ns, key_log=self._key_log is not None)
        await self._parts.build(prefix)
        Notices(self._parts.engine, self._recorder)
        for gateway in self._parts.gateways:
            await gateway.connect()
            log.info("route ready", route=gateway.name)
        self._parts.engine.start(*self._command("start"))

    # -- trading ------------------------------------------------------------------------------------------------------

    async def _trade(self, stop: asyncio.Event) -> None:
        gc.collect()
        gc.freeze()
        gc.disable()  # a full collection would stop the hot path; the second's beat collects what is young
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(self._beat())]
        tasks += [asyncio.create_task(self._keep_route(gateway)) for gateway in self._parts.gateways]
        tasks += [asyncio.create_task(session.run()) for session in self._parts.feeds]
        for task in tasks:
            task.add_done_callback(self._on_task_done)
        log.info("trading", strategies=[seat.name for seat in self._parts.engine.seats])
        waits = [asyncio.create_task(stop.wait()), asyncio.create_task(self._failed.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            await self._wind_down()
        finally:
            gc.enable()
            tasks += waits
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _command(self, command: str, reason: str = "") -> tuple[int, int]:
        """Record a command as an input; return its trace id and time."""
        trace, now_ns = self._parts.engine.trace + 1, time_ns()
        self._recorder.write(RecordType.COMMAND, trace, now_ns, {"command": command, "reason": reason})
        return trace, now_ns

    async def _beat(self) -> None:
        """Once a second: clock pair, strategies' timers, the journal's health, young garbage."""
        loop = asyncio.get_running_loop()
        engine, recorder = self._parts.engine, self._recorder
        due, beats = loop.time(), 0
        while True:
            realtime_ns, _ = recorder.clock()
            if (reason := recorder.journal.failure()) is not None:
                self._fail(reason)
            while recorder.journal.troubles:
                log.warning("journal upkeep failed", reason=recorder.journal.troubles.pop())
            trace = engine.trace + 1
            recorder.write(RecordType.TIMER, trace, realtime_ns, {})
            engine.tick(trace, realtime_ns)
            gc.collect(1)
            if beats % _RETAIN_EVERY_S == 0:
                recorder.journal.retain()
            beats += 1
            due = max(due + 1, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _keep_route(self, gateway: Gateway) -> None:
        """Connect a lost route again."""
        while True:
            await gateway.lost.wait()
            if gateway.closing:
                return
            log.warning("route lost", route=gateway.name, reason=gateway.reason)
            delay_s = 0.25
            while gateway.lost.is_set():
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, 30)
                try:
                    await gateway.connect()
                except (TransportError, StartError) as error:
                    log.warning("route still down", route=gateway.name, reason=str(error), retry_s=delay_s)
            log.info("route ready", route=gateway.name)

    def _fail(self, reason: str) -> None:
        if self.failure is None:
            self.failure = reason
            log.error("trading stops", reason=reason)
            self._failed.set()

    def _on_exception(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take what was raised in a callback of the loop, such as a journal that is full in mid-message."""
        error = context.get("exception")
        if isinstance(error, TraderError | JournalError):
            self._fail(str(error))
        elif self.failure is None:  # what follows from the first would bury it
            log.error("a defect in wirestamp", exc_info=error, message=context.get("message"))
            self._fail(f"{type(error).__name__}: {error}")

    def _on_task_done(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_exception(task.get_loop(), {"exception": error, "message": "a task failed"})

    # -- ending -------------------------------------------------------------------------------------------------------

    async def _wind_down(self) -> None:
        """Take no new orders, wait for the answers to those on their way, close, count."""
        engine = self._parts.engine
        reason = self.failure or "asked to stop"
        try:
            engine.finish(*self._command("stop", reason))
            engine.halt(reason, *self._command("halt", reason))
            give_up = asyncio.get_running_loop().time() + _SETTLE_S
            while engine.orders.unanswered() and asyncio.get_running_loop().time() < give_up:  # noqa: ASYNC110 - once a run
                await asyncio.sleep(0.01)
            for session in self._parts.feeds:
                await session.close()
            for gateway in self._parts.gateways:
                gateway.close()
            await asyncio.sleep(0.01)  # the losses are inputs too: let the loop hand them on
            self._recorder.write(RecordType.END, 0, time_ns(), self._counts(reason))
        except JournalError as error:
            self._fail(str(error))

    def _counts(self, reason: str) -> dict[str, Any]:
        engine, orders = self._parts.engine, self._parts.engine.orders
        return {
            "reason": reason,
            "messages": sum(session.messages for session in self._parts.feeds),
            "trades": engine.trades,
            "gaps": engine.gaps,
            "dropped": engine.dropped,
            "orders": orders.placed,
            "fills": orders.fills,
            "rejects": orders.rejects,
            "refused": orders.refused,
            "orphans": orders.orphans,
            "unanswered": orders.unanswered(),
            "journal_stalls": self._recorder.journal.stalls,
        }
