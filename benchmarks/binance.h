/* What the benchmark exchange says: Binance spot messages for one symbol, BTCUSDT, in the venue's own form.
 *
 * Pure text: no sockets, no clock, no state. Every function writes at most `room` bytes to `out`, without a terminator,
 * and returns how many. Messages follow the venue's public pages "WebSocket Streams", "WebSocket API" and "REST API".
 */
#ifndef WIRESTAMP_BENCHMARKS_BINANCE_H
#define WIRESTAMP_BENCHMARKS_BINANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One trade; `ordinal` counts from 0 and gives id, price and quantity. `combined`: wrapped in {"stream":…,"data":…}.
 * `now` is in the unit that the stream asked for: ms, or µs with timeUnit=MICROSECOND. */
size_t trade_message(uint64_t ordinal, bool combined, int64_t now, char *out, size_t room);

/* The body that answers an HTTP request (its text, headers and body, NUL-terminated), and its status code. */
size_t rest_answer(const char *request, uint64_t order_id, int64_t now_ms, int *status, char *out, size_t room);

/* The answer to one WebSocket API request (NUL-terminated JSON); *placed tells whether it placed an order. */
size_t api_answer(const char *request, uint64_t order_id, int64_t now_ms, bool *placed, char *out, size_t room);

/* The acknowledgement of SUBSCRIBE, UNSUBSCRIBE and the like on a market stream. */
size_t subscription_answer(const char *request, char *out, size_t room);

#endif
