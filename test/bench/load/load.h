/* What the files of the load generator share: options, counters, connections.
 *
 * One thread, one epoll set. Every payload starts with 16 bytes in host order: u64 stamp (ns, CLOCK_MONOTONIC),
 * u32 publisher, u32 sequence. So a subscriber in the same process can tell latency, order and doubles by itself.
 */
#ifndef LOAD_H
#define LOAD_H
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#define HEADER 16u               /* our own header in each payload, bytes */
#define WRITE_HIGH (64u * 1024u) /* stop filling a socket's buffer past this */
#define NANO 1000000000ull
#define MAX_PIDS 8

enum mode { M_PUB, M_FAN, M_SESSION, M_IDLE, M_ECHO };
enum state { ST_NEW, ST_CONNACK, ST_SUBACK, ST_READY, ST_CLOSED };

/* ---------- options, set once in main ---------- */
struct options {
    enum mode mode;
    int port, conns, subs, topics, qos, window, clients, spin, e2e, conc, durable, version;
    uint64_t n;      /* messages per publisher; per session in session mode */
    size_t size;     /* payload bytes, never below HEADER */
    double rate;     /* messages/s in total; 0 = closed loop */
    double hold, max_s, stall_s, settle_s;
    const char *host, *prefix;
    int pids[MAX_PIDS], npid;
};
extern struct options o;

/* ---------- histogram: log-linear, 128 steps per octave (0.8 %), nanoseconds ---------- */
#define HIST_N (58 * 128)
typedef struct {
    uint64_t b[HIST_N], n, max, sum;
    uint64_t under_1ms, under_10ms; /* exact, not from the buckets */
} hist;
void hist_add(hist *h, uint64_t ns);
double hist_us(const hist *h, double percent);

/* ---------- connections ---------- */
typedef struct conn {
    int fd, idx, clean, want_out, session_present;
    enum state st;
    char id[48];
    const char *filter; /* subscribed to after CONNACK, or NULL */
    uint8_t *rb, *wb;
    size_t rlen, rcap, wlen, woff, wcap;
    uint64_t *slot; /* packet id -> stamp, 0 = free; publishers only */
    uint32_t mask, nextpid, inflight;
    uint64_t sent, quota;
} conn;

/* ---------- what is counted; one run per process, so plain globals ---------- */
struct counters {
    int ready, failed, closed, refused;
    uint64_t sent, acked, delivered, expected, written_off, stalls, dup, ooo, bad, pings;
    uint64_t t0, last; /* ns: start of the phase, last progress */
    int publishing, ending;
    hist ack, e2e, slip;
};
extern struct counters g;

extern conn *pubs;
extern int npubs;
extern char **topics;
extern uint16_t *topic_len;
extern int ntopics;
extern uint64_t *subscribers; /* deliveries expected per message of a topic; NULL = nobody counts */

/* util.c */
void die(const char *what) __attribute__((noreturn));
void *xcalloc(size_t n, size_t size);
uint64_t now_ns(void);
void nap(double seconds);
double server_cpu(void);     /* seconds of CPU, all threads of every --pid */
double server_rss_mib(void);
double own_cpu(void);        /* seconds of CPU of this process */
void out(const char *format, ...) __attribute__((format(printf, 1, 2))); /* appends to the one JSON line */
void out_hist(const char *name, const hist *h);
void out_flush(void);

/* conn.c */
void net_init(void);
uint8_t *reserve(conn *c, size_t n); /* room for n bytes at the end of the write buffer */
void flush(conn *c);
void conn_close(conn *c);
void poll_ns(uint64_t ns); /* waits up to ns for events and handles them */
conn *make_conns(int n, const char *tag, int clean, int publisher);
int connect_all(conn *v, int n); /* 0 when all n are ready */
void bye(conn *v, int n);        /* DISCONNECT, wait for the server to close, free the buffers */

/* mqtt.c */
void send_connect(conn *c);
void send_publish(conn *c, int topic, uint64_t stamp, uint32_t seq);
void send_empty(conn *c, uint8_t type);
int parse(conn *c, uint64_t now); /* -1: close the connection */

/* pump.c */
void make_topics(int n);
int pump(int (*done)(void)); /* runs until done() or nothing moves; 1 when max_s ran out */

/* modes.c: each prints one JSON line and returns the exit code */
int run_pub(void);
int run_fan(void);
int run_session(void);
int run_idle(void);
void on_delivery(conn *c, const uint8_t *payload, size_t n, uint64_t now);
#endif
