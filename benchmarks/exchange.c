/* The exchange that every benchmark client trades with: single-threaded, epoll, plain and TLS ports on 127.0.0.1.
 *
 *   exchange RATE TICKS [CERTIFICATE KEY]
 *
 * RATE trades per second go to every connection that subscribed to a market stream, each in a packet of its own; with
 * RATE 0 they go as fast as the peer takes them. After TICKS trades the stream falls silent; 0 means never. Orders by
 * WebSocket API and by REST are filled at once. One JSON line on standard output names the ports; each line on standard
 * input, and its end, is answered by one that says what was done so far; its end is also the exchange's. Messages are
 * binance.c's; this file owns connections and frames.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "binance.h"

enum { IN_ROOM = 1 << 16, ANSWER_ROOM = 1 << 13, MAX_CONNECTIONS = 64, BURST = 64 };
/* A peer that lets this much pile up is not read from; what one full `in` can be answered with fits in the rest. */
enum { OUT_PAUSE = 1 << 20, OUT_ROOM = 1 << 22 };
enum { TEXT = 0x1, CLOSE = 0x8, PING = 0x9, PONG = 0xA }; /* RFC 6455, section 5.2 */

typedef struct {
    int fd;
    SSL *tls;
    bool websocket, orders, combined, microseconds, subscribed;
    uint64_t ticks;
    uint32_t interest;
    size_t in_len, out_off, out_len;
    char in[IN_ROOM + 1], out[OUT_ROOM];
} Connection;

static Connection *connections[MAX_CONNECTIONS];
static int epoll_fd;
static uint64_t max_ticks, ticks_sent, orders_taken;
static SSL_CTX *tls_context;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static int64_t now_ms(void) {
    return now_us() / 1000;
}

/* Bytes moved, 0 when the peer closed or failed, -1 when it must be tried again later. */
static ssize_t transport(Connection *c, bool writing, char *bytes, size_t size) {
    if (!c->tls) {
        ssize_t moved = writing ? send(c->fd, bytes, size, 0) : recv(c->fd, bytes, size, 0);
        return moved >= 0 ? moved : errno == EAGAIN ? -1 : 0;
    }
    size_t moved = 0;
    int done = writing ? SSL_write_ex(c->tls, bytes, size, &moved) : SSL_read_ex(c->tls, bytes, size, &moved);
    if (done) return (ssize_t)moved;
    int why = SSL_get_error(c->tls, done);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1 : 0;
}

static bool flush(Connection *c) {
    while (c->out_off < c->out_len) {
        ssize_t sent = transport(c, true, c->out + c->out_off, c->out_len - c->out_off);
        if (sent <= 0) return sent < 0;
        c->out_off += (size_t)sent;
    }
    c->out_off = c->out_len = 0;
    return true;
}

static bool queue(Connection *c, const void *bytes, size_t size) {
    if (c->out_len + size > OUT_ROOM) return false;
    memcpy(c->out + c->out_len, bytes, size);
    c->out_len += size;
    return true;
}

static bool queue_frame(Connection *c, int opcode, const char *payload, size_t size) {
    unsigned char head[4] = {(unsigned char)(0x80 | opcode), (unsigned char)size};
    size_t head_size = 2;
    if (size > 125) {
        head[1] = 126;
        head[2] = (unsigned char)(size >> 8);
        head[3] = (unsigned char)size;
        head_size = 4;
    }
    return queue(c, head, head_size) && queue(c, payload, size);
}

static bool wants_tick(const Connection *c) {
    return c && c->subscribed && !c->out_len && (!max_ticks || c->ticks < max_ticks);
}

static bool send_tick(Connection *c) {
    char message[512];
    size_t size = trade_message(c->ticks++, c->combined, c->microseconds ? now_us() : now_ms(), message, sizeof message);
    ticks_sent++;
    return queue_frame(c, TEXT, message, size) && flush(c);
}

/* RFC 6455, section 4.2.2: the accept key is base64(SHA-1(key + GUID)). */
static bool upgrade(Connection *c, const char *path, const char *key) {
    char text[128], accept[32], answer[256];
    unsigned char digest[SHA_DIGEST_LENGTH];
    int size = snprintf(text, sizeof text, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", (int)strcspn(key, "\r\n"), key);
    SHA1((unsigned char *)text, (size_t)size, digest);
    EVP_EncodeBlock((unsigned char *)accept, digest, sizeof digest);
    size = snprintf(answer, sizeof answer,
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
    size_t path_size = strcspn(path, " ");
    c->websocket = true;
    c->orders = !strncmp(path, "/ws-api/", 8);
    c->combined = !strncmp(path, "/stream", 7);
    c->microseconds = memmem(path, path_size, "timeUnit=MICROSECOND", 20);
    c->subscribed = !c->orders && memchr(path, '@', path_size);
    return queue(c, answer, (size_t)size);
}

/* Takes one HTTP request: returns its size, 0 when it is not whole yet, -1 when the connection must close. */
static ssize_t take_request(Connection *c, char *text, size_t available) {
    text[available] = 0;
    char *end = strstr(text, "\r\n\r\n"), *path = strchr(text, ' '), answer[ANSWER_ROOM], head[160];
    if (!end) return 0;
    if (!path || path > end) return -1;
    const char *body = strcasestr(text, "\r\nContent-Length:"), *key = strcasestr(text, "\r\nSec-WebSocket-Key: ");
    size_t size = (size_t)(end + 4 - text) + (body && body < end ? strtoul(body + 17, NULL, 10) : 0);
    if (size > available) return 0;
    if (key && key < end) return upgrade(c, path + 1, key + 21) ? (ssize_t)size : -1;
    int status;
    char after = text[size];
    text[size] = 0;
    size_t answer_size = rest_answer(text, orders_taken + 1, now_ms(), &status, answer, sizeof answer);
    orders_taken += !strncmp(text, "POST /api/v3/order", 18);
    text[size] = after;
    int head_size = snprintf(head, sizeof head,
                             "HTTP/1.1 %d %s\r\nContent-Type: application/json;charset=UTF-8\r\nContent-Length: %zu\r\n\r\n",
                             status, status == 200 ? "OK" : "Not Found", answer_size);
    return queue(c, head, (size_t)head_size) && queue(c, answer, answer_size) ? (ssize_t)size : -1;
}

static bool answer_text(Connection *c, char *text, size_t size) {
    char answer[ANSWER_ROOM], after = text[size];
    bool placed = false;
    text[size] = 0;
    if (c->orders) {
        size_t answer_size = api_answer(text, orders_taken + 1, now_ms(), &placed, answer, sizeof answer);
        text[size] = after;
        orders_taken += placed;
        return queue_frame(c, TEXT, answer, answer_size);
    }
    c->subscribed |= strstr(text, "\"SUBSCRIBE\"") && strstr(text, "@trade");
    size_t answer_size = subscription_answer(text, answer, sizeof answer);
    text[size] = after;
    return queue_frame(c, TEXT, answer, answer_size);
}

/* Takes one masked frame; returns like take_request. */
static ssize_t take_frame(Connection *c, char *bytes, size_t available) {
    unsigned char *frame = (unsigned char *)bytes;
    size_t head = 6, size;
    if (available < 2) return 0;
    /* RFC 6455, section 5.1: clients mask. A frame of 64 KiB and more (length code 127) would not fit. */
    if (!(frame[1] & 0x80) || (frame[1] & 0x7F) == 127) return -1;
    size = frame[1] & 0x7F;
    if (size == 126) {
        if (available < 4) return 0;
        size = (size_t)frame[2] << 8 | frame[3];
        head = 8;
    }
    if (available < head) return 0;
    if (available < head + size) return head + size > IN_ROOM ? -1 : 0;
    char *payload = bytes + head;
    for (size_t i = 0; i < size; i++) payload[i] ^= (char)frame[head - 4 + i % 4];
    bool kept = true;
    if ((frame[0] & 0xF) == TEXT) kept = answer_text(c, payload, size);
    if ((frame[0] & 0xF) == PING) kept = queue_frame(c, PONG, payload, size);
    if ((frame[0] & 0xF) == CLOSE) kept = false;
    return kept ? (ssize_t)(head + size) : -1;
}

/* Answers all that has arrived; false when the connection is over. */
static bool serve(Connection *c) {
    for (;;) {
        size_t offset = 0;
        for (ssize_t taken = 1; taken && offset < c->in_len; offset += (size_t)taken) {
            char *start = c->in + offset;
            taken = c->websocket ? take_frame(c, start, c->in_len - offset) : take_request(c, start, c->in_len - offset);
            if (taken < 0) return false;
        }
        memmove(c->in, c->in + offset, c->in_len -= offset);
        if (!flush(c) || c->in_len == IN_ROOM) return false;
        if (c->out_len >= OUT_PAUSE) return true;
        ssize_t got = transport(c, false, c->in + c->in_len, IN_ROOM - c->in_len);
        if (got <= 0) return got < 0;
        c->in_len += (size_t)got;
    }
}

static void set_interest(Connection *c, int slot) {
    uint32_t interest = (c->out_len < OUT_PAUSE ? EPOLLIN : 0U) | (c->out_len ? EPOLLOUT : 0U);
    if (interest == c->interest) return;
    struct epoll_event event = {.events = interest, .data.u32 = (uint32_t)slot};
    epoll_ctl(epoll_fd, c->interest ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event);
    c->interest = interest;
}

static void keep_or_close(int slot, bool keep) {
    Connection *c = connections[slot];
    if (keep) {
        set_interest(c, slot);
        return;
    }
    SSL_free(c->tls);
    close(c->fd);
    free(c);
    connections[slot] = NULL;
}

static void accept_connection(int listener, bool tls) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), slot = 0, on = 1;
    if (fd < 0) return;
    while (slot < MAX_CONNECTIONS && connections[slot]) slot++;
    Connection *c = slot < MAX_CONNECTIONS ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->fd = fd;
    if (tls) {
        c->tls = SSL_new(tls_context);
        SSL_set_fd(c->tls, fd);
        SSL_set_accept_state(c->tls);
    }
    connections[slot] = c;
    set_interest(c, slot);
}

static int listen_on_loopback(int *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(fd, (struct sockaddr *)&address, size) || listen(fd, 16)) die("listen");
    getsockname(fd, (struct sockaddr *)&address, &size);
    *port = ntohs(address.sin_port);
    return fd;
}

static void use_certificate(const char *certificate, const char *key) {
    tls_context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (SSL_CTX_use_certificate_chain_file(tls_context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls_context, key, SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "exchange: cannot use certificate %s with key %s\n", certificate, key);
        exit(2);
    }
}

static int start_timer(double rate) {
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    int64_t period_ns = rate > 0 ? (int64_t)(1e9 / rate) : 0;
    struct timespec period = {period_ns / 1000000000, period_ns % 1000000000};
    struct itimerspec timer = {period, period};
    if (fd < 0 || timerfd_settime(fd, 0, &timer, NULL)) die("timerfd");
    return fd;
}

/* Sends up to `count` trades to everyone who is subscribed; true when someone would take more at once. */
static bool send_ticks(int count) {
    bool more = false;
    for (int slot = 0; slot < MAX_CONNECTIONS; slot++) {
        bool keep = true;
        if (!wants_tick(connections[slot])) continue;
        for (int i = 0; i < count && keep && wants_tick(connections[slot]); i++) keep = send_tick(connections[slot]);
        more |= keep && wants_tick(connections[slot]);
        keep_or_close(slot, keep);
    }
    return more;
}

enum { STDIN = MAX_CONNECTIONS, TIMER, PLAIN_PORT, TLS_PORT };

static void watch(int fd, uint32_t name) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = name};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
}

/* Answers standard input; false at its end. */
static bool report(void) {
    char question[16];
    bool open = read(STDIN_FILENO, question, sizeof question) > 0;
    printf("{\"ticks\":%llu,\"orders\":%llu}\n", (unsigned long long)ticks_sent, (unsigned long long)orders_taken);
    fflush(stdout);
    return open;
}

static void run(double rate, int timer, int plain, int tls) {
    struct epoll_event events[32];
    for (bool more = false, open = true; open;) {
        int ready = epoll_wait(epoll_fd, events, 32, more ? 0 : -1);
        for (int i = 0; i < ready; i++) {
            uint32_t name = events[i].data.u32;
            uint64_t expirations;
            if (name == STDIN) open = report();
            if (name == PLAIN_PORT) accept_connection(plain, false);
            if (name == TLS_PORT) accept_connection(tls, true);
            /* A late timer sends one trade, not a burst: the pace is what is measured at. */
            if (name == TIMER && read(timer, &expirations, sizeof expirations) > 0) send_ticks(1);
            if (name < MAX_CONNECTIONS && connections[name]) keep_or_close((int)name, serve(connections[name]));
        }
        more = rate == 0 && send_ticks(BURST);
    }
}

int main(int argc, char **argv) {
    if (argc != 3 && argc != 5) {
        fprintf(stderr, "usage: exchange RATE TICKS [CERTIFICATE KEY]\n");
        return 2;
    }
    double rate = strtod(argv[1], NULL);
    int port, tls_port = 0, tls = -1, plain = listen_on_loopback(&port), timer = start_timer(rate);
    max_ticks = strtoull(argv[2], NULL, 10);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* Ctrl-C is the starter's to handle: it closes standard input */
    epoll_fd = epoll_create1(0);
    watch(STDIN_FILENO, STDIN);
    watch(timer, TIMER);
    watch(plain, PLAIN_PORT);
    if (argc == 5) {
        use_certificate(argv[3], argv[4]);
        tls = listen_on_loopback(&tls_port);
        watch(tls, TLS_PORT);
    }
    printf("{\"port\":%d,\"tls_port\":%d}\n", port, tls_port);
    fflush(stdout);
    run(rate, timer, plain, tls);
    return 0;
}
