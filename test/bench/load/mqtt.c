/* The few MQTT packets that the load needs, for 3.1.1 and (-V 5) 5.0 with empty properties. */
#include "load.h"
#include <stdlib.h>
#include <string.h>

static uint8_t *put_string(uint8_t *p, const char *s, size_t n)
{
    p[0] = (uint8_t)(n >> 8);
    p[1] = (uint8_t)n;
    memcpy(p + 2, s, n);
    return p + 2 + n;
}
static uint8_t *put_length(uint8_t *p, size_t n)
{
    do {
        uint8_t d = n & 127;
        n >>= 7;
        *p++ = (uint8_t)(d | (n ? 128 : 0));
    } while (n);
    return p;
}
void send_connect(conn *c)
{
    static const uint8_t forever[] = { 5, 0x11, 0xff, 0xff, 0xff, 0xff }; /* session expiry: without it a v5 session ends at once */
    static const uint8_t none[] = { 0 };
    const uint8_t *props = c->clean ? none : forever;
    size_t il = strlen(c->id), pl = o.version == 5 ? (size_t)props[0] + 1 : 0, rl = 10 + pl + 2 + il;
    uint8_t *s = reserve(c, rl + 8), *p = s;
    *p++ = 0x10;
    p = put_length(p, rl);
    p = put_string(p, "MQTT", 4);
    *p++ = (uint8_t)o.version;
    *p++ = c->clean ? 2 : 0;
    *p++ = 0; /* no keep alive: an idle connection must stay silent */
    *p++ = 0;
    memcpy(p, props, pl);
    p = put_string(p + pl, c->id, il);
    c->wlen += (size_t)(p - s);
}
static void send_subscribe(conn *c)
{
    size_t tl = strlen(c->filter);
    uint8_t *s = reserve(c, tl + 16), *p = s;
    *p++ = 0x82;
    p = put_length(p, 2 + (o.version == 5 ? 1u : 0u) + 2 + tl + 1);
    *p++ = 0;
    *p++ = 1;
    if (o.version == 5) *p++ = 0;
    p = put_string(p, c->filter, tl);
    *p++ = (uint8_t)o.qos;
    c->wlen += (size_t)(p - s);
}
static void send_id(conn *c, uint8_t type, uint16_t pid)
{
    uint8_t *p = reserve(c, 4);
    p[0] = type;
    p[1] = 2;
    p[2] = (uint8_t)(pid >> 8);
    p[3] = (uint8_t)pid;
    c->wlen += 4;
}
void send_empty(conn *c, uint8_t type)
{
    uint8_t *p = reserve(c, 2);
    p[0] = type;
    p[1] = 0;
    c->wlen += 2;
}
static uint16_t take_pid(conn *c, uint64_t stamp)
{
    for (;;) {
        uint32_t s = c->nextpid;
        c->nextpid = s >= c->mask ? 1 : s + 1;
        if (!c->slot[s]) {
            c->slot[s] = stamp ? stamp : 1;
            c->inflight++;
            return (uint16_t)s;
        }
    }
}
void send_publish(conn *c, int topic, uint64_t stamp, uint32_t seq)
{
    static char *filler;
    size_t rl = 2u + topic_len[topic] + (o.qos ? 2u : 0u) + (o.version == 5 ? 1u : 0u) + o.size;
    uint8_t *s = reserve(c, rl + 8), *p = s;
    uint32_t who = (uint32_t)c->idx;
    if (!filler) {
        filler = xcalloc(o.size, 1);
        memset(filler, 'x', o.size);
    }
    *p++ = (uint8_t)(0x30 | o.qos << 1);
    p = put_length(p, rl);
    p = put_string(p, topics[topic], topic_len[topic]);
    if (o.qos) {
        uint16_t pid = take_pid(c, stamp);
        *p++ = (uint8_t)(pid >> 8);
        *p++ = (uint8_t)pid;
    }
    if (o.version == 5) *p++ = 0;
    memcpy(p, &stamp, 8);
    memcpy(p + 8, &who, 4);
    memcpy(p + 12, &seq, 4);
    memcpy(p + HEADER, filler, o.size - HEADER);
    p += o.size;
    c->wlen += (size_t)(p - s);
    c->sent++;
    g.sent++;
    if (subscribers) g.expected += subscribers[topic];
}

/* ---------- what arrives ---------- */
static void on_ack(conn *c, uint16_t pid, uint64_t now)
{
    if (!c->slot || pid > c->mask || !c->slot[pid]) { g.bad++; return; }
    uint64_t stamp = c->slot[pid];
    c->slot[pid] = 0;
    c->inflight--;
    g.acked++;
    hist_add(&g.ack, now > stamp ? now - stamp : 0);
    g.last = now;
}
static int on_packet(conn *c, const uint8_t *head, const uint8_t *p, size_t rl, uint64_t now)
{
    uint16_t pid = rl >= 2 ? (uint16_t)(p[0] << 8 | p[1]) : 0;
    switch (head[0] >> 4) {
    case 2: /* CONNACK */
        if (rl < 2 || p[1]) { g.refused++; return -1; }
        c->session_present = p[0] & 1;
        if (!c->filter) { c->st = ST_READY; g.ready++; return 0; }
        c->st = ST_SUBACK;
        send_subscribe(c);
        return 0;
    case 3: { /* PUBLISH */
        int qos = head[0] >> 1 & 3;
        size_t off = 2u + pid + (qos ? 2u : 0u);
        if (off > rl) return -1;
        uint16_t id = qos ? (uint16_t)(p[off - 2] << 8 | p[off - 1]) : 0;
        if (o.mode == M_ECHO) { on_ack(c, id, now); return 0; } /* our own packet has come back */
        if (qos) send_id(c, qos == 1 ? 0x40 : 0x50, id);
        if (o.version == 5) { /* properties stay below 128 bytes here, so their length is one byte */
            if (off >= rl || p[off] > 127 || off + 1 + p[off] > rl) return -1;
            off += 1u + p[off];
        }
        on_delivery(c, p + off, rl - off, now);
        return 0;
    }
    case 4: on_ack(c, pid, now); return 0;      /* PUBACK */
    case 5: send_id(c, 0x62, pid); return 0;    /* PUBREC -> PUBREL */
    case 6: send_id(c, 0x70, pid); return 0;    /* PUBREL -> PUBCOMP */
    case 7: on_ack(c, pid, now); return 0;      /* PUBCOMP */
    case 9: /* SUBACK: the one granted code is the last byte in every version */
        if (rl < 3 || p[rl - 1] >= 0x80) { g.refused++; return -1; }
        if (c->st == ST_SUBACK) { c->st = ST_READY; g.ready++; }
        return 0;
    case 13: g.pings++; g.last = now; return 0; /* PINGRESP */
    default: g.bad++; return -1;
    }
}
int parse(conn *c, uint64_t now)
{
    size_t i = 0;
    while (c->rlen - i >= 2) {
        const uint8_t *b = c->rb + i;
        size_t rl = 0, k = 1, have = c->rlen - i;
        int shift = 0, whole = 0;
        while (k < have && k < 5) {
            rl |= (size_t)(b[k] & 127) << shift;
            shift += 7;
            if (!(b[k++] & 128)) { whole = 1; break; }
        }
        if (!whole) {
            if (k >= 5) return -1;
            break;
        }
        if (have < k + rl) {
            if (k + rl > c->rcap) {
                memmove(c->rb, b, have);
                c->rlen = have;
                i = 0;
                c->rcap = (k + rl) * 2;
                c->rb = realloc(c->rb, c->rcap);
                if (!c->rb) die("realloc");
            }
            break;
        }
        if (on_packet(c, b, b + k, rl, now) < 0) return -1;
        i += k + rl;
    }
    if (i) {
        memmove(c->rb, c->rb + i, c->rlen - i);
        c->rlen -= i;
    }
    return 0;
}
