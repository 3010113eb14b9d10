/* The floor that the benchmark compares with: what a C program without JSON parser, signature or log can do.
 *
 *   client PORT wait|spin
 *
 * One WebSocket receives trades, another carries orders, both plain on 127.0.0.1. Every trade frame is searched for its
 * quantity, and one order.place of 0.001 BTC goes out: sold when the quantity's last digit is odd, else bought, so that
 * the search cannot be left out. `wait` sleeps in epoll_wait; `spin` polls both sockets without ever sleeping.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 1 << 16 };

static char received[ROOM + 1];
static size_t received_len;
static unsigned long orders;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int open_websocket(int port, const char *path) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    dprintf(fd,
            "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: d2lyZXN0YW1wIGZsb29yIQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            path, port);
    /* One byte at a time: the first trade may follow the answer in the same packet. */
    char answer[1024];
    for (size_t size = 0; size < sizeof answer - 1; size++) {
        if (recv(fd, answer + size, 1, 0) != 1) die("handshake");
        answer[size + 1] = 0;
        if (size > 3 && !memcmp(answer + size - 3, "\r\n\r\n", 4)) break;
    }
    if (strncmp(answer, "HTTP/1.1 101", 12)) die("handshake refused");
    return fd;
}

static void send_order(int fd, const char *side) {
    /* RFC 6455, section 5.3: a client masks what it sends. */
    static const unsigned char mask[4] = {0x37, 0xFA, 0x21, 0x3D};
    unsigned char frame[1024];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    char *payload = (char *)frame + 8;
    orders++;
    int size = snprintf(payload, sizeof frame - 8,
                        "{\"id\":%lu,\"method\":\"order.place\",\"params\":{\"symbol\":\"BTCUSDT\",\"side\":\"%s\","
                        "\"type\":\"MARKET\",\"quantity\":\"0.00100000\",\"newClientOrderId\":\"floor-%lu\","
                        "\"timestamp\":%lld}}",
                        orders, side, orders, now.tv_sec * 1000LL + now.tv_nsec / 1000000);
    frame[0] = 0x81;
    frame[1] = 0x80 | 126;
    frame[2] = (unsigned char)(size >> 8);
    frame[3] = (unsigned char)size;
    memcpy(frame + 4, mask, 4);
    for (int i = 0; i < size; i++) payload[i] ^= (char)mask[i % 4];
    if (send(fd, frame, (size_t)size + 8, MSG_NOSIGNAL) != size + 8) die("send");
}

/* Size of the frame at `bytes` with its head, 0 when it is not whole yet; servers do not mask. */
static size_t frame_size(const unsigned char *bytes, size_t available) {
    if (available < 4) return 0;
    size_t size = bytes[1] < 126 ? 2U + bytes[1] : 4U + ((size_t)bytes[2] << 8 | bytes[3]);
    return size <= available ? size : 0;
}

static void on_trades(int orders_fd) {
    size_t offset = 0, size;
    while ((size = frame_size((unsigned char *)received + offset, received_len - offset))) {
        char *end = received + offset + size, after = *end;
        *end = 0;
        const char *quantity = strstr(received + offset + 4, "\"q\":\"");
        if (quantity) send_order(orders_fd, (quantity[11] - '0') % 2 ? "SELL" : "BUY");
        *end = after;
        offset += size;
    }
    memmove(received, received + offset, received_len -= offset);
}

/* Reads what is there; the bytes read, or 0 when nothing is. Exits when the exchange has closed. */
static size_t take(int fd, char *into, size_t room) {
    ssize_t got = recv(fd, into, room, MSG_DONTWAIT);
    if (got == 0) exit(0);
    if (got < 0 && errno != EAGAIN) die("recv");
    return got > 0 ? (size_t)got : 0;
}

static void poll_once(int feed, int orders_fd) {
    static char answers[ROOM];
    size_t got = take(feed, received + received_len, ROOM - received_len);
    received_len += got;
    if (got) on_trades(orders_fd);
    take(orders_fd, answers, sizeof answers);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: client PORT wait|spin\n");
        return 2;
    }
    int port = atoi(argv[1]), spin = !strcmp(argv[2], "spin");
    int orders_fd = open_websocket(port, "/ws-api/v3"), feed = open_websocket(port, "/stream?streams=btcusdt@trade");
    int epoll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN}, ready[2];
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, feed, &event)) die("epoll_ctl");
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, orders_fd, &event)) die("epoll_ctl");
    for (;;) {
        if (!spin && epoll_wait(epoll_fd, ready, 2, -1) < 0) die("epoll_wait");
        poll_once(feed, orders_fd);
    }
}
