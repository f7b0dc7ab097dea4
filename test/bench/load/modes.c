/* One function per mode. Each prints one JSON line:
 *   {"mode", …, "run" | "in" and "out" | "connect": {"messages", "secs", "per_s", "cpu_us", "ack_us", "e2e_us", …}, "lost", …}
 * and returns 0 only when every message that was owed came. Latencies and CPU per message in microseconds.
 */
#include "load.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t target;
static uint32_t *last_seq; /* fan: subscriber x publisher -> last sequence + 1; session: per client */
static uint8_t **seen;     /* session: bitmap of sequences per client */

void on_delivery(conn *c, const uint8_t *payload, size_t n, uint64_t now)
{
    uint64_t stamp;
    uint32_t who, seq;
    if (n < HEADER || !last_seq) { g.bad++; return; }
    memcpy(&stamp, payload, 8);
    memcpy(&who, payload + 8, 4);
    memcpy(&seq, payload + 12, 4);
    g.last = now;
    if (o.mode == M_FAN) {
        if (who >= (uint32_t)npubs) { g.bad++; return; }
        uint32_t *last = &last_seq[(size_t)c->idx * (size_t)npubs + who];
        g.delivered++;
        hist_add(&g.e2e, now > stamp ? now - stamp : 0);
        if (seq < *last) g.ooo++; else *last = seq + 1;
        return;
    }
    if (seq >= o.n) { g.bad++; return; }
    if (seen[c->idx][seq >> 3] & 1u << (seq & 7)) { g.dup++; return; }
    seen[c->idx][seq >> 3] |= (uint8_t)(1u << (seq & 7));
    g.delivered++;
    if (seq < last_seq[c->idx]) g.ooo++; else last_seq[c->idx] = seq + 1;
}

static int acked_all(void)
{
    if (g.acked >= target) return 1;
    for (int i = 0; i < npubs; i++) if (pubs[i].st == ST_READY) return 0;
    return 1;
}
static int sent_all(void)
{
    if (g.sent < target) return 0;
    for (int i = 0; i < npubs; i++) if (pubs[i].wlen > pubs[i].woff && pubs[i].st == ST_READY) return 0;
    return 1;
}
static int pinged_all(void) { return g.pings >= (uint64_t)npubs; }
static int fanned_all(void) { return g.sent >= target && g.delivered >= g.expected && (!o.qos || g.acked >= g.sent); }
static int drained_all(void) { return g.delivered >= target; }

/* ---------- a measured phase ---------- */
static double cpu0, rss0;
static void phase_begin(void)
{
    cpu0 = server_cpu();
    rss0 = server_rss_mib();
    g.t0 = g.last = now_ns();
}
static double phase_secs(void) { return g.last > g.t0 ? (double)(g.last - g.t0) / 1e9 : 1e-9; }
static void phase_end(const char *name, uint64_t messages)
{
    double s = phase_secs();
    nap(o.settle_s); /* what the server still does for these messages is theirs to pay */
    double cpu = server_cpu() - cpu0;
    out(",\"%s\":{\"messages\":%llu,\"secs\":%.4f,\"per_s\":%.0f", name, (unsigned long long)messages, s, (double)messages / s);
    if (o.npid)
        out(",\"cpu_s\":%.4f,\"cpu_us\":%.4f,\"cpu_share\":%.3f,\"rss0_mib\":%.1f,\"rss1_mib\":%.1f", cpu,
            messages ? cpu * 1e6 / (double)messages : 0, cpu / (s + o.settle_s), rss0, server_rss_mib());
    out_hist("ack_us", &g.ack);
    out_hist("e2e_us", &g.e2e);
    out_hist("slip_us", &g.slip);
    out("}");
}
static void begin(const char *mode)
{
    out("{\"mode\":\"%s\",\"version\":%d,\"qos\":%d,\"size\":%zu,\"window\":%d,\"rate\":%.0f,\"n\":%llu", mode,
        o.version, o.qos, o.size, o.window, o.rate, (unsigned long long)o.n);
}
static int end(uint64_t lost, int timeout)
{
    out(",\"sent\":%llu,\"acked\":%llu,\"lost\":%llu,\"dup\":%llu,\"ooo\":%llu,\"stalls\":%llu,\"failed\":%d,\"closed\":%d,"
        "\"refused\":%d,\"bad\":%llu,\"load_cpu_s\":%.3f,\"timeout\":%s}",
        (unsigned long long)g.sent, (unsigned long long)g.acked, (unsigned long long)lost, (unsigned long long)g.dup,
        (unsigned long long)g.ooo, (unsigned long long)g.stalls, g.failed, g.closed, g.refused, (unsigned long long)g.bad,
        own_cpu(), timeout ? "true" : "false");
    out_flush();
    return timeout || lost || g.failed || g.closed || g.refused || g.bad ? 1 : 0;
}
static void set_quota(uint64_t n)
{
    for (int i = 0; i < npubs; i++) pubs[i].quota = n;
    target = n * (uint64_t)npubs;
}

/* publish with nobody subscribed (and mode echo: the server sends every byte back) */
int run_pub(void)
{
    npubs = o.conns;
    make_topics(o.topics ? o.topics : npubs);
    pubs = make_conns(npubs, "p", 1, 1);
    begin(o.mode == M_ECHO ? "echo" : "pub");
    if (connect_all(pubs, npubs)) return end(0, 1);
    set_quota(o.n);
    phase_begin();
    g.publishing = 1;
    int timeout = pump(o.qos ? acked_all : sent_all);
    g.publishing = 0;
    if (!o.qos && !timeout) { /* a PINGRESP means that the server has read everything before it */
        for (int i = 0; i < npubs; i++) { send_empty(&pubs[i], 0xc0); flush(&pubs[i]); }
        timeout = pump(pinged_all);
    }
    uint64_t done = o.qos ? g.acked : g.sent;
    phase_end("run", done);
    uint64_t lost = o.qos ? g.sent - g.acked : 0;
    bye(pubs, npubs);
    return end(lost, timeout);
}

/* K persistent sessions: connect, subscribe, leave (clean: connect clean, which drops them) */
static int visit_sessions(int n, const char *tag, int clean)
{
    conn *v = make_conns(n, tag, clean, 0);
    for (int i = 0; i < n && !clean; i++) v[i].filter = topics[i % ntopics];
    int r = connect_all(v, n);
    bye(v, n);
    free(v);
    return r;
}

/* publishers -> live subscribers; with --durable the subscribers' sessions are persistent */
int run_fan(void)
{
    int nsubs = o.subs;
    npubs = o.conns;
    make_topics(o.topics ? o.topics : 1);
    subscribers = xcalloc((size_t)ntopics, sizeof *subscribers);
    last_seq = xcalloc((size_t)npubs * (size_t)nsubs, sizeof *last_seq);
    conn *subs = make_conns(nsubs, "s", !o.durable, 0);
    pubs = make_conns(npubs, "p", 1, 1);
    for (int j = 0; j < nsubs; j++) {
        subs[j].filter = topics[j % ntopics];
        subscribers[j % ntopics]++;
    }
    begin("fan");
    if (connect_all(subs, nsubs) || connect_all(pubs, npubs)) return end(0, 1);
    set_quota(o.n);
    phase_begin();
    g.publishing = 1;
    int timeout = pump(fanned_all);
    g.publishing = 0;
    phase_end("run", g.delivered);
    uint64_t lost = g.expected > g.delivered ? g.expected - g.delivered : 0;
    bye(pubs, npubs);
    bye(subs, nsubs);
    if (o.durable) visit_sessions(nsubs, "s", 1);
    return end(lost, timeout);
}

/* durable queues: subscribe and leave, publish while they are away (phase in), come back for all of it (phase out) */
int run_session(void)
{
    uint64_t total = (uint64_t)o.clients * o.n;
    npubs = o.conns < o.clients ? o.conns : o.clients;
    make_topics(o.clients);
    begin("session");
    if (visit_sessions(o.clients, "q", 0)) return end(0, 1);
    pubs = make_conns(npubs, "p", 1, 1);
    if (connect_all(pubs, npubs)) return end(0, 1);
    for (int i = 0; i < npubs; i++) pubs[i].quota = (uint64_t)((o.clients - i + npubs - 1) / npubs) * o.n;
    target = total;
    phase_begin();
    g.publishing = 1;
    int timeout = pump(acked_all);
    g.publishing = 0;
    phase_end("in", g.acked);
    bye(pubs, npubs);
    npubs = 0;
    memset(&g.ack, 0, sizeof g.ack);
    memset(&g.slip, 0, sizeof g.slip);

    last_seq = xcalloc((size_t)o.clients, sizeof *last_seq);
    seen = xcalloc((size_t)o.clients, sizeof *seen);
    for (int i = 0; i < o.clients; i++) seen[i] = xcalloc(o.n / 8 + 1, 1);
    conn *v = make_conns(o.clients, "q", 0, 0); /* no SUBSCRIBE: the session has it */
    phase_begin();
    connect_all(v, o.clients);
    timeout |= pump(drained_all);
    phase_end("out", g.delivered);
    for (int i = 0; i < 20; i++) poll_ns(5000000); /* late doubles */
    for (int i = 0; i < o.clients; i++) if (!v[i].session_present) g.bad++;
    bye(v, o.clients);
    visit_sessions(o.clients, "q", 1);
    return end(total > g.delivered ? total - g.delivered : 0, timeout);
}

/* connections that do nothing, each with one subscription */
int run_idle(void)
{
    make_topics(o.conns);
    conn *v = make_conns(o.conns, "i", 1, 0);
    for (int i = 0; i < o.conns; i++) v[i].filter = topics[i];
    begin("idle");
    phase_begin();
    int bad = connect_all(v, o.conns);
    g.last = now_ns();
    double before = rss0, cpu1 = server_cpu();
    uint64_t until = now_ns() + (uint64_t)(o.hold * 1e9);
    phase_end("connect", (uint64_t)g.ready);
    while (now_ns() < until) poll_ns(50000000);
    double after = server_rss_mib(), cpu2 = server_cpu();
    out(",\"conns\":%d,\"ready\":%d,\"kib_per_conn\":%.3f,\"idle_cpu_s\":%.3f", o.conns, g.ready,
        g.ready ? (after - before) * 1024.0 / g.ready : 0, cpu2 - cpu1);
    bye(v, o.conns);
    return end(0, bad ? 1 : 0);
}
