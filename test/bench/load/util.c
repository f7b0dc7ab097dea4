/* Time, histograms, the server's CPU and memory, and the JSON line. */
#define _GNU_SOURCE
#include "load.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void die(const char *what)
{
    fprintf(stderr, "mqload: %s: %s\n", what, strerror(errno));
    exit(2);
}
void *xcalloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);
    if (!p) die("calloc");
    return p;
}
uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NANO + (uint64_t)t.tv_nsec;
}
void nap(double seconds)
{
    struct timespec t = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };
    while (nanosleep(&t, &t) && errno == EINTR) { }
}

/* ---------- histogram ---------- */
void hist_add(hist *h, uint64_t ns)
{
    unsigned i;
    if (ns < 128) i = (unsigned)ns;
    else {
        int shift = 56 - __builtin_clzll(ns);
        i = (unsigned)(shift + 1) * 128 + (unsigned)((ns >> shift) - 128);
    }
    if (i >= HIST_N) i = HIST_N - 1;
    h->b[i]++;
    h->n++;
    h->sum += ns;
    h->under_1ms += ns < 1000000;
    h->under_10ms += ns < 10000000;
    if (ns > h->max) h->max = ns;
}
double hist_us(const hist *h, double percent)
{
    if (!h->n) return 0;
    uint64_t want = (uint64_t)(percent / 100.0 * (double)h->n + 0.9999999), seen = 0;
    if (want < 1) want = 1;
    for (unsigned i = 0; i < HIST_N; i++) {
        seen += h->b[i];
        if (seen >= want) {
            double v = i < 128 ? i : ((double)(i % 128 + 128) + 0.5) * (double)(1ull << (i / 128 - 1));
            return (v > (double)h->max ? (double)h->max : v) / 1e3;
        }
    }
    return (double)h->max / 1e3;
}

/* ---------- the server, seen from outside ---------- */
double server_cpu(void)
{
    double s = 0;
    for (int i = 0; i < o.npid; i++) {
        /* the process's own CPU clock counts in nanoseconds; /proc/PID/stat only in 10 ms ticks */
        clockid_t clock;
        struct timespec t;
        if (clock_getcpuclockid(o.pids[i], &clock) == 0 && clock_gettime(clock, &t) == 0)
            s += (double)t.tv_sec + (double)t.tv_nsec / 1e9;
    }
    return s;
}
double own_cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
double server_rss_mib(void)
{
    double s = 0;
    for (int i = 0; i < o.npid; i++) {
        char path[64];
        unsigned long all, resident;
        snprintf(path, sizeof path, "/proc/%d/statm", o.pids[i]);
        FILE *f = fopen(path, "r");
        if (!f) continue;
        if (fscanf(f, "%lu %lu", &all, &resident) == 2) s += (double)resident * (double)sysconf(_SC_PAGESIZE) / 1048576.0;
        fclose(f);
    }
    return s;
}

/* ---------- JSON ---------- */
static char line[16384];
static size_t line_len;
void out(const char *format, ...)
{
    va_list a;
    va_start(a, format);
    int k = vsnprintf(line + line_len, sizeof line - line_len, format, a);
    va_end(a);
    if (k < 0 || line_len + (size_t)k >= sizeof line) {
        fputs("mqload: the result line is too long\n", stderr);
        exit(2);
    }
    line_len += (size_t)k;
}
void out_hist(const char *name, const hist *h)
{
    if (!h->n) return;
    double n = (double)h->n;
    out(",\"%s\":{\"n\":%llu,\"mean\":%.1f,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p99_6\":%.1f,\"p99_9\":%.1f,"
        "\"p99_99\":%.1f,\"p99_996\":%.1f,\"max\":%.1f,\"under_1ms\":%.4f,\"under_10ms\":%.4f}",
        name, (unsigned long long)h->n, (double)h->sum / n / 1e3, hist_us(h, 50), hist_us(h, 90), hist_us(h, 99),
        hist_us(h, 99.6), hist_us(h, 99.9), hist_us(h, 99.99), hist_us(h, 99.996), (double)h->max / 1e3,
        100.0 * (double)h->under_1ms / n, 100.0 * (double)h->under_10ms / n);
}
void out_flush(void)
{
    puts(line);
    fflush(stdout);
}
