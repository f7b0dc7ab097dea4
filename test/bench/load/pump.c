/* The loop: fill the publishers' windows or follow the schedule, take what arrives, notice when nothing moves.
 *
 * Open loop (rate > 0): each message has a due time that does not depend on the server, and its latency counts from that
 * time, so a server that stalls cannot hide the messages that were waiting (no coordinated omission).
 */
#define _GNU_SOURCE
#include "load.h"
#include <stdio.h>
#include <string.h>

struct options o;
struct counters g;
conn *pubs;
int npubs;
char **topics;
uint16_t *topic_len;
int ntopics;
uint64_t *subscribers;

void make_topics(int n)
{
    topics = xcalloc((size_t)n, sizeof *topics);
    topic_len = xcalloc((size_t)n, sizeof *topic_len);
    ntopics = n;
    for (int i = 0; i < n; i++) {
        char b[128];
        topic_len[i] = (uint16_t)snprintf(b, sizeof b, "%.64s/bench/%d", o.prefix, i);
        topics[i] = strdup(b);
        if (!topics[i]) die("strdup");
    }
}
static uint64_t due(const conn *c)
{
    return g.t0 + (uint64_t)(((double)c->idx + (double)npubs * (double)c->sent) * 1e9 / o.rate);
}
static int topic_of(const conn *c, uint32_t *seq)
{
    *seq = (uint32_t)c->sent;
    if (o.mode == M_SESSION) { /* publisher p owns the topics k with k % npubs == p, so each queue has one publisher */
        uint64_t own = (uint64_t)((o.clients - c->idx + npubs - 1) / npubs);
        *seq = (uint32_t)(c->sent / own);
        return c->idx + npubs * (int)(c->sent % own);
    }
    return c->idx % ntopics;
}
static void fill(conn *c)
{
    uint64_t room = (uint64_t)o.window * (uint64_t)npubs, fan = 1, now = o.rate > 0 ? now_ns() : 0;
    if (subscribers && subscribers[c->idx % ntopics]) fan = subscribers[c->idx % ntopics];
    while (c->sent < c->quota && c->wlen - c->woff < WRITE_HIGH) {
        uint64_t stamp;
        uint32_t seq;
        if (o.qos && c->inflight >= (uint32_t)o.window) break;
        if (o.rate > 0) {
            stamp = due(c);
            if (stamp > now) break;
            hist_add(&g.slip, now - stamp);
        } else {
            uint64_t seen = g.delivered + g.written_off; /* what is published and not yet delivered stays bounded */
            if (subscribers && o.e2e && g.expected >= seen && g.expected - seen >= room * fan) break;
            stamp = now_ns();
        }
        int t = topic_of(c, &seq);
        send_publish(c, t, stamp, seq);
    }
}
/* how long a blocking wait may last: to the next scheduled send, at most 20 ms */
static uint64_t till_due(void)
{
    uint64_t now = now_ns(), best = now + 20000000ull;
    for (int i = 0; i < npubs && o.rate > 0 && g.publishing; i++)
        if (pubs[i].st == ST_READY && pubs[i].sent < pubs[i].quota && pubs[i].inflight < (uint32_t)o.window) {
            uint64_t d = due(&pubs[i]);
            if (d < best) best = d;
        }
    return best > now ? best - now : 0;
}
int pump(int (*done)(void))
{
    uint64_t limit = now_ns() + (uint64_t)(o.max_s * 1e9), moved = 0, moved_at = now_ns();
    uint32_t tick = 0;
    for (;;) {
        for (int i = 0; i < npubs && g.publishing; i++) {
            conn *c = &pubs[i];
            if (c->st != ST_READY) continue;
            fill(c);
            if (c->wlen > c->woff && !c->want_out) flush(c);
        }
        poll_ns(o.spin ? 0 : till_due());
        if (done()) return 0;
        if ((++tick & 63) != 0 && o.spin) continue;
        uint64_t now = now_ns(), v = g.sent + g.acked + g.delivered + g.dup + g.pings;
        if (now > limit) return 1;
        if (v != moved) { moved = v; moved_at = now; continue; }
        if ((double)(now - moved_at) < o.stall_s * 1e9) continue;
        /* nothing moved: what is outstanding is lost; go on if there is more to send */
        uint64_t left = 0;
        for (int i = 0; i < npubs && g.publishing; i++)
            if (pubs[i].st == ST_READY) left += pubs[i].quota - pubs[i].sent;
        g.stalls++;
        if (!left || !subscribers || g.expected <= g.delivered + g.written_off) return 0;
        g.written_off = g.expected - g.delivered;
        moved_at = now;
    }
}
