"""What the engine tells about itself, written into the journal and, where a person should know, into the log."""

import structlog

from bot.engine import Engine, Seat
from bot.recorder import Recorder
from journal.layout import RecordType
from market.events import FeedState, FeedStatus, Malformed
from market.instrument import Instrument
from market.orders import ExecutionReport, Order

log = structlog.get_logger("trader")

_BAD_STATES = (FeedState.SUSPECT, FeedState.DOWN)


class Notices:
    """Listens to an engine.

    Args:
        engine: whom to listen to.
        recorder: where to write.
    """

    def __init__(self, engine: Engine, recorder: Recorder) -> None:
        self._engine = engine
        self._recorder = recorder
        self._said: set[str] = set()  # what the log has been told; all of it is in the journal
        engine.on_status = self._on_status
        engine.on_dropped = self._on_dropped
        engine.on_strategy_stopped = self._on_strategy_stopped
        engine.orders.on_refusal = self._on_refusal
        engine.orders.on_change = self._on_change

    def _once(self, key: str) -> bool:
        if key in self._said:
            return False
        self._said.add(key)
        return True

    def _on_status(self, status: FeedStatus) -> None:
        self._recorder.feed_status(self._engine.trace, self._engine.now_ns, status)
        say = log.warning if status.state in _BAD_STATES else log.info
        say(f"feed {status.state.name.lower()}", instrument=status.instrument.name, reason=status.reason)

    def _on_dropped(self, malformed: Malformed) -> None:
        self._recorder.dropped(self._engine.trace, self._engine.now_ns, malformed)
        if self._once("dropped"):
            log.warning(
                "message dropped (said once, counted in the review)",
                reason=malformed.reason,
                excerpt=malformed.excerpt,
            )

    def _on_strategy_stopped(self, seat: Seat, error: BaseException) -> None:
        payload = {"event": "raised", "strategy": seat.name, "error": seat.stopped}
        self._recorder.write(RecordType.STRATEGY, self._engine.trace, self._engine.now_ns, payload)
        log.error("strategy stopped: it raised; the feed goes on", strategy=seat.name, exc_info=error)

    def _on_refusal(self, strategy: str, instrument: Instrument, reason: str) -> None:
        payload = {"event": "refused", "strategy": strategy, "instrument": instrument.id, "reason": reason}
        self._recorder.write(RecordType.STRATEGY, self._engine.trace, self._engine.now_ns, payload)
        if self._once(f"refused {strategy}"):
            log.warning("order refused (said once, counted in the review)", strategy=strategy, reason=reason)

    def _on_change(self, order: Order, report: ExecutionReport) -> None:
        self._recorder.execution(self._engine.trace, self._engine.now_ns, order, report)
        if report.reason and self._once(f"rejected {order.strategy}"):
            log.warning(
                "order rejected by the venue (said once, counted in the review)",
                strategy=order.strategy,
                reason=report.reason,
            )
