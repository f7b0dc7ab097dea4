/* mqload: a small, fast MQTT load generator for Linux, without dependencies. See ../README.md.
 *
 * It polls busily by default: give it a core of its own (--no-spin blocks). Each run prints one JSON line.
 * Exit code: 0 all that was owed arrived, 1 not, 2 it could not run.
 */
#define _GNU_SOURCE
#include "load.h"
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int help(int code)
{
    fputs("mqload MODE [options]      one JSON line per run; latencies and CPU per message in microseconds\n"
          "modes\n"
          "  pub       publish, no subscribers; latency of PUBACK or PUBCOMP\n"
          "  fan       publishers -> subscribers, end-to-end latency\n"
          "  session   persistent sessions: subscribe and leave, publish while they are away, come back for it\n"
          "  idle      -c idle connections with one subscription each, held for -T seconds\n"
          "  echo      sends the same packets to a server that returns every byte\n"
          "options\n"
          "  -H ADDR -p PORT   server (127.0.0.1 1883)       -V 4|5  MQTT 3.1.1 or 5.0 (4)\n"
          "  -c N   publishers or connections (1)            -s N    subscribers (1)\n"
          "  -n N   messages per publisher; per session in mode session (10000)\n"
          "  -q Q   QoS (1)                                  -l B    payload bytes (64, at least 16)\n"
          "  -w W   window in flight per publisher (100)     -N T    number of topics\n"
          "  -r R   open loop: R messages/s in total, latency from the scheduled time\n"
          "  -k K   persistent sessions (20)                 -T S    seconds to hold (3)\n"
          "  -i ID  client id and topic prefix (mql)\n"
          "  --durable        fan: subscribers with persistent sessions\n"
          "  --no-e2e         fan: do not bound what is published and not yet delivered\n"
          "  --no-spin        block until the next due send rather than poll\n"
          "  --pid P[,P]      server processes: adds CPU and resident memory\n"
          "  --max-s S        time cap per phase (60)        --stall S  no progress for S seconds ends it (3)\n"
          "  --settle S       wait before reading CPU (0.2)  --conc N   handshakes at once (64)\n",
          code ? stderr : stdout);
    return code;
}
static double number(const char *s, double low, double high)
{
    char *endp;
    errno = 0;
    double v = strtod(s, &endp);
    if (errno || endp == s || *endp || !(v >= low && v <= high)) {
        fprintf(stderr, "mqload: %s: a number from %.0f to %.0f is expected\n", s, low, high);
        exit(2);
    }
    return v;
}
static int whole(const char *s, int low, int high) { return (int)number(s, low, high); }

enum { O_NO_E2E = 256, O_NO_SPIN, O_PID, O_MAX, O_STALL, O_SETTLE, O_CONC, O_DURABLE };
static void take(int c, char *arg)
{
    switch (c) {
    case 'H': o.host = arg; break;
    case 'p': o.port = whole(arg, 1, 65535); break;
    case 'V': o.version = whole(arg, 4, 5); break;
    case 'c': o.conns = whole(arg, 1, 60000); break;
    case 's': o.subs = whole(arg, 1, 60000); break;
    case 'n': o.n = (uint64_t)number(arg, 1, 2e8); break;
    case 'q': o.qos = whole(arg, 0, 2); break;
    case 'l': o.size = (size_t)number(arg, HEADER, 64e6); break;
    case 'w': o.window = whole(arg, 1, 32000); break;
    case 'N': o.topics = whole(arg, 1, 1000000); break;
    case 'r': o.rate = number(arg, 1, 1e7); break;
    case 'k': o.clients = whole(arg, 1, 60000); break;
    case 'T': o.hold = number(arg, 0, 86400); break;
    case 'i': o.prefix = arg; break;
    case O_NO_E2E: o.e2e = 0; break;
    case O_NO_SPIN: o.spin = 0; break;
    case O_PID:
        for (char *s = strtok(arg, ","); s && o.npid < MAX_PIDS; s = strtok(NULL, ",")) o.pids[o.npid++] = whole(s, 1, 1 << 30);
        break;
    case O_MAX: o.max_s = number(arg, 0.1, 86400); break;
    case O_STALL: o.stall_s = number(arg, 0.1, 86400); break;
    case O_SETTLE: o.settle_s = number(arg, 0, 3600); break;
    case O_CONC: o.conc = whole(arg, 1, 60000); break;
    case O_DURABLE: o.durable = 1; break;
    default: exit(2);
    }
}
int main(int argc, char **argv)
{
    static const struct option longs[] = {
        { "help", 0, 0, 'h' }, { "no-e2e", 0, 0, O_NO_E2E }, { "no-spin", 0, 0, O_NO_SPIN }, { "pid", 1, 0, O_PID },
        { "max-s", 1, 0, O_MAX }, { "stall", 1, 0, O_STALL }, { "settle", 1, 0, O_SETTLE }, { "conc", 1, 0, O_CONC },
        { "durable", 0, 0, O_DURABLE }, { 0, 0, 0, 0 },
    };
    static const char *names[] = { "pub", "fan", "session", "idle", "echo" };
    int c, mode = -1;
    o = (struct options){ .port = 1883, .conns = 1, .subs = 1, .qos = 1, .window = 100, .clients = 20, .spin = 1, .e2e = 1,
                          .conc = 64, .version = 4, .n = 10000, .size = 64, .hold = 3, .max_s = 60, .stall_s = 3,
                          .settle_s = 0.2, .host = "127.0.0.1", .prefix = "mql" };
    if (argc > 1 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"))) return help(0);
    for (int i = 0; i < 5 && argc > 1; i++) if (!strcmp(argv[1], names[i])) mode = i;
    if (mode < 0) return help(2);
    o.mode = (enum mode)mode;
    optind = 2;
    while ((c = getopt_long(argc, argv, "hH:p:V:c:s:n:q:l:w:N:r:k:T:i:", longs, NULL)) != -1) {
        if (c == 'h') return help(0);
        take(c, optarg);
    }
    if (optind < argc) return help(2);
    if (o.qos == 0 && (o.mode == M_SESSION || o.mode == M_ECHO)) o.qos = 1;
    signal(SIGPIPE, SIG_IGN);
    net_init();
    switch (o.mode) {
    case M_FAN: return run_fan();
    case M_SESSION: return run_session();
    case M_IDLE: return run_idle();
    default: return run_pub();
    }
}
