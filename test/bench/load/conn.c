/* Sockets: non-blocking, one epoll set, buffers that grow, handshakes a bounded number at a time. */
#define _GNU_SOURCE
#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int ep;

void net_init(void)
{
    struct rlimit l;
    ep = epoll_create1(EPOLL_CLOEXEC);
    if (ep < 0) die("epoll_create1");
    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) { /* the idle workload holds thousands */
        l.rlim_cur = l.rlim_max;
        setrlimit(RLIMIT_NOFILE, &l);
    }
}
uint8_t *reserve(conn *c, size_t n)
{
    if (c->woff && c->woff == c->wlen) c->woff = c->wlen = 0;
    if (c->wlen + n > c->wcap && c->woff) {
        memmove(c->wb, c->wb + c->woff, c->wlen - c->woff);
        c->wlen -= c->woff;
        c->woff = 0;
    }
    if (c->wlen + n > c->wcap) {
        size_t cap = c->wcap ? c->wcap : 512;
        while (cap < c->wlen + n) cap *= 2;
        c->wb = realloc(c->wb, cap);
        if (!c->wb) die("realloc");
        c->wcap = cap;
    }
    return c->wb + c->wlen;
}
static void want_out(conn *c, int on)
{
    struct epoll_event e = { .events = EPOLLIN | (on ? EPOLLOUT : 0u), .data.ptr = c };
    if (c->want_out == on) return;
    c->want_out = on;
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
}
void conn_close(conn *c)
{
    if (c->st == ST_CLOSED) return;
    if (c->st != ST_NEW) close(c->fd);
    if (c->st == ST_CONNACK || c->st == ST_SUBACK) g.failed++;
    c->st = ST_CLOSED;
    if (!g.ending) g.closed++;
}
void flush(conn *c)
{
    while (c->st != ST_CLOSED && c->woff < c->wlen) {
        ssize_t k = send(c->fd, c->wb + c->woff, c->wlen - c->woff, MSG_NOSIGNAL);
        if (k > 0) { c->woff += (size_t)k; continue; }
        if (k < 0 && errno == EINTR) continue;
        if (k < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) { want_out(c, 1); return; }
        conn_close(c);
        return;
    }
    c->woff = c->wlen = 0;
    if (c->st != ST_CLOSED) want_out(c, 0);
}
static void conn_open(conn *c)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)o.port) };
    int one = 1;
    if (inet_pton(AF_INET, o.host, &a.sin_addr) != 1) { errno = EINVAL; die(o.host); }
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket");
    if (connect(c->fd, (struct sockaddr *)&a, sizeof a)) {
        close(c->fd);
        c->st = ST_CLOSED;
        g.failed++;
        g.closed++;
        return;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
    if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e)) die("epoll_ctl");
    c->want_out = 0;
    c->rlen = c->wlen = c->woff = 0;
    if (o.mode == M_ECHO) { c->st = ST_READY; g.ready++; return; }
    c->st = ST_CONNACK;
    send_connect(c);
    flush(c);
}
static void on_read(conn *c)
{
    if (!c->rcap) {
        c->rcap = o.mode == M_IDLE ? 256 : 65536;
        c->rb = xcalloc(1, c->rcap);
    }
    ssize_t k = recv(c->fd, c->rb + c->rlen, c->rcap - c->rlen, 0);
    if (k == 0) { conn_close(c); return; }
    if (k < 0) { if (errno != EAGAIN && errno != EINTR) conn_close(c); return; }
    c->rlen += (size_t)k;
    if (parse(c, now_ns()) < 0) { conn_close(c); return; }
    if (c->wlen > c->woff) flush(c);
}
void poll_ns(uint64_t ns)
{
    struct epoll_event ev[512];
    struct timespec ts = { (time_t)(ns / NANO), (long)(ns % NANO) };
    int k = epoll_pwait2(ep, ev, 512, &ts, NULL);
    for (int i = 0; i < k; i++) {
        conn *c = ev[i].data.ptr;
        if (c->st == ST_CLOSED) continue;
        if (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_read(c);
        if (c->st != ST_CLOSED && (ev[i].events & EPOLLOUT)) flush(c);
    }
}
conn *make_conns(int n, const char *tag, int clean, int publisher)
{
    conn *v = xcalloc((size_t)n, sizeof *v);
    uint32_t cap = 1024;
    while (cap < 65536 && cap < (uint32_t)o.window * 2) cap *= 2;
    for (int i = 0; i < n; i++) {
        conn *c = &v[i];
        c->idx = i;
        c->clean = clean;
        snprintf(c->id, sizeof c->id, "%.24s%.4s%d", o.prefix, tag, i);
        if (!publisher) continue;
        c->mask = cap - 1;
        c->slot = xcalloc(cap, sizeof *c->slot);
        c->nextpid = 1;
    }
    return v;
}
int connect_all(conn *v, int n)
{
    uint64_t limit = now_ns() + (uint64_t)(o.max_s * 1e9);
    int opened = 0;
    g.ready = g.failed = 0;
    while (g.ready + g.failed < n && now_ns() < limit) {
        while (opened < n && opened - g.ready - g.failed < o.conc) conn_open(&v[opened++]);
        poll_ns(5000000);
    }
    return g.ready == n ? 0 : -1;
}
void bye(conn *v, int n)
{
    uint64_t limit = now_ns() + 2 * NANO;
    g.ending = 1;
    for (int i = 0; i < n && o.mode != M_ECHO; i++)
        if (v[i].st == ST_READY) { send_empty(&v[i], 0xe0); flush(&v[i]); }
    for (int i = 0; i < n && o.mode != M_ECHO; i++) /* let the server close first; bounded */
        while (v[i].st == ST_READY && now_ns() < limit) poll_ns(5000000);
    for (int i = 0; i < n; i++) {
        conn_close(&v[i]);
        free(v[i].rb);
        free(v[i].wb);
        free(v[i].slot);
        v[i].rb = v[i].wb = NULL;
        v[i].slot = NULL;
    }
    g.ending = 0;
}
