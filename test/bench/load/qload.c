/* qload: the load of a pull queue, over HTTP (ours) or in beanstalkd's protocol. One JSON line, like mqload.
 *
 *   qload http|beanstalk -p PORT -c CONNECTIONS -n MESSAGES [-b BATCH] [-l BYTES] [-q QUEUE] [--fill N] [--pid P] [--max-s S]
 *
 * Two phases on the same connections, each with one request under way per connection: `in` sends MESSAGES, `out` receives and
 * acknowledges as many. --fill brings the queue to N waiting messages first, uncounted. A message counts when its answer has come: 201 for
 * a send, an acknowledgement with ok for a receive.
 * Exit code: 0 all that was sent was taken, 1 not, 2 it could not run.
 */
#define _GNU_SOURCE
#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECEIPT_MAX 80
#define BATCH_MAX 256
#define BUF (1u << 20)

struct options o;
static const char *queue = "bench";
static int batch = 1, beanstalk;
static uint64_t fill, done_n, begun_n, wanted_n, empty_n, refused_n, bad_n, last_ns;
static hist lat;

enum step { IDLE, SENT, RECEIVING, ACKING };
struct link {
    int fd;
    enum step step;
    uint64_t began;
    int asked, held;                    /* messages asked for; received and not acknowledged yet */
    char receipt[BATCH_MAX][RECEIPT_MAX];
    char *in, *outb;
    size_t in_n, out_n, out_at;
};
static struct link *links;
static char *payload;

static void open_link(struct link *l)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)o.port) };
    int one = 1;
    inet_pton(AF_INET, o.host, &a.sin_addr);
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (l->fd < 0 || connect(l->fd, (struct sockaddr *)&a, sizeof a)) die("connect");
    setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(l->fd, F_SETFL, O_NONBLOCK);
    l->in = xcalloc(1, BUF);
    l->outb = xcalloc(1, BUF);
}
static void put(struct link *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct link *l, const char *format, ...)
{
    va_list a;
    va_start(a, format);
    int k = vsnprintf(l->outb + l->out_n, BUF - l->out_n, format, a);
    va_end(a);
    if (k < 0 || l->out_n + (size_t)k >= BUF) die("a request is too large");
    l->out_n += (size_t)k;
}
static void push(struct link *l)
{
    while (l->out_at < l->out_n) {
        ssize_t k = send(l->fd, l->outb + l->out_at, l->out_n - l->out_at, MSG_NOSIGNAL);
        if (k < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (k < 0) die("send");
        l->out_at += (size_t)k;
    }
    l->out_n = l->out_at = 0;
}
/* An HTTP request: the body is measured in the same buffer and moved behind its head. */
static void request(struct link *l, const char *verb, const char *path, const char *type, const char *body, size_t n)
{
    put(l, "%s /v1/queues/%s%s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", verb, queue, path, o.host, o.port,
        type, n);
    if (l->out_n + n >= BUF) die("a request is too large");
    memcpy(l->outb + l->out_n, body, n);
    l->out_n += n;
}

/* ---------- what is asked ---------- */
static void ask_send(struct link *l, int n)
{
    static char body[BUF];
    l->held = n;
    l->step = SENT;
    if (beanstalk) put(l, "put 1024 0 60 %zu\r\n%s\r\n", o.size, payload);
    else if (n == 1) request(l, "POST", "/messages", "application/octet-stream", payload, o.size);
    else {
        size_t at = (size_t)sprintf(body, "{\"messages\":[");
        for (int i = 0; i < n; i++) at += (size_t)sprintf(body + at, "%s{\"body\":\"%s\"}", i ? "," : "", payload);
        at += (size_t)sprintf(body + at, "]}");
        request(l, "POST", "/messages", "application/vnd.aqueduct+json", body, at);
    }
}
static void ask_receive(struct link *l, int n)
{
    char body[80];
    l->held = 0;
    l->asked = n;
    l->step = RECEIVING;
    if (beanstalk) put(l, "reserve-with-timeout 0\r\n");
    else request(l, "POST", "/receive", "application/json", body, (size_t)snprintf(body, sizeof body, "{\"max\":%d,\"wait_ms\":0}", n));
}
static void ask_ack(struct link *l)
{
    static char body[BATCH_MAX * (RECEIPT_MAX + 4) + 64];
    l->step = ACKING;
    if (beanstalk) {
        put(l, "delete %s\r\n", l->receipt[0]);
        return;
    }
    size_t at = (size_t)sprintf(body, "{\"receipts\":[");
    for (int i = 0; i < l->held; i++) at += (size_t)sprintf(body + at, "%s\"%s\"", i ? "," : "", l->receipt[i]);
    at += (size_t)sprintf(body + at, "]}");
    request(l, "POST", "/ack", "application/json", body, at);
}

/* ---------- what comes back ---------- */
/* Length of the whole answer in l->in, 0 when more must come. `ok`: it is a success; `body`: where its body begins. */
static size_t answer(struct link *l, int *ok, char **body)
{
    l->in[l->in_n] = 0;
    char *end = strstr(l->in, "\r\n");
    if (!end) return 0;
    *body = end + 2;
    if (beanstalk) {
        size_t head = (size_t)(end - l->in) + 2, bytes = 0;
        *ok = !strncmp(l->in, "INSERTED", 8) || !strncmp(l->in, "DELETED", 7) || !strncmp(l->in, "TIMED_OUT", 9) ||
              !strncmp(l->in, "USING", 5) || !strncmp(l->in, "WATCHING", 8);
        if (sscanf(l->in, "RESERVED %*s %zu", &bytes) == 1) {
            *ok = 1;
            head += bytes + 2;
        }
        return l->in_n >= head ? head : 0;
    }
    char *blank = strstr(l->in, "\r\n\r\n"), *length = strcasestr(l->in, "content-length:");
    if (!blank) return 0;
    size_t n = length && length < blank ? (size_t)atol(length + 15) : 0, whole = (size_t)(blank - l->in) + 4 + n;
    *ok = !strncmp(l->in, "HTTP/1.1 20", 11);
    *body = blank + 4;
    return l->in_n >= whole ? whole : 0;
}
static void note_receipts(struct link *l, char *body, char *end)
{
    l->held = 0;
    if (beanstalk) {
        if (sscanf(l->in, "RESERVED %79s", l->receipt[0]) == 1) l->held = 1;
        return;
    }
    char stop = *end;
    *end = 0;
    for (char *at = body; (at = strstr(at, "\"receipt\":\"")) && l->held < BATCH_MAX; ) {
        at += 11;
        char *quote = strchr(at, '"');
        if (!quote || quote - at >= RECEIPT_MAX) break;
        memcpy(l->receipt[l->held], at, (size_t)(quote - at));
        l->receipt[l->held++][quote - at] = 0;
    }
    *end = stop;
}
static uint64_t share(void)
{
    uint64_t left = wanted_n > begun_n ? wanted_n - begun_n : 0;
    return left < (uint64_t)batch ? left : (uint64_t)batch;
}
/* The next request of a connection that has none under way. */
static void next(struct link *l, int out_phase)
{
    uint64_t n = share();
    if (!n) return;
    begun_n += n;
    l->began = now_ns();
    if (out_phase) ask_receive(l, (int)n);
    else ask_send(l, (int)n);
    push(l);
}
static void finished(struct link *l, uint64_t now)
{
    hist_add(&lat, now - l->began);
    done_n += (uint64_t)l->held;
    last_ns = now;
    l->step = IDLE;
}
static void take(struct link *l, int out_phase)
{
    for (;;) {
        if (l->in_n + 1 >= BUF) die("an answer is too large");
        ssize_t k = recv(l->fd, l->in + l->in_n, BUF - 1 - l->in_n, 0);
        if (k < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (k <= 0) die("the server closed");
        l->in_n += (size_t)k;
        int ok = 0;
        char *body = NULL;
        size_t n = answer(l, &ok, &body);
        if (!n) continue;
        uint64_t now = now_ns();
        if (!ok) {
            if (!refused_n++) fprintf(stderr, "qload: refused: %.300s\n", l->in);
            l->step = IDLE;
        } else if (l->step == SENT) finished(l, now);
        else if (l->step == RECEIVING) {
            note_receipts(l, body, l->in + n);
            begun_n -= (uint64_t)(l->asked - l->held); /* what did not come is for whoever asks next */
            if (l->held == 0) {
                empty_n++;
                l->step = IDLE;
            } else {
                l->in_n = 0;
                ask_ack(l);
                push(l);
                continue;
            }
        } else if (l->step == ACKING) {
            if (!beanstalk) {
                char *end = l->in + n, stop = *end;
                *end = 0;
                if (strstr(body, "\"ok\":false")) bad_n++;
                *end = stop;
            }
            finished(l, now);
        }
        l->in_n = 0;
        next(l, out_phase);
    }
}

/* ---------- a phase ---------- */
static int busy(void)
{
    int n = 0;
    for (int i = 0; i < o.conns; i++) n += links[i].step != IDLE;
    return n;
}
static void run_phase(int out_phase, uint64_t n)
{
    struct pollfd *p = xcalloc((size_t)o.conns, sizeof *p);
    uint64_t start = now_ns();
    done_n = begun_n = empty_n = 0;
    wanted_n = n;
    memset(&lat, 0, sizeof lat);
    for (int i = 0; i < o.conns; i++) next(&links[i], out_phase);
    while (busy() && refused_n < 1000 && empty_n < 10000 + n) {
        for (int i = 0; i < o.conns; i++) p[i] = (struct pollfd){ links[i].fd, (short)(POLLIN | (links[i].out_n ? POLLOUT : 0)), 0 };
        if (poll(p, (nfds_t)o.conns, 1000) < 0 && errno != EINTR) die("poll");
        for (int i = 0; i < o.conns; i++) {
            if (p[i].revents & POLLOUT) push(&links[i]);
            if (p[i].revents & (POLLIN | POLLHUP | POLLERR)) take(&links[i], out_phase);
        }
        if ((double)(now_ns() - start) / 1e9 > o.max_s) break;
    }
    free(p);
}
static void report(const char *name, int out_phase)
{
    double cpu = server_cpu();
    uint64_t start = now_ns();
    run_phase(out_phase, o.n);
    double secs = (double)(last_ns - start) / 1e9;
    nap(o.settle_s);
    out(",\"%s\":{\"messages\":%llu,\"secs\":%.4f,\"per_s\":%.1f", name, (unsigned long long)done_n, secs, (double)done_n / secs);
    if (o.npid && done_n) out(",\"cpu_us\":%.3f,\"rss1_mib\":%.1f", (server_cpu() - cpu) * 1e6 / (double)done_n, server_rss_mib());
    out_hist("ack_us", &lat);
    out("}");
}
/* One request on the first connection, its answer awaited. Returns the body. */
static char *once(const char *verb, const char *path, const char *body)
{
    struct link *l = &links[0];
    struct pollfd p = { l->fd, POLLIN, 0 };
    int ok;
    char *text = NULL;
    request(l, verb, path, "application/json", body, strlen(body));
    push(l);
    for (l->in_n = 0; !answer(l, &ok, &text) && poll(&p, 1, 10000) == 1; ) {
        ssize_t k = recv(l->fd, l->in + l->in_n, BUF - 1 - l->in_n, 0);
        if (k <= 0) die("the server closed");
        l->in_n += (size_t)k;
    }
    if (!ok) {
        fprintf(stderr, "qload: %s %s: %.300s\n", verb, path, l->in);
        exit(2);
    }
    l->in_n = 0;
    return text;
}
static void prepare(void)
{
    if (beanstalk) return; /* everybody uses and watches the tube `default` */
    once("PUT", "", "{\"max_messages\":10000000,\"max_bytes\":10000000000}");
    char *ready = strstr(once("GET", "", ""), "\"ready\":");
    uint64_t has = ready ? strtoull(ready + 8, NULL, 10) : 0;
    if (fill <= has) return;
    int was = batch;
    double cap = o.max_s;
    batch = BATCH_MAX;
    o.max_s = 600;
    run_phase(0, fill - has);
    batch = was;
    o.max_s = cap;
}
int main(int argc, char **argv)
{
    static const struct option longs[] = { { "fill", 1, 0, 256 }, { "pid", 1, 0, 257 }, { "max-s", 1, 0, 258 }, { "settle", 1, 0, 259 }, { 0, 0, 0, 0 } };
    int c;
    o = (struct options){ .port = 8080, .conns = 32, .n = 10000, .size = 64, .max_s = 60, .settle_s = 0.2, .host = "127.0.0.1" };
    if (argc < 2 || (strcmp(argv[1], "http") && strcmp(argv[1], "beanstalk"))) {
        fputs("qload http|beanstalk -p PORT -c CONNECTIONS -n MESSAGES [-b BATCH] [-l BYTES] [-q QUEUE] [--fill N] [--pid P] [--max-s S]\n", stderr);
        return 2;
    }
    beanstalk = argv[1][0] == 'b';
    optind = 2;
    while ((c = getopt_long(argc, argv, "p:c:n:b:l:q:i:", longs, NULL)) != -1) {
        switch (c) {
        case 'p': o.port = atoi(optarg); break;
        case 'c': o.conns = atoi(optarg); break;
        case 'n': o.n = strtoull(optarg, NULL, 10); break;
        case 'b': batch = atoi(optarg); break;
        case 'l': o.size = (size_t)atol(optarg); break;
        case 'q': queue = optarg; break;
        case 'i': break; /* mqload's prefix means nothing here */
        case 256: fill = strtoull(optarg, NULL, 10); break;
        case 257: o.pids[o.npid++] = atoi(optarg); break;
        case 258: o.max_s = atof(optarg); break;
        case 259: o.settle_s = atof(optarg); break;
        default: return 2;
        }
    }
    if (o.conns < 1 || o.conns > 1000 || batch < 1 || batch > BATCH_MAX || o.size < 1 || o.size > 2000 || o.n < 1 || (beanstalk && batch > 1)) {
        fputs("qload: 1 to 1000 connections, batches of 1 to 256 (beanstalk: 1), 1 to 2000 bytes\n", stderr);
        return 2;
    }
    payload = xcalloc(1, o.size + 1);
    memset(payload, 'x', o.size);
    links = xcalloc((size_t)o.conns, sizeof *links);
    for (int i = 0; i < o.conns; i++) open_link(&links[i]);
    prepare();
    out("{\"mode\":\"queue\"");
    report("in", 0);
    uint64_t sent = done_n;
    report("out", 1);
    out(",\"lost\":%llu,\"refused\":%llu,\"bad\":%llu,\"load_cpu_s\":%.3f}", (unsigned long long)(sent > done_n ? sent - done_n : 0),
        (unsigned long long)refused_n, (unsigned long long)bad_n, own_cpu());
    out_flush();
    return done_n >= o.n && sent >= o.n && !refused_n && !bad_n ? 0 : 1;
}
