/* disk: what the bare disk does, to set the broker's latency beside.
 *
 *   disk probe DIR N           N appends of 4 KiB, each made durable by fdatasync
 *   disk open DIR RATE N SIZE  records of SIZE bytes fall due at RATE/s; whatever is due is appended in one write and made
 *                              durable by one fdatasync (a group commit with nothing around it); latency from the due time
 *
 * One JSON line, microseconds. The file is removed again. Exit code 2 when the disk refuses.
 */
#define _GNU_SOURCE
#include "load.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct options o; /* util.c wants them; there is no server here */
static hist h;
static char path[4096];
static int file;

static void open_file(const char *dir)
{
    snprintf(path, sizeof path, "%s/disk.%d.tmp", dir, (int)getpid());
    file = open(path, O_CREAT | O_EXCL | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0) die(path);
    unlink(path);
}
static void append(const char *buf, size_t n)
{
    while (n) {
        ssize_t k = write(file, buf, n);
        if (k < 0) die("write");
        buf += k;
        n -= (size_t)k;
    }
    if (fdatasync(file)) die("fdatasync");
}
static void probe(uint64_t n)
{
    static char block[4096];
    memset(block, 'x', sizeof block);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t t = now_ns();
        append(block, sizeof block);
        hist_add(&h, now_ns() - t);
    }
}
static uint64_t scheduled(double rate, uint64_t n, size_t size)
{
    char *buf = xcalloc(n, size);
    memset(buf, 'x', n * size);
    uint64_t t0 = now_ns() + 1000000, done = 0, groups = 0;
    while (done < n) {
        uint64_t next = t0 + (uint64_t)((double)done * 1e9 / rate), now = now_ns();
        if (next > now) {
            struct timespec ts = { (time_t)(next / NANO), (long)(next % NANO) };
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
            now = now_ns();
        }
        uint64_t end = done;
        while (end < n && t0 + (uint64_t)((double)end * 1e9 / rate) <= now) end++;
        if (end == done) continue;
        append(buf, (end - done) * size);
        now = now_ns();
        groups++;
        for (; done < end; done++) hist_add(&h, now - (t0 + (uint64_t)((double)done * 1e9 / rate)));
    }
    free(buf);
    return groups;
}
int main(int argc, char **argv)
{
    uint64_t groups;
    if (argc == 4 && !strcmp(argv[1], "probe") && atol(argv[3]) > 0) {
        groups = (uint64_t)atol(argv[3]);
        open_file(argv[2]);
        probe(groups);
    } else if (argc == 6 && !strcmp(argv[1], "open") && atof(argv[3]) > 0 && atol(argv[4]) > 0 && atol(argv[5]) > 0) {
        open_file(argv[2]);
        groups = scheduled(atof(argv[3]), (uint64_t)atol(argv[4]), (size_t)atol(argv[5]));
    } else {
        fputs("disk probe DIR N | disk open DIR RATE N SIZE\n", stderr);
        return 2;
    }
    out("{\"mode\":\"disk\",\"fdatasyncs\":%llu", (unsigned long long)groups);
    out_hist("ack_us", &h);
    out("}");
    out_flush();
    return 0;
}
