/* See binance.h. Values are found by string search: requests come from well-behaved clients and are flat. */
#include "binance.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LIMITS "\"rateLimits\":[{\"rateLimitType\":\"REQUEST_WEIGHT\",\"interval\":\"MINUTE\",\"intervalNum\":1,\"limit\":6000,\"count\":1}]"

static const char EXCHANGE_INFO[] =
    "{\"timezone\":\"UTC\",\"serverTime\":%lld,\"rateLimits\":[],\"exchangeFilters\":[],\"symbols\":[{"
    "\"symbol\":\"BTCUSDT\",\"status\":\"TRADING\",\"baseAsset\":\"BTC\",\"baseAssetPrecision\":8,"
    "\"quoteAsset\":\"USDT\",\"quotePrecision\":8,\"quoteAssetPrecision\":8,\"baseCommissionPrecision\":8,"
    "\"quoteCommissionPrecision\":8,\"orderTypes\":[\"LIMIT\",\"LIMIT_MAKER\",\"MARKET\"],\"icebergAllowed\":true,"
    "\"ocoAllowed\":true,\"otoAllowed\":true,\"quoteOrderQtyMarketAllowed\":true,\"allowTrailingStop\":true,"
    "\"cancelReplaceAllowed\":true,\"isSpotTradingAllowed\":true,\"isMarginTradingAllowed\":false,\"filters\":["
    "{\"filterType\":\"PRICE_FILTER\",\"minPrice\":\"0.01000000\",\"maxPrice\":\"1000000.00000000\",\"tickSize\":\"0.01000000\"},"
    "{\"filterType\":\"LOT_SIZE\",\"minQty\":\"0.00001000\",\"maxQty\":\"9000.00000000\",\"stepSize\":\"0.00001000\"},"
    "{\"filterType\":\"MARKET_LOT_SIZE\",\"minQty\":\"0.00000000\",\"maxQty\":\"120.00000000\",\"stepSize\":\"0.00000000\"},"
    "{\"filterType\":\"NOTIONAL\",\"minNotional\":\"5.00000000\",\"applyMinToMarket\":true,"
    "\"maxNotional\":\"9000000.00000000\",\"applyMaxToMarket\":false,\"avgPriceMins\":5},"
    "{\"filterType\":\"MAX_NUM_ORDERS\",\"maxNumOrders\":200}],"
    "\"permissions\":[],\"permissionSets\":[[\"SPOT\"]],\"defaultSelfTradePreventionMode\":\"NONE\","
    "\"allowedSelfTradePreventionModes\":[\"NONE\"]}]}";

static const char ACCOUNT[] =
    "{\"makerCommission\":0,\"takerCommission\":0,\"buyerCommission\":0,\"sellerCommission\":0,\"canTrade\":true,"
    "\"canWithdraw\":false,\"canDeposit\":false,\"updateTime\":%lld,\"accountType\":\"SPOT\",\"balances\":["
    "{\"asset\":\"BTC\",\"free\":\"1000000.00000000\",\"locked\":\"0.00000000\"},"
    "{\"asset\":\"USDT\",\"free\":\"1000000000.00000000\",\"locked\":\"0.00000000\"}],\"permissions\":[\"SPOT\"]}";

static const char DEPTH[] =
    "{\"lastUpdateId\":1,\"bids\":[[\"59999.99000000\",\"1000.00000000\"]],\"asks\":[[\"60000.01000000\",\"1000.00000000\"]]}";

static const char TICKER[] =
    "{\"symbol\":\"BTCUSDT\",\"price\":\"60000.00000000\",\"bidPrice\":\"59999.99000000\",\"bidQty\":\"1000.00000000\","
    "\"askPrice\":\"60000.01000000\",\"askQty\":\"1000.00000000\"}";

__attribute__((format(printf, 3, 4))) static size_t put(char *out, size_t room, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(out, room, format, arguments);
    va_end(arguments);
    return (size_t)length < room ? (size_t)length : room - 1;
}

/* Copies what follows `key` and any of `skip`, up to one of `ends`; `otherwise` where the key is absent. */
static void find(const char *text, const char *key, const char *skip, const char *ends, const char *otherwise,
                 char out[64]) {
    const char *value = strstr(text, key);
    if (!value) {
        snprintf(out, 64, "%s", otherwise);
        return;
    }
    value += strlen(key);
    value += strspn(value, skip);
    size_t length = strcspn(value, ends);
    snprintf(out, 64, "%.*s", (int)(length < 63 ? length : 63), value);
}

size_t trade_message(uint64_t ordinal, bool combined, int64_t now, char *out, size_t room) {
    unsigned cents = (unsigned)(ordinal * 7919 % 2000), lots = 1 + (unsigned)(ordinal * 104729 % 5000);
    return put(out, room,
               "%s{\"e\":\"trade\",\"E\":%lld,\"s\":\"BTCUSDT\",\"t\":%llu,\"p\":\"%u.%02u000000\","
               "\"q\":\"0.%05u000\",\"T\":%lld,\"m\":%s,\"M\":true}%s",
               combined ? "{\"stream\":\"btcusdt@trade\",\"data\":" : "", (long long)now,
               (unsigned long long)(ordinal + 4000000001ULL), 59990 + cents / 100, cents % 100, lots,
               (long long)now, ordinal % 2 ? "true" : "false", combined ? "}" : "");
}

static size_t filled_order(const char *id, const char *side, const char *quantity, uint64_t order_id, int64_t now_ms,
                           char *out, size_t room) {
    return put(out, room,
               "{\"symbol\":\"BTCUSDT\",\"orderId\":%llu,\"orderListId\":-1,\"clientOrderId\":\"%s\","
               "\"transactTime\":%lld,\"price\":\"0.00000000\",\"origQty\":\"%s\",\"executedQty\":\"%s\","
               "\"origQuoteOrderQty\":\"0.00000000\",\"cummulativeQuoteQty\":\"60.00000000\",\"status\":\"FILLED\","
               "\"timeInForce\":\"GTC\",\"type\":\"MARKET\",\"side\":\"%s\",\"workingTime\":%lld,\"fills\":["
               "{\"price\":\"60000.00000000\",\"qty\":\"%s\",\"commission\":\"0.00000000\","
               "\"commissionAsset\":\"USDT\",\"tradeId\":%llu}],\"selfTradePreventionMode\":\"NONE\"}",
               (unsigned long long)order_id, id, (long long)now_ms, quantity, quantity, side, (long long)now_ms,
               quantity, (unsigned long long)order_id);
}

size_t rest_answer(const char *request, uint64_t order_id, int64_t now_ms, int *status, char *out, size_t room) {
    char id[64], side[64], quantity[64];
    const char *path = strchr(request, ' ') + 1;
    *status = 200;
    if (!strncmp(request, "POST /api/v3/order", 18)) {
        find(request, "newClientOrderId", "=", "& \r\n", "none", id);
        find(request, "side", "=", "& \r\n", "BUY", side);
        find(request, "quantity", "=", "& \r\n", "0.00100000", quantity);
        return filled_order(id, side, quantity, order_id, now_ms, out, room);
    }
    if (!strncmp(path, "/api/v3/exchangeInfo", 20)) return put(out, room, EXCHANGE_INFO, (long long)now_ms);
    if (!strncmp(path, "/api/v3/time", 12)) return put(out, room, "{\"serverTime\":%lld}", (long long)now_ms);
    if (!strncmp(path, "/api/v3/depth", 13)) return put(out, room, "%s", DEPTH);
    if (!strncmp(path, "/api/v3/ticker", 14)) return put(out, room, "%s", TICKER);
    if (!strncmp(path, "/api/v3/account", 15)) return put(out, room, ACCOUNT, (long long)now_ms);
    if (!strncmp(path, "/api/v3/openOrders", 18)) return put(out, room, "[]");
    if (!strncmp(path, "/api/v3/ping", 12)) return put(out, room, "{}");
    *status = 404;
    return put(out, room, "{\"code\":-1000,\"msg\":\"the benchmark exchange has no such endpoint\"}");
}

static size_t api_result(const char *method, int64_t now_ms, char *out, size_t room) {
    if (!strcmp(method, "time")) return put(out, room, "{\"serverTime\":%lld}", (long long)now_ms);
    if (!strcmp(method, "exchangeInfo")) return put(out, room, EXCHANGE_INFO, (long long)now_ms);
    if (!strcmp(method, "account.status")) return put(out, room, ACCOUNT, (long long)now_ms);
    if (!strcmp(method, "openOrders.status")) return put(out, room, "[]");
    if (!strcmp(method, "userDataStream.subscribe.signature")) return put(out, room, "{\"subscriptionId\":0}");
    return put(out, room, "{}");
}

size_t api_answer(const char *request, uint64_t order_id, int64_t now_ms, bool *placed, char *out, size_t room) {
    char id[64], method[64], client_id[64], side[64], quantity[64];
    find(request, "\"id\"", ": ", ",}", "null", id);
    find(request, "\"method\"", ": \"", "\"", "", method);
    *placed = !strcmp(method, "order.place");
    size_t used = put(out, room, "{\"id\":%s,\"status\":200,\"result\":", id);
    if (*placed) {
        find(request, "\"newClientOrderId\"", ": \"", "\"", "none", client_id);
        find(request, "\"side\"", ": \"", "\"", "BUY", side);
        find(request, "\"quantity\"", ": \"", "\"", "0.00100000", quantity);
        used += filled_order(client_id, side, quantity, order_id, now_ms, out + used, room - used);
    } else {
        used += api_result(method, now_ms, out + used, room - used);
    }
    return used + put(out + used, room - used, "," LIMITS "}");
}

size_t subscription_answer(const char *request, char *out, size_t room) {
    char id[64];
    find(request, "\"id\"", ": ", ",}", "null", id);
    return put(out, room, "{\"result\":null,\"id\":%s}", id);
}
